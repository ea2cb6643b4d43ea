//! Which of a session's changes are taken, and why the others are not.

use super::journal::{Action, Step};
use crate::review::change::{Change, Class, RelPath};
use crate::review::tree::{Entry, Kind};
use agentbox_plan::trigger::Hold;
use std::collections::BTreeSet;

/// What the name of a directory for preparing begins with. No session's file of such a name is taken.
pub(super) const STAGING: &str = ".agentbox-apply-";

/// What happens to files that the project has changed as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflicts {
    /// They are named and not touched.
    Leave,
    /// The session's version is taken.
    Theirs,
    /// The project's version stays, and the session's is not shown again.
    Mine,
    /// Both are taken, where both can be had.
    Merge,
}

/// Why a change was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// The project has changed there too.
    Conflict,
    /// The same, and both cannot be had.
    Unmerged(&'static str),
    /// A program on the host acts on it, and it was not named.
    Trigger(String),
    /// A pipe, socket or device.
    Special,
    /// The session left it so that its owner cannot read it.
    Unreadable,
    /// A name that agentbox uses itself.
    Reserved,
    /// It happened while it was being applied.
    JustNow(&'static str),
}

/// A change that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) path: RelPath,
    pub(crate) why: Why,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// In the order in which it is done.
    pub(crate) steps: Vec<Step>,
    pub(crate) left: Vec<Left>,
    /// Trigger files among it.
    pub(crate) triggers: Vec<RelPath>,
    /// What is written in place of what the session left.
    pub(crate) merged: Vec<(RelPath, Vec<u8>)>,
    /// What of the session's is not wanted.
    pub(crate) declined: Vec<(RelPath, Entry)>,
    /// What is to be merged first.
    pub(crate) to_merge: Vec<Change>,
    /// Names that were asked for and are no change.
    pub(crate) unknown: Vec<RelPath>,
}

/// Selects among `changes` what lies within `paths` (everything, when `all`) and the trigger files in
/// `triggers`.
pub(crate) fn select(
    changes: &[Change],
    paths: &[RelPath],
    all: bool,
    triggers: &[RelPath],
    conflicts: Conflicts,
) -> Selection {
    let mut selection = Selection::default();
    let mut taken: Vec<&Change> = Vec::new();
    for change in changes {
        let named = triggers.contains(&change.path);
        let within = all || paths.iter().any(|path| change.path.is_within(path) || came_from(change, path));
        if !named && !within {
            continue;
        }
        let leave = |why| Left { path: change.path.clone(), why };
        match &change.class {
            Class::GitData if !named => continue,
            Class::GitData => {}
            Class::Trigger { hold, actor } => {
                let by_path = *hold == Hold::Report && paths.contains(&change.path) && !is_gits(&change.path);
                if !named && !by_path {
                    selection.left.push(leave(Why::Trigger(actor.clone())));
                    continue;
                }
            }
            Class::Ordinary => {}
        }
        if change.path.as_bytes().starts_with(STAGING.as_bytes()) {
            selection.left.push(leave(Why::Reserved));
            continue;
        }
        if change.after.is_some_and(|after| after.kind == Kind::Special) {
            selection.left.push(leave(Why::Special));
            continue;
        }
        let is_directory = change.after.or(change.before).is_some_and(|entry| entry.kind == Kind::Directory);
        // A directory is stamped by everything that happens in it, and is never replaced as a whole.
        if change.conflict
            && !(is_directory && change.before.is_none_or(|entry| entry.kind == Kind::Directory))
        {
            match conflicts {
                Conflicts::Leave => {
                    selection.left.push(leave(Why::Conflict));
                    continue;
                }
                Conflicts::Mine => {
                    selection.declined.extend(change.after.map(|after| (change.path.clone(), after)));
                    continue;
                }
                Conflicts::Merge => {
                    selection.to_merge.push(change.clone());
                    continue;
                }
                Conflicts::Theirs => {}
            }
        }
        if matches!(change.class, Class::Trigger { .. }) {
            selection.triggers.push(change.path.clone());
        }
        taken.push(change);
    }
    let known =
        |path: &&RelPath| changes.iter().any(|change| change.path.is_within(path) || came_from(change, path));
    selection.unknown = paths.iter().chain(triggers).filter(|path| !known(path)).cloned().collect();
    leave_below_what_stays(changes, &mut taken, conflicts, &mut selection);
    let with_parents = with_parents(changes, &taken);
    selection.steps = steps(&with_parents);
    selection
}

impl Selection {
    /// Takes a content that was made of both versions.
    pub(crate) fn take_merged(&mut self, change: &Change, content: Vec<u8>) {
        let (Some(before), Some(after)) = (change.before, change.after) else { return };
        if matches!(change.class, Class::Trigger { .. }) {
            self.triggers.push(change.path.clone());
        }
        let action = Action::Put { kind: Kind::File, mode: after.mode & 0o777, staged: 0 };
        self.steps.push(Step { path: change.path.clone(), action, expected: Some(before) });
        self.merged.push((change.path.clone(), content));
        // What is there from now on differs from both; the session's alone is not shown any more.
        self.declined.push((change.path.clone(), after));
    }
}

