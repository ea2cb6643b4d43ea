//! What a looker found.

use super::{PlacePath, Spot};
use crate::trigger::Hold;
use crate::wire::{Bytes, wire_enum, wire_struct};

wire_enum! {
    /// What a held directory of the project becomes inside.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Hiding {
        /// A mount of its own that can be written, so that it cannot be renamed or removed.
        1 = Pinned,
        /// The same, read-only.
        2 = ReadOnly,
        /// Covered: a secret.
        3 = Hidden,
    }
}

wire_struct! {
    /// A directory, or for [`Hiding::Hidden`] also a file, that is held by a mount.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub struct HeldPlace {
        /// Where it is.
        pub spot: Spot,
        /// What it becomes.
        pub hiding: Hiding,
    }
}

wire_struct! {
    /// A git directory outside of the project that a file in it names.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Claim {
        /// The file.
        pub file: Spot,
        /// The directory that it names, as an absolute path. Written by anybody.
        pub names: Bytes,
    }
}

wire_enum! {
    /// What a place beside the project is.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum PlaceVerdict {
        /// The project itself.
        1 = Project,
        /// A git directory that names the project as its own.
        2 = Repository,
        /// An object store that a repository of the project borrows from.
        3 = Objects,
        /// Nothing that belongs to the project, and why.
        4 = Stranger {
            /// In words.
            why: String,
        },
    }
}

wire_enum! {
    /// What is looked for apart from names.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ThingKind {
        /// A file with a set-user-id or set-group-id bit.
        1 = SetId,
        /// A file with more names than were seen.
        2 = HardLink,
        /// A socket.
        3 = Socket,
        /// A named pipe.
        4 = Pipe,
        /// A device node.
        5 = Device,
        /// A name with control characters or that is no text.
        6 = OddName,
        /// A git directory.
        7 = Repository,
        /// A git directory that is not called `.git`.
        8 = BareRepository,
        /// A symbolic link that leads from elsewhere into a directory that packages fill.
        9 = LinkToBrought,
    }
}

wire_struct! {
    /// Something that was found.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Thing {
        /// What it is.
        pub kind: ThingKind,
        /// Where it is.
        pub spot: Spot,
    }
}

wire_enum! {
    /// A trigger file as it was.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum FileState {
        /// A file: SHA-256 of what is in it, and whether it can be executed.
        1 = File {
            /// The hash.
            hash: Bytes,
            /// Any of the execution bits.
            executable: bool,
        },
        /// A symbolic link and what it says.
        2 = Link {
            /// What it says.
            to: Bytes,
        },
        /// Something else, or something that could not be read.
        3 = Other,
        /// A file that was not read, as others before it were as much as is read in one look.
        4 = Unread {
            /// Its size.
            bytes: u64,
            /// When it was written, as its writer says, in nanoseconds.
            written_ns: u64,
            /// When it changed, as only the kernel says.
            changed_ns: u64,
            /// Any of the execution bits.
            executable: bool,
        },
    }
}

wire_struct! {
    /// A trigger file before the session.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TriggerBefore {
        /// Where it was.
        pub spot: Spot,
        /// How it was.
        pub state: FileState,
    }
}

wire_struct! {
    /// A configuration of git before the session.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ConfigBefore {
        /// Where it was.
        pub spot: Spot,
        /// What it said; none for one that was not there, or that was not a file of bearable size.
        pub content: Option<Bytes>,
    }
}

wire_struct! {
    /// What is remembered of a project for the end of a session.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Before {
        /// Git's configurations.
        pub configs: Vec<ConfigBefore>,
        /// Trigger files.
        pub triggers: Vec<TriggerBefore>,
        /// Those of them that nobody may change and git tracks, in the project: reported, not refused.
        pub tracked: Vec<Spot>,
        /// Everything else that is looked for.
        pub things: Vec<Thing>,
        /// Whether all of it was seen.
        pub whole: bool,
    }
}

