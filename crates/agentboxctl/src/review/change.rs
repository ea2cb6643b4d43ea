//! What differs between a project and the way a session left it.

use super::hooks::Hooks;
use super::tree::{Entry, Kind};
use agentbox_plan::glob::{GlobName, PathGlob};
use agentbox_plan::trigger::{Hold, Triggers};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

/// A path below the project's root: names with `/` between them, as bytes. Never empty, never absolute, no
/// `.` and no `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub(crate) struct RelPath(Vec<u8>);

impl RelPath {
    /// A path as a person or a journal writes it.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let fits = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        bytes.split(|byte| *byte == b'/').all(fits).then(|| Self(bytes.to_vec()))
    }

    /// A name in a directory, which is the root where it is empty.
    pub(crate) fn join(directory: &[u8], name: &[u8]) -> Self {
        let mut path = directory.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self(path)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its names, from the root on.
    pub(crate) fn names(&self) -> Vec<&[u8]> {
        self.0.split(|byte| *byte == b'/').collect()
    }

    /// Path of its directory, empty for the root; and its last name.
    pub(crate) fn split(&self) -> (&[u8], CString) {
        let at = self.0.iter().rposition(|byte| *byte == b'/');
        let (directory, name) = at.map_or((&b""[..], &self.0[..]), |at| (&self.0[..at], &self.0[at + 1..]));
        // No name holds a NUL byte, whoever made the path.
        (directory, CString::new(name).unwrap_or_default())
    }

    /// Whether it is this one or lies below it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(&other.0[..]);
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// As text, with what is no text replaced. Not yet escaped.
    pub(crate) fn text(&self) -> String {
        OsStr::from_bytes(&self.0).to_string_lossy().into_owned()
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(output)
    }
}

/// What kind of a path it is to the host's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Class {
    /// An ordinary one.
    Ordinary,
    /// It makes a program on the host act later.
    Trigger {
        /// How it is held where a session works on the project directly.
        hold: Hold,
        /// Which program.
        actor: String,
    },
    /// git's own data, which travels as commits.
    GitData,
}

impl Class {
    /// The strictest first; so it is told.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Trigger { hold: Hold::Refuse, .. } => 0,
            Self::Trigger { hold: Hold::Judge, .. } => 1,
            Self::Trigger { hold: Hold::Report, .. } => 2,
            Self::Ordinary => 3,
            Self::GitData => 4,
        }
    }
}

/// One difference.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) path: RelPath,
    /// What the project has there.
    pub(crate) before: Option<Entry>,
    /// What the session left there.
    pub(crate) after: Option<Entry>,
    /// Whether what is in it differs, and not its permission bits alone.
    pub(crate) content: bool,
    pub(crate) class: Class,
    /// Where the session took it from.
    pub(crate) renamed_from: Option<RelPath>,
    /// The project has changed there since the session began, or since it was last applied.
    pub(crate) conflict: bool,
}

/// What a change is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Added,
    Removed,
    Modified,
    /// Only its permission bits.
    Mode,
    /// Another kind of thing is there.
    Replaced,
    Renamed,
}

impl Change {
    pub(crate) fn what(&self) -> What {
        match (&self.before, &self.after) {
            _ if self.renamed_from.is_some() => What::Renamed,
            (None, _) => What::Added,
            (_, None) => What::Removed,
            (Some(before), Some(after)) if before.kind != after.kind => What::Replaced,
            _ if !self.content => What::Mode,
            _ => What::Modified,
        }
    }

    /// The kind of what is or was there.
    pub(crate) fn kind(&self) -> Kind {
        self.after.or(self.before).map_or(Kind::Special, |entry| entry.kind)
    }
}

/// Judges paths by the list of trigger files.
#[derive(Debug)]
pub(crate) struct Judge {
    triggers: Triggers,
    /// Where git finds hooks in the project.
    pub(crate) hooks: Hooks,
}

impl Judge {
    pub(crate) fn new(triggers: Triggers) -> Self {
        Self { triggers, hooks: Hooks::default() }
    }

    /// The same, where git finds hooks in directories of the project as well.
    pub(crate) fn with_hooks(self, hooks: Hooks) -> Self {
        Self { hooks, ..self }
    }

