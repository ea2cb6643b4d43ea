//! Files and directories that are read whole, with the right of whoever named them, and copied for a session:
//! what was judged is what the session sees, whatever becomes of the original meanwhile.

use crate::directory::{self, DirectoryError};
use crate::source::{self, Opened, Opener, SourceError};
use crate::walk;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

const MAX_FILES: usize = 2048;
const MAX_BYTES: u64 = 16 << 20;
/// Each level is an open descriptor.
const MAX_DEPTH: usize = 16;
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path below the top; empty for a top that is a file.
    pub path: String,
    /// Whether it can be executed.
    pub program: bool,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Why a tree is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinnedError {
    /// It cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A call failed.
    #[error("{path}: {cause}")]
    Io {
        /// What for.
        path: String,
        /// What the kernel said.
        cause: std::io::Error,
    },
    /// Something that is not copied.
    #[error("{path} {what}")]
    Refused {
        /// What.
        path: String,
        /// Why not.
        what: String,
    },
}

/// Reads a file, or a directory with all that is in it, in the order of paths.
///
/// # Errors
/// [`PinnedError`]: it cannot be read by whoever names it, is too large, or holds links or devices.
pub fn read(path: &str, by: &Opener) -> Result<Vec<Entry>, PinnedError> {
    let opened = source::open_wanted(path, by, source::Kind::Behind)?;
    let mut reading = Reading { entries: Vec::new(), bytes: 0 };
    let whole = |reading: &mut Reading| match &opened {
        Opened::File(file) => reading.file(file.as_fd(), String::new()),
        Opened::Directory(top) => reading.directory(top.as_fd(), "", 1),
        Opened::Missing => Err(refused(path, "is not there")),
        _ => Err(refused(path, "is neither a file nor a directory")),
    };
    match by {
        Opener::System => whole(&mut reading)?,
        Opener::Person { uid, gid, groups } => {
            let read = source::with_rights(*uid, *gid, groups, || whole(&mut reading));
            read.map_err(|cause| PinnedError::Io { path: path.to_owned(), cause })??;
        }
    }
    reading.entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(reading.entries)
}

struct Reading {
    entries: Vec<Entry>,
    bytes: u64,
}

impl Reading {
    fn file(&mut self, file: impl AsFd, path: String) -> Result<(), PinnedError> {
        let io = |cause| PinnedError::Io { path: shown(&path), cause };
        if self.entries.len() >= MAX_FILES {
            return Err(refused(&path, &format!("is one of more than {MAX_FILES} files")));
        }
        // Through the descriptor it is the file that was looked at; reading proves the right to.
        let again = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::open(again, flags, Mode::empty()).map_err(|errno| io(errno.into()))?;
        let stat = fs::fstat(&file).map_err(|errno| io(errno.into()))?;
        let mut content = Vec::new();
        let left = MAX_BYTES - self.bytes;
        File::from(file).take(left + 1).read_to_end(&mut content).map_err(io)?;
        if content.len() as u64 > left {
            return Err(refused(&path, &format!("is too large: {} MiB are copied at most", MAX_BYTES >> 20)));
        }
        self.bytes += content.len() as u64;
        self.entries.push(Entry { path, program: stat.st_mode & 0o100 != 0, content });
        Ok(())
    }

    fn directory(&mut self, directory: impl AsFd, above: &str, depth: usize) -> Result<(), PinnedError> {
        let io = |errno: Errno| PinnedError::Io { path: shown(above), cause: errno.into() };
        if depth > MAX_DEPTH {
            return Err(refused(above, "is nested too deep"));
        }
        // The top is O_PATH, from which nothing is listed.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = fs::openat2(&directory, ".", flags, Mode::empty(), BENEATH).map_err(io)?;
        for entry in Dir::read_from(&directory).map_err(io)? {
            let name = entry.map_err(io)?.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let text = name.to_str().map_err(|_| refused(above, "holds a name that is not UTF-8"))?;
            let path = if above.is_empty() { text.to_owned() } else { format!("{above}/{text}") };
            if text.chars().any(char::is_control) {
                return Err(refused(&path, "has a name with control characters"));
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = fs::openat2(&directory, &name, flags, Mode::empty(), BENEATH);
            let found = match found {
                Err(Errno::LOOP) => return Err(refused(&path, "is a symbolic link, which is not copied")),
                found => found.map_err(io)?,
            };
            let stat = fs::fstat(&found).map_err(io)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => self.directory(&found, &path, depth + 1)?,
                FileType::RegularFile => self.file(&found, path)?,
                _ => return Err(refused(&path, &format!("is a {}", walk::type_name(stat.st_mode)))),
            }
        }
        Ok(())
    }
}

