//! Opens what a session is to see, with the right of whoever asked for it.
//!
//! What the system's own lists name is opened by root, through no link that others could have made. What
//! a person names is opened with that person's rights and nothing of root's: a thread of its own takes
//! the person's groups and file ids and drops every capability, so root cannot be talked into opening what
//! the person could not read. Nor does it lead through a link that others than root could have made: a session
//! that may write where a rule points would have the next one open whatever it likes. Only after a real open for
//! reading has proved the right is a descriptor handed on, and that one is `O_PATH`: enough to mount, and nothing
//! else.

use crate::person::Person;
use crate::sys;
use crate::walk::{self, Stop};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, Gid};
use std::ffi::OsStr;
use std::io;

/// With whose rights something is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opener {
    /// Root's, for what the system's own lists name.
    System,
    /// A person's.
    Person {
        /// User id.
        uid: u32,
        /// Primary group.
        gid: u32,
        /// All groups.
        groups: Vec<u32>,
    },
}

impl Opener {
    /// A person's rights.
    #[must_use]
    pub fn person(person: &Person) -> Self {
        Self::Person { uid: person.uid, gid: person.gid, groups: person.groups.clone() }
    }
}

/// What is expected at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, a directory or a link; for the system also a character device.
    Any,
    /// A file or a directory, wherever links of the person's lead: what is found there is compared with what was
    /// looked at before.
    Behind,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice,
}

/// Something to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Absolute path.
    pub path: String,
    /// With whose rights.
    pub by: Opener,
    /// What is expected.
    pub kind: Kind,
}

/// What was found. The descriptors are `O_PATH`.
#[derive(Debug)]
pub enum Opened {
    /// Nothing has that path.
    Missing,
    /// A symbolic link, and what it says.
    Symlink(String),
    /// A regular file.
    File(OwnedFd),
    /// A directory.
    Directory(OwnedFd),
    /// A character device.
    CharDevice(OwnedFd),
}

/// Why something was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A call failed.
    #[error("cannot open {path:?}: {cause}")]
    Io {
        /// The path.
        path: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The person may not read it.
    #[error(
        "{path:?} cannot be read by uid {uid}, so a session of that person cannot have it; name another path or change its mode"
    )]
    Denied {
        /// The path.
        path: String,
        /// The person.
        uid: u32,
    },
    /// Something else is there.
    #[error("{path:?} is a {found}, and {wanted} is needed")]
    Kind {
        /// The path.
        path: String,
        /// What is there.
        found: &'static str,
        /// What is needed.
        wanted: &'static str,
    },
    /// A link in the middle of a path that others than root can replace.
    #[error(
        "{path:?} leads through the symbolic link {link:?}, which others than root can replace; name the real path"
    )]
    Link {
        /// The path.
        path: String,
        /// Name of the link.
        link: String,
    },
    /// Not a path that can be opened.
    #[error("{path:?} is not an absolute path without '..'")]
    Path {
        /// What was given.
        path: String,
    },
    /// What is open has no path that can be told.
    #[error("{path:?} {what}; use a directory with a path that is text and still there")]
    NoPath {
        /// What the kernel calls it.
        path: String,
        /// What is wrong with that.
        what: &'static str,
    },
    /// The rights of the person could not be taken.
    #[error("cannot take the rights of uid {uid}: {cause}")]
    Rights {
        /// The person.
        uid: u32,
        /// What the kernel said.
        cause: io::Error,
    },
}

/// Opens one path.
///
/// # Errors
/// [`SourceError`] when it is there and cannot be had. Nothing there is [`Opened::Missing`].
pub fn open_wanted(path: &str, by: &Opener, kind: Kind) -> Result<Opened, SourceError> {
    let request = Request { path: path.to_owned(), by: by.clone(), kind };
    let none = || SourceError::Path { path: path.to_owned() };
    open_batch(std::slice::from_ref(&request)).pop().ok_or_else(none)?
}

/// Opens many paths, answers in the same order. One short-lived thread for each different person.
#[must_use]
pub fn open_batch(requests: &[Request]) -> Vec<Result<Opened, SourceError>> {
    open_batch_telling(requests, &|_| {})
}

