//! What `Allow`, `Deny` and `Why` answer, and what is said about the network of a session.

use serde::{Deserialize, Serialize};

/// Most destinations in a [`NetworkStatus`]: those to which most was sent.
pub const MAX_DESTINATIONS: usize = 20;

/// What a change of the rules of a live session did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowAnswer {
    /// The target, as the rule has it now.
    pub target: String,
    /// How many rules the session has now.
    pub rules: u32,
    /// How many connections were cut at once.
    pub cut: u32,
    /// What the person should know about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How a session sees a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Nothing can be read there.
    Hidden,
    /// The session has something of its own in that place; what this machine has there does not exist inside.
    Private,
    /// It can be read.
    ReadOnly,
    /// It can be read and changed.
    Writable,
}

/// Which rule decides about a destination or a path. No name is resolved for it: the addresses of an
/// allowed name are judged when a session connects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyAnswer {
    /// The name, address or path that was asked for.
    pub destination: String,
    /// The port that was judged, 443 where none was asked for; 0 for a path.
    pub port: u16,
    /// Whether the session reaches it, or sees it.
    pub allowed: bool,
    /// Why not, in words; empty when it is allowed.
    pub reason: String,
    /// The rule or grant that decides; empty when none does.
    pub rule: String,
    /// Where that is written: `FILE: KEY`; empty when nowhere.
    pub origin: String,
    /// What would change it; empty when nothing is to be done.
    pub remedy: String,
    /// Of a path: how the session sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// A port inside that appears on the host's loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPort {
    /// Port on the loopback of the host.
    pub host: u16,
    /// Port on the loopback inside.
    pub inside: u16,
}

/// What went to a destination, and what was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationTotal {
    /// Name or address, as the session asked for it.
    pub destination: String,
    /// Bytes from the session.
    pub sent_bytes: u64,
    /// Bytes to the session.
    pub received_bytes: u64,
    /// How often it was refused.
    pub denied: u64,
}

/// The network of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkStatus {
    /// `none`, `allowlist`, `public` or `host`.
    pub mode: String,
    /// How many rules it has.
    pub rules: u32,
    /// Process id on the host of its gate; 0 when there is none.
    pub gate_pid: u32,
    /// How often a gate was lost and another one started.
    pub gate_restarts: u32,
    /// Bytes from the session, all together.
    pub sent_bytes: u64,
    /// Bytes to the session, all together.
    pub received_bytes: u64,
    /// What went where, the most first; at most [`MAX_DESTINATIONS`].
    pub destinations: Vec<DestinationTotal>,
    /// Its ports that appear on the host's loopback.
    pub published: Vec<PublishedPort>,
}
