//! A session as the rest of the supervisor sees it.
//!
//! | file | holds |
//! |---|---|
//! | `machine` | what follows from what, without doing anything |
//! | `driver` | the task that owns a session's state, waits and does |
//! | `steps` | how each step is performed and reverted; `group` of them is the control group |
//! | `sources` | what a session will see, opened, and its plan |
//! | `kept`, `shape` | what of the agent's own files outlives the session, and what it has to look like |
//! | `still` | why an agent stands still |
//! | `bounds` | what ends a session that runs, or has it stand still |
//! | `order` | what was asked for, resolved |
//! | `network` | the steps of a session's network |
//! | `keys` | the steps of a session's ssh-agent |
//! | `supervise` | the supervisor's own conversation with the launcher |

pub(crate) mod bounds;
pub(crate) mod driver;
pub(crate) mod kept;
mod keys;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod order;
pub(crate) mod shape;
pub(crate) mod sources;
pub(crate) mod steps;
pub(crate) mod still;
pub(crate) mod supervise;

pub(crate) use machine::{State, Step};
pub(crate) use order::{Order, Record};

use crate::guard::Held;
use agentbox_ipc::{SessionState, SessionSummary};
use agentbox_kernel::lease::Lease;
use agentbox_plan::{Exit, SessionId};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What changes while a session lives. Written by its driver only.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Where it is.
    pub(crate) state: State,
    /// Its ids on the host; 0 before it has them.
    pub(crate) uid: u32,
    /// The same.
    pub(crate) gid: u32,
    /// Process id on the host of PID 1 inside; 0 before there is one.
    pub(crate) init_pid: u32,
    /// Process id on the host of the agent; 0 before there is one.
    pub(crate) agent_pid: u32,
    /// How the agent ended.
    pub(crate) exit: Option<Exit>,
    /// Why everything of the agent stands still.
    pub(crate) frozen: Option<String>,
    /// What holds trigger files in its project.
    pub(crate) guard: Held,
    /// What the person should know about this host.
    pub(crate) notes: Vec<String>,
    /// What happened in its project that an attached person is told at once, oldest first.
    pub(crate) notices: Vec<String>,
}

/// What is asked of a session that runs.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To end, by itself within this time.
    Stop(Duration),
    /// To stand still, by this user's word.
    Freeze(u32, oneshot::Sender<Result<(), String>>),
    /// To go on, when it was frozen; answers whether it was.
    Thaw(oneshot::Sender<Result<bool, String>>),
}

impl Live {
    fn new(state: State) -> Self {
        Self {
            state,
            uid: 0,
            gid: 0,
            init_pid: 0,
            agent_pid: 0,
            exit: None,
            guard: Held::NotAsked,
            notes: Vec::new(),
            frozen: None,
            notices: Vec::new(),
        }
    }
}

/// How long an ending is waited for. It takes milliseconds, unless its output has no reader.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// A handle to a session.
#[derive(Debug)]
pub(crate) struct Session {
    /// What does not change.
    pub(crate) record: Record,
    live: watch::Receiver<Live>,
    network: std::sync::OnceLock<crate::network::session::Shared>,
    keys: std::sync::OnceLock<crate::keys::session::Shared>,
    lease: std::sync::OnceLock<Lease>,
    asked: mpsc::UnboundedSender<Asked>,
}

impl Session {
    /// One that nothing happens to.
    #[cfg(test)]
    pub(crate) fn without_driver(record: Record) -> Self {
        Self::with_live(record).0
    }

    /// The same, and what would tell of it: while that is there it can be waited for.
    #[cfg(test)]
    pub(crate) fn with_live(record: Record) -> (Self, watch::Sender<Live>) {
        let (publish, live) = watch::channel(Live::new(State::Running));
        let asked = mpsc::unbounded_channel().0;
        let (network, keys) = (std::sync::OnceLock::new(), std::sync::OnceLock::new());
        (Self { record, live, network, keys, lease: std::sync::OnceLock::new(), asked }, publish)
    }

    /// Its id.
    pub(crate) fn id(&self) -> &SessionId {
        &self.record.id
    }