/// The same; `next` is told of each path before it is opened, which may take for ever.
pub fn open_batch_telling(
    requests: &[Request],
    next: &(dyn Fn(&str) + Sync),
) -> Vec<Result<Opened, SourceError>> {
    let mut answers: Vec<Option<Result<Opened, SourceError>>> = Vec::new();
    answers.resize_with(requests.len(), || None);
    for (at, request) in requests.iter().enumerate() {
        if answers[at].is_some() {
            continue;
        }
        let Opener::Person { uid, gid, groups } = &request.by else {
            next(&request.path);
            answers[at] = Some(open_as_system(request));
            continue;
        };
        let same: Vec<usize> = (at..requests.len()).filter(|i| requests[*i].by == request.by).collect();
        let opened = with_rights(*uid, *gid, groups, || {
            let open = |i: &usize| {
                next(&requests[*i].path);
                open_as_person(&requests[*i], *uid)
            };
            same.iter().map(open).collect::<Vec<_>>()
        });
        match opened {
            Ok(opened) => {
                for (i, answer) in same.into_iter().zip(opened) {
                    answers[i] = Some(answer);
                }
            }
            Err(cause) => {
                for i in same {
                    let cause = Errno::from_io_error(&cause).map_or(Errno::PERM, |errno| errno).into();
                    answers[i] = Some(Err(SourceError::Rights { uid: *uid, cause }));
                }
            }
        }
    }
    // Every place was filled above: by the system's opening or by its person's batch.
    answers.into_iter().flatten().collect()
}

/// Whether a person can reach what is in a directory: by its name, which is all it takes, and through no link.
#[must_use]
pub fn can_enter(person: &Person, path: &str) -> bool {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Looking up the dot takes the right to search the directory itself.
    let enter = || fs::openat2(fs::CWD, format!("{path}/."), flags, Mode::empty(), resolve).is_ok();
    person.uid == 0 || with_rights(person.uid, person.gid, &person.groups, enter).unwrap_or(false)
}

/// Text of a regular file that was opened here: the right to read it was proved then.
///
/// # Errors
/// When it cannot be read, is larger, or is not UTF-8.
pub fn read_text(file: impl AsFd, max_bytes: usize, into: &mut Vec<u8>) -> io::Result<()> {
    use std::io::Read;
    let again = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::open(again, flags, Mode::empty())?;
    // Room for all of it and for what std asks for at the end: no shorter copy is left behind anywhere.
    into.reserve_exact(max_bytes + 64);
    let read = std::fs::File::from(file).take(max_bytes as u64 + 1).read_to_end(into)?;
    if read > max_bytes {
        return Err(io::Error::other(format!("is larger than {max_bytes} bytes")));
    }
    match std::str::from_utf8(into) {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8")),
    }
}

/// Path of what is open, as the kernel knows it now.
///
/// # Errors
/// [`SourceError::NoPath`] when it was removed, lies in no mount that this process sees, or is not UTF-8.
pub fn real_path(fd: impl AsFd) -> Result<String, SourceError> {
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let target = fs::readlink(&link, Vec::new())
        .map_err(|errno| SourceError::Io { path: link, cause: errno.into() })?;
    let no_path = |what| SourceError::NoPath { path: target.to_string_lossy().into_owned(), what };
    let gone = fs::fstat(&fd).map_or(true, |stat| stat.st_nlink == 0);
    match target.to_str() {
        Err(_) => Err(no_path("is not UTF-8")),
        Ok(_) if gone => Err(no_path("was removed")),
        Ok(path) if !path.starts_with('/') => Err(no_path("lies in no mount that the supervisor sees")),
        Ok(path) => Ok(path.to_owned()),
    }
}

/// Runs `work` in a thread that has the file rights of a person: groups, file ids, and no capability.
/// These are attributes of a thread in Linux (credentials(7)); the thread ends with the work, so the
/// rights cannot leak into others.
pub(crate) fn with_rights<T: Send>(
    uid: u32,
    gid: u32,
    groups: &[u32],
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    with_rights_keeping(uid, gid, groups, CapabilitySet::empty(), work)
}

/// The same, with these capabilities kept.
pub(crate) fn with_rights_keeping<T: Send>(
    uid: u32,
    gid: u32,
    groups: &[u32],
    kept: CapabilitySet,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("person".into()).spawn_scoped(scope, || {
            let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
            rustix::thread::set_thread_groups(&groups)?;
            sys::set_file_ids(uid, gid)?;
            let sets =
                CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
            rustix::thread::set_capabilities(None, sets)?;
            Ok(work())
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread of the person ended early")))
    })
}

