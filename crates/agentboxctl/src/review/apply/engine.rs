//! Preparing, carrying out and taking back the steps of an `apply`.
//!
//! Every step can be taken again after it was taken, and taken back after it was or was not taken: what is
//! at the places says which.

use super::journal::{Action, Direction, Journal, Step};
use super::select::{Left, STAGING, Selection, Why};
use crate::errors::Failure;
use crate::review::change::RelPath;
use crate::review::compare::Trees;
use crate::review::remember::Remembered;
use crate::review::show;
use crate::review::tree::{self, Entry, Kind};
use agentbox_plan::SessionId;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

/// What became of an `apply`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Files and links that were written, directories that were made, modes that were set.
    pub(crate) written: u64,
    /// Names that are gone.
    pub(crate) removed: u64,
    /// What was left as it is, because it changed at that moment.
    pub(crate) left: Vec<Left>,
    /// What an earlier call that was cut off had left to do.
    pub(crate) finished: bool,
}

/// Told before everything that changes something; an error stops there, as a kill would.
pub(crate) type Reached<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Where an `apply` works.
pub(crate) struct Place<'a> {
    project: &'a OwnedFd,
    review: &'a OwnedFd,
    staging: CString,
}

impl<'a> Place<'a> {
    pub(crate) fn new(project: &'a OwnedFd, review: &'a OwnedFd, id: &SessionId) -> Self {
        // An id holds no NUL byte.
        let staging = CString::new(format!("{STAGING}{id}")).unwrap_or_default();
        Self { project, review, staging }
    }
}

/// Why an `apply` came to nothing.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It was cut off, or something failed; nothing is half done, or will be after the next call.
    Failed(io::Error),
    /// A step failed, and all of them were taken back.
    TakenBack(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Errno> for Stopped {
    fn from(error: Errno) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        let (what, error) = match stopped {
            Stopped::Failed(error) => ("the changes could not be applied", error),
            Stopped::TakenBack(error) => ("the changes could not be applied, so all were taken back", error),
        };
        Failure::new(format!(
            "{what}: {}\nthe project is as it was, or the next `apply` or `diff` finishes what was begun",
            crate::errors::reason(&error)
        ))
    }
}

/// Takes the steps.
pub(crate) fn apply(
    place: &Place<'_>,
    trees: &Trees,
    selection: &mut Selection,
    remembered: &mut Remembered,
    reached: Reached<'_>,
) -> Result<Outcome, Stopped> {
    let (steps, merged) = (std::mem::take(&mut selection.steps), std::mem::take(&mut selection.merged));
    let mut outcome = Outcome::default();
    if steps.is_empty() {
        return Ok(outcome);
    }
    reached()?;
    rustix::fs::mkdirat(place.project, &place.staging, Mode::from_raw_mode(0o700))?;
    let steps = match prepare(place, trees, (steps, &merged), &mut outcome, reached) {
        Ok(steps) => steps,
        Err(error) => {
            // Nothing of the project was touched. A kill here is seen by the next call.
            if reached().is_ok() {
                clear(place)?;
            }
            return Err(error.into());
        }
    };
    let journal = Journal::new(steps);
    reached()?;
    if let Err(error) = journal.write(place.review) {
        clear(place)?;
        return Err(error.into());
    }
    finish(place, journal, remembered, outcome, reached)
}

/// Finishes what an earlier call left half done. `None` when there is nothing.
pub(crate) fn recover(
    place: &Place<'_>,
    remembered: &mut Remembered,
    reached: Reached<'_>,
) -> Result<Option<Outcome>, Stopped> {
    match Journal::read(place.review)? {
        Some(journal) => {
            let outcome = Outcome { finished: true, ..Outcome::default() };
            finish(place, journal, remembered, outcome, reached).map(Some)
        }
        None => {
            clear(place)?;
            Ok(None)
        }
    }
}

