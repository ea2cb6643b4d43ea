//! Files in a project that make a program on the host act later.
//!
//! One list for everybody who has to know them: what is held by mounts, what the kernel guard refuses, what
//! is reported when a session ends, what is taken from an overlay only by name. The list itself is data of
//! the policy (`data/triggers.toml`).
//!
//! Package managers and builds fill directories with what others wrote, such files among it: no program acts on
//! them where they lie. So in a *brought* directory most patterns do not hold, and nothing may lead from
//! elsewhere into one, nor leave it whole ([decision 18](../../../docs/decisions/0018-what-packages-bring.md)).

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
        /// Whether what may not be made is refused in a brought directory as well.
        pub everywhere: bool,
    }
}

wire_struct! {
    /// The trigger files that a session is held to.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct Triggers {
        /// In the order in which they were written.
        pub all: Vec<Trigger>,
        /// Names of directories that package managers and builds fill.
        pub brought: Vec<String>,
    }
}

/// Names by which git finds hooks, in whatever directory (githooks(5)).
pub const HOOKS: [&str; 28] = [
    "applypatch-msg",
    "commit-msg",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "p4-prepare-changelist",
    "post-applypatch",
    "post-checkout",
    "post-commit",
    "post-index-change",
    "post-merge",
    "post-receive",
    "post-rewrite",
    "post-update",
    "pre-applypatch",
    "pre-auto-gc",
    "pre-commit",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "prepare-commit-msg",
    "proc-receive",
    "push-to-checkout",
    "reference-transaction",
    "sendemail-validate",
    "update",
];

/// Whether git finds a hook by this name.
#[must_use]
pub fn is_hook(name: &[u8]) -> bool {
    HOOKS.iter().any(|hook| hook.as_bytes() == name)
}

/// Whether a symbolic link that says this leads to a name in its own directory.
#[must_use]
pub fn is_beside(to: &[u8]) -> bool {
    !matches!(to, b"" | b"." | b"..") && !to.contains(&b'/')
}

impl Triggers {
    /// The strictest trigger that the path of these names below the project's root is, wherever it lies.
    #[must_use]
    pub fn find<N: AsRef<[u8]>>(&self, path: &[N]) -> Option<&Trigger> {
        self.all.iter().filter(|trigger| trigger.pattern.matches(path)).min_by_key(|trigger| trigger.hold)
    }

    /// The same with how it is held where it lies: in a brought directory what may not be made elsewhere is only
    /// told, and what is told elsewhere is not: a thousand packages bring a thousand build files.
    #[must_use]
    pub fn find_held<N: AsRef<[u8]>>(&self, path: &[N]) -> Option<(&Trigger, Hold)> {
        self.strictest(path, |pattern, most| pattern.matches_from(path, most))
    }

    /// The same of a symbolic link, which can stand for a directory: `.claude` with another's `settings.json`. Where
    /// it says that it leads to another name beside it (`to`), what would hold below any name holds below that one:
    /// `.git/modules/a/x`, by which git tries whether there are links.
    #[must_use]
    pub fn find_link<N: AsRef<[u8]>>(&self, path: &[N], to: &[u8]) -> Option<(&Trigger, Hold)> {
        let beside = is_beside(to);
        let below = |pattern: &PathGlob, most| {
            if beside { pattern.is_below_by_name(path, most) } else { pattern.is_below(path, most) }
        };
        self.strictest(path, |pattern, most| pattern.matches_from(path, most) || below(pattern, most))
    }

    /// `matches` is asked for a pattern, and for how many names of the path may stand before the match.
    fn strictest<N: AsRef<[u8]>>(
        &self,
        path: &[N],
        matches: impl Fn(&PathGlob, usize) -> bool,
    ) -> Option<(&Trigger, Hold)> {
        let brought = path.iter().position(|name| self.is_brought(name.as_ref())).unwrap_or(path.len());
        let matching = self.all.iter().filter(|trigger| matches(&trigger.pattern, path.len()));
        let held = matching.filter_map(|trigger| {
            if matches(&trigger.pattern, brought) {
                return Some((trigger, trigger.hold));
            }
            let hold = if trigger.everywhere { trigger.hold } else { Hold::Report };
            (trigger.hold != Hold::Report).then_some((trigger, hold))
        });
        held.min_by_key(|(_, hold)| *hold)
    }

    /// Whether package managers or builds fill a directory of this name.
    #[must_use]
    pub fn is_brought(&self, name: &[u8]) -> bool {
        self.brought.iter().any(|brought| brought.as_bytes() == name)
    }

    /// Whether a symbolic link with this path, that says this, leads from elsewhere into a brought directory. By
    /// what is written: where it ends depends on other links, and those were judged as well.
    #[must_use]
    pub fn leads_in<N: AsRef<[u8]>>(&self, path: &[N], to: &[u8]) -> bool {
        to.split(|byte| *byte == b'/').any(|name| self.is_brought(name))
            && !path.iter().any(|name| self.is_brought(name.as_ref()))
    }

    /// The trigger that a hook of git's is, in whatever directory git finds it.
    #[must_use]
    pub fn of_hook(&self) -> Option<&Trigger> {
        self.find(&[".git", "hooks", "pre-commit"])
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
        Trigger { pattern: pattern.parse().unwrap(), hold, actor: "git".to_owned(), everywhere: false }
    }

