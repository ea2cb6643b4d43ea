//! Which keys of a person's ssh-agent a session uses, and what for.

use crate::text::printable;
use agentbox_plan::keys::{Fingerprint, HostKey, SshHost};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The ssh-agent of a session. Without one there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshAgentTable {
    /// Keys of the person's agent that the session sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<KeyFingerprint>>,
    /// Hosts where it may log in with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<AgentHost>>,
    /// What else it may sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<Vec<SignFor>>,
    /// Whether the person confirms each signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<bool>,
}

/// The most that a person's own file may say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshAgentCeiling {
    /// Hosts where a session may log in. A list that is absent limits nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<AgentHost>>,
    /// What else a session may sign. A list that is absent limits nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<Vec<SignFor>>,
    /// Whether the person confirms each signature, whatever the profile says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<bool>,
}

/// What is signed besides logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignFor {
    /// Commits, tags and pushes of git.
    Git,
}

impl fmt::Display for SignFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git => f.write_str("git"),
        }
    }
}

macro_rules! read_by_plan {
    ($($(#[$meta:meta])* $name:ident($inner:ty) $pattern:literal)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                text.parse().map(Self).map_err(|error| format!("`{}`: {error}", printable(text)))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                output.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                String::deserialize(input)?.parse().map_err(D::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    )*};
}

read_by_plan! {
    /// Fingerprint of a key, as `ssh-add -l` prints it: `SHA256:…`.
    KeyFingerprint(Fingerprint) "^SHA256:[A-Za-z0-9+/]{43}$"
    /// A host of ssh: `github.com`, `git.example.org:2222`.
    AgentHost(SshHost) "^[0-9A-Za-z_\\[:]"
    /// Public key of a host, as known_hosts has it: `ssh-ed25519 AAAA…`.
    KnownKey(HostKey) "^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*$"
}
