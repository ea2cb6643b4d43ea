//! The task that owns a session's state.
//!
//! It waits for the launcher, for the time limit of the state and for a stop; each of these is an event
//! for the [`machine`](super::machine), whose effects it carries out. Nobody else writes the state.

use super::bounds::{self, Found};
use super::keys::Keys;
use super::machine::{self, Effect, Event};
use super::steps::Steps;
use super::still::Still;
use super::supervise::Said;
use super::{Asked, Live, Record, Session, State, Step, exit_text};
use crate::kill_point::{self, Point};
use crate::supervisor::Supervisor;
use crate::system::stock::Held;
use crate::workspace::Seen;
use agentbox_ipc::Error;
use agentbox_kernel::cgroup::SessionGroup;
use agentbox_kernel::lease::Lease;
use agentbox_plan::report::Report;
use agentbox_plan::{Exit, Identity};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// How long a session whose time is over may take to end by itself.
const BOUND_TIMEOUT: Duration = Duration::from_secs(10);
/// Notices that a person attached to a session gets.
const MAX_NOTICES: usize = 100;
/// How long after a launcher that had no place for its new supervisor is connected to again.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
/// SIGTERM
const TERMINATE: u8 = 15;

/// Who waits for a session to run: gets the client's end of its console.
type Waiting = oneshot::Sender<Result<OwnedFd, Error>>;

#[derive(Debug)]
struct Driver {
    supervisor: Arc<Supervisor>,
    record: Record,
    state: State,
    live: Live,
    publish: watch::Sender<Live>,
    asked: mpsc::UnboundedReceiver<Asked>,
    steps: Steps,
    limit: Option<Instant>,
    bounds: Option<bounds::Watch>,
    still: Still,
    /// It was taken over, and its project is not watched yet.
    unwatched: bool,
    /// When its launcher is connected to again.
    again: Option<Instant>,
    waiting: Option<Waiting>,
    /// It is frozen at most once: its person has said what they think of it.
    was_frozen: bool,
    told_of_memory: bool,
    /// What is said to who waits when it never runs.
    failure: Option<Error>,
}

/// Starts a session: registers it and drives it from its first step. The receiver hears when it runs, or
/// why it does not, after everything that was done for it is undone.
pub(crate) fn start(
    supervisor: &Arc<Supervisor>,
    record: Record,
    order: super::Order,
    stocked: Option<Held>,
) -> (Arc<Session>, oneshot::Receiver<Result<OwnedFd, Error>>) {
    let (waiting, result) = oneshot::channel();
    let steps = Steps::new(Arc::clone(supervisor), record.clone(), order, stocked);
    let (state, effects) = machine::begin();
    let session = spawn(supervisor, record, steps, Live::new(state), effects, Some(waiting));
    (session, result)
}

/// Takes over a session whose launcher lives.
pub(crate) fn adopt(supervisor: &Arc<Supervisor>, record: Record, steps: Steps, identity: Option<&Identity>) {
    let mut live = Live::new(machine::adopted());
    (live.uid, live.gid) = identity.map_or((0, 0), |identity| (identity.agent.uid, identity.agent.gid));
    let session = spawn(supervisor, record, steps, live, Vec::new(), None);
    if let Some(lease) = identity.and_then(|identity| Lease::with_console(identity.console.uid)) {
        session.set_lease(lease);
    }
}

fn spawn(
    supervisor: &Arc<Supervisor>,
    record: Record,
    steps: Steps,
    live: Live,
    effects: Vec<Effect>,
    waiting: Option<Waiting>,
) -> Arc<Session> {
    let (publish, live_receiver) = watch::channel(live.clone());
    let (ask, asked) = mpsc::unbounded_channel();
    let session = Arc::new(Session {
        record: record.clone(),
        live: live_receiver,
        network: std::sync::OnceLock::new(),
        keys: std::sync::OnceLock::new(),
        lease: std::sync::OnceLock::new(),
        asked: ask,
    });
    supervisor.register(Arc::clone(&session));
    let bounds = bounds::Watch::new(&record, &supervisor.waits, steps.group.as_ref());
    let live_state = live.state;
    let driver = Driver {
        supervisor: Arc::clone(supervisor),
        record,
        state: live_state,
        live,
        publish,
        asked,
        steps,
        limit: None,
        bounds,
        still: Still::default(),
        unwatched: live_state == machine::adopted(),
        again: None,
        waiting,
        was_frozen: false,
        told_of_memory: false,
        failure: None,
    };
    tokio::spawn(crate::objects::follow(Arc::clone(supervisor), Arc::clone(&session)));
    tokio::spawn(driver.run(effects));
    session
}

