//! What a session on an overlay of its project did, and taking it into the project.
//!
//! All of this runs as the session's owner and interprets nothing that the session wrote but names, bytes and
//! modes. No git, editor or other program of the owner's is run over it.
//!
//! | file | responsible for |
//! |---|---|
//! | `tree` | looking at and opening what is at a name, in a hostile tree |
//! | `change` | one difference; which paths make a program on the host act |
//! | `hooks` | where git finds hooks by what the project's configuration says |
//! | `compare` | finding the differences |
//! | `renames` | which of them are one thing that moved |
//! | `merge` | one text of two that began as the same |
//! | `repository` | git, without anybody's configuration: files of a commit, commits of a session |
//! | `job`, `owner` | a question as a value, and its answer by a child that is the owner |
//! | `lines`, `show` | differences of texts; how all of it is told |
//! | `remember` | what earlier reviews did; whether the project has changed since |
//! | `apply` | taking changes, whole or not at all |

pub(crate) mod apply;
pub(crate) mod change;
pub(crate) mod compare;
pub(crate) mod hooks;
pub(crate) mod job;
pub(crate) mod lines;
pub(crate) mod merge;
pub(crate) mod owner;
pub(crate) mod remember;
pub(crate) mod renames;
pub(crate) mod repository;
pub(crate) mod show;
pub(crate) mod tree;

use crate::errors::{Failure, reason};
use agentbox_ipc::ReviewAnswer;
use agentbox_plan::SessionId;
use change::{Change, Class, Judge, RelPath};
use compare::{Comparison, Trees};
use remember::Remembered;
use repository::Repository;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// A session's changes, opened.
pub(crate) struct Review {
    pub(crate) id: SessionId,
    pub(crate) facts: ReviewAnswer,
    pub(crate) trees: Trees,
    pub(crate) directory: OwnedFd,
    pub(crate) remembered: Remembered,
    /// Nobody else reviews the session meanwhile.
    _lock: OwnedFd,
}

impl Review {
    /// Opens the project beside what the supervisor handed over.
    pub(crate) fn open(
        facts: ReviewAnswer,
        [upper, merged, directory]: [OwnedFd; 3],
    ) -> Result<Self, Failure> {
        let id = facts
            .set
            .id
            .parse()
            .map_err(|error| Failure::new(format!("the supervisor's answer: {error}")))?;
        let path = &facts.set.project;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let project = rustix::fs::openat2(CWD, path.as_str(), flags, Mode::empty(), how)
            .map_err(|errno| Failure::new(format!("cannot open {path}: {}", reason(&errno.into()))))?;
        let began = (i64::try_from(facts.began_unix_s).unwrap_or(i64::MAX), facts.began_ns);
        let lock = remember::lock(&directory)?;
        let remembered = Remembered::read(&directory, began)?;
        Ok(Self { id, facts, trees: Trees { project, merged, upper }, directory, remembered, _lock: lock })
    }

    /// Finishes an `apply` that was cut off; what became of it, if there was one.
    pub(crate) fn recover(&mut self) -> Result<Option<apply::Outcome>, Failure> {
        let place = apply::Place::new(&self.trees.project, &self.directory, &self.id);
        Ok(apply::recover(&place, &mut self.remembered, &mut || Ok(()))?)
    }

    /// What differs, in the order in which it is told.
    pub(crate) fn changes(&self) -> Result<Comparison, Failure> {
        let triggers =
            agentbox_policy::built_in_triggers().map_err(|error| Failure::new(error.to_string()))?;
        let home = std::env::var_os("HOME");
        let hooks = hooks::Hooks::new(self.facts.set.project.as_bytes(), home.as_deref());
        let judge = Judge::new(triggers.clone()).with_hooks(hooks);
        let mut found = compare::compare(&self.trees, &judge, &self.remembered)?;
        self.mark_what_is_gone(&mut found.changes);
        renames::find(&self.trees, &mut found.changes);
        show::sort(&mut found.changes);
        Ok(found)
    }

    /// Where the project has nothing, what the session left may be new, or something that the person has removed or
    /// renamed since: the layer tells only its kernel which. What was in the commit that the session began with is
    /// the latter.
    fn mark_what_is_gone(&self, changes: &mut [Change]) {
        let Some(commit) = self.facts.base_commit.as_deref() else { return };
        if !changes.iter().any(is_new_file) {
            return;
        }
        let files = Repository::make(self, commit).ok().and_then(|repository| repository.files(commit));
        mark_what_was(changes, &files.unwrap_or_default());
    }

    /// A path as a person writes it: from the project's root, or absolute.
    pub(crate) fn path(&self, text: &OsStr) -> Result<RelPath, Failure> {
        let bytes = text.as_bytes();
        let project = self.facts.set.project.as_bytes();
        let below = bytes.strip_prefix(project).and_then(|rest| rest.strip_prefix(b"/"));
        let bytes = below.unwrap_or(bytes);
        let bytes = bytes.strip_prefix(b"./").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
        RelPath::new(bytes).ok_or_else(|| {
            Failure::new(format!(
                "`{}` is no path in the project\npaths begin at the project's root, as `diff` shows them",
                text.to_string_lossy()
            ))
        })
    }
}

fn is_new_file(change: &Change) -> bool {
    let is_file = change.after.is_some_and(|after| after.kind != tree::Kind::Directory);
    change.before.is_none() && is_file && change.class != Class::GitData
}

/// What is new and was among these files, in order, is a conflict.
fn mark_what_was(changes: &mut [Change], files: &[Vec<u8>]) {
    let was = |change: &Change| files.binary_search_by(|file| file[..].cmp(change.path.as_bytes())).is_ok();
    changes
        .iter_mut()
        .filter(|change| is_new_file(change) && was(change))
        .for_each(|change| change.conflict = true);
}
