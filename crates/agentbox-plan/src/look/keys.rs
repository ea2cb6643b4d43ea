//! Which keys of git's configuration a session may change, and to what.

use crate::wire::{wire_enum, wire_struct};

wire_enum! {
    /// What a value may be.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ValueRule {
        /// A switch.
        1 = Flag,
        /// A whole number.
        2 = Number,
        /// One of these words.
        3 = OneOf {
            /// In lower case.
            words: Vec<String>,
        },
        /// Any text without control characters.
        4 = Text,
        /// A name or a reference: letters, digits and `._-/`, and no `-` at its front.
        5 = Name,
        /// What to fetch: references, `+`, `:`, `^`, `*`.
        6 = Refspec,
        /// Another repository, of which git starts no program of its own: no `transport::address`, nothing
        /// that could be an option.
        7 = Repository,
        /// Where the files of a submodule are, relative to its git directory: in the project.
        8 = Worktree,
    }
}

wire_enum! {
    /// Whether a section has a name of its own.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Subsection {
        /// It has none: `[core]`.
        1 = Absent,
        /// Any: `[branch "main"]`.
        2 = Any,
    }
}

wire_struct! {
    /// Keys that may change.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct KeyRule {
        /// In lower case.
        pub section: String,
        /// Whether it has a name of its own.
        pub subsection: Subsection,
        /// In lower case; `*` for every key of the section.
        pub key: String,
        /// What it may be.
        pub value: ValueRule,
        /// Whether the person is told.
        pub told: bool,
    }
}

wire_struct! {
    /// All of them.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Keys {
        /// In no order.
        pub rules: Vec<KeyRule>,
    }
}

impl Keys {
    /// The rule of a key, section and key in lower case.
    #[must_use]
    pub fn find(&self, section: &str, has_subsection: bool, key: &str) -> Option<&KeyRule> {
        self.rules.iter().find(|rule| {
            rule.section == section
                && (rule.subsection == Subsection::Any) == has_subsection
                && (rule.key == "*" || rule.key == key)
        })
    }
}
