//! What `Confirmations` answers.

use serde::{Deserialize, Serialize};

/// A signature that waits for the person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// The session.
    pub session: String,
    /// Its number, which no other one of the session ever has.
    pub number: u64,
    /// Fingerprint of the key.
    pub key: String,
    /// `login`, or `git` for a signature of git.
    pub purpose: String,
    /// The host, for a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Seconds after which it is refused.
    pub left_s: u64,
}
