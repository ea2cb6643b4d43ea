//! Removes a file or a whole tree, however hostile what is in it.
//!
//! Every step is relative to the descriptor of a directory that was opened without following a link and
//! without crossing a mount, so whatever is exchanged meanwhile, only things below the parent's name are
//! removed. A name that changes from directory to link or back is looked at again, a bounded number of
//! times.

use crate::directory::DirectoryError;
use crate::file::single_name;
use crate::walk;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};

/// Deepest nesting that is held open. Each level holds two descriptors; what lies deeper is moved up first.
const MAX_DEPTH: usize = 128;
/// How often a directory is read again because something was put into it, or a name looked at again
/// because it changed its type.
const MAX_ROUNDS: usize = 32;

/// One directory that is being emptied.
struct Level {
    /// Its name in the level above.
    name: CString,
    /// The directory itself.
    fd: OwnedFd,
    /// Where reading it has got to.
    entries: Dir,
    /// How often it has been read.
    rounds: usize,
}

/// Removes what a name in a directory stands for: a file, a link (not what it leads to) or a directory
/// with all that is in it. Nothing there is fine.
///
/// # Errors
/// [`DirectoryError`] when something remains: a mount in the tree, somebody who keeps filling it. What could
/// be removed before is gone.
pub fn remove_tree(parent: impl AsFd, name: impl AsRef<OsStr>) -> Result<(), DirectoryError> {
    let parent = parent.as_fd();
    let name = single_name(name.as_ref())?;
    let Some(first) = remove_or_enter(parent, &name, FileType::Unknown)? else { return Ok(()) };
    let mut levels = vec![first];
    let mut raised: u64 = 0;
    while let Some(level) = levels.last_mut() {
        match level.entries.read() {
            Some(Ok(entry)) => {
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                if let Some(next) = remove_or_enter(level.fd.as_fd(), name, entry.file_type())? {
                    if levels.len() < MAX_DEPTH {
                        levels.push(next);
                    } else {
                        raised += 1;
                        raise(&mut levels, &next, raised)?;
                    }
                }
            }
            Some(Err(errno)) => {
                return Err(DirectoryError::io("read", walk::shown(&level.fd), errno));
            }
            None => {
                let Some(done) = levels.pop() else { break };
                let above = levels.last().map_or(parent, |level| level.fd.as_fd());
                if let Some(again) = remove_emptied(above, done)? {
                    levels.push(again);
                }
            }
        }
    }
    Ok(())
}

/// Moves a directory that lies too deep to the top of the tree, where it is found when that is read again.
fn raise(levels: &mut [Level], deep: &Level, number: u64) -> Result<(), DirectoryError> {
    let [top, .., holder] = levels else { return Ok(()) };
    // A name that is taken is tried again with the next number: rename(2) would replace an empty directory.
    let name = format!("deep-{number}-{}", rustix::process::getpid().as_raw_nonzero());
    match fs::renameat_with(&holder.fd, &deep.name, &top.fd, &name, fs::RenameFlags::NOREPLACE) {
        // Gone, or taken: whatever is left is met again when its directory is read again.
        Ok(()) | Err(Errno::NOENT | Errno::EXIST) => {}
        Err(errno) => return Err(DirectoryError::io("remove", walk::shown(&deep.fd), errno)),
    }
    // Nobody fills the tree here but this function.
    top.rounds = 0;
    Ok(())
}

/// Removes a directory that was read to its end; gives it back when more is in it by now.
fn remove_emptied(above: BorrowedFd<'_>, mut done: Level) -> Result<Option<Level>, DirectoryError> {
    match fs::unlinkat(above, &done.name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            done.rounds += 1;
            if done.rounds > MAX_ROUNDS {
                return Err(DirectoryError::Busy { path: walk::shown(&done.fd) });
            }
            done.entries.rewind();
            Ok(Some(done))
        }
        // Exchanged for something that is no directory: that something is removed in its place.
        Err(Errno::NOTDIR) => remove_or_enter(above, &done.name, FileType::Unknown),
        Err(Errno::BUSY) => Err(DirectoryError::Mounted { path: walk::shown(&done.fd) }),
        Err(errno) => Err(DirectoryError::io("remove", walk::shown(&done.fd), errno)),
    }
}

/// Removes a name that is no directory's, or opens the directory.
fn remove_or_enter(
    dir: BorrowedFd<'_>,
    name: &CStr,
    hint: FileType,
) -> Result<Option<Level>, DirectoryError> {
    let shown = || walk::shown_in(dir, name.to_bytes());
    let mut looks_like_directory = hint == FileType::Directory;
    for _ in 0..MAX_ROUNDS {
        if !looks_like_directory {
            match fs::unlinkat(dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(None),
                // unlink(2): Linux says EISDIR, POSIX allows EPERM.
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(Errno::BUSY) => return Err(DirectoryError::Mounted { path: shown() }),
                Err(errno) => return Err(DirectoryError::io("remove", shown(), errno)),
            }
        }
        looks_like_directory = false;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        match fs::openat2(dir, name, flags, Mode::empty(), resolve) {
            Ok(fd) => {
                let entries = Dir::read_from(&fd)
                    .map_err(|errno| DirectoryError::io("read", walk::shown(&fd), errno))?;
                return Ok(Some(Level { name: name.to_owned(), fd, entries, rounds: 0 }));
            }
            Err(Errno::NOENT) => return Ok(None),
            // No directory any more, or never one and not to be unlinked: EPERM shows above next round.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::AGAIN) => {}
            Err(Errno::XDEV) => return Err(DirectoryError::Mounted { path: shown() }),
            Err(errno) => return Err(DirectoryError::io("open", shown(), errno)),
        }
    }
    Err(DirectoryError::Busy { path: shown() })
}