fn refused(path: &str, what: &str) -> PinnedError {
    PinnedError::Refused { path: shown(path), what: what.to_owned() }
}

fn shown(path: &str) -> String {
    if path.is_empty() { "it".to_owned() } else { path.escape_debug().to_string() }
}

/// Copies a tree into a directory of root's under this name: root's, readable for all. Returns it, `O_PATH`.
///
/// # Errors
/// [`DirectoryError`] when it cannot be made.
pub fn copy(directory: impl AsFd, name: &str, entries: &[Entry]) -> Result<OwnedFd, DirectoryError> {
    let failed = |errno: Errno| DirectoryError::io("copy", name, errno);
    match entries {
        [Entry { path, program, content }] if path.is_empty() => {
            let mode = if *program { 0o555 } else { 0o444 };
            directory::write_atomic(&directory, name, content, mode, false)?;
        }
        entries => {
            let top = make(directory.as_fd(), name)?;
            for entry in entries {
                let mut here = top.try_clone().map_err(|cause| DirectoryError::io("copy", name, cause))?;
                let (above, last) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
                for part in above.split('/').filter(|part| !part.is_empty()) {
                    here = make(here.as_fd(), part)?;
                }
                let mode = Mode::from_raw_mode(if entry.program { 0o555 } else { 0o444 });
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = fs::openat2(&here, last, flags, mode, BENEATH).map_err(failed)?;
                fs::fchmod(&file, mode).map_err(failed)?;
                let written = File::from(file).write_all(&entry.content);
                written.map_err(|cause| DirectoryError::io("copy", name, cause))?;
            }
        }
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(&directory, name, flags, Mode::empty()).map_err(failed)
}

/// A directory in another, made where it is missing, mode 0755 whatever the umask.
fn make(parent: impl AsFd, name: &str) -> Result<OwnedFd, DirectoryError> {
    let failed = |errno: Errno| DirectoryError::io("make", name, errno);
    let name = CString::new(name).map_err(|_| DirectoryError::Name(name.to_owned()))?;
    let made = match fs::mkdirat(&parent, &name, Mode::from_raw_mode(0o755)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(failed(errno)),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = fs::openat2(&parent, &name, flags, Mode::empty(), BENEATH).map_err(failed)?;
    if made {
        fs::fchmod(&directory, Mode::from_raw_mode(0o755)).map_err(failed)?;
    }
    Ok(directory)
}

/// Whether what is open is a directory.
///
/// # Errors
/// [`DirectoryError`] when it cannot be examined.
pub fn is_directory(fd: impl AsFd) -> Result<bool, DirectoryError> {
    let stat = fs::statat(fd, c"", AtFlags::EMPTY_PATH)
        .map_err(|errno| DirectoryError::io("examine", "a copy", errno))?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn text(path: &std::path::Path) -> &str {
        path.to_str().unwrap()
    }

    #[test]
    fn a_copy_is_what_was_read_and_stays_so() {
        let place = tempfile::tempdir().unwrap();
        let skill = place.path().join("skill");
        std::fs::create_dir_all(skill.join("scripts")).unwrap();
        std::fs::write(skill.join("SKILL.md"), "look").unwrap();
        std::fs::write(skill.join("scripts/run"), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(skill.join("scripts/run"), PermissionsExt::from_mode(0o700)).unwrap();
        let entries = read(text(&skill), &Opener::System).unwrap();
        let seen: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.program)).collect();
        assert_eq!(seen, [("SKILL.md", false), ("scripts/run", true)]);
        let to = File::open(place.path()).unwrap();
        let copied = copy(&to, "copy", &entries).unwrap();
        assert!(is_directory(&copied).unwrap());
        std::fs::write(skill.join("SKILL.md"), "changed").unwrap();
        let copy = place.path().join("copy");
        assert_eq!(std::fs::read_to_string(copy.join("SKILL.md")).unwrap(), "look");
        let mode = |name: &str| std::fs::metadata(copy.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("SKILL.md"), mode("scripts/run"), mode("scripts")), (0o444, 0o555, 0o755));
        let single = read(text(&skill.join("SKILL.md")), &Opener::System).unwrap();
        assert!(!is_directory(super::copy(&to, "single", &single).unwrap()).unwrap());
    }

    #[test]
    fn links_and_what_is_too_large_are_refused() {
        let place = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", place.path().join("link")).unwrap();
        let error = read(text(place.path()), &Opener::System).unwrap_err().to_string();
        assert!(error.contains("link is a symbolic link"), "{error}");
        std::fs::remove_file(place.path().join("link")).unwrap();
        File::create(place.path().join("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(read(text(place.path()), &Opener::System).unwrap_err().to_string().contains("too large"));
        assert!(read("/nonexistent/x", &Opener::System).is_err());
    }
}