impl Before {
    /// Whether a link leads from elsewhere into a directory that packages fill. By it what is made there would be
    /// in force where the link lies, so that no such directory is an exception in this project.
    #[must_use]
    pub fn leads_in(&self) -> bool {
        self.things.iter().any(|thing| thing.kind == ThingKind::LinkToBrought)
    }
}

wire_struct! {
    /// What is kept on disk of a session until its end was looked at.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Remembered {
        /// Whose session it is.
        pub owner_uid: u32,
        /// Absolute paths of the places, the project's first.
        pub places: Vec<Bytes>,
        /// What was there.
        pub before: Before,
    }
}

wire_enum! {
    /// Why something was not looked at.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum UnseenWhy {
        /// More entries than are looked at.
        1 = TooMany,
        /// The time was over.
        2 = TooLong,
        /// Deeper than is looked.
        3 = TooDeep,
        /// The person may not read it.
        4 = Denied,
        /// Another file system is mounted there.
        5 = Mounted,
    }
}

wire_struct! {
    /// A directory that was not looked into.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Unseen {
        /// Which.
        pub spot: Spot,
        /// Why.
        pub why: UnseenWhy,
    }
}

wire_struct! {
    /// What is in a project before a session starts.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Survey {
        /// What is held by mounts, parents before children.
        pub held: Vec<HeldPlace>,
        /// Secrets among it that are files: a mount over a file is a convenience.
        pub hidden_files: Vec<Spot>,
        /// Git directories elsewhere that files of the project name.
        pub claims: Vec<Claim>,
        /// What each place is.
        pub places: Vec<PlaceVerdict>,
        /// For the end of the session.
        pub before: Before,
        /// What was not looked at: the first few, and how many in all.
        pub unseen: Vec<Unseen>,
        /// How many directories were not looked into.
        pub unseen_count: u32,
    }
}

wire_enum! {
    /// What happened to something.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Change {
        /// It is new.
        1 = Added,
        /// It is not as it was.
        2 = Changed,
        /// It is gone.
        3 = Removed,
        /// It was put back as it was.
        4 = Restored,
    }
}

wire_enum! {
    /// What a finding is about.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub enum FindingKind {
        /// A trigger file.
        1 = Trigger {
            /// How it is held.
            hold: Hold,
            /// Who acts on it.
            actor: String,
        },
        /// A key of git's configuration that may not change, or a configuration that could not be understood.
        2 = ConfigRefused,
        /// A key of git's configuration that may change, of which the person is told.
        3 = ConfigTold,
        /// Something else that is looked for.
        4 = Thing {
            /// What.
            kind: ThingKind,
        },
        /// A file of git that says where its parts are, and does not say what belongs there.
        5 = Pointer,
    }
}

wire_struct! {
    /// One line of a report.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Finding {
        /// What it is about.
        pub kind: FindingKind,
        /// What happened.
        pub change: Change,
        /// Where.
        pub spot: Spot,
        /// Further words; what an agent wrote is escaped in them.
        pub detail: String,
    }
}

impl Finding {
    /// Whether the person has to have seen it before the project is used: something may run by itself, or
    /// reach out of the project.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        match &self.kind {
            FindingKind::Trigger { hold, .. } => *hold == Hold::Refuse,
            FindingKind::ConfigRefused | FindingKind::Pointer => true,
            FindingKind::ConfigTold => false,
            FindingKind::Thing { kind } => {
                use ThingKind::{Device, HardLink, LinkToBrought, SetId};
                matches!(kind, SetId | HardLink | Device | LinkToBrought)
            }
        }
    }
}

wire_struct! {
    /// What a session left behind.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Report {
        /// What was found, the grave first.
        pub findings: Vec<Finding>,
        /// Findings beyond those.
        pub more: u32,
        /// What was not looked at: the first few.
        pub unseen: Vec<Unseen>,
        /// How many directories were not looked into.
        pub unseen_count: u32,
    }
}

impl HeldPlace {
    /// One that is held in the project.
    #[must_use]
    pub fn new(place: u16, path: PlacePath, hiding: Hiding) -> Self {
        Self { spot: Spot { place, path }, hiding }
    }
}
