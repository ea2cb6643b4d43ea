//! The table of settings: which order each has, how two are joined, who may set it.
//!
//! Every setting is a chain; the join of two values is the tighter one. A bound can therefore be added
//! from anywhere, in any order, and never loosens anything. Everything that compares or joins settings
//! goes through [`Setting`]; everything that asks who may write a key goes through [`TABLE`].

use crate::config::{Count, LayerKind, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Declares a setting with its values from the loosest to the tightest.
macro_rules! ordered {
    ($(#[$meta:meta])* $name:ident { $($(#[$value_meta:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$value_meta])* $value,)* }
        impl $name {
            /// Every value, the loosest first.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            /// The value as it is written in configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == text);
                found.ok_or_else(|| format!("expected one of {}", [$($text,)*].join(", ")))
            }
        }
    };
}

ordered! {
    /// What holds the session.
    Isolation {
        /// Nothing: the agent runs on the host and is only recorded.
        None = "none",
        /// Namespaces, Landlock and seccomp of the host's kernel.
        Sandbox = "sandbox",
        /// A virtual machine.
        Vm = "vm",
        /// Another host.
        Remote = "remote",
        /// A provider's machine.
        Managed = "managed",
    }
}

ordered! {
    /// Which files exist inside.
    Filesystem {
        /// The host's, as they are.
        Host = "host",
        /// The host's, read-only; the project writable; places of credentials and sockets hidden.
        Shared = "shared",
        /// Only what is listed.
        Listed = "listed",
    }
}

ordered! {
    /// Under which user the agent runs.
    Identity {
        /// The person's own.
        Caller = "caller",
        /// One of its own, that owns nothing on the host.
        Leased = "leased",
    }
}

ordered! {
    /// What the agent reaches.
    Network {
        /// The host's network.
        Host = "host",
        /// Public addresses.
        Public = "public",
        /// Names that are listed.
        Allowlist = "allowlist",
        /// Nothing.
        None = "none",
    }
}

ordered! {
    /// How the project can be changed.
    Workspace {
        /// In place.
        Direct = "direct",
        /// On a layer that is reviewed afterwards.
        Overlay = "overlay",
        /// Not at all.
        Readonly = "readonly",
    }
}

ordered! {
    /// What of the agent's own files outlives the session.
    State {
        /// Kept for the profile, shared between its projects.
        Profile = "profile",
        /// Kept for this project in this profile.
        Project = "project",
        /// Nothing.
        Ephemeral = "ephemeral",
    }
}

/// Least and most bytes of memory a bound may name.
pub type Memory = Size<{ 16 << 20 }>;
/// Bytes of a file system in memory.
pub type TmpfsSize = Size<{ 1 << 20 }>;
/// Processes and threads.
pub type Tasks = Count<8, 4_194_304>;
/// Open descriptors of a process.
pub type OpenFiles = Count<64, 1_048_576>;

/// A value for each setting that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
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
    /// Most memory of the whole session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<Memory>,
    /// Most processes and threads of the whole session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_max: Option<Tasks>,
    /// Most open descriptors of one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<OpenFiles>,
    /// Most bytes of each of /tmp, /var/tmp and /dev/shm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_size: Option<TmpfsSize>,
    /// Most bytes of the private home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_size: Option<TmpfsSize>,
}

macro_rules! settings {
    ($($variant:ident($type:ty) = $field:ident $kind:ident,)*) => {
        /// Names a setting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key { $(#[doc = concat!("`", stringify!($field), "`")] $variant,)* }

        /// A setting with its value.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Setting { $(#[doc = concat!("`", stringify!($field), "`")] $variant($type),)* }

        impl Key {
            /// Every setting.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The key as it is written in configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }
        }

        impl Setting {
            /// Which setting this is a value of.
            #[must_use]
            pub fn key(&self) -> Key {
                match self { $(Self::$variant(_) => Key::$variant,)* }
            }

            /// Greater is tighter; only comparable within one key.
            #[must_use]
            pub fn tightness(&self) -> u64 {
                match *self { $(Self::$variant(value) => settings!(@rank $kind value),)* }
            }
        }

        impl fmt::Display for Setting {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$variant(value) => value.fmt(f),)* }
            }
        }

        impl Settings {
            /// The value of a setting, when there is one.
            #[must_use]
            pub fn get(&self, key: Key) -> Option<Setting> {
                match key { $(Key::$variant => self.$field.map(Setting::$variant),)* }
            }

            /// Gives a setting a value.
            pub fn set(&mut self, setting: Setting) {
                match setting { $(Setting::$variant(value) => self.$field = Some(value),)* }
            }
        }
    };
    (@rank order $value:ident) => { $value as u64 };
    (@rank most $value:ident) => { u64::MAX - $value.get() };
}