/// Writes everything that will be there into the directory for it, and leaves out what changed meanwhile.
fn prepare(
    place: &Place<'_>,
    trees: &Trees,
    (steps, merged): (Vec<Step>, &[(RelPath, Vec<u8>)]),
    outcome: &mut Outcome,
    reached: Reached<'_>,
) -> io::Result<Vec<Step>> {
    let staging = tree::enter(place.project, &place.staging)?;
    ignore(&staging)?;
    let mut ready = Vec::with_capacity(steps.len());
    for mut step in steps {
        let number = ready.len();
        if let Action::Put { kind, mode, staged } = &mut step.action {
            reached()?;
            let content = merged.iter().find(|(path, _)| *path == step.path).map(|(_, content)| &content[..]);
            let to = (&staging, new_name(number));
            match copy(&trees.merged, &step.path, content, &to, (*kind, *mode)) {
                Ok(inode) => *staged = inode,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let _nothing_was_prepared = rustix::fs::unlinkat(&staging, &to.1, AtFlags::empty());
                    outcome.left.push(Left { path: step.path, why: Why::Unreadable });
                    continue;
                }
                Err(error) => return Err(at_path(&step.path, &error)),
            }
        }
        let is_expected = match (&step.action, &step.expected) {
            // A directory's stamps change with what is in it.
            (_, Some(expected)) if expected.kind == Kind::Directory => true,
            (_, expected) => match at(place.project, &step.path) {
                Ok(found) => found == *expected || parent_is_to_come(&ready, &step.path),
                Err(_) if parent_is_to_come(&ready, &step.path) => true,
                Err(error) => return Err(at_path(&step.path, &error)),
            },
        };
        if is_expected {
            ready.push(step);
        } else {
            let name = new_name(number);
            let _nothing_was_prepared = rustix::fs::unlinkat(&staging, &name, AtFlags::empty());
            outcome.left.push(Left { path: step.path, why: Why::JustNow("it has just changed") });
        }
    }
    rustix::fs::syncfs(&staging)?;
    Ok(ready)
}

fn at_path(path: &RelPath, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {}", show::name(path), crate::errors::reason(error)))
}

/// Whether the directory of a path is one that an earlier step makes.
fn parent_is_to_come(steps: &[Step], path: &RelPath) -> bool {
    let (directory, _) = path.split();
    steps.iter().any(|step| {
        matches!(step.action, Action::MakeDirectory { .. }) && step.path.as_bytes() == directory
            || step.path == *path && matches!(step.action, Action::Remove | Action::RemoveDirectory)
    })
}

/// Copies a file or link of the session, or writes what was made of it; the inode of that.
fn copy(
    merged: &OwnedFd,
    path: &RelPath,
    content: Option<&[u8]>,
    (staging, to): &(&OwnedFd, CString),
    (kind, mode): (Kind, u32),
) -> io::Result<u64> {
    let (directory, name) = path.split();
    let directory = tree::reach(merged, directory)?;
    if kind == Kind::Link {
        rustix::fs::symlinkat(tree::link(&directory, &name)?, staging, to)?;
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(staging, to, flags, Mode::from_raw_mode(0o600))?);
        match content {
            Some(content) => file.write_all(content)?,
            None => {
                io::copy(&mut File::from(tree::read(&directory, &name)?), &mut file)?;
            }
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    }
    let made = tree::look(staging, to)?.ok_or(io::ErrorKind::NotFound)?;
    Ok(made.inode)
}

/// From the journal on: all steps, or all of them taken back.
fn finish(
    place: &Place<'_>,
    mut journal: Journal,
    remembered: &mut Remembered,
    mut outcome: Outcome,
    reached: Reached<'_>,
) -> Result<Outcome, Stopped> {
    let staging = match tree::enter(place.project, &place.staging) {
        Ok(staging) => staging,
        Err(error) if is_missing(&error) => return lost(place, &journal, remembered, outcome, reached),
        Err(error) => return Err(error.into()),
    };
    let (mut failure, mut taken) = (None, 0);
    if journal.direction == Direction::Forward {
        for (number, step) in journal.steps.iter().enumerate() {
            reached()?;
            match forward(place.project, &staging, number, step) {
                Ok(Taken::Done) if matches!(step.action, Action::Remove | Action::RemoveDirectory) => {
                    outcome.removed += 1;
                }
                Ok(Taken::Done) => outcome.written += 1,
                Ok(Taken::Left(why)) => {
                    outcome.left.push(Left { path: step.path.clone(), why: Why::JustNow(why) });
                }
                Err(error) => {
                    // A step that fails has changed nothing.
                    failure = Some(at_path(&step.path, &error));
                    break;
                }
            }
            taken = number + 1;
        }
    }
    if failure.is_some() || journal.direction == Direction::Back {
        if journal.direction == Direction::Forward {
            journal.direction = Direction::Back;
            journal.begun = taken;
            // On a full disk this can fail; a call after a kill then tries the steps again, and fails again.
            let _written = journal.write(place.review);
        }
        let mut stuck = None;
        for (number, step) in journal.steps.iter().enumerate().take(journal.begun).rev() {
            reached()?;
            // What can be put back is, whatever stands in the way of another.
            if let Err(error) = back(place.project, &staging, number, step) {
                stuck = Some(at_path(&step.path, &error));
            }
        }
        if let Some(error) = stuck {
            return Err(error.into());
        }
    }
    rustix::fs::syncfs(&staging)?;
    drop(staging);
    reached()?;
    if journal.direction == Direction::Forward {
        remember(place, &journal, remembered, &outcome)?;
    }
    reached()?;
    Journal::remove(place.review)?;
    reached()?;
    clear(place)?;
    match failure {
        Some(error) => Err(Stopped::TakenBack(error)),
        None if journal.direction == Direction::Back => {
            Err(Stopped::TakenBack(io::Error::other("an earlier `apply` could not go on")))
        }
        None => Ok(outcome),
    }
}

