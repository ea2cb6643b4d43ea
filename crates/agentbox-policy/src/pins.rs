//! What a profile puts into a session, as it was when somebody looked at it.

use crate::Opener;

/// A file or directory that a session gets a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its path on the host.
    pub path: String,
    /// The hash that it has to have; without one, that of what was accepted.
    pub hash: Option<String>,
    /// With whose rights it is read.
    pub by: Opener,
    /// Where the session sees it.
    pub inside: String,
    /// The rule that names it.
    pub origin: String,
}