settings! {
    Isolation(Isolation) = isolation order,
    Filesystem(Filesystem) = filesystem order,
    Identity(Identity) = identity order,
    Network(Network) = network order,
    Workspace(Workspace) = workspace order,
    State(State) = state order,
    MemoryMax(Memory) = memory_max most,
    TasksMax(Tasks) = tasks_max most,
    OpenFiles(OpenFiles) = open_files most,
    TmpSize(TmpfsSize) = tmp_size most,
    HomeSize(TmpfsSize) = home_size most,
}

impl Settings {
    /// The settings that are given, in the order of [`Key::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Setting> + '_ {
        Key::ALL.iter().filter_map(|key| self.get(*key))
    }

    /// The tighter value of each setting.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        for setting in other.iter() {
            if self.get(setting.key()).is_none_or(|mine| setting.tightness() > mine.tightness()) {
                self.set(setting);
            }
        }
        self
    }
}

/// A key of the configuration: what it takes and who may set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The key with dots; `NAME` stands for any name.
    pub key: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What holds when it is absent.
    pub default: &'static str,
    /// From loose to tight, or `–` for a key without an order.
    pub order: &'static str,
    /// Whose files it may stand in.
    pub who: &'static [LayerKind],
}

impl Row {
    /// Whether the row is about exactly this key.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        self.covers(key) && self.key.split('.').count() == key.split('.').count()
    }

    /// Whether the row is about this key or one below it.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        let mut row = self.key.split('.');
        key.split('.').all(|part| row.next().is_some_and(|mine| mine == "NAME" || mine == part))
    }

    /// Whether it may stand in such a file.
    #[must_use]
    pub fn may(&self, kind: LayerKind) -> bool {
        self.who.contains(&kind)
    }
}

const ISOLATION: &str = "none < sandbox < vm < remote < managed";
const FILESYSTEM: &str = "host < shared < listed";
const IDENTITY: &str = "caller < leased";
const NETWORK: &str = "host < public < allowlist < none";
const WORKSPACE: &str = "direct < overlay < readonly";
const STATE: &str = "profile < project < ephemeral";
const LESS: &str = "smaller is tighter";
const FEWER: &str = "fewer is tighter";
const NO_ORDER: &str = "–";
const UNBOUND: &str = "no bound";
const SAME: &str = "of `extends`";

const SYSTEM: &[LayerKind] = &[LayerKind::System];
const BOTH: &[LayerKind] = &[LayerKind::System, LayerKind::Person];
const PROJECT: &[LayerKind] = &[LayerKind::Project];

const fn row(
    key: &'static str,
    takes: &'static str,
    default: &'static str,
    order: &'static str,
    who: &'static [LayerKind],
) -> Row {
    Row { key, takes, default, order, who }
}

