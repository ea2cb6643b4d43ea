//! The table of settings: which order each has, how two are joined, who may set it.
//!
//! Every setting is a chain; the join of two values is the tighter one. A bound can therefore be added
//! from anywhere, in any order, and never loosens anything. Everything that compares or joins settings
//! goes through [`Setting`]; everything that asks who may write a key goes through [`TABLE`].

mod table;

pub use table::{Row, TABLE};

use crate::config::{Count, Size, Time};
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
    /// What happens when the network gate of a session ends before the session.
    OnGateLoss {
        /// Another one takes its place.
        Repair = "repair",
        /// The session is stopped.
        Stop = "stop",
    }
}

ordered! {
    /// Whether the kernel refuses trigger files in a project that is changed in place.
    Guard {
        /// It is not asked.
        Off = "off",
        /// It does where it can; where it cannot, what is done instead is said.
        Auto = "auto",
        /// It does, or the session does not start.
        Require = "require",
    }
}

ordered! {
    /// What happens when a trigger file appears in a project and the kernel does not refuse it.
    OnTrigger {
        /// The person reads of it at the end.
        Report = "report",
        /// The session is frozen until its person lets it go on.
        Freeze = "freeze",
    }
}

ordered! {
    /// What happens when a project has files that others have as well (further names elsewhere, sockets), as
    /// a session starts that changes it in place.
    OnSharedFiles {
        /// The person is told.
        Warn = "warn",
        /// The session does not start.
        Refuse = "refuse",
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

ordered! {
    /// What happens when a session has private data, untrusted content and external communication at once.
    Trifecta {
        /// The person is told.
        Warn = "warn",
        /// The person is asked, each time.
        Confirm = "confirm",
        /// There is no such session.
        Refuse = "refuse",
    }
}

/// Least and most bytes of memory a bound may name.
pub type Memory = Size<{ 16 << 20 }>;
/// Bytes of a file system in memory.
pub type TmpfsSize = Size<{ 1 << 20 }>;
/// Bytes that a session sends. Below this not even a handshake of TLS comes through.
pub type Upload = Size<{ 16 << 10 }>;
/// Bytes that stay free on a disk.
pub type FreeSpace = Size<{ 1 << 20 }>;
/// A share against others, who have 100.
pub type Weight = Count<1, 10_000>;
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
    /// Share of the processors against others, who have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<Weight>,
    /// Share of the disks against others, who have 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<Weight>,
    /// Longest time that the session runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_max: Option<Time>,
    /// The session is stopped when it has done no work for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_stop: Option<Time>,
    /// While less than this is free where the project is, the session stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_min: Option<FreeSpace>,
    /// Most open descriptors of one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<OpenFiles>,
    /// Most bytes of each of /tmp, /var/tmp and /dev/shm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_size: Option<TmpfsSize>,
    /// Most bytes of the private home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_size: Option<TmpfsSize>,
    /// Most bytes that the session sends, all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_max: Option<Upload>,
    /// Most bytes that the session sends to one name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_upload_max: Option<Upload>,
    /// What happens when the session's network gate ends before the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_gate_loss: Option<OnGateLoss>,
    /// What happens when all three legs of the trifecta stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trifecta: Option<Trifecta>,
    /// Whether the kernel refuses trigger files in a project that is changed in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// What happens when a trigger file appears and the kernel does not refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_trigger: Option<OnTrigger>,
    /// What happens when files of the project are shared with others as a session starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_shared_files: Option<OnSharedFiles>,
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
    (@rank least $value:ident) => { $value.get() };
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
    CpuWeight(Weight) = cpu_weight most,
    IoWeight(Weight) = io_weight most,
    RuntimeMax(Time) = runtime_max most,
    IdleStop(Time) = idle_stop most,
    DiskFreeMin(FreeSpace) = disk_free_min least,
    OpenFiles(OpenFiles) = open_files most,
    TmpSize(TmpfsSize) = tmp_size most,
    HomeSize(TmpfsSize) = home_size most,
    UploadMax(Upload) = upload_max most,
    NameUploadMax(Upload) = name_upload_max most,
    OnGateLoss(OnGateLoss) = on_gate_loss order,
    Trifecta(Trifecta) = trifecta order,
    Guard(Guard) = guard order,
    OnTrigger(OnTrigger) = on_trigger order,
    OnSharedFiles(OnSharedFiles) = on_shared_files order,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, LayerKind};

    fn setting(key: Key, value: &str) -> Setting {
        let text = format!("[floor]\n{} = {value}", key.as_str());
        let layer = Layer::parse("f", text.as_bytes(), LayerKind::System).unwrap();
        layer.config.floor.unwrap().get(key).unwrap()
    }

    #[test]
    fn every_value_is_read_as_it_is_written() {
        for value in Network::ALL {
            assert_eq!(value.as_str().parse(), Ok(*value));
        }
        assert!("nothing".parse::<Network>().is_err());
    }

    #[test]
    fn every_setting_is_ordered_as_the_table_says() {
        for key in Key::ALL {
            let row = TABLE.iter().find(|row| row.key == format!("floor.{}", key.as_str())).unwrap();
            let two = match row.takes {
                "size" => ["\"32M\"", "\"64M\""],
                "time" => ["\"1h\"", "\"2h\""],
                _ => ["100", "200"],
            };
            let values: Vec<String> = match row.order {
                "larger is tighter" => two.map(str::to_owned).into(),
                "smaller is tighter" => two.into_iter().rev().map(str::to_owned).collect(),
                order => order.split(" < ").map(|value| format!("{value:?}")).collect(),
            };
            assert!(values.len() > 1, "{}", row.key);
            for pair in values.windows(2) {
                let (loose, tight) = (setting(*key, &pair[0]), setting(*key, &pair[1]));
                assert!(loose.tightness() < tight.tightness(), "{}: {loose} < {tight}", row.key);
            }
        }
    }
}
