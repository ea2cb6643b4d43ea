//! What the kernel shows of a process, against what the plan of its session says.
//!
//! [`observe`] reads `/proc/PID`, [`expected`] turns a plan into what should be read there, and [`diff`]
//! compares: it is empty when the kernel shows what the plan says. What a process may change by itself
//! (its descriptors, umask, soft limits, directory) is compared by [`diff_started`], for one that has just
//! been started.
//!
//! Not seen from outside, and left to probes inside: the session keyring, Landlock domains, what a
//! seccomp filter refuses.
//!
//! | file | holds |
//! |---|---|
//! | `mod` | the types and [`Difference`] |
//! | `observed` | reading `/proc/PID` |
//! | `expected` | from the plan |
//! | `compare` | everything but mounts |
//! | `mounts` | mounts |

mod compare;
mod expected;
mod mounts;
mod observed;

pub use compare::{diff, diff_started, held_open};
pub use expected::{Expected, expected};
pub use observed::{CapabilitySets, Observed, ResourceLimit, observe};

use std::fmt;
use std::io;

/// One deviation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What deviates.
    pub what: String,
    /// What the plan says.
    pub expected: String,
    /// What the kernel shows.
    pub observed: String,
}

impl Difference {
    pub(crate) fn new(
        what: impl Into<String>,
        expected: impl fmt::Display,
        observed: impl fmt::Display,
    ) -> Self {
        Self { what: what.into(), expected: expected.to_string(), observed: observed.to_string() }
    }
}

/// One line. What an agent may have chosen (paths, names) has its control characters escaped.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}: expected {}, found {}", self.what, self.expected, self.observed);
        for character in text.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Why a process could not be observed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostureError {
    /// It has ended.
    #[error("process {pid} has ended")]
    Gone {
        /// Which.
        pid: u32,
    },
    /// Something about it could not be read.
    #[error("cannot read {file} of process {pid}: {cause}")]
    Io {
        /// Which.
        pid: u32,
        /// Which file below `/proc/PID`.
        file: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A file has another form than is known.
    #[error("cannot understand {file} of process {pid}: no {missing}")]
    Form {
        /// Which.
        pid: u32,
        /// Which file below `/proc/PID`.
        file: &'static str,
        /// What was looked for.
        missing: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_line_whatever_an_agent_called_its_files() {
        let line = Difference::new("mount \x1b]0;x", "ro", "rw\n").to_string();
        assert_eq!(line, "mount \\u{1b}]0;x: expected ro, found rw\\n");
    }
}