/// Every key of the configuration.
pub const TABLE: &[Row] = &[
    row("default_posture", "name of a posture", "`L2`", NO_ORDER, BOTH),
    row("uid_range.first", "number", "2001000000", NO_ORDER, SYSTEM),
    row("uid_range.count", "number", "100000000", NO_ORDER, SYSTEM),
    row("users", "list of user names", "none", NO_ORDER, SYSTEM),
    row("floor.isolation", "value", UNBOUND, ISOLATION, SYSTEM),
    row("floor.filesystem", "value", UNBOUND, FILESYSTEM, SYSTEM),
    row("floor.identity", "value", UNBOUND, IDENTITY, SYSTEM),
    row("floor.network", "value", UNBOUND, NETWORK, SYSTEM),
    row("floor.workspace", "value", UNBOUND, WORKSPACE, SYSTEM),
    row("floor.state", "value", UNBOUND, STATE, SYSTEM),
    row("floor.memory_max", "size", UNBOUND, LESS, SYSTEM),
    row("floor.tasks_max", "number", UNBOUND, LESS, SYSTEM),
    row("floor.open_files", "number", UNBOUND, LESS, SYSTEM),
    row("floor.tmp_size", "size", UNBOUND, LESS, SYSTEM),
    row("floor.home_size", "size", UNBOUND, LESS, SYSTEM),
    row("ceiling.read", "list of paths", UNBOUND, FEWER, SYSTEM),
    row("ceiling.write", "list of paths", UNBOUND, FEWER, SYSTEM),
    row("ceiling.env", "list of variables", UNBOUND, FEWER, SYSTEM),
    row("profile.NAME.network", "value", UNBOUND, NETWORK, BOTH),
    row("profile.NAME.workspace", "value", UNBOUND, WORKSPACE, BOTH),
    row("profile.NAME.state", "value", UNBOUND, STATE, BOTH),
    row("profile.NAME.agent", "name of a preset", "`shell`", NO_ORDER, BOTH),
    row("profile.NAME.env.pass", "list of variables", "none", FEWER, BOTH),
    row("profile.NAME.env.set.NAME", "text", "none", NO_ORDER, BOTH),
    row("profile.NAME.read", "list of paths", "none", FEWER, BOTH),
    row("profile.NAME.write", "list of paths", "none", FEWER, BOTH),
    row("profile.NAME.git.name", "text", "the person's", NO_ORDER, BOTH),
    row("profile.NAME.git.email", "text", "the person's", NO_ORDER, BOTH),
    row("project.NAME.path", "path", "required", NO_ORDER, BOTH),
    row("project.NAME.profile", "name of a profile", "none", NO_ORDER, BOTH),
    row("project.NAME.posture", "name of a posture", "`default_posture`", NO_ORDER, BOTH),
    row("project.NAME.network", "value", UNBOUND, NETWORK, BOTH),
    row("project.NAME.workspace", "value", UNBOUND, WORKSPACE, BOTH),
    row("project.NAME.state", "value", UNBOUND, STATE, BOTH),
    row("project.NAME.agent", "name of a preset", "the profile's", NO_ORDER, BOTH),
    row("project.NAME.read", "list of paths", "none", FEWER, BOTH),
    row("project.NAME.write", "list of paths", "none", FEWER, BOTH),
    row("project.NAME.memory_max", "size", UNBOUND, LESS, BOTH),
    row("project.NAME.tasks_max", "number", UNBOUND, LESS, BOTH),
    row("posture.NAME.extends", "name of a posture", "`L2`", NO_ORDER, BOTH),
    row("posture.NAME.isolation", "value", SAME, ISOLATION, BOTH),
    row("posture.NAME.filesystem", "value", SAME, FILESYSTEM, BOTH),
    row("posture.NAME.identity", "value", SAME, IDENTITY, BOTH),
    row("posture.NAME.network", "value", SAME, NETWORK, BOTH),
    row("posture.NAME.workspace", "value", SAME, WORKSPACE, BOTH),
    row("posture.NAME.state", "value", SAME, STATE, BOTH),
    row("posture.NAME.memory_max", "size", SAME, LESS, BOTH),
    row("posture.NAME.tasks_max", "number", SAME, LESS, BOTH),
    row("posture.NAME.open_files", "number", SAME, LESS, BOTH),
    row("posture.NAME.tmp_size", "size", SAME, LESS, BOTH),
    row("posture.NAME.home_size", "size", SAME, LESS, BOTH),
    row("isolation", "value", UNBOUND, ISOLATION, PROJECT),
    row("filesystem", "value", UNBOUND, FILESYSTEM, PROJECT),
    row("identity", "value", UNBOUND, IDENTITY, PROJECT),
    row("network", "value", UNBOUND, NETWORK, PROJECT),
    row("workspace", "value", UNBOUND, WORKSPACE, PROJECT),
    row("state", "value", UNBOUND, STATE, PROJECT),
    row("memory_max", "size", UNBOUND, LESS, PROJECT),
    row("tasks_max", "number", UNBOUND, LESS, PROJECT),
    row("open_files", "number", UNBOUND, LESS, PROJECT),
    row("tmp_size", "size", UNBOUND, LESS, PROJECT),
    row("home_size", "size", UNBOUND, LESS, PROJECT),
    row("read", "list of paths", UNBOUND, FEWER, PROJECT),
    row("write", "list of paths", UNBOUND, FEWER, PROJECT),
    row("env.pass", "list of variables", UNBOUND, FEWER, PROJECT),
];
