//! The steps of an `apply`, written down before the first of them is taken.
//!
//! It lies in the directory of reviews, which the session's owner has and no session sees.

use crate::review::change::RelPath;
use crate::review::remember;
use crate::review::tree::{Entry, Kind};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::AsFd;

const NAME: &str = "journal.json";
const VERSION: u32 = 1;

/// What is done at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// A file or link goes.
    Remove,
    /// A directory goes, when it is empty.
    RemoveDirectory,
    /// A directory comes to be.
    MakeDirectory {
        /// Its permission bits.
        mode: u32,
    },
    /// What was prepared takes the place.
    Put {
        /// A file or a link.
        kind: Kind,
        /// Permission bits of a file.
        mode: u32,
        /// Inode of what was prepared.
        staged: u64,
    },
    /// Permission bits change.
    Mode {
        /// To these.
        mode: u32,
    },
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) path: RelPath,
    pub(crate) action: Action,
    /// What the project has there before.
    pub(crate) expected: Option<Entry>,
}

/// Which way the steps go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// They are taken.
    Forward,
    /// They are taken back.
    Back,
}

/// An `apply` that is under way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    version: u32,
    pub(super) direction: Direction,
    /// How many of the steps may have been taken.
    pub(super) begun: usize,
    /// Numbered from 0; what belongs to a step has its number in the directory of what was prepared.
    pub(super) steps: Vec<Step>,
}

impl Journal {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { version: VERSION, direction: Direction::Forward, begun: steps.len(), steps }
    }

    pub(super) fn write(&self, review: impl AsFd) -> io::Result<()> {
        remember::write(review, NAME, &serde_json::to_vec(self)?)
    }

    pub(super) fn read(review: impl AsFd) -> io::Result<Option<Self>> {
        remember::read(review, NAME)?.map(|bytes| Self::parse(&bytes)).transpose()
    }

    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let journal: Self = serde_json::from_slice(bytes)?;
        // Its own owner wrote it; but a path that leads elsewhere would be taken for one of the project.
        let fits = |step: &Step| RelPath::new(step.path.as_bytes()).is_some();
        if journal.version != VERSION || !journal.steps.iter().all(fits) {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(journal)
    }

    pub(super) fn remove(review: impl AsFd) -> io::Result<()> {
        remember::remove(review, NAME)
    }
}
