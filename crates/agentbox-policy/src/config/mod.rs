//! Configuration files as they are written.
//!
//! One schema for three kinds of file; [`LayerKind`] says which keys may stand in which. What the keys
//! mean together is for [`merge_system`](crate::merge_system) and [`resolve`](crate::resolve).

pub(crate) mod check;
mod document;
mod error;
mod read;
#[cfg(test)]
mod tests;
mod value;

pub use error::ConfigError;
pub use value::{Count, HostPath, Line, Name, PassName, Size, UserName, VariableName};

use crate::lattice::{
    Filesystem, Identity, Isolation, Memory, Network, OpenFiles, Settings, State, Tasks, TmpfsSize, Workspace,
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
    /// A project's own file: at most so many open descriptors of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<OpenFiles>,
    /// A project's own file: at most so many bytes of /tmp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_size: Option<TmpfsSize>,
    /// A project's own file: at most so many bytes of the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_size: Option<TmpfsSize>,
    /// A project's own file: of the paths that are granted for reading, only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<HostPath>>,
    /// A project's own file: of the paths that are granted for writing, only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<HostPath>>,
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
}

/// Whose identity a session has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileTable {
    /// At most this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// At least this workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// At most this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The agent, unless the project or the request names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Environment>,
    /// Paths that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<HostPath>>,
    /// Paths that can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<HostPath>>,
    /// Author of commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
}

/// A directory with a name, bound to a profile and a posture.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectTable {
    /// The directory. Required once all of the system's files are merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<HostPath>,
    /// The profile of every session in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Name>,
    /// The posture of every session in it, unless the request names a tighter one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posture: Option<Name>,
    /// At most this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// At least this workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// At most this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The agent, unless the request names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// Paths that can be read, besides the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<HostPath>>,
    /// Paths that can be written, besides the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<Vec<HostPath>>,
    /// Most memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<Memory>,
    /// Most processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_max: Option<Tasks>,
}

/// How strongly a session is held.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostureTable {
    /// The posture that gives what is not said here. Required once all files are merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<Name>,
    /// What holds the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Which files exist inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    /// Under which user the agent runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What the agent reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How the project can be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// What of the agent's own files outlives the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Most memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<Memory>,
    /// Most processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_max: Option<Tasks>,
    /// Most open descriptors of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<OpenFiles>,
    /// Most bytes of each of /tmp, /var/tmp and /dev/shm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_size: Option<TmpfsSize>,
    /// Most bytes of the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_size: Option<TmpfsSize>,
}

/// Environment variables of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Variables of the caller that pass. A name that ends in `*` never passes what may be a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Vec<PassName>>,
    /// Variables with fixed values. A value that begins with `~/` begins with the home inside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<VariableName, String>,
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

/// The schema of every configuration file (JSON Schema 2020-12).
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

impl Config {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

macro_rules! settings_of {
    ($type:ty: $($field:ident),*) => {
        impl $type {
            /// The settings among its keys.
            #[must_use]
            pub fn settings(&self) -> Settings {
                Settings { $($field: self.$field,)* ..Settings::default() }
            }
        }
    };
}
settings_of!(ProfileTable: network, workspace, state);
settings_of!(ProjectTable: network, workspace, state, memory_max, tasks_max);

macro_rules! all_settings_of {
    ($($type:ty),*) => {$(
        impl $type {
            /// The settings among its keys.
            #[must_use]
            pub fn settings(&self) -> Settings {
                Settings {
                    isolation: self.isolation,
                    filesystem: self.filesystem,
                    identity: self.identity,
                    network: self.network,
                    workspace: self.workspace,
                    state: self.state,
                    memory_max: self.memory_max,
                    tasks_max: self.tasks_max,
                    open_files: self.open_files,
                    tmp_size: self.tmp_size,
                    home_size: self.home_size,
                }
            }
        }
    )*};
}
all_settings_of!(Config, PostureTable);

impl Layer {
    /// Reads a file: JSON when its name ends in `.json`, else TOML.
    ///
    /// # Errors
    /// [`ConfigError`] with the line.
    pub fn parse(file: &str, bytes: &[u8], kind: LayerKind) -> Result<Self, ConfigError> {
        let tree = document::parse(file, bytes)?;
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
