//! A session as the rest of the supervisor sees it.
//!
//! | file | holds |
//! |---|---|
//! | `machine` | what follows from what, without doing anything |
//! | `driver` | the task that owns a session's state, waits and does |
//! | `steps` | how each step is performed and reverted |
//! | `sources` | what a session will see, opened, and its plan |
//! | `kept`, `shape` | what of the agent's own files outlives the session, and what it has to look like |
//! | `order` | what was asked for, resolved |
//! | `network` | the steps of a session's network |
//! | `keys` | the steps of a session's ssh-agent |
//! | `supervise` | the supervisor's own conversation with the launcher |

pub(crate) mod driver;
pub(crate) mod kept;
mod keys;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod order;
mod shape;
pub(crate) mod sources;
pub(crate) mod steps;
pub(crate) mod supervise;

pub(crate) use machine::{State, Step};
pub(crate) use order::{Order, Record};

use agentbox_ipc::{SessionState, SessionSummary};
use agentbox_plan::{Exit, SessionId};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

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
    /// What the person should know about this host.
    pub(crate) notes: Vec<String>,
}

impl Live {
    fn new(state: State) -> Self {
        Self { state, uid: 0, gid: 0, init_pid: 0, agent_pid: 0, exit: None, notes: Vec::new() }
    }
}

/// A handle to a session.
#[derive(Debug)]
pub(crate) struct Session {
    /// What does not change.
    pub(crate) record: Record,
    live: watch::Receiver<Live>,
    network: std::sync::OnceLock<crate::network::session::Shared>,
    keys: std::sync::OnceLock<crate::keys::session::Shared>,
    stop: mpsc::UnboundedSender<Duration>,
}

impl Session {
    /// Its id.
    pub(crate) fn id(&self) -> &SessionId {
        &self.record.id
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
        let _ = self.stop.send(timeout);
        let mut live = self.live.clone();
        let _ = live.wait_for(|live| live.state == State::Gone).await;
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
