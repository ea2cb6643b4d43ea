//! What of an agent's own files outlives a session, and where it is kept.

use serde::{Deserialize, Serialize};

/// Most bytes of a file. A login is a few kilobytes.
pub(crate) const FILE_BYTES: u64 = 256 << 10;
/// Most bytes of one file in a directory, and of all of them.
pub(crate) const DIRECTORY_FILE_BYTES: u64 = 64 << 20;
pub(crate) const DIRECTORY_BYTES: u64 = 1 << 30;

/// Something that outlives a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// `claude:credentials`.
    pub name: String,
    /// Its path inside.
    pub path: String,
    /// Where it is kept: names below STATE/state, the last of them its own.
    pub store: Vec<String>,
    /// What it is.
    pub what: KeptWhat,
}

/// What something that is kept has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum KeptWhat {
    /// One JSON object in a regular file. It is put into the session and taken back at its end.
    File {
        /// Most bytes of it.
        max_bytes: u64,
    },
    /// Regular files in a directory, which the session has while it runs and which is swept at its end.
    Directory {
        /// What their names end in.
        suffixes: Vec<String>,
        /// Most bytes of one.
        max_file_bytes: u64,
        /// Most bytes of all.
        max_bytes: u64,
    },
}