/// Remembers what is in the project now.
fn remember(
    place: &Place<'_>,
    journal: &Journal,
    remembered: &mut Remembered,
    outcome: &Outcome,
) -> io::Result<()> {
    let now = |step: &Step| Some((step.path.clone(), at(place.project, &step.path).ok()??));
    let lasting = |step: &&Step| matches!(step.action, Action::Put { .. } | Action::Mode { .. });
    let left = |step: &&Step| !outcome.left.iter().any(|left| left.path == step.path);
    let applied = journal.steps.iter().filter(lasting).filter(left).filter_map(now).collect();
    remembered.add(place.review, applied, Vec::new())
}

/// Ends what can neither go on nor be taken back, because somebody removed what was prepared: what was done
/// stays, and the rest is named.
fn lost(
    place: &Place<'_>,
    journal: &Journal,
    remembered: &mut Remembered,
    mut outcome: Outcome,
    reached: Reached<'_>,
) -> Result<Outcome, Stopped> {
    for step in &journal.steps {
        // What cannot be reached was not done.
        let found = at(place.project, &step.path).ok();
        let is_done = found.is_some_and(|found| match (&step.action, found) {
            (Action::Remove, Some(found)) => !step.expected.is_some_and(|expected| found.is_same(&expected)),
            (Action::RemoveDirectory, Some(found)) => found.kind != Kind::Directory,
            (Action::Remove | Action::RemoveDirectory, None) => true,
            (Action::MakeDirectory { .. }, Some(found)) => found.kind == Kind::Directory,
            (Action::Put { staged, .. }, Some(found)) => found.inode == *staged,
            (Action::Mode { mode }, Some(found)) => found.mode & 0o777 == *mode,
            (_, None) => false,
        });
        match step.action {
            _ if !is_done => {
                outcome.left.push(Left { path: step.path.clone(), why: Why::JustNow(PREPARED_IS_GONE) });
            }
            Action::Remove | Action::RemoveDirectory => outcome.removed += 1,
            _ => outcome.written += 1,
        }
    }
    reached()?;
    remember(place, journal, remembered, &outcome)?;
    reached()?;
    Journal::remove(place.review)?;
    Ok(outcome)
}

enum Taken {
    Done,
    /// Somebody else changed the place at that moment.
    Left(&'static str),
}

const CHANGED: &str = "it changed at that moment";
const PREPARED_IS_GONE: &str =
    "what an `apply` that was cut off had prepared for it has been removed from the project";

/// Takes a step, or finds that it was taken.
fn forward(project: &OwnedFd, staging: &OwnedFd, number: usize, step: &Step) -> io::Result<Taken> {
    let (directory, name) = step.path.split();
    let (new, old) = (new_name(number), old_name(number));
    if step.action == Action::Remove && is_expected(staging, &old, step)? {
        return Ok(Taken::Done);
    }
    let parent = match tree::reach(project, directory) {
        Ok(parent) => parent,
        Err(error) if is_missing(&error) => return Ok(Taken::Left("its directory is gone")),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            return Ok(Taken::Left("a directory on the way has become a symbolic link"));
        }
        Err(error) => return Err(error),
    };
    match &step.action {
        Action::Remove => {
            // One that lies there already was taken and not yet looked at.
            if tree::look(staging, &old)?.is_none() {
                match rustix::fs::renameat_with(&parent, &name, staging, &old, RenameFlags::NOREPLACE) {
                    Ok(()) => {}
                    Err(Errno::NOENT) => return Ok(Taken::Done),
                    Err(errno) => return Err(errno.into()),
                }
            }
            if is_expected(staging, &old, step)? {
                return Ok(Taken::Done);
            }
            rustix::fs::renameat_with(staging, &old, &parent, &name, RenameFlags::NOREPLACE)?;
            Ok(Taken::Left(CHANGED))
        }
        Action::RemoveDirectory => match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(Taken::Done),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Taken::Left("it is not empty")),
            Err(Errno::NOTDIR) => Ok(Taken::Left(CHANGED)),
            Err(errno) => Err(errno.into()),
        },
        Action::MakeDirectory { mode } => make_directory(staging, &new, *mode, &parent, &name),
        Action::Put { staged, .. } => put(staging, &new, *staged, &parent, &name, step),
        Action::Mode { mode } => set_mode(&parent, &name, step.expected.as_ref(), *mode),
    }
}