fn came_from(change: &Change, path: &RelPath) -> bool {
    change.renamed_from.as_ref().is_some_and(|from| from.is_within(path))
}

fn is_gits(path: &RelPath) -> bool {
    path.names().iter().any(|name| name.eq_ignore_ascii_case(b".git"))
}

fn makes_directory(change: &Change) -> bool {
    let is_directory = |entry: &Option<Entry>| entry.is_some_and(|entry| entry.kind == Kind::Directory);
    is_directory(&change.after) && !is_directory(&change.before)
}

/// Leaves what lies in a directory that would take the place of a file that stays.
fn leave_below_what_stays(
    changes: &[Change],
    taken: &mut Vec<&Change>,
    conflicts: Conflicts,
    selection: &mut Selection,
) {
    let chosen: BTreeSet<&RelPath> = taken.iter().map(|change| &change.path).collect();
    let stays = |change: &Change| match &change.class {
        Class::Trigger { actor, .. } => Some(Why::Trigger(actor.clone())),
        _ if change.conflict && conflicts != Conflicts::Theirs => Some(Why::Conflict),
        _ => None,
    };
    let replaced = changes.iter().filter(|change| {
        makes_directory(change) && change.before.is_some() && !chosen.contains(&change.path)
    });
    let staying: Vec<(&RelPath, Why)> =
        replaced.filter_map(|change| Some((&change.path, stays(change)?))).collect();
    taken.retain(|change| {
        let above = staying.iter().find(|(path, _)| change.after.is_some() && change.path.is_within(path));
        let Some((_, why)) = above else { return true };
        selection.triggers.retain(|path| *path != change.path);
        selection.left.push(Left { path: change.path.clone(), why: why.clone() });
        false
    });
}

/// The changes, and those that make the directories they lie in.
fn with_parents<'a>(changes: &'a [Change], taken: &[&'a Change]) -> Vec<&'a Change> {
    let chosen: BTreeSet<&RelPath> = taken.iter().map(|change| &change.path).collect();
    let mut needed: BTreeSet<&[u8]> = BTreeSet::new();
    for change in taken.iter().filter(|change| change.after.is_some()) {
        let path = change.path.as_bytes();
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        needed.extend(slashes.map(|(at, _)| &path[..at]));
    }
    let parents = changes.iter().filter(|change| {
        needed.contains(change.path.as_bytes()) && !chosen.contains(&change.path) && makes_directory(change)
    });
    taken.iter().copied().chain(parents).collect()
}

/// The steps that make the project what the session left: first room is made, from the deepest up, then
/// directories, from the top down, then what is in them.
fn steps(changes: &[&Change]) -> Vec<Step> {
    let (mut remove, mut empty, mut make, mut put, mut mode) = (vec![], vec![], vec![], vec![], vec![]);
    for change in changes {
        let step = |path: &RelPath, action, expected| Step { path: path.clone(), action, expected };
        let here = |action, expected| step(&change.path, action, expected);
        if let Some(from) = &change.renamed_from {
            remove.push(step(from, Action::Remove, change.before));
            let Some(after) = change.after else { continue };
            put.push(here(Action::Put { kind: after.kind, mode: after.mode & 0o777, staged: 0 }, None));
            continue;
        }
        let directory = |entry: Entry| entry.kind == Kind::Directory;
        match (change.before, change.after) {
            (Some(before), None) if directory(before) => {
                empty.push(here(Action::RemoveDirectory, Some(before)))
            }
            (Some(before), None) => remove.push(here(Action::Remove, Some(before))),
            (Some(before), Some(after)) if directory(before) && directory(after) => {
                mode.push(here(Action::Mode { mode: after.mode & 0o777 }, Some(before)));
            }
            (before, Some(after)) if directory(after) => {
                remove.extend(before.map(|before| here(Action::Remove, Some(before))));
                make.push(here(Action::MakeDirectory { mode: after.mode & 0o777 }, None));
            }
            (Some(before), Some(after)) if !change.content && before.kind == Kind::File => {
                if (before.mode ^ after.mode) & 0o777 != 0 {
                    mode.push(here(Action::Mode { mode: after.mode & 0o777 }, Some(before)));
                }
            }
            (before, Some(after)) => {
                let before = match before {
                    Some(before) if directory(before) => {
                        empty.push(here(Action::RemoveDirectory, Some(before)));
                        None
                    }
                    before => before,
                };
                put.push(here(Action::Put { kind: after.kind, mode: after.mode & 0o777, staged: 0 }, before));
            }
            (None, None) => {}
        }
    }
    empty.sort_by(|one, other| other.path.cmp(&one.path));
    make.sort_by(|one, other| one.path.cmp(&other.path));
    [remove, empty, make, put, mode].into_iter().flatten().collect()
}
