//! What `Changes`, `Review` and `Reviewed` take and answer: sessions on an overlay of their project.

use serde::{Deserialize, Serialize};

/// A session whose changes wait for somebody to look at them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeSet {
    /// The session.
    pub id: String,
    /// The name that the person gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path of its project.
    pub project: String,
    /// Name of its profile; empty when it has none.
    pub profile: String,
    /// Name of its posture.
    pub posture: String,
    /// Its agent.
    pub agent: String,
    /// When it was first started, in seconds of the Unix epoch.
    pub started_unix_s: u64,
    /// Whether it runs.
    pub live: bool,
    /// Whose session it is.
    pub owner_uid: u32,
}

/// What a session wrote, for its owner to look at. The descriptors that come with it are, in this order:
/// what it wrote (a read-only mount), the project as it left it (another), and a directory of the owner's in
/// which `apply` remembers what it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewAnswer {
    /// The session.
    pub set: ChangeSet,
    /// When its layer was made, in seconds of the Unix epoch.
    pub began_unix_s: u64,
    /// The same: nanoseconds of that second.
    pub began_ns: u32,
    /// Commit that the project's `HEAD` was at then, as the client said that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
}

/// What was taken of a session's changes, for the audit trail. A claim of its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Taken {
    /// How many files and links were written.
    pub written: u64,
    /// How many names were removed.
    pub removed: u64,
    /// How many were left as they are because the project has changed too.
    pub conflicts: u64,
    /// Trigger files among them, which were named one by one.
    pub triggers: Vec<String>,
    /// References to commits that arrived.
    pub references: Vec<String>,
}