fn put(
    staging: &OwnedFd,
    new: &CStr,
    staged: u64,
    parent: &OwnedFd,
    name: &CStr,
    step: &Step,
) -> io::Result<Taken> {
    match tree::look(staging, new)? {
        Some(found) if found.inode == staged => {}
        // It is at its place already, and here is what was there before.
        Some(_) => return look_at_old(staging, new, parent, name, step),
        None => match tree::look(parent, name)? {
            Some(found) if found.inode == staged => return Ok(Taken::Done),
            _ => return Ok(Taken::Left(PREPARED_IS_GONE)),
        },
    }
    keep_group(staging, new, parent)?;
    if step.expected.is_none() {
        return match rustix::fs::renameat_with(staging, new, parent, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Taken::Done),
            Err(Errno::EXIST) => Ok(Taken::Left("something else is there by now")),
            Err(errno) => Err(errno.into()),
        };
    }
    match rustix::fs::renameat_with(staging, new, parent, name, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(Taken::Left("it was removed at that moment")),
        Err(errno) => return Err(errno.into()),
    }
    look_at_old(staging, new, parent, name, step)
}

/// Whether what came out is what was expected; it is put back where it is not.
fn look_at_old(
    staging: &OwnedFd,
    new: &CStr,
    parent: &OwnedFd,
    name: &CStr,
    step: &Step,
) -> io::Result<Taken> {
    if is_expected(staging, new, step)? {
        return Ok(Taken::Done);
    }
    rustix::fs::renameat_with(staging, new, parent, name, RenameFlags::EXCHANGE)?;
    Ok(Taken::Left(CHANGED))
}

