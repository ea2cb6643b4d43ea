//! Checks the project directory that a client sent as a descriptor.
//!
//! A descriptor says which directory is meant; it does not say that the sender may read it (`O_PATH`
//! proves nothing), nor that its path leads there. Both are checked with the person's rights, and what is
//! handed on is the supervisor's own descriptor, in its own mount namespace.

use crate::failpoint::in_force;
use crate::person::Person;
use crate::source::{SourceError, real_path, with_rights};
use rustix::fd::OwnedFd;
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::io;

/// A checked project directory.
#[derive(Debug)]
pub struct Project {
    /// The directory, opened for reading by the supervisor with the person's rights.
    pub fd: OwnedFd,
    /// Its real path. It can hold control characters: escape it in messages.
    pub path: String,
    /// Its owner.
    pub owner_uid: u32,
    /// Its group.
    pub owner_gid: u32,
    /// Its permissions.
    pub mode: u32,
    /// Number of its device (stat(3type)).
    pub device: u64,
    /// Number of its inode.
    pub inode: u64,
}

/// Why a directory cannot be a project.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// A descriptor that proves no right to read.
    #[error(
        "the project's descriptor is not open for reading; open the directory with O_RDONLY and send that"
    )]
    NotReadable,
    /// Not a directory.
    #[error("the project is a {found}, not a directory; name the directory that it is in")]
    NotADirectory {
        /// What it is.
        found: &'static str,
    },
    /// It has no path that can be used.
    #[error("the project cannot be used: {0}")]
    NoPath(#[from] SourceError),
    /// The path leads elsewhere by now, or through a link.
    #[error(
        "{path:?} does not lead to the directory that was sent; another is mounted or was moved there, name its real path"
    )]
    Elsewhere {
        /// The path.
        path: String,
    },
    /// The person may not go there.
    #[error("{path:?} cannot be opened by {person}: {cause}")]
    Denied {
        /// The path.
        path: String,
        /// The person.
        person: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A call failed.
    #[error("cannot {doing} the project: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> ProjectError {
    move |errno| ProjectError::Io { doing, cause: errno.into() }
}

/// Checks the directory that a client of `person` sent. Whether its file system has id-mapped mounts is
/// found out when it is mounted.
///
/// # Errors
/// [`ProjectError`] when it cannot be a project of that person.
pub fn check(fd: OwnedFd, person: &Person) -> Result<Project, ProjectError> {
    let flags = fs::fcntl_getfl(&fd).map_err(failed("examine"))?;
    // A directory cannot be open for writing, so all that is not O_PATH is open for reading.
    if flags.contains(OFlags::PATH) || flags & OFlags::ACCMODE == OFlags::WRONLY {
        return Err(ProjectError::NotReadable);
    }
    let sent = fs::fstat(&fd).map_err(failed("examine"))?;
    if FileType::from_raw_mode(sent.st_mode) != FileType::Directory {
        return Err(ProjectError::NotADirectory { found: crate::walk::type_name(sent.st_mode) });
    }
    let path = real_path(&fd)?;
    let opened = open_as(person, &path)?;
    let stat = fs::fstat(&opened).map_err(failed("examine"))?;
    if (stat.st_dev, stat.st_ino) != (sent.st_dev, sent.st_ino) {
        return Err(ProjectError::Elsewhere { path });
    }
    Ok(Project {
        fd: opened,
        path,
        owner_uid: stat.st_uid,
        owner_gid: stat.st_gid,
        mode: stat.st_mode & 0o777,
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

fn open_as(person: &Person, path: &str) -> Result<OwnedFd, ProjectError> {
    let (uid, gid) = if in_force("project-rights") { (person.uid, person.gid) } else { (0, 0) };
    let opened = with_rights(uid, gid, &person.groups, || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        fs::openat2(fs::CWD, path, flags, Mode::empty(), resolve)
    });
    match opened {
        Ok(Ok(fd)) => Ok(fd),
        Ok(Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => {
            Err(ProjectError::Elsewhere { path: path.to_owned() })
        }
        Ok(Err(errno)) => Err(ProjectError::Denied {
            path: path.to_owned(),
            person: person.name.clone(),
            cause: errno.into(),
        }),
        Err(cause) => Err(ProjectError::Io { doing: "take the person's rights to open", cause }),
    }
}
