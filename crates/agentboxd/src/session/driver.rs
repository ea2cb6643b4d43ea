//! The task that owns a session's state.
//!
//! It waits for the launcher, for the time limit of the state and for a stop; each of these is an event
//! for the [`machine`](super::machine), whose effects it carries out. Nobody else writes the state.

use super::machine::{self, Effect, Event};
use super::steps::Steps;
use super::supervise::Said;
use super::{Live, Record, Session, State, Step, exit_text};
use crate::kill_point::{self, Point};
use crate::supervisor::Supervisor;
use agentbox_ipc::Error;
use agentbox_plan::Exit;
use agentbox_plan::report::Report;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

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
    stop: mpsc::UnboundedReceiver<Duration>,
    steps: Steps,
    limit: Option<Instant>,
    waiting: Option<Waiting>,
    /// What is said to who waits when it never runs.
    failure: Option<Error>,
}

/// Starts a session: registers it and drives it from its first step. The receiver hears when it runs, or
/// why it does not, after everything that was done for it is undone.
pub(crate) fn start(
    supervisor: &Arc<Supervisor>,
    record: Record,
    order: super::Order,
) -> (Arc<Session>, oneshot::Receiver<Result<OwnedFd, Error>>) {
    let (waiting, result) = oneshot::channel();
    let steps = Steps::new(Arc::clone(supervisor), record.clone(), order);
    let (state, effects) = machine::begin();
    let session = spawn(supervisor, record, steps, Live::new(state), effects, Some(waiting));
    (session, result)
}

/// Takes over a session whose launcher lives.
pub(crate) fn adopt(supervisor: &Arc<Supervisor>, record: Record, steps: Steps, ids: (u32, u32)) {
    let mut live = Live::new(machine::adopted());
    (live.uid, live.gid) = ids;
    spawn(supervisor, record, steps, live, Vec::new(), None);
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
    let (stop_sender, stop) = mpsc::unbounded_channel();
    let session = Arc::new(Session {
        record: record.clone(),
        live: live_receiver,
        network: std::sync::OnceLock::new(),
        keys: std::sync::OnceLock::new(),
        stop: stop_sender,
    });
    supervisor.register(Arc::clone(&session));
    let driver = Driver {
        supervisor: Arc::clone(supervisor),
        record,
        state: live.state,
        live,
        publish,
        stop,
        steps,
        limit: None,
        waiting,
        failure: None,
    };
    tokio::spawn(driver.run(effects));
    session
}

impl Driver {
    async fn run(mut self, first: Vec<Effect>) {
        let mut events = VecDeque::new();
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
            let limit = self.limit;
            let Steps { launcher, reports, supervise, .. } = &mut self.steps;
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
                        Some(said) => if let Some(event) = self.heard(said) { return event },
                        None => self.steps.supervise = None,
                    }
                }
                _ = async { match launcher { Some(launcher) => launcher.ended().await, None => std::future::pending().await } } => {
                    return self.launcher_gone();
                }
                stop = self.stop.recv() => match stop {
                    Some(timeout) => {
                        self.audit(json!({ "event": "stop", "timeout_ms": u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) }));
                        return Event::Stop(timeout);
                    }
                    // Handles are kept until the session is gone.
                    None => std::future::pending().await,
                },
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
                if let Err(error) = self.steps.adopt_keys() {
                    // As for the network: nothing is signed from now on.
                    self.supervisor.report(format!("session {}: ssh-agent: {error}", self.record.id));
                }
                None
            }
        }
    }

    fn agent_ended(&mut self, exit: Exit) -> Event {
        self.live.exit.get_or_insert(exit);
        Event::AgentEnded
    }

    fn launcher_gone(&mut self) -> Event {
        // Its last words may still wait: readiness of two descriptors has no order.
        while let Some(report) = self.steps.reports.as_ref().and_then(super::supervise::Reports::waiting) {
            self.reported(report);
        }
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

    fn terminate(&mut self) {
        kill_point::reached(Point::Stop);
        let Some(supervise) = &self.steps.supervise else { return };
        if let Err(error) = supervise.signal(TERMINATE) {
            tracing::warn!("{}: SIGTERM could not be passed on: {error}", self.record.id);
        }
    }

    /// Writes an event of this session. A session that runs goes on when the trail cannot be written;
    /// `Status` says so.
    fn audit(&self, mut event: Value) {
        if let Value::Object(members) = &mut event {
            members.insert("session".into(), self.record.id.as_str().into());
            members.insert("owner_uid".into(), self.record.owner_uid.into());
        }
        if let Err(error) = self.supervisor.audit().record(event) {
            tracing::error!("{}: {error}", self.record.id);
        }
    }
}