/// Made where nobody looks, so that it appears with its mode.
fn make_directory(
    staging: &OwnedFd,
    new: &CStr,
    mode: u32,
    parent: &OwnedFd,
    name: &CStr,
) -> io::Result<Taken> {
    match rustix::fs::mkdirat(staging, new, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    keep_group(staging, new, parent)?;
    // What is made in a directory that passes its group on does so too.
    let passes_on = rustix::fs::fstat(parent)?.st_mode & 0o2000;
    rustix::fs::fchmod(tree::enter(staging, new)?, Mode::from_raw_mode(mode | passes_on))?;
    match rustix::fs::renameat_with(staging, new, parent, name, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(Taken::Done),
        Err(Errno::EXIST) => match tree::look(parent, name)? {
            Some(found) if found.kind == Kind::Directory => Ok(Taken::Done),
            _ => Ok(Taken::Left("something else is there")),
        },
        Err(errno) => Err(errno.into()),
    }
}

/// In a directory that passes its group on, what was prepared elsewhere gets that group too.
fn keep_group(staging: &OwnedFd, new: &CStr, parent: &OwnedFd) -> io::Result<()> {
    let directory = rustix::fs::fstat(parent)?;
    if directory.st_mode & 0o2000 != 0 {
        let group = Some(Gid::from_raw(directory.st_gid));
        // One that the person is not in stays theirs, as it would for a program of theirs.
        let _other_group = rustix::fs::chownat(staging, new, None, group, AtFlags::SYMLINK_NOFOLLOW);
    }
    Ok(())
}

fn set_mode(parent: &OwnedFd, name: &CStr, expected: Option<&Entry>, mode: u32) -> io::Result<Taken> {
    let file = match tree::look(parent, name)? {
        Some(found) if found.kind == Kind::Directory => tree::enter(parent, name)?,
        Some(found) if found.kind == Kind::File => tree::read(parent, name)?,
        _ => return Ok(Taken::Left("something else is there")),
    };
    let found = tree::examine(&file)?;
    let is_it = expected.is_some_and(|expected| found.kind == Kind::Directory || found.is_same(expected));
    if !is_it {
        return Ok(Taken::Left(CHANGED));
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(Taken::Done)
}

/// Takes a step back, or finds that it was not taken.
fn back(project: &OwnedFd, staging: &OwnedFd, number: usize, step: &Step) -> io::Result<()> {
    let (directory, name) = step.path.split();
    let (new, old) = (new_name(number), old_name(number));
    let parent = match tree::reach(project, directory) {
        Ok(parent) => parent,
        // Nothing was done where nothing can be; but what was taken from there is not thrown away.
        Err(error) if is_missing(&error) || Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            return match tree::look(staging, &old)? {
                None => Ok(()),
                Some(_) => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    let result = match (&step.action, &step.expected) {
        (Action::Remove, _) => match tree::look(staging, &old)? {
            Some(_) => rustix::fs::renameat_with(staging, &old, &parent, &name, RenameFlags::NOREPLACE),
            None => Ok(()),
        },
        (Action::RemoveDirectory, expected) => {
            let mode = expected.map_or(0o755, |expected| expected.mode & 0o777);
            match rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(mode)) {
                Ok(()) => rustix::fs::fchmod(tree::enter(&parent, &name)?, Mode::from_raw_mode(mode)),
                other => other,
            }
        }
        (Action::MakeDirectory { .. }, _) => rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR),
        (Action::Put { staged, .. }, expected) => {
            let here = tree::look(&parent, &name)?.map(|found| found.inode);
            match (here == Some(*staged), expected) {
                (false, _) => Ok(()),
                (true, None) => {
                    rustix::fs::renameat_with(&parent, &name, staging, &new, RenameFlags::NOREPLACE)
                }
                (true, Some(_)) => {
                    rustix::fs::renameat_with(staging, &new, &parent, &name, RenameFlags::EXCHANGE)
                }
            }
        }
        (Action::Mode { .. }, Some(expected)) => {
            set_mode(&parent, &name, Some(expected), expected.mode & 0o777)?;
            Ok(())
        }
        (Action::Mode { .. }, None) => Ok(()),
    };
    match result {
        // Somebody else has put something there, or keeps something in it: theirs stays.
        Ok(()) | Err(Errno::EXIST | Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn is_expected(staging: &OwnedFd, name: &CStr, step: &Step) -> io::Result<bool> {
    let found = tree::look(staging, name)?;
    Ok(matches!((found, &step.expected), (Some(found), Some(expected)) if found.is_same(expected)))
}

/// What the project has at a path.
fn at(project: &OwnedFd, path: &RelPath) -> io::Result<Option<Entry>> {
    let (directory, name) = path.split();
    match tree::reach(project, directory) {
        Ok(parent) => tree::look(&parent, &name),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR))
}

fn new_name(number: usize) -> CString {
    CString::new(format!("new-{number}")).unwrap_or_default()
}

fn old_name(number: usize) -> CString {
    CString::new(format!("old-{number}")).unwrap_or_default()
}

const IGNORE: &CStr = c".gitignore";

/// Says to git that nothing in there is anybody's, so that `git clean` leaves it alone.
fn ignore(staging: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(staging, IGNORE, flags, Mode::from_raw_mode(0o600))?;
    File::from(file).write_all(b"*\n")
}

/// Removes the directory of what was prepared. Files, links and empty directories are in it.
fn clear(place: &Place<'_>) -> io::Result<()> {
    let staging = match tree::enter(place.project, &place.staging) {
        Ok(staging) => staging,
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut names = tree::names(staging.as_fd(), usize::MAX)?;
    // Last of all, so that what a kill leaves is still no work of anybody's to git.
    names.sort_by_key(|name| **name == *IGNORE);
    for name in names {
        match rustix::fs::unlinkat(&staging, &name, AtFlags::empty()) {
            // unlink(2) of a directory: EISDIR, and EPERM by POSIX.
            Err(Errno::ISDIR | Errno::PERM) => rustix::fs::unlinkat(&staging, &name, AtFlags::REMOVEDIR)?,
            result => result?,
        }
    }
    Ok(rustix::fs::unlinkat(place.project, &place.staging, AtFlags::REMOVEDIR)?)
}