    /// What kind of a path it is, for what was and for what is there: the stricter of both. What is a hook is known
    /// only when everything was looked at.
    pub(crate) fn strictest(
        &self,
        path: &RelPath,
        entries: [Option<Entry>; 2],
        git_directory: Option<usize>,
    ) -> Class {
        let classes = entries.into_iter().flatten().map(|entry| self.class(path, entry.kind, git_directory));
        classes.min_by_key(Class::rank).unwrap_or(Class::Ordinary)
    }

    /// What a hook is.
    pub(crate) fn of_hook(&self) -> Option<Class> {
        let trigger = self.triggers.of_hook()?;
        Some(Class::Trigger { hold: trigger.hold, actor: trigger.actor.clone() })
    }

    /// What kind of a path it is, for a thing of this kind. Where it lies in a directory that git takes for its own,
    /// whatever that is called, `git_directory` is the number of names that lead there.
    pub(crate) fn class(&self, path: &RelPath, kind: Kind, git_directory: Option<usize>) -> Class {
        let names = path.names();
        let class = self.class_of(&names, kind);
        let is_called = names.iter().any(|name| name.eq_ignore_ascii_case(b".git"));
        let Some(depth) = git_directory.filter(|_| !is_called) else { return class };
        let names: Vec<&[u8]> = std::iter::once(b".git".as_slice()).chain(names[depth..].to_vec()).collect();
        match (class, self.class_of(&names, kind)) {
            (Class::Ordinary, Class::GitData) if names.len() == 2 && kind != Kind::Directory => {
                // What makes it one (HEAD), and what lies beside: nobody expects it there, so it is shown.
                Class::Trigger { hold: Hold::Refuse, actor: "git".to_owned() }
            }
            (Class::Trigger { hold, actor }, Class::Trigger { hold: other, .. }) if hold <= other => {
                Class::Trigger { hold, actor }
            }
            (class @ Class::Trigger { .. }, Class::GitData | Class::Ordinary) => class,
            (_, class) => class,
        }
    }

    fn class_of(&self, names: &[&[u8]], kind: Kind) -> Class {
        if let Some(trigger) = self.triggers.find(names).filter(|_| kind != Kind::Directory) {
            return Class::Trigger { hold: trigger.hold, actor: trigger.actor.clone() };
        }
        // A link in the place of a directory puts trigger files where the list does not see them.
        if kind != Kind::Directory {
            let through = self.triggers.all.iter().filter(|trigger| leads_into(&trigger.pattern, names));
            if let Some(trigger) = through.min_by_key(|trigger| trigger.hold) {
                return Class::Trigger { hold: trigger.hold, actor: trigger.actor.clone() };
            }
        }
        if names.iter().any(|name| name.eq_ignore_ascii_case(b".git")) {
            return Class::GitData;
        }
        Class::Ordinary
    }
}

/// Whether git takes a directory with these names in it for its own (gitrepository-layout(5)), by what may be there
/// once some of the changes were taken: names of the project and names of the session count alike.
pub(crate) fn is_git_directory<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let parts: BTreeSet<&[u8]> = names.into_iter().collect();
    let has = |name: &str| parts.contains(name.as_bytes());
    has("HEAD") && (has("commondir") || has("objects") && has("refs"))
}

