//! The tables of profiles, projects and postures as they are written.

use super::{
    Config, Environment, Git, HostPath, HostRule, InternalName, KeptName, Name, Pattern, PinnedPath, Publish,
    SshAgentTable, Time,
};
use crate::lattice::{
    Filesystem, FreeSpace, Guard, Identity, Isolation, Memory, Network, OnGateLoss, OnSharedFiles, OnTrigger,
    OpenFiles, Settings, State, Tasks, TmpfsSize, Trifecta, Upload, Weight, Workspace,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Hosts that can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<HostRule>>,
    /// Hosts that cannot, whatever allows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<HostRule>>,
    /// Names that can be reached although their addresses are internal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<Vec<InternalName>>,
    /// Ports of the session that are published on the host's loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<Publish>>,
    /// Most bytes that the session sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_max: Option<Upload>,
    /// Most bytes that the session sends to one name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_upload_max: Option<Upload>,
    /// What happens when the session's network gate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_gate_loss: Option<OnGateLoss>,
    /// What happens when all three legs of the trifecta stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trifecta: Option<Trifecta>,
    /// Whether what a session sees is private, whatever else says so or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
    /// Whether the kernel refuses trigger files in the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// What happens when a trigger file appears and the kernel does not refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_trigger: Option<OnTrigger>,
    /// What happens when files of the project are shared with others as a session starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_shared_files: Option<OnSharedFiles>,
    /// Secrets of the project that are hidden besides those that are built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Vec<Pattern>>,
    /// What is not hidden, although it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmask: Option<Vec<Pattern>>,
    /// Git directories and object stores outside of the project that its repository needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_dirs: Option<Vec<HostPath>>,
    /// Author of commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Skills that the agent has, as they were looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skills: Option<Vec<PinnedPath>>,
    /// A file that names the agent's tool servers, and all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<PinnedPath>,
    /// The agent's own instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<PinnedPath>,
    /// The agent's own settings: hooks, permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<PinnedPath>,
    /// What of agents' own files outlives a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persist: Option<Vec<KeptName>>,
    /// Keys of the person's ssh-agent, and what they are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_agent: Option<SshAgentTable>,
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
    /// Hosts that can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<HostRule>>,
    /// Hosts that cannot, whatever allows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<HostRule>>,
    /// Names that can be reached although their addresses are internal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<Vec<InternalName>>,
    /// Ports of the session that are published on the host's loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<Publish>>,
    /// Most memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<Memory>,
    /// Most processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_max: Option<Tasks>,
    /// Share of the processors against others, who have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<Weight>,
    /// Share of the disks against others, who have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<Weight>,
    /// Longest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_max: Option<Time>,
    /// Longest time without work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_stop: Option<Time>,
    /// Bytes that stay free where the project is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_min: Option<FreeSpace>,
    /// Most bytes that the session sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_max: Option<Upload>,
    /// Most bytes that the session sends to one name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_upload_max: Option<Upload>,
    /// What happens when the session's network gate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_gate_loss: Option<OnGateLoss>,
    /// What happens when all three legs of the trifecta stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trifecta: Option<Trifecta>,
    /// Whether what a session sees is private, whatever else says so or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
    /// Whether the kernel refuses trigger files in the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// What happens when a trigger file appears and the kernel does not refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_trigger: Option<OnTrigger>,
    /// What happens when files of the project are shared with others as a session starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_shared_files: Option<OnSharedFiles>,
    /// Secrets of the project that are hidden besides those that are built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Vec<Pattern>>,
    /// What is not hidden, although it is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmask: Option<Vec<Pattern>>,
    /// Git directories and object stores outside of the project that its repository needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_dirs: Option<Vec<HostPath>>,
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
    /// Share of the processors against others, who have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<Weight>,
    /// Share of the disks against others, who have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<Weight>,
    /// Longest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_max: Option<Time>,
    /// Longest time without work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_stop: Option<Time>,
    /// Bytes that stay free where the project is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_min: Option<FreeSpace>,
    /// Most open descriptors of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<OpenFiles>,
    /// Most bytes of each of /tmp, /var/tmp and /dev/shm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_size: Option<TmpfsSize>,
    /// Most bytes of the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_size: Option<TmpfsSize>,
    /// Most bytes that the session sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_max: Option<Upload>,
    /// Most bytes that the session sends to one name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_upload_max: Option<Upload>,
    /// What happens when the session's network gate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_gate_loss: Option<OnGateLoss>,
    /// What happens when all three legs of the trifecta stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trifecta: Option<Trifecta>,
    /// Whether the kernel refuses trigger files in the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// What happens when a trigger file appears and the kernel does not refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_trigger: Option<OnTrigger>,
    /// What happens when files of the project are shared with others as a session starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_shared_files: Option<OnSharedFiles>,
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
settings_of!(
    ProfileTable: network,
    workspace,
    state,
    upload_max,
    name_upload_max,
    on_gate_loss,
    trifecta,
    guard,
    on_trigger,
    on_shared_files
);
settings_of!(
    ProjectTable: network,
    workspace,
    state,
    memory_max,
    tasks_max,
    cpu_weight,
    io_weight,
    runtime_max,
    idle_stop,
    disk_free_min,
    upload_max,
    name_upload_max,
    on_gate_loss,
    trifecta,
    guard,
    on_trigger,
    on_shared_files
);

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
                    cpu_weight: self.cpu_weight,
                    io_weight: self.io_weight,
                    runtime_max: self.runtime_max,
                    idle_stop: self.idle_stop,
                    disk_free_min: self.disk_free_min,
                    open_files: self.open_files,
                    tmp_size: self.tmp_size,
                    home_size: self.home_size,
                    upload_max: self.upload_max,
                    name_upload_max: self.name_upload_max,
                    on_gate_loss: self.on_gate_loss,
                    trifecta: self.trifecta,
                    guard: self.guard,
                    on_trigger: self.on_trigger,
                    on_shared_files: self.on_shared_files,
                }
            }
        }
    )*};
}
all_settings_of!(Config, PostureTable);