    /// Its block of ids, once it has one.
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.lease.get().copied()
    }

    /// It has a block of ids.
    pub(crate) fn set_lease(&self, lease: Lease) {
        // As its network.
        let _ = self.lease.set(lease);
    }

    /// Its network, when it has a gate.
    pub(crate) fn network(&self) -> Option<&crate::network::session::Shared> {
        self.network.get()
    }

    /// It has a gate.
    pub(crate) fn set_network(&self, network: crate::network::session::Shared) {
        // A session gets one network and keeps it.
        let _ = self.network.set(network);
    }

    /// Its ssh-agent, when it has one.
    pub(crate) fn keys(&self) -> Option<&crate::keys::session::Shared> {
        self.keys.get()
    }

    /// It has an ssh-agent.
    pub(crate) fn set_keys(&self, keys: crate::keys::session::Shared) {
        // As its network.
        let _ = self.keys.set(keys);
    }

    /// What changes.
    pub(crate) fn live(&self) -> Live {
        self.live.borrow().clone()
    }

    /// Ends it; returns when nothing of it is left.
    pub(crate) async fn stop(&self, timeout: Duration) {
        // A driver that is gone has ended its session.
        let _ = self.asked.send(Asked::Stop(timeout));
        self.gone().await;
    }

    /// What changes, as it does.
    pub(crate) fn watch(&self) -> watch::Receiver<Live> {
        self.live.clone()
    }

    /// Has everything of its agent stand still.
    pub(crate) async fn freeze(&self, caller_uid: u32) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asked.send(Asked::Freeze(caller_uid, answer));
        answered.await.unwrap_or_else(|_ended| Err("it has ended".to_owned()))
    }

    /// Lets it go on when it was frozen; whether it was.
    pub(crate) async fn thaw(&self) -> Result<bool, String> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asked.send(Asked::Thaw(answer));
        answered.await.unwrap_or_else(|_ended| Err("it has ended".to_owned()))
    }

    /// Notices behind the first `after`, as soon as there are some; none when it runs no more.
    pub(crate) async fn notices(&self, after: usize) -> Vec<String> {
        let mut live = self.live.clone();
        let runs = |live: &Live| {
            matches!(live.state, State::Starting { .. } | State::Released | State::Running | State::Draining)
        };
        let news = live.wait_for(|live| live.notices.len() > after || !runs(live)).await;
        news.map(|live| live.notices.get(after..).unwrap_or_default().to_vec()).unwrap_or_default()
    }

    /// Returns when nothing of it is left.
    pub(crate) async fn gone(&self) {
        let mut live = self.live.clone();
        let _ = live.wait_for(|live| live.state == State::Gone).await;
    }

    /// Waits for the end of one that is ending by itself; at once for every other one.
    pub(crate) async fn settle(&self) {
        let mut live = self.live.clone();
        let is_ending = |state: State| matches!(state, State::Draining | State::Reverting { .. });
        let settled = live.wait_for(|live| !is_ending(live.state));
        // What takes longer is as good as one that runs.
        let _taking_longer = tokio::time::timeout(SETTLE_LIMIT, settled).await;
    }

    /// Its line in a list.
    pub(crate) fn summary(&self, usage: (Option<u64>, Option<u64>)) -> SessionSummary {
        let record = &self.record;
        SessionSummary {
            id: record.id.to_string(),
            name: record.name.clone(),
            project: record.project.clone(),
            profile: record.profile.clone(),
            posture: record.posture.clone(),
            agent: record.agent.clone(),
            state: match self.live.borrow().state {
                State::Starting { .. } | State::Released => SessionState::Starting,
                State::Running if self.live.borrow().frozen.is_some() => SessionState::Frozen,
                State::Running => SessionState::Running,
                State::Stopping | State::Killing => SessionState::Stopping,
                State::Draining | State::Reverting { .. } | State::Gone => SessionState::Ending,
            },
            started_unix_s: record.started_unix_s,
            memory_bytes: usage.0,
            tasks: usage.1,
            owner_uid: record.owner_uid,
            denied: self.network().map_or(0, |network| network.totals().0.denied),
        }
    }
}

/// What a caller took for the id of a session, as it is said back.
pub(crate) fn shown_id(id: &str) -> String {
    id.escape_debug().take(SessionId::MAX_BYTES).collect()
}

/// How a process ended, for people and for the audit trail.
pub(crate) fn exit_text(exit: Exit) -> String {
    match exit {
        Exit::Code { status } => format!("status {status}"),
        Exit::Signal { number } => format!("signal {number}"),
        Exit::NotExecuted { errno } => {
            format!("not executed: {}", std::io::Error::from_raw_os_error(errno))
        }
    }
}
