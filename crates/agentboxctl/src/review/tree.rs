//! One directory of a tree that somebody else shaped: what is in it, and opening what is.
//!
//! Everything is relative to a descriptor, one name at a time or beneath only; no symbolic link is followed
//! and no other file system is entered. Nothing that is no regular file is ever opened for reading.

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What is at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A directory.
    Directory,
    /// A pipe, a socket or a device.
    Special,
}

/// What is known of something without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Permission bits, with set-id and sticky.
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) inode: u64,
    /// Seconds and nanoseconds of the last change of it or of what the file system knows about it.
    pub(crate) changed: (i64, u32),
    /// The same of its content.
    pub(crate) modified: (i64, u32),
}

impl Entry {
    /// Whether it is the very thing that was seen before, and what it was.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // A rename stamps `changed`, so that is no part of it here.
        (self.kind, self.inode, self.size, self.modified)
            == (other.kind, other.inode, other.size, other.modified)
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Beneath the directory, through no link, on the same file system.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// What is at a name in a directory; `None` when nothing is.
pub(crate) fn look(directory: impl AsFd, name: &CStr) -> io::Result<Option<Entry>> {
    let wanted = StatxFlags::BASIC_STATS;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match fs::statx(directory, name, flags, wanted) {
        Ok(found) => Ok(Some(entry(&found))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What an open file is.
pub(crate) fn examine(file: impl AsFd) -> io::Result<Entry> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    Ok(entry(&fs::statx(file, c"", flags, StatxFlags::BASIC_STATS)?))
}

fn entry(found: &fs::Statx) -> Entry {
    let kind = match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        FileType::Directory => Kind::Directory,
        _ => Kind::Special,
    };
    Entry {
        kind,
        mode: u32::from(found.stx_mode) & 0o7777,
        size: found.stx_size,
        inode: found.stx_ino,
        changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
        modified: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
    }
}

/// Names in a directory, sorted by bytes; an error when there are more than `most`.
pub(crate) fn names(directory: impl AsFd, most: usize) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        if names.len() >= most {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        names.push(entry.file_name().to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// A directory in another.
pub(crate) fn enter(directory: impl AsFd, name: &CStr) -> io::Result<OwnedFd> {
    Ok(fs::openat2(directory, name, DIRECTORY, Mode::empty(), BENEATH)?)
}

/// A directory by its path below another; an empty path is that one itself.
pub(crate) fn reach(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    Ok(fs::openat2(root, path, DIRECTORY, Mode::empty(), BENEATH)?)
}

/// A regular file in a directory, opened for reading.
pub(crate) fn read(directory: impl AsFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::openat2(directory, name, flags, Mode::empty(), BENEATH)?;
    // Looked at before it was opened, but that was before.
    match examine(&file)?.kind {
        Kind::File => Ok(file),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// What a symbolic link says.
pub(crate) fn link(directory: impl AsFd, name: &CStr) -> io::Result<CString> {
    Ok(fs::readlinkat(directory, name, Vec::new())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_and_no_pipe_is_ever_read() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "x").unwrap();
        symlink("file", place.path().join("link")).unwrap();
        symlink("/etc", place.path().join("out")).unwrap();
        fs::mknodat(File::open(place.path()).unwrap(), "pipe", FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        let root = File::open(place.path()).unwrap();
        assert!(read(&root, c"file").is_ok());
        assert!(read(&root, c"link").is_err() && read(&root, c"pipe").is_err());
        assert!(
            reach(&root, b"out").is_err() && reach(&root, b"..").is_err() && reach(&root, b"/etc").is_err()
        );
        assert_eq!(look(&root, c"pipe").unwrap().unwrap().kind, Kind::Special);
        assert_eq!(look(&root, c"none").unwrap(), None);
        assert_eq!(names(&root, 9).unwrap().len(), 4);
        assert!(names(&root, 3).is_err());
    }
}