/// Whether a pattern would go on below this path with a name of its own in it: `.claude` for
/// `.claude/settings.json`.
fn leads_into(pattern: &PathGlob, path: &[&[u8]]) -> bool {
    let names = pattern.names();
    (1..names.len()).any(|taken| {
        let begin = path.len().checked_sub(taken);
        let Some(begin) = begin.filter(|begin| !pattern.is_anchored() || *begin == 0) else { return false };
        // A `**` alone stands for every name, which would make every link one.
        let named = names[..taken].iter().any(|name| *name != GlobName::Deep);
        named && names[..taken].iter().zip(&path[begin..]).all(|(name, part)| name.matches(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::tree;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn paths_lie_below_the_project() {
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b"] {
            assert!(RelPath::new(bad.as_bytes()).is_none(), "{bad:?}");
        }
        let deep = path("a/b/c");
        assert_eq!(deep.split(), (&b"a/b"[..], c"c".into()));
        assert_eq!(path("a").split(), (&b""[..], c"a".into()));
        assert!(deep.is_within(&path("a")) && deep.is_within(&deep) && !path("ab").is_within(&path("a")));
    }

    #[test]
    fn links_in_the_place_of_trigger_directories_are_triggers() {
        let judge = Judge::new(agentbox_policy::built_in_triggers().unwrap().clone());
        let hold = |text: &str, kind| match judge.class(&path(text), kind, None) {
            Class::Trigger { hold, .. } => Some(hold),
            _ => None,
        };
        assert_eq!(hold(".claude", Kind::Link), Some(Hold::Refuse));
        assert_eq!(hold("sub/.husky", Kind::Link), Some(Hold::Refuse));
        assert_eq!(hold(".git/hooks", Kind::Link), Some(Hold::Refuse));
        assert_eq!(hold(".claude/settings.json", Kind::File), Some(Hold::Refuse));
        assert_eq!(hold(".claude", Kind::Directory), None);
        assert_eq!(hold("src/main.rs", Kind::File), None);
        assert_eq!(hold("src/link", Kind::Link), None);
        assert_eq!(judge.class(&path(".git/objects/aa"), Kind::File, None), Class::GitData);
        assert_eq!(judge.class(&path("x/.GIT/config"), Kind::File, None), Class::GitData);
    }

    #[test]
    fn a_git_directory_of_any_name_is_taken_by_name_only() {
        let judge = Judge::new(agentbox_policy::built_in_triggers().unwrap().clone());
        let class = |text: &str, kind| judge.class(&path(text), kind, Some(2));
        let trigger = |hold| Class::Trigger { hold, actor: "git".to_owned() };
        for (text, kind, found) in [
            ("a/docs/HEAD", Kind::File, trigger(Hold::Refuse)),
            ("a/docs/index", Kind::File, trigger(Hold::Refuse)),
            ("a/docs/objects", Kind::Link, trigger(Hold::Refuse)),
            ("a/docs/config", Kind::File, trigger(Hold::Judge)),
            ("a/docs/hooks/pre-commit", Kind::File, trigger(Hold::Refuse)),
            ("a/docs/hooks", Kind::Link, trigger(Hold::Refuse)),
            ("a/docs/objects", Kind::Directory, Class::GitData),
            ("a/docs/objects/aa/bb", Kind::File, Class::GitData),
            ("a/docs/refs/heads/main", Kind::File, Class::GitData),
            ("a/docs/.git/index", Kind::File, Class::GitData),
        ] {
            assert_eq!(class(text, kind), found, "{text}");
        }
        assert!(matches!(class("a/docs/x/.envrc", Kind::File), Class::Trigger { hold: Hold::Refuse, .. }));
        let is = |names: &[&str]| is_git_directory(names.iter().map(|name| name.as_bytes()));
        assert!(is(&["HEAD", "objects", "refs"]) && is(&["HEAD", "commondir", "x"]));
        assert!(!is(&["objects", "refs", "config"]) && !is(&["HEAD", "objects"]) && !is(&["commondir"]));
    }

    #[test]
    fn hooks_in_the_project_are_triggers_and_what_lies_beside_is_not() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        let entry = tree::examine(std::fs::File::open(dir.path()).unwrap()).unwrap();
        let is = |at: &str, text: &str, kind| {
            std::fs::write(dir.path().join(".git/config"), format!("[core]\nhooksPath = {at}\n")).unwrap();
            let mut hooks = Hooks::new(b"/p", None);
            hooks.read(&std::fs::File::open(dir.path()).unwrap().into(), b"");
            hooks.is_one(&path(text), [None, Some(Entry { kind, ..entry })])
        };
        for (text, kind) in [
            ("tools/hooks/pre-commit", Kind::File),
            ("tools/hooks/update", Kind::Link),
            ("tools/hooks", Kind::Link),
            ("tools", Kind::Link),
        ] {
            assert!(is("tools/hooks", text, kind), "{text}");
        }
        for (text, kind) in [
            ("tools/hooks/helper", Kind::File),
            ("tools/hooks/x/pre-commit", Kind::File),
            ("tools/pre-commit", Kind::File),
            ("tools/hooks", Kind::Directory),
            ("tools/other", Kind::Link),
        ] {
            assert!(!is("tools/hooks", text, kind), "{text}");
        }
        assert!(is(".", "post-checkout", Kind::File) && !is(".", "src", Kind::Link));
    }
}
