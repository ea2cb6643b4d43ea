//! What `List`, `Status`, `Attach` and `Exec` take and answer.

use crate::NetworkStatus;
use agentbox_policy::Legs;
use serde::{Deserialize, Serialize};

/// One effective value of a policy: key, value, origin.
pub type ValueRow = [String; 3];

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// Its steps are being taken; nothing of the agent runs.
    Starting,
    /// The agent runs.
    Running,
    /// The agent is held where it is until its person lets it go on.
    Frozen,
    /// It was asked to end.
    Stopping,
    /// What was done for it is being undone.
    Ending,
}

impl SessionState {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Stopping => "stopping",
            Self::Ending => "ending",
        }
    }
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSummary {
    /// Its id.
    pub id: String,
    /// The name that the person gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path of its project.
    pub project: String,
    /// Its profile.
    pub profile: String,
    /// Its posture.
    pub posture: String,
    /// Its agent.
    pub agent: String,
    /// Where it is in its life.
    pub state: SessionState,
    /// When it was started, in seconds of the Unix epoch.
    pub started_unix_s: u64,
    /// Memory that its processes hold, where the host counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its processes and threads, where the host counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// How often its network refused something.
    pub denied: u64,
    /// Whose session it is.
    pub owner_uid: u32,
}

/// Everything about a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionStatus {
    /// What the list shows of it.
    pub summary: SessionSummary,
    /// Its network.
    pub network: NetworkStatus,
    /// How it sees the project.
    pub workspace: String,
    /// Which legs of the trifecta stand now, with those of other sessions on the project.
    pub legs: Legs,
    /// User id of its processes on the host.
    pub uid: u32,
    /// Group id of its processes on the host.
    pub gid: u32,
    /// Process id on the host of PID 1 inside; 0 while starting.
    pub init_pid: u32,
    /// Process id on the host of the agent; 0 while starting.
    pub agent_pid: u32,
    /// Hash of the effective policy.
    pub policy_hash: String,
    /// Its control group.
    pub cgroup: String,
    /// Every effective value with its origin.
    pub values: Vec<ValueRow>,
    /// Where what the kernel shows of it differs from what the policy says. Empty is the promise.
    pub posture_diff: Vec<String>,
    /// Why everything of its agent stands still, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// What holds trigger files in its project: `kernel`, `off`, or `none: ` and why.
    pub guard: String,
    /// How its agent ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
    /// Which of standard input, output and error of its agent are a terminal.
    #[serde(default = "every_stream")]
    pub streams: [bool; 3],
}

/// What a supervisor that does not say means.
fn every_stream() -> [bool; 3] {
    [true; 3]
}

/// What a client brings that attaches to a session or starts a process in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Which of standard input, output and error are a terminal.
    pub streams: [bool; 3],
    /// Lines of that terminal; 0 is unknown.
    pub rows: u16,
    /// Characters in a line; 0 is unknown.
    pub columns: u16,
}
