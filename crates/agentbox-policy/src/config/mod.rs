//! Configuration files as they are written.
//!
//! One schema for three kinds of file; [`LayerKind`] says which keys may stand in which. What the keys
//! mean together is for [`merge_system`](crate::merge_system) and [`resolve`](crate::resolve).

mod agent;
pub(crate) mod check;
mod document;
mod environment;
mod error;
mod hosts;
mod join;
mod ports;
mod read;
mod tables;
#[cfg(test)]
mod tests;
mod value;

pub use agent::{AgentHost, KeyFingerprint, KnownKey, SignFor, SshAgentCeiling, SshAgentTable};
pub use environment::{Environment, GitHost, Secret, SecretAs};
pub use error::ConfigError;
pub use hosts::{HostRule, InternalName};
pub(crate) use join::{differences, join};
pub use ports::{PortRange, Publish, Resolver};
pub use tables::{PostureTable, ProfileTable, ProjectTable};
pub use value::{
    Count, HostPath, KeptName, Line, Name, PassName, Pattern, PinnedPath, Size, Time, UserName, VariableName,
};

use crate::lattice::{
    Filesystem, FreeSpace, Guard, Identity, Isolation, Memory, Network, OnGateLoss, OnSharedFiles, OnTrigger,
    OpenFiles, Settings, State, Tasks, TmpfsSize, Trifecta, Upload, Weight, Workspace,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of one file.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Whose file it is; decides which keys may appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerKind {
    /// `/etc/agentbox/agentbox.toml` and its drop-ins.
    System,
    /// `~/.config/agentbox/agentbox.toml`.
    Person,
    /// `.agentbox.toml` in a project. Untrusted.
    Project,
}

/// A configuration file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The file, as messages name it.
    pub file: String,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Config::is_empty")]
    pub config: Config,
    /// In which line each key stands, by its name with dots. Only for messages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lines: BTreeMap<String, u32>,
}

/// The content of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Posture of a session for which nothing else names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_posture: Option<Name>,
    /// Ids on the host that sessions run under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid_range: Option<UidRange>,
    /// Who may start sessions, besides root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<UserName>>,
    /// Which resolvers the names of sessions are asked of, in place of the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolvers: Option<Vec<Resolver>>,
    /// What this file's keys are called where people write them, by the first name of a key: a file that
    /// another program made has origins of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub said_as: BTreeMap<Name, Line>,
    /// The loosest that any session may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Settings>,
    /// The most that a person's own file may grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Ceiling>,
    /// Profiles by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profile: BTreeMap<Name, ProfileTable>,
    /// Projects by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub project: BTreeMap<Name, ProjectTable>,
    /// Postures by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub posture: BTreeMap<Name, PostureTable>,
    /// A project's own file: at least this isolation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// A project's own file: at least this file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    /// A project's own file: at least this identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// A project's own file: at most this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// A project's own file: at least this workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// A project's own file: at most this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// A project's own file: at most this memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<Memory>,
    /// A project's own file: at most so many processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_max: Option<Tasks>,
    /// A project's own file: at most this share of the processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<Weight>,
    /// A project's own file: at most this share of the disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<Weight>,
    /// A project's own file: at most this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_max: Option<Time>,
    /// A project's own file: at most this time without work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_stop: Option<Time>,
    /// A project's own file: at least so many bytes stay free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_min: Option<FreeSpace>,
    /// A project's own file: at most so many open descriptors of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<OpenFiles>,
    /// A project's own file: at most so many bytes of /tmp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_size: Option<TmpfsSize>,
    /// A project's own file: at most so many bytes of the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_size: Option<TmpfsSize>,
    /// A project's own file: at most so many bytes sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_max: Option<Upload>,
    /// A project's own file: at most so many bytes sent to one name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_upload_max: Option<Upload>,
    /// A project's own file: at least this when the network gate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_gate_loss: Option<OnGateLoss>,
    /// A project's own file: at least this when all three legs of the trifecta stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trifecta: Option<Trifecta>,
    /// A project's own file: whether what a session sees is private. Saying no changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
    /// A project's own file: at least this of the kernel's guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// A project's own file: at least this when a trigger file appears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_trigger: Option<OnTrigger>,
    /// A project's own file: at least this when its files are shared with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_shared_files: Option<OnSharedFiles>,
    /// A project's own file: secrets that are hidden besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Vec<Pattern>>,
    /// A project's own file: of the paths that are granted for reading, only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<HostPath>>,
    /// A project's own file: of the paths that are granted for writing, only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<HostPath>>,
    /// A project's own file: of the hosts that rules allow, only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<HostRule>>,
    /// A project's own file: hosts that are not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<HostRule>>,
    /// A project's own file: of the variables that are passed, only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Environment>,
}

/// A range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UidRange {
    /// The first id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// The most that a person's own file may grant. A list that is absent limits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Paths for reading: these and what lies below them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<HostPath>>,
    /// Paths for writing: these and what lies below them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<HostPath>>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<PassName>>,
    /// Hosts that rules allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<HostRule>>,
    /// Hosts that rules allow although they are not public: names of `internal`, and every address and
    /// port of the host's loopback that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<Vec<HostRule>>,
    /// Ports of the host on which ports of sessions are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<PortRange>>,
    /// What keys of the person's ssh-agent are used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_agent: Option<SshAgentCeiling>,
}

/// Author of commits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Line>,
    /// Mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Line>,
}

/// The schema of every configuration file (JSON Schema 2020-12). `x-files` of a property says in whose files
/// it may stand.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
        for (key, property) in properties {
            let may = |kind| crate::lattice::TABLE.iter().any(|row| row.first() == key && row.may(kind));
            let files = [
                (LayerKind::System, "system"),
                (LayerKind::Person, "person"),
                (LayerKind::Project, "project"),
            ];
            let words: Vec<_> =
                files.into_iter().filter(|(kind, _)| may(*kind)).map(|(_, word)| word).collect();
            property["x-files"] = words.into();
        }
    }
    schema
}

impl Config {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Layer {
    /// Reads a file: JSON when its name ends in `.json`, else TOML.
    ///
    /// # Errors
    /// [`ConfigError`] with the line.
    pub fn parse(file: &str, bytes: &[u8], kind: LayerKind) -> Result<Self, ConfigError> {
        let tree = document::parse(file, bytes)?;
        // First: what is said of a key that may not stand there is not how to write it.
        if kind == LayerKind::Project {
            check::keys(file, &tree)?;
        }
        let config = read::read(file, &tree)?;
        let layer = Self { file: file.to_owned(), config, lines: tree.lines() };
        check::check(&layer, kind)?;
        Ok(layer)
    }

    /// An error about a key of this file.
    pub(crate) fn error(&self, key: &str, what: impl Into<String>, remedy: Option<String>) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            line: self.lines.get(key).map(|line| *line as usize),
            key: Some(key.to_owned()),
            what: what.into(),
            remedy,
        }
    }
}
