//! What is said about the supervisor, its host and its audit trail.

use serde::{Deserialize, Serialize};

/// How the supervisor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Peer to peer on a socket; ends with its last session.
    Embedded,
    /// A service on the system bus; sessions are scopes of the service manager.
    System,
}

/// The supervisor itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorStatus {
    /// Its version.
    pub version: String,
    /// How it runs.
    pub mode: Mode,
    /// Its process id.
    pub pid: u32,
    /// How many sessions there are, of everybody.
    pub sessions: u64,
    /// Where its socket and its ledgers are.
    pub runtime_dir: String,
    /// Where leases and volumes are.
    pub state_dir: String,
    /// Where the audit trail is.
    pub logs_dir: String,
    /// Files of the effective configuration, in the order they were merged.
    pub configuration: Vec<String>,
    /// What keeps it from starting sessions: a bad configuration, an audit trail that cannot be written.
    pub problems: Vec<String>,
}

/// How a check of the host came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// All is there.
    Ok,
    /// Sessions can be started, something is weaker or absent.
    Warning,
    /// Sessions cannot be started.
    Missing,
}

/// One thing that a host has or lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was looked at.
    pub check: String,
    /// How it came out.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

/// Whether the audit trail is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogVerdict {
    /// Nothing was changed, removed or cut off.
    pub whole: bool,
    /// Lines that were read.
    pub lines: u64,
    /// Number of the last event.
    pub last: u64,
    /// How many events were compared with the journal; none where the supervisor is no service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<u64>,
    /// What is wrong, with line numbers.
    pub problems: Vec<String>,
}

impl LogVerdict {
    /// Something more is wrong.
    pub fn say(&mut self, problem: String) {
        self.whole = false;
        self.problems.push(problem);
    }
}
