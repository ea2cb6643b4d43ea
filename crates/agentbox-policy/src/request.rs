//! What a person asks for, who they are, and where.

use crate::{
    AgentHost, HostPath, HostRule, Inspection, KnownKey, Layer, Network, Publish, State, System, Workspace,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a person asks for on the command line. Names are checked by [`resolve`](crate::resolve).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name of a profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Name of a posture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posture: Option<String>,
    /// Name of an agent's preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// In place of the posture's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// In place of the posture's workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// In place of the posture's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Hosts that can be reached besides, within what the system allows a person to allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<HostRule>,
    /// Hosts that cannot be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<HostRule>,
    /// Ports of the session to publish on the host's loopback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
    /// Git directories and object stores outside of the project that its repository needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub git_dirs: Vec<HostPath>,
    /// Name of a configured project; its path must hold the directory that was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Name for the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Program and arguments in place of the preset's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The second of the two times that no isolation must be asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_unconfined: bool,
    /// Whether the agent's own command for a login is run, which needs something that keeps it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub login: bool,
    /// Whether all three legs of the trifecta may stand, where that has to be asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_trifecta: bool,
    /// Whether the project may belong to root.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_root_project: bool,
}

/// Whom a session belongs to, as the supervisor found out (never as a client said).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Login name.
    pub name: String,
    /// Home directory: its real path, without symbolic links, as the project's is compared with it.
    pub home: String,
    /// Login shell: absolute.
    pub shell: String,
}

/// The project directory, as the supervisor sees it behind the descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFacts {
    /// Its real path, without symbolic links.
    pub path: String,
    /// Whom it belongs to.
    pub owner_uid: u32,
    /// Which group it belongs to.
    pub owner_gid: u32,
}

/// Most keys of one host that count.
pub(crate) const MAX_HOST_KEYS: usize = 16;

/// What the caller knows of ssh: read by the caller, as the caller.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// Path of the caller's ssh-agent, `SSH_AUTH_SOCK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// Keys of hosts in the person's and the machine's known_hosts, for hosts that profiles name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownKeys>,
}

/// The keys by which a host is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownKeys {
    /// The host.
    pub host: AgentHost,
    /// Its keys.
    pub keys: Vec<KnownKey>,
}

/// All that a policy is made from.
#[derive(Debug, Clone)]
pub struct Inputs<'a> {
    /// The system's configuration.
    pub system: &'a System,
    /// The person's own file.
    pub person_layer: Option<&'a Layer>,
    /// The project's own file. Untrusted.
    pub project_file: Option<&'a Layer>,
    /// The project's own file as it was last accepted: what it held still holds.
    pub accepted_file: Option<&'a Layer>,
    /// What was asked for.
    pub request: &'a Request,
    /// Whom the session belongs to.
    pub person: &'a Person,
    /// The project.
    pub project: &'a ProjectFacts,
    /// The caller's environment.
    pub environment: &'a BTreeMap<String, String>,
    /// What was found in the project; none when nobody looked.
    pub inspection: Option<&'a Inspection>,
    /// Name and mail address that the person's git uses, for profiles that name none.
    pub git_identity: Option<(String, String)>,
    /// What the caller knows of ssh.
    pub ssh: Option<&'a Ssh>,
}