impl Driver {
    async fn run(mut self, first: Vec<Effect>) {
        let mut events = VecDeque::new();
        if self.state == machine::adopted() {
            self.stood_still();
        }
        self.carry_out(first, &mut events).await;
        while self.state != State::Gone {
            let event = match events.pop_front() {
                Some(event) => event,
                None => self.wait().await,
            };
            let (state, effects) = machine::next(self.state, event);
            tracing::debug!("{}: {event:?}: {:?} → {state:?}", self.record.id, self.state);
            self.state = state;
            self.live.state = state;
            self.publish.send_replace(self.live.clone());
            self.carry_out(effects, &mut events).await;
        }
        let exit = self.live.exit.map(exit_text);
        self.audit(json!({ "event": "ended", "exit": exit }));
        // The answer comes after the end is known to all, so that who starts again finds nothing of it.
        self.supervisor.unregister(&self.record.id);
        if let Some(waiting) = self.waiting.take() {
            let failure = self.failure.take();
            let failure =
                failure.unwrap_or_else(|| Error::Failed("the session was stopped before it ran".into()));
            let _ = waiting.send(Err(failure));
        }
    }

    /// The watch of an earlier supervisor ended with it. It takes its time in a large project, so it comes after
    /// the session has its network again.
    async fn watch_again(&mut self) {
        self.unwatched = false;
        if let Err(error) = self.steps.watch_again(&mut self.live).await {
            self.supervisor
                .report(format!("session {}: its project is not watched: {error}", self.record.id));
        }
        self.publish.send_replace(self.live.clone());
    }

    /// An earlier supervisor may have had it stand still.
    fn stood_still(&mut self) {
        if self.steps.is_frozen() {
            // Who wanted it, or whether there was too little room, is not known any more: it waits for a person.
            self.was_frozen = self.steps.freezes();
            self.still.for_person("it was frozen before".to_owned());
            self.live.frozen = self.still.why().map(str::to_owned);
        }
        self.publish.send_replace(self.live.clone());
    }

    async fn carry_out(&mut self, effects: Vec<Effect>, events: &mut VecDeque<Event>) {
        for effect in effects {
            match effect {
                Effect::Perform(step) => events.push_back(self.perform(step).await),
                Effect::Revert(step) => {
                    if let Err(error) = self.steps.revert(step).await {
                        tracing::error!("{}: reverting {}: {error}", self.record.id, step.name());
                        let what = format!("{}: {error}", step.name());
                        self.audit(json!({ "event": "left-over", "what": what }));
                    }
                    events.push_back(Event::Reverted(step));
                }
                Effect::Limit(time) => self.limit = time.map(|time| Instant::now() + time),
                Effect::Announce => self.announce(),
                Effect::Terminate => self.terminate(),
                Effect::KillPayload => {
                    if let Err(error) = self.steps.kill_payload() {
                        tracing::error!("{}: {error}", self.record.id);
                    }
                }
            }
        }
    }

    async fn perform(&mut self, step: Step) -> Event {
        match self.steps.perform(step, &mut self.live).await {
            Ok(()) => Event::Done(step),
            Err(error) => {
                tracing::debug!("{}: {}: {error}", self.record.id, step.name());
                self.audit(json!({ "event": "failed", "step": step.name(), "what": error.to_string() }));
                self.failure.get_or_insert(error.for_caller(step));
                Event::Failed(step)
            }
        }
    }