    fn triggers(all: Vec<Trigger>) -> Triggers {
        Triggers { all, brought: vec!["node_modules".to_owned(), "venv".to_owned()] }
    }

    #[test]
    fn the_strictest_of_all_that_match_holds() {
        let triggers = triggers(vec![
            trigger(".git/**", Hold::Report),
            trigger(".git/hooks/**", Hold::Refuse),
            trigger(".git/config", Hold::Judge),
        ]);
        let hold = |path: &[&str]| triggers.find(path).map(|trigger| trigger.hold);
        assert_eq!(hold(&[".git", "hooks", "x"]), Some(Hold::Refuse));
        assert_eq!(hold(&[".git", "config"]), Some(Hold::Judge));
        assert_eq!(hold(&["sub", ".git", "HEAD"]), Some(Hold::Report));
        assert_eq!(hold(&["src", "main.rs"]), None);
        assert_eq!(triggers.held(Hold::Refuse).count(), 1);
    }

    #[test]
    fn what_packages_bring_is_told_and_not_refused() {
        let git = Trigger { everywhere: true, ..trigger(".git/hooks/**", Hold::Refuse) };
        let triggers = triggers(vec![
            git,
            trigger(".envrc", Hold::Refuse),
            trigger(".husky/**", Hold::Refuse),
            trigger("/only/**", Hold::Refuse),
            trigger("Makefile", Hold::Report),
            Trigger { everywhere: true, ..trigger(".gitattributes", Hold::Report) },
        ]);
        for (path, hold) in [
            (".envrc", Some(Hold::Refuse)),
            ("a/.envrc", Some(Hold::Refuse)),
            ("node_modules/.envrc", Some(Hold::Report)),
            ("a/venv/b/c/.envrc", Some(Hold::Report)),
            ("node_modules_/.envrc", Some(Hold::Refuse)),
            // Below a protected directory a name makes nothing harmless.
            (".husky/node_modules/x", Some(Hold::Refuse)),
            ("node_modules/.husky/venv/x", Some(Hold::Report)),
            (".husky/node_modules/.envrc", Some(Hold::Refuse)),
            ("only/node_modules/x", Some(Hold::Refuse)),
            ("node_modules/p/.git/hooks/x", Some(Hold::Refuse)),
            ("Makefile", Some(Hold::Report)),
            ("venv/Makefile", None),
            ("venv/.gitattributes", None),
        ] {
            let names: Vec<&str> = path.split('/').collect();
            assert_eq!(triggers.find_held(&names).map(|(_, hold)| hold), hold, "{path}");
        }
    }

    #[test]
    fn a_link_is_what_it_can_stand_for() {
        let triggers =
            triggers(vec![trigger(".claude/settings.json", Hold::Refuse), trigger("Makefile", Hold::Report)]);
        for (path, hold) in [
            (".claude", Some(Hold::Refuse)),
            ("a/.claude", Some(Hold::Refuse)),
            (".claude/settings.json", Some(Hold::Refuse)),
            (".claude/other", None),
            ("venv/.claude", Some(Hold::Report)),
            ("Makefile", Some(Hold::Report)),
            ("a", None),
        ] {
            let names: Vec<&str> = path.split('/').collect();
            assert_eq!(triggers.find_link(&names, b"/x").map(|(_, hold)| hold), hold, "{path}");
        }
    }

    #[test]
    fn a_link_to_a_name_beside_it_is_held_where_its_own_name_counts() {
        let triggers = triggers(vec![
            trigger(".git/modules/**/hooks/**", Hold::Refuse),
            trigger(".claude/settings.json", Hold::Refuse),
        ]);
        for (path, to, held) in [
            (".git/modules/a/tXXXXXX", "testing", false),
            (".git/modules/a", "b", false),
            (".git/modules/a", "../../elsewhere", true),
            (".git/modules/a", "b/", true),
            (".git/modules/a", "..", true),
            (".git/modules/a", ".", true),
            (".git/modules/a", "", true),
            (".git/modules/a/hooks", "b", true),
            (".git/modules/a/hooks/x", "b", true),
            (".git/modules", "b", true),
            (".claude", "b", true),
        ] {
            let names: Vec<&str> = path.split('/').collect();
            assert_eq!(triggers.find_link(&names, to.as_bytes()).is_some(), held, "{path} {to}");
        }
    }

    #[test]
    fn a_link_leads_in_by_any_name_of_what_it_says() {
        let triggers = triggers(Vec::new());
        for (path, to, leads) in [
            ("app", "node_modules/app", true),
            ("app", "../node_modules", true),
            ("app", "/home/me/x/node_modules//a", true),
            ("app", "a/./venv/../b", true),
            ("app", "node_modules_/a", false),
            ("app", "packages/app", false),
            ("node_modules/.bin/x", "../x/cli.js", false),
            ("node_modules/x", "../packages/x", false),
            ("packages/a/node_modules", "../../node_modules", false),
            ("venv/bin/python", "/opt/venv/bin/python", false),
        ] {
            let names: Vec<&str> = path.split('/').collect();
            assert_eq!(triggers.leads_in(&names, to.as_bytes()), leads, "{path} {to}");
        }
    }

    #[test]
    fn a_list_survives_the_encoding() {
        let triggers = triggers(vec![trigger("/.husky/**", Hold::Refuse)]);
        assert_eq!(Triggers::from_bytes(&triggers.to_bytes()), Ok(triggers));
    }
}
