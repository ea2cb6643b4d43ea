//! Files in a project that make a program on the host act later.
//!
//! One list for everybody who has to know them: what is held by mounts, what the kernel guard refuses, what
//! is reported when a session ends, what is taken from an overlay only by name. The list itself is data of
//! the policy (`data/triggers.toml`).

use crate::glob::PathGlob;
use crate::wire::{wire_enum, wire_struct};

wire_enum! {
    /// How a trigger file is held while a session may change the project.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Hold {
        /// It may not come to be and not be changed: what it says runs without another question.
        1 = Refuse,
        /// It may be changed, and its content is judged: git's configuration.
        2 = Judge,
        /// It may be changed, and the person is told: instructions, and what runs only when asked for.
        3 = Report,
    }
}

wire_struct! {
    /// A kind of trigger file.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Trigger {
        /// Which paths.
        pub pattern: PathGlob,
        /// How it is held.
        pub hold: Hold,
        /// Who acts on it, for messages: `git`, `claude`, `direnv`.
        pub actor: String,
    }
}

wire_struct! {
    /// The trigger files that a session is held to.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Triggers {
        /// In the order in which they were written.
        pub all: Vec<Trigger>,
    }
}

impl Triggers {
    /// The strictest trigger that the path of these names below the project's root is.
    #[must_use]
    pub fn find<N: AsRef<[u8]>>(&self, path: &[N]) -> Option<&Trigger> {
        self.all.iter().filter(|trigger| trigger.pattern.matches(path)).min_by_key(|trigger| trigger.hold)
    }

    /// Those that are held in one way.
    pub fn held(&self, hold: Hold) -> impl Iterator<Item = &Trigger> {
        self.all.iter().filter(move |trigger| trigger.hold == hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wire as _;

    fn trigger(pattern: &str, hold: Hold) -> Trigger {
        Trigger { pattern: pattern.parse().unwrap(), hold, actor: "git".to_owned() }
    }

    #[test]
    fn the_strictest_of_all_that_match_holds() {
        let triggers = Triggers {
            all: vec![
                trigger(".git/**", Hold::Report),
                trigger(".git/hooks/**", Hold::Refuse),
                trigger(".git/config", Hold::Judge),
            ],
        };
        let hold = |path: &[&str]| triggers.find(path).map(|trigger| trigger.hold);
        assert_eq!(hold(&[".git", "hooks", "x"]), Some(Hold::Refuse));
        assert_eq!(hold(&[".git", "config"]), Some(Hold::Judge));
        assert_eq!(hold(&["sub", ".git", "HEAD"]), Some(Hold::Report));
        assert_eq!(hold(&["src", "main.rs"]), None);
        assert_eq!(triggers.held(Hold::Refuse).count(), 1);
    }

    #[test]
    fn a_list_survives_the_encoding() {
        let triggers = Triggers { all: vec![trigger("/.husky/**", Hold::Refuse)] };
        assert_eq!(Triggers::from_bytes(&triggers.to_bytes()), Ok(triggers));
    }
}