fn open_as_system(request: &Request) -> Result<Opened, SourceError> {
    let failed = |errno: Errno| SourceError::Io { path: request.path.clone(), cause: errno.into() };
    let found = match through_roots_links(&request.path) {
        Ok(found) => found,
        Err(stop) => return stopped(request, stop, failed),
    };
    let stat = fs::fstat(&found).map_err(failed)?;
    match (FileType::from_raw_mode(stat.st_mode), request.kind) {
        (FileType::Directory, Kind::Any | Kind::Behind | Kind::Directory) => Ok(Opened::Directory(found)),
        (FileType::RegularFile, Kind::Any | Kind::Behind) => Ok(Opened::File(found)),
        (FileType::CharacterDevice, Kind::Any | Kind::CharDevice) => Ok(Opened::CharDevice(found)),
        (FileType::Symlink, Kind::Any | Kind::Directory) => link(request, &found, failed),
        _ => Err(wrong_kind(request, stat.st_mode)),
    }
}

/// What is at a path, its last component not followed.
fn through_roots_links(path: &str) -> Result<OwnedFd, Stop> {
    let end = walk::to_parent(OsStr::new(path), false)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(&end.parent, &end.name, flags, Mode::empty())?)
}

/// What is at a path when every link is followed but those of /proc, which lead past every right.
fn behind_links(path: &str) -> Result<OwnedFd, Stop> {
    let dots = path.split('/').any(|part| part == "..");
    if !path.starts_with('/') || dots || path.contains('\0') {
        return Err(Stop::Path);
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(fs::openat2(fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?)
}

/// Why nothing was opened; what is not there is no error.
fn stopped(
    request: &Request,
    stop: Stop,
    failed: impl Fn(Errno) -> SourceError,
) -> Result<Opened, SourceError> {
    let path = request.path.clone();
    match stop {
        Stop::Errno(Errno::NOENT | Errno::NOTDIR) => Ok(Opened::Missing),
        Stop::Errno(errno) => Err(failed(errno)),
        Stop::Link(link) => Err(SourceError::Link { path, link: link.to_string_lossy().into_owned() }),
        Stop::Path => Err(SourceError::Path { path }),
    }
}

/// A link that was found, as it is told.
fn link(
    request: &Request,
    found: &OwnedFd,
    failed: impl Fn(Errno) -> SourceError,
) -> Result<Opened, SourceError> {
    let target = fs::readlinkat(found, c"", Vec::new()).map_err(failed)?;
    let not_text =
        |_| SourceError::NoPath { path: request.path.clone(), what: "is a link that is not UTF-8" };
    target.into_string().map(Opened::Symlink).map_err(not_text)
}

/// Runs with the person's rights.
fn open_as_person(request: &Request, uid: u32) -> Result<Opened, SourceError> {
    let path = || request.path.clone();
    let failed = |errno: Errno| match errno {
        Errno::ACCESS | Errno::PERM => SourceError::Denied { path: path(), uid },
        errno => SourceError::Io { path: path(), cause: errno.into() },
    };
    let found = match request.kind {
        Kind::Behind => behind_links(&request.path),
        Kind::Any | Kind::Directory | Kind::CharDevice => through_roots_links(&request.path),
    };
    let found = match found {
        Ok(found) => found,
        Err(stop) => return stopped(request, stop, failed),
    };
    let stat = fs::fstat(&found).map_err(failed)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let fits = match request.kind {
        Kind::Any if kind == FileType::Symlink => return link(request, &found, failed),
        Kind::Any | Kind::Behind => matches!(kind, FileType::Directory | FileType::RegularFile),
        Kind::Directory => kind == FileType::Directory,
        Kind::CharDevice => kind == FileType::CharacterDevice,
    };
    if !fits {
        return Err(wrong_kind(request, stat.st_mode));
    }
    // O_PATH proves no right. The type is known by now, so opening for reading has no side effect that
    // was not asked for; through the descriptor it is the same file.
    let directory = if kind == FileType::Directory { OFlags::DIRECTORY } else { OFlags::empty() };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | directory;
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    fs::open(again, flags, Mode::empty()).map_err(failed)?;
    Ok(match kind {
        FileType::Directory => Opened::Directory(found),
        FileType::CharacterDevice => Opened::CharDevice(found),
        _ => Opened::File(found),
    })
}

fn wrong_kind(request: &Request, mode: u32) -> SourceError {
    let wanted = match request.kind {
        Kind::Any | Kind::Behind => "a file or directory",
        Kind::Directory => "a directory",
        Kind::CharDevice => "a character device",
    };
    SourceError::Kind { path: request.path.clone(), found: walk::type_name(mode), wanted }
}
