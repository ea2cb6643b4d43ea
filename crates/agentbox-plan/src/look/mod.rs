//! What the supervisor and `agentbox-look` say to each other about a project.
//!
//! The looker runs with the ids of the session's person and no other right. It reads what an agent may have
//! written (git's files, names, links) and answers with typed values; the supervisor opens again, beneath
//! the project and without links, whatever of the answer it acts on. It starts with a [`LookPlan`] in a
//! sealed memfd and the descriptors of [`descriptors`], writes one answer, and ends; one that watches
//! writes until it is killed.

mod found;
mod keys;
mod path;
mod sighting;

pub use found::{
    Before, Change, Claim, ConfigBefore, FileState, Finding, FindingKind, HeldPlace, Hiding, PlaceVerdict,
    Remembered, Report, Survey, Thing, ThingKind, TriggerBefore, Unseen, UnseenWhy,
};
pub use keys::{KeyRule, Keys, Subsection, ValueRule};
pub use path::{PlacePath, Spot};
pub use sighting::{MAX_SIGHTING_BYTES, Sighting, framed, take_sighting};

use crate::Ids;
use crate::glob::PathGlob;
use crate::trigger::Triggers;
use crate::wire::{Bytes, Reader, Wire, WireError, wire_enum, wire_struct};

/// Most bytes of an answer.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Which descriptor number holds what when the looker starts. 0, 1 and 2 are `/dev/null`.
pub mod descriptors {
    /// Sealed memfd with the encoded [`LookPlan`](super::LookPlan).
    pub const PLAN: i32 = 3;
    /// Write end of a pipe, for the answer.
    pub const ANSWER: i32 = 4;
    /// The first of [`LookPlan::places`]: the project's directory. Behind the last one, for
    /// [`Task::Watch`](super::Task::Watch): a group of fanotify(7).
    pub const FIRST_PLACE: i32 = 5;
}

/// First bytes of an encoded [`LookPlan`].
const MAGIC: &[u8; 8] = b"ablook01";

/// All that a looker works from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookPlan {
    /// Under whose ids it runs.
    pub ids: Ids,
    /// Absolute paths of the places, the project's first; then git directories outside of it.
    pub places: Vec<Bytes>,
    /// What is to be done.
    pub task: Task,
    /// Files that make a program on the host act later.
    pub triggers: Triggers,
    /// Keys of git's configuration that may change.
    pub keys: Keys,
    /// What is hidden.
    pub masks: Masks,
    /// How much is looked at.
    pub limits: LookLimits,
}

wire_enum! {
    /// What a looker does.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Task {
        /// Before a session starts: answers a [`Survey`].
        1 = Survey,
        /// While it runs: judges git's configuration, restores what may not change, answers a [`Report`].
        2 = Judge {
            /// What was there at the start.
            before: Before,
            /// Configurations that were written, besides those that were there.
            spots: Vec<Spot>,
        },
        /// After its end: the same, and everything else that changed.
        3 = Sweep {
            /// What was there at the start.
            before: Before,
        },
        /// While it runs: says what comes to be, as [`Sighting`]s, until it is killed.
        4 = Watch {
            /// Configurations that were there at the start: only these say where git finds hooks.
            configs: Vec<ConfigBefore>,
        },
    }
}

wire_struct! {
    /// Patterns of secrets.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Masks {
        /// What is hidden.
        pub patterns: Vec<PathGlob>,
        /// What of it is not: names of examples.
        pub except: Vec<PathGlob>,
        /// Patterns that hold for what git tracks as well: somebody wrote them.
        pub always: Vec<PathGlob>,
    }
}

wire_struct! {
    /// How much is looked at. What lies behind is named as unseen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct LookLimits {
        /// Most entries of directories.
        pub entries: u32,
        /// Most milliseconds.
        pub time_ms: u32,
    }
}

impl Wire for LookPlan {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        self.ids.put(out);
        self.places.put(out);
        self.task.put(out);
        self.triggers.put(out);
        self.keys.put(out);
        self.masks.put(out);
        self.limits.put(out);
    }

    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        for byte in MAGIC {
            if u8::get(input)? != *byte {
                return Err(input.invalid("plan of this version"));
            }
        }
        Ok(Self {
            ids: Ids::get(input)?,
            places: Vec::get(input)?,
            task: Task::get(input)?,
            triggers: Triggers::get(input)?,
            keys: Keys::get(input)?,
            masks: Masks::get(input)?,
            limits: LookLimits::get(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_the_encoding_and_another_version_is_refused() {
        let plan = LookPlan {
            ids: Ids { uid: 1000, gid: 1000, groups: vec![1000] },
            places: vec![Bytes(b"/home/me/p".to_vec())],
            task: Task::Sweep { before: Before::default() },
            triggers: Triggers::default(),
            keys: Keys::default(),
            masks: Masks::default(),
            limits: LookLimits { entries: 1, time_ms: 2 },
        };
        let mut bytes = plan.to_bytes();
        assert_eq!(LookPlan::from_bytes(&bytes), Ok(plan));
        bytes[7] ^= 1;
        assert!(LookPlan::from_bytes(&bytes).is_err());
    }
}