    /// The next thing that happens.
    async fn wait(&mut self) -> Event {
        loop {
            let (limit, again) = (self.limit, self.connects_again());
            let Steps { launcher, reports, supervise, group, keys, seen: watch, .. } = &mut self.steps;
            let bounds = self.bounds.as_mut().filter(|_| self.state == State::Running);
            // In order of what is known best: a report that waits comes before the end of its sender.
            tokio::select! {
                biased;
                report = async { match reports { Some(reports) => reports.next().await, None => std::future::pending().await } } => {
                    match report {
                        Some(report) => return self.reported(report),
                        None => self.steps.reports = None,
                    }
                }
                said = async { match supervise { Some(supervise) => supervise.next().await, None => std::future::pending().await } } => {
                    match said {
                        Some(said) => {
                            if let Some(event) = self.heard(said) {
                                return event;
                            }
                            if self.unwatched {
                                self.watch_again().await;
                            }
                        }
                        None => self.steps.supervise = None,
                    }
                }
                _ = async { match launcher { Some(launcher) => launcher.ended().await, None => std::future::pending().await } } => {
                    return self.launcher_gone();
                }
                () = async { match keys { Some(keys) => keys.more_wait().await, None => std::future::pending().await } } => {
                    if let Some(lost) = self.steps.keys.as_ref().and_then(Keys::take_loss) {
                        self.notice(lost.to_owned());
                    } else if let Some(supervise) = &self.steps.supervise
                        && let Err(error) = supervise.signature_waits()
                    {
                        tracing::warn!("{}: nobody could be told of a signature: {error}", self.record.id);
                    }
                }
                seen = async { match watch { Some(watch) => watch.recv().await, None => std::future::pending().await } } => {
                    match seen {
                        Some(seen) => self.seen(seen),
                        None => self.steps.seen = None,
                    }
                }
                asked = self.asked.recv() => match asked {
                    Some(Asked::Freeze(uid, answer)) => {
                        let _ = answer.send(self.stop_still(uid));
                    }
                    Some(Asked::Thaw(answer)) => {
                        let _ = answer.send(self.thaw());
                    }
                    Some(Asked::Stop(timeout)) => {
                        self.audit(json!({ "event": "stop", "timeout_ms": u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) }));
                        return Event::Stop(timeout);
                    }
                    // Handles are kept until the session is gone.
                    None => std::future::pending().await,
                },
                found = async { match bounds { Some(bounds) => bounds.next(group.as_ref()).await, None => std::future::pending().await } } => {
                    if let Some(event) = self.bounded(found) { return event }
                }
                () = async { match again { Some(again) => tokio::time::sleep_until(again).await, None => std::future::pending().await } } => {
                    self.again = None;
                    self.steps.connect_again();
                }
                () = async { match limit { Some(limit) => tokio::time::sleep_until(limit).await, None => std::future::pending().await } } => {
                    self.limit = None;
                    if matches!(self.state, State::Released | State::Starting { .. }) {
                        self.failure.get_or_insert(Error::Failed("the session took too long to start".into()));
                    }
                    return Event::TimeIsUp;
                }
            }
        }
    }

    /// When the launcher of a session that was taken over is connected to again: until it has said which processes it
    /// has, nothing of its network or its keys is ours.
    fn connects_again(&mut self) -> Option<Instant> {
        let is_unheard = self.unwatched && self.state == State::Running && self.steps.supervise.is_none();
        is_unheard.then(|| *self.again.get_or_insert_with(|| Instant::now() + CONNECT_AGAIN))
    }

    /// A bound was reached, or is kept again.
    fn bounded(&mut self, found: Found) -> Option<Event> {
        match found {
            Found::Over(key) => {
                let timeout_ms = u64::try_from(BOUND_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
                self.audit(json!({ "event": "stop", "timeout_ms": timeout_ms, "why": key }));
                return Some(Event::Stop(BOUND_TIMEOUT));
            }
            Found::NoRoom(what) => {
                self.audit(json!({ "event": "frozen", "why": "disk_free_min", "what": what }));
                self.still.for_room(Some(what));
                let _reported = self.keep_still();
            }
            Found::Room => {
                self.still.for_room(None);
                if self.still.why().is_none() {
                    self.audit(json!({ "event": "thawed" }));
                }
                let _reported = self.keep_still();
            }
        }
        None
    }

    /// Has the agent stand still while there is a reason.
    fn keep_still(&mut self) -> Result<(), String> {
        let why = self.still.why().map(str::to_owned);
        let done = self.steps.stand_still(why.is_some()).map_err(|error| error.to_string());
        if let Err(error) = &done {
            self.supervisor.report(format!("session {}: {error}", self.record.id));
        }
        self.live.frozen = why;
        self.publish.send_replace(self.live.clone());
        done
    }

    fn reported(&mut self, report: Report) -> Event {
        match report {
            Report::Running { init_pid, agent_pid } => {
                (self.live.init_pid, self.live.agent_pid) = (init_pid, agent_pid);
                Event::Confined
            }
            Report::Failed { step, detail } => {
                self.audit(json!({ "event": "failed", "step": step, "what": detail }));
                // Both texts come from the launcher, before anything of the agent's ran.
                self.failure.get_or_insert(Error::Failed(format!(
                    "the session could not be confined, so nothing was started: {step}: {detail}"
                )));
                Event::Unconfined
            }
            Report::Ended { exit } => self.agent_ended(exit),
        }
    }

    fn heard(&mut self, said: Said) -> Option<Event> {
        match said {
            Said::Exited(exit) => Some(self.agent_ended(exit)),
            Said::Processes { init_pid, agent_pid } => {
                (self.live.init_pid, self.live.agent_pid) = (init_pid, agent_pid);
                self.publish.send_replace(self.live.clone());
                if let Err(error) = self.steps.adopt_own(init_pid) {
                    self.supervisor.report(format!("session {}: its own files: {error}", self.record.id));
                }
                if let Err(error) = self.steps.adopt_network(init_pid) {
                    // Its gate goes on without us, and refuses what is new.
                    self.supervisor.report(format!("session {}: network: {error}", self.record.id));
                }
                self.supervisor.taken_over(&self.record.id);
                if let Err(error) = self.steps.adopt_keys() {
                    // As for the network: nothing is signed from now on.
                    self.supervisor.report(format!("session {}: ssh-agent: {error}", self.record.id));
                }
                None
            }
        }
    }

    fn agent_ended(&mut self, exit: Exit) -> Event {
        self.tell_of_memory();
        let exit = *self.live.exit.get_or_insert(exit);
        if self.state == State::Released {
            let why = exit_text(exit);
            self.failure.get_or_insert(Error::Failed(format!("the session ended before it ran: {why}")));
        }
        Event::AgentEnded
    }

    /// Says it when the kernel ended the agent for want of memory: all else that is seen of it is SIGKILL.
    fn tell_of_memory(&mut self) {
        if self.told_of_memory || !self.steps.group.as_ref().is_some_and(SessionGroup::has_exceeded_memory) {
            return;
        }
        self.told_of_memory = true;
        let max = self.record.values.iter().find(|[key, ..]| key == "memory_max").map(|[_, value, _]| value);
        let max = max.cloned().unwrap_or_default();
        self.audit(json!({ "event": "memory-exceeded", "memory_max": max }));
        self.notice(format!("ended: it used more memory than `memory_max` allows, which is {max}"));
        self.publish.send_replace(self.live.clone());
    }

    fn launcher_gone(&mut self) -> Event {
        // Its last words may still wait: readiness of two descriptors has no order.
        while let Some(report) = self.steps.reports.as_ref().and_then(super::supervise::Reports::waiting) {
            self.reported(report);
        }
        self.tell_of_memory();
        self.steps.reap();
        if self.state == State::Released {
            self.failure.get_or_insert(Error::Failed(
                "the launcher ended without a word, so nothing was started; see `agentboxctl doctor`".into(),
            ));
        }
        Event::LauncherGone
    }

    fn announce(&mut self) {
        kill_point::reached(Point::Running);
        let running =
            json!({ "event": "running", "init_pid": self.live.init_pid, "agent_pid": self.live.agent_pid });
        self.audit(running);
        if let (Some(waiting), Some(client)) = (self.waiting.take(), self.steps.client.take()) {
            let _ = waiting.send(Ok(client));
        }
    }

    /// Something came to be in the project.
    fn seen(&mut self, seen: Seen) {
        match seen {
            Seen::Trigger { path, actor } => {
                let freeze = self.steps.freezes() && self.state == State::Running && !self.was_frozen;
                let frozen = freeze && self.freeze(&path, &actor);
                self.audit(json!({ "event": "trigger", "path": path, "actor": actor, "frozen": frozen }));
                if !frozen {
                    self.notice(format!("{path} came to be, on which {actor} acts"));
                }
            }
            Seen::Tracked { path, actor } => {
                self.audit(json!({ "event": "trigger", "path": path, "actor": actor, "frozen": false }));
            }
            Seen::Restored { refused } => {
                self.steps.put_back(&refused);
                for (path, what) in refused.iter().take(MAX_NOTICES) {
                    self.notice(format!("put back in {path}: {what}"));
                }
            }
            Seen::Lost => {
                self.steps.lost_sight();
                self.notice("the watch of trigger files lost sight; the report tells of all".to_owned());
            }
        }
        self.publish.send_replace(self.live.clone());
    }

    /// Holds every process of the agent where it is, once in the life of a session.
    fn freeze(&mut self, path: &str, actor: &str) -> bool {
        let why = format!("{path} came to be, on which {actor} acts");
        self.still.for_person(why.clone());
        if self.keep_still().is_err() {
            self.still.allowed();
            self.live.frozen = self.still.why().map(str::to_owned);
            return false;
        }
        self.was_frozen = true;
        let id = &self.record.id;
        self.notice(format!(
            "frozen: {why}\nlet it go on with: agentboxctl thaw {id}; end it with: agentboxctl stop {id}"
        ));
        true
    }

    /// Somebody wants it to stand still.
    fn stop_still(&mut self, caller_uid: u32) -> Result<(), String> {
        if self.state != State::Running {
            return Err("it does not run".to_owned());
        }
        if self.still.waits_for_person() {
            return Ok(());
        }
        self.audit(json!({ "event": "frozen", "why": "asked for", "caller_uid": caller_uid }));
        self.still.for_person(format!("user id {caller_uid} had it frozen"));
        let done = self.keep_still();
        if done.is_err() {
            self.still.allowed();
            self.live.frozen = self.still.why().map(str::to_owned);
        }
        done
    }

    fn thaw(&mut self) -> Result<bool, String> {
        if !self.still.allowed() {
            return Ok(false);
        }
        self.audit(json!({ "event": "thawed" }));
        self.keep_still().map(|()| true)
    }

    fn notice(&mut self, text: String) {
        if self.live.notices.len() < MAX_NOTICES {
            self.live.notices.push(text);
        }
    }

    fn terminate(&mut self) {
        kill_point::reached(Point::Stop);
        if self.still.waits_for_person() {
            // It could not end by itself, and is not to run again.
            if let Err(error) = self.steps.kill_payload() {
                tracing::error!("{}: {error}", self.record.id);
            }
            return;
        }
        if self.still.why().is_some() {
            // What stands still hears nothing.
            self.still = Still::default();
            let _reported = self.keep_still();
        }
        let Some(supervise) = &self.steps.supervise else { return };
        if let Err(error) = supervise.signal(TERMINATE) {
            tracing::warn!("{}: SIGTERM could not be passed on: {error}", self.record.id);
        }
    }

    /// Writes an event of this session. A session that runs goes on when the trail cannot be written;
    /// `Status` says so.
    fn audit(&self, event: Value) {
        let _logged = self.supervisor.audit().record_of(&self.record.id, self.record.owner_uid, event);
    }
}
