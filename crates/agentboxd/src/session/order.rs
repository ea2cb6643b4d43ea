//! What was asked for, resolved: all that the steps of a session need to know.

use super::bounds::Bounds;
use crate::system::scopes::ScopeLimits;
use agentbox_ipc::ValueRow;
use agentbox_kernel::person::Person;
use agentbox_kernel::project::Project;
use agentbox_plan::{SessionId, Streams, TerminalSize};
use agentbox_policy::{Kept, Neighbour, Policy};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What does not change about a session. It is the first line of its ledger, so that a later supervisor
/// knows whose the session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Its id.
    #[serde(with = "id_text")]
    pub(crate) id: SessionId,
    /// Whose it is.
    pub(crate) owner_uid: u32,
    /// The name that the person gave it.
    pub(crate) name: Option<String>,
    /// Path of its project.
    pub(crate) project: String,
    /// Name of its profile; empty when it has none.
    pub(crate) profile: String,
    /// Name of its posture.
    pub(crate) posture: String,
    /// Its agent.
    pub(crate) agent: String,
    /// Its isolation.
    pub(crate) isolation: String,
    /// Under whose ids it runs.
    pub(crate) identity: String,
    /// Its network.
    pub(crate) network: String,
    /// How it sees the project.
    pub(crate) workspace: String,
    /// Hash of its policy.
    pub(crate) policy_hash: String,
    /// When it was started.
    pub(crate) started_unix_s: u64,
    /// Group of whom it is.
    #[serde(default)]
    pub(crate) owner_gid: u32,
    /// Their home, where it really is.
    #[serde(default)]
    pub(crate) owner_home: String,
    /// The agent's own directories inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) own: Vec<String>,
    /// What of them outlives it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept: Vec<Kept>,
    /// Which legs stand, for other sessions on the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) neighbour: Option<Neighbour>,
    /// What ends it, or has it stand still.
    #[serde(default)]
    pub(crate) bounds: Bounds,
    /// Every effective value with its origin.
    pub(crate) values: Vec<ValueRow>,
}

impl Record {
    /// Of a session whose ledger cannot be read: only root may see and end it.
    pub(crate) fn unknown(id: SessionId) -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            id,
            owner_uid: 0,
            name: None,
            project: unknown(),
            profile: unknown(),
            posture: unknown(),
            agent: unknown(),
            isolation: unknown(),
            identity: unknown(),
            network: unknown(),
            workspace: unknown(),
            policy_hash: String::new(),
            started_unix_s: 0,
            owner_gid: 0,
            owner_home: String::new(),
            own: Vec::new(),
            kept: Vec::new(),
            neighbour: None,
            bounds: Bounds::default(),
            values: Vec::new(),
        }
    }
}

/// What the steps of a start work from.
#[derive(Debug)]
pub(crate) struct Order {
    /// The policy.
    pub(crate) policy: Policy,
    /// Whose session it will be.
    pub(crate) person: Person,
    /// The project, as it was found: its file system is not to be asked again without need.
    pub(crate) project: Project,
    /// Which of the client's streams are a terminal.
    pub(crate) streams: Streams,
    /// Size of that terminal.
    pub(crate) size: TerminalSize,
    /// The client's file mode creation mask.
    pub(crate) umask: u32,
    /// Whether there is no client.
    pub(crate) detach: bool,
    /// Commit that the project's `HEAD` is at, as the client says.
    pub(crate) base_commit: Option<String>,
}

impl Order {
    /// What the service manager is told about limits.
    pub(crate) fn scope_limits(&self) -> ScopeLimits {
        ScopeLimits {
            memory_max: self.policy.memory_max().map(|limit| limit.value),
            tasks_max: self.policy.tasks_max().map(|limit| limit.value),
            cpu_weight: self.policy.cpu_weight().map(|limit| limit.value),
            io_weight: self.policy.io_weight().map(|limit| limit.value),
            runtime_max: self.policy.runtime_max().map(Duration::from_secs),
        }
    }
}

mod id_text {
    use agentbox_plan::SessionId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &SessionId, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(id.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<SessionId, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}
