//! The supervisor's own directories: RUNTIME, STATE and LOGS.
//!
//! Opens or makes them, checks that nobody but root can write in them, and makes and removes the
//! directories of sessions and the volumes of persons. Single files are in [`file`](crate::file),
//! removal is in [`removal`](crate::removal). What is in a file belongs to its owner elsewhere.

use crate::file::{check_name, single_name};
use crate::walk::{self, Stop};
use agentbox_plan::SessionId;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, Dir, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub use crate::file::{open_append, read_beginning, read_file, remove_file, write_atomic};
pub use crate::removal::remove_tree;

/// Why something about a directory or a file in one did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A call failed.
    #[error("cannot {doing} {path}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A directory or file is not the one whom it should be.
    #[error("{path} belongs to uid {found}, not to uid {wanted}; chown it, or move it away")]
    Owner {
        /// Which.
        path: String,
        /// Whose it is.
        found: u32,
        /// Whose it should be.
        wanted: u32,
    },
    /// Others can write.
    #[error("{path} can be written by others than its owner (mode {mode:04o}); `chmod go-w` it")]
    Writable {
        /// Which.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Something else is there.
    #[error("{path} is a {found}, not a {wanted}; nothing was changed, move it away")]
    Kind {
        /// Which.
        path: String,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// It is there already.
    #[error("{path} exists already")]
    Exists {
        /// Which.
        path: String,
    },
    /// A symbolic link that others than root could have made is in the way.
    #[error(
        "{path} leads through the symbolic link {link:?}, which others than root can replace; name the real path"
    )]
    Link {
        /// The path asked for.
        path: String,
        /// Name of the link.
        link: String,
    },
    /// Not the name of a file in a directory.
    #[error("{0:?} is not a file name")]
    Name(String),
    /// Not a path that one of the directories can have.
    #[error("{what} is {path:?}; one absolute path without '..' and ':' is needed")]
    Path {
        /// Which setting.
        what: &'static str,
        /// Its value.
        path: String,
    },
    /// A file is larger than anything that belongs there.
    #[error("{path} is larger than {max_bytes} bytes; move it away")]
    TooLarge {
        /// Which.
        path: String,
        /// Most bytes expected.
        max_bytes: usize,
    },
    /// A mount lies in a tree that should be removed.
    #[error("{path} is a mount point and was not removed; unmount it first")]
    Mounted {
        /// Which.
        path: String,
    },
    /// Somebody keeps putting files into a directory that is being removed.
    #[error("{path} is being filled while it is being removed; stop what writes there")]
    Busy {
        /// Which.
        path: String,
    },
}

impl DirectoryError {
    /// A call that failed: what was tried and on what.
    #[must_use]
    pub fn io(doing: &'static str, path: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.into(), cause: cause.into() }
    }
}

/// Where the directories are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// What ends with the boot.
    pub runtime: PathBuf,
    /// What lasts.
    pub state: PathBuf,
    /// Logs.
    pub logs: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            runtime: PathBuf::from("/run/agentbox"),
            state: PathBuf::from("/var/lib/agentbox"),
            logs: PathBuf::from("/var/log/agentbox"),
        }
    }
}

impl Paths {
    /// The standard places, unless the variables `RUNTIME_DIRECTORY`, `STATE_DIRECTORY` and
    /// `LOGS_DIRECTORY` (systemd.exec(5)) say otherwise.
    ///
    /// # Errors
    /// [`DirectoryError::Path`] when one of them is not a single absolute path.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, DirectoryError> {
        let standard = Self::default();
        let of = |name: &'static str, standard: PathBuf| match variable(name) {
            None => Ok(standard),
            Some(value) => {
                let path = PathBuf::from(&value);
                let parts_fit = !path.components().any(|part| part == std::path::Component::ParentDir);
                if path.is_absolute() && parts_fit && !value.as_bytes().contains(&b':') {
                    Ok(path)
                } else {
                    Err(DirectoryError::Path { what: name, path: value.to_string_lossy().into_owned() })
                }
            }
        };
        Ok(Self {
            runtime: of("RUNTIME_DIRECTORY", standard.runtime)?,
            state: of("STATE_DIRECTORY", standard.state)?,
            logs: of("LOGS_DIRECTORY", standard.logs)?,
        })
    }
}

/// The supervisor's directories, open.
#[derive(Debug)]
pub struct Directories {
    /// Where they are.
    pub paths: Paths,
    /// RUNTIME: mode 0755, because persons reach the bus in it.
    pub runtime: OwnedFd,
    /// RUNTIME/sessions: mode 0700.
    pub sessions: OwnedFd,
    /// STATE: mode 0711, because persons' volumes lie below it.
    pub state: OwnedFd,
    /// LOGS: mode 0700.
    pub logs: OwnedFd,
}

/// What is in RUNTIME/sessions.
#[derive(Debug, Default)]
pub struct SessionNames {
    /// Names that are session ids.
    pub ids: Vec<SessionId>,
    /// Names that are not; whatever they are, no session made them.
    pub strangers: Vec<OsString>,
}

/// Names of what is in one of the supervisor's own directories, in order; what is no text is left out.
///
/// # Errors
/// [`DirectoryError`] when it cannot be read.
pub fn names(directory: &OwnedFd) -> Result<Vec<String>, DirectoryError> {
    let failed = |errno: Errno| DirectoryError::io("read", walk::shown(directory), errno);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Beneath the directory, through no link. Mounts may be crossed: a volume can be one.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

impl Directories {
    /// Opens the directories, and makes those that are missing when `create`. Their modes are set when
    /// they are made; one that exists keeps its mode, but must be root's and written by nobody else.
    ///
    /// # Errors
    /// [`DirectoryError`] when one cannot be opened or somebody else can write in it.
    pub fn open(paths: Paths, create: bool) -> Result<Self, DirectoryError> {
        let runtime = open_path(&paths.runtime, 0o755, create)?;
        let sessions = open_in(&runtime, c"sessions", 0o700, create)?;
        let state = open_path(&paths.state, 0o711, create)?;
        let logs = open_path(&paths.logs, 0o700, create)?;
        Ok(Self { paths, runtime, sessions, state, logs })
    }

    /// Makes RUNTIME/sessions/ID, mode 0700.
    ///
    /// # Errors
    /// [`DirectoryError::Exists`] when it is there already, others when it cannot be made.
    pub fn create_session(&self, id: &SessionId) -> Result<OwnedFd, DirectoryError> {
        let name = session_name(id)?;
        make(&self.sessions, &name, 0o700)?;
        open_in(&self.sessions, &name, 0o700, false)
    }

    /// Opens RUNTIME/sessions/ID; `None` when there is none.
    ///
    /// # Errors
    /// [`DirectoryError`] when something else has its name or others can write in it.
    pub fn open_session(&self, id: &SessionId) -> Result<Option<OwnedFd>, DirectoryError> {
        match open_in(&self.sessions, &session_name(id)?, 0o700, false) {
            Ok(dir) => Ok(Some(dir)),
            Err(DirectoryError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes RUNTIME/sessions/ID with all that is in it. None there is fine.
    ///
    /// # Errors
    /// [`DirectoryError`] when something of it remains.
    pub fn remove_session(&self, id: &SessionId) -> Result<(), DirectoryError> {
        remove_tree(&self.sessions, id.as_str())
    }

    /// Names of all session directories, in order.
    ///
    /// # Errors
    /// [`DirectoryError`] when RUNTIME/sessions cannot be read.
    pub fn list_sessions(&self) -> Result<SessionNames, DirectoryError> {
        let failed = |errno: Errno| DirectoryError::io("read", walk::shown(&self.sessions), errno);
        let mut names = SessionNames::default();
        for entry in Dir::read_from(&self.sessions).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let bytes = entry.file_name().to_bytes();
            if matches!(bytes, b"." | b"..") {
                continue;
            }
            match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
                Some(id) => names.ids.push(id),
                None => names.strangers.push(OsString::from_vec(bytes.to_vec())),
            }
        }
        names.ids.sort();
        names.strangers.sort();
        Ok(names)
    }

    /// Opens STATE/state/PARTS…, and makes what is missing of it. The last directory belongs to the
    /// person (mode 0700); those above it belong to root (mode 0711), so that nobody else can put
    /// something in the place of a volume.
    ///
    /// # Errors
    /// [`DirectoryError`] when a part is not a file name, or something on the way is not what it should
    /// be.
    pub fn volume(&self, parts: &[&str], uid: u32, gid: u32) -> Result<OwnedFd, DirectoryError> {
        let Some((last, above)) = parts.split_last() else {
            return Err(DirectoryError::Name(String::new()));
        };
        let last = check_name(last)?;
        let mut here = open_in(&self.state, c"state", 0o711, true)?;
        for part in above {
            here = open_in(&here, &check_name(part)?, 0o711, true)?;
        }
        match make(&here, &last, 0o700) {
            Ok(()) | Err(DirectoryError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
        let volume = open_directory(&here, &last)?;
        let path = || walk::shown(&volume);
        let stat = fs::fstat(&volume).map_err(|errno| DirectoryError::io("examine", path(), errno))?;
        // One of root's was made by us a moment ago, or before a crash between making and giving.
        if stat.st_uid == 0 && uid != 0 {
            let (owner, group) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
            fs::fchown(&volume, Some(owner), Some(group))
                .map_err(|errno| DirectoryError::io("give away", path(), errno))?;
        } else if stat.st_uid != uid {
            return Err(DirectoryError::Owner { path: path(), found: stat.st_uid, wanted: uid });
        }
        Ok(volume)
    }

    /// Opens STATE/accepted/UID, root's (mode 0700), and makes what is missing of it: what was accepted for a
    /// person.
    ///
    /// # Errors
    /// [`DirectoryError`] when something on the way is not what it should be.
    pub fn accepted(&self, uid: u32) -> Result<OwnedFd, DirectoryError> {
        let all = open_in(&self.state, c"accepted", 0o700, true)?;
        open_in(&all, &check_name(&uid.to_string())?, 0o700, true)
    }

    /// Names of the profiles of a person for which something is kept, in order.
    ///
    /// # Errors
    /// [`DirectoryError`] when STATE/state cannot be read.
    pub fn kept_profiles(&self, uid: u32) -> Result<Vec<String>, DirectoryError> {
        let Some(own) = self.volumes(uid)? else { return Ok(Vec::new()) };
        let failed = |errno: Errno| DirectoryError::io("read", walk::shown(&own), errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&own).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            names.extend(
                std::str::from_utf8(name).ok().filter(|name| !name.starts_with('.')).map(str::to_owned),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Removes all that is kept for a profile of a person. Nothing there is fine.
    ///
    /// # Errors
    /// [`DirectoryError`] when something of it remains.
    pub fn forget_profile(&self, uid: u32, profile: &str) -> Result<(), DirectoryError> {
        match self.volumes(uid)? {
            Some(own) => remove_tree(&own, profile),
            None => Ok(()),
        }
    }

    /// Opens STATE/state/UID, when it is there.
    fn volumes(&self, uid: u32) -> Result<Option<OwnedFd>, DirectoryError> {
        let mut here = self.state.try_clone().map_err(|cause| DirectoryError::io("hold", "STATE", cause))?;
        for name in [c"state".to_owned(), check_name(&uid.to_string())?] {
            here = match open_in(&here, &name, 0o711, false) {
                Ok(next) => next,
                Err(DirectoryError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
        }
        Ok(Some(here))
    }

    /// Opens STATE/state/PARTS…, all of it root's (mode 0711), and makes what is missing: where files of a
    /// person are kept by root.
    ///
    /// # Errors
    /// [`DirectoryError`] when something on the way is not what it should be.
    pub fn kept_below(&self, parts: &[&str]) -> Result<OwnedFd, DirectoryError> {
        let mut here = open_in(&self.state, c"state", 0o711, true)?;
        for part in parts {
            here = open_in(&here, &check_name(part)?, 0o711, true)?;
        }
        Ok(here)
    }

    /// Opens STATE/NAME, root's alone, and makes it when it is missing.
    ///
    /// # Errors
    /// [`DirectoryError`] when something else has its name or others can write in it.
    pub fn kept(&self, name: &str) -> Result<OwnedFd, DirectoryError> {
        open_in(&self.state, &check_name(name)?, 0o700, true)
    }

    /// Takes RUNTIME/lock (flock(2)). `None` when somebody else holds it and `wait` is false. The lock
    /// lasts as long as the descriptor.
    ///
    /// # Errors
    /// [`DirectoryError`] when the file cannot be opened or locked.
    pub fn lock(&self, wait: bool) -> Result<Option<OwnedFd>, DirectoryError> {
        let file = OwnedFd::from(open_append(&self.runtime, "lock", 0o600)?);
        let operation =
            if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
        match rustix::io::retry_on_intr(|| fs::flock(&file, operation)) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(DirectoryError::io("lock", walk::shown(&file), errno)),
        }
    }
}

fn session_name(id: &SessionId) -> Result<CString, DirectoryError> {
    single_name(OsStr::new(id.as_str()))
}

/// Opens one of the three directories by its path.
fn open_path(path: &Path, mode: u32, create: bool) -> Result<OwnedFd, DirectoryError> {
    let shown = || path.as_os_str().as_bytes().escape_ascii().to_string();
    let end = walk::to_parent(path.as_os_str(), create).map_err(|stop| match stop {
        Stop::Errno(errno) => DirectoryError::io("reach", shown(), errno),
        Stop::Link(link) => DirectoryError::Link { path: shown(), link: link.to_string_lossy().into_owned() },
        Stop::Path => DirectoryError::Path { what: "a directory of the supervisor", path: shown() },
    })?;
    open_in(&end.parent, &end.name, mode, create)
}

/// Opens a directory of root's in another, and makes it when `create` and it is missing.
pub(crate) fn open_in(
    parent: &OwnedFd,
    name: &CStr,
    mode: u32,
    create: bool,
) -> Result<OwnedFd, DirectoryError> {
    if create {
        match make(parent, name, mode) {
            Ok(()) | Err(DirectoryError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let dir = open_directory(parent, name)?;
    let path = || walk::shown(&dir);
    let stat = fs::fstat(&dir).map_err(|errno| DirectoryError::io("examine", path(), errno))?;
    if stat.st_uid != 0 {
        return Err(DirectoryError::Owner { path: path(), found: stat.st_uid, wanted: 0 });
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(DirectoryError::Writable { path: path(), mode: stat.st_mode & 0o7777 });
    }
    Ok(dir)
}

pub(crate) fn open_directory(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, DirectoryError> {
    let shown = || walk::shown_in(&parent, name.to_bytes());
    fs::openat2(&parent, name, DIRECTORY, Mode::empty(), BENEATH).map_err(|errno| {
        match (errno, walk::stat_in(&parent, name)) {
            (Errno::NOTDIR | Errno::LOOP, Ok(stat)) => DirectoryError::Kind {
                path: shown(),
                found: walk::type_name(stat.st_mode),
                wanted: "directory",
            },
            _ => DirectoryError::io("open", shown(), errno),
        }
    })
}

/// Makes a directory with exactly these permission bits, whatever the umask.
pub(crate) fn make(parent: &OwnedFd, name: &CStr, mode: u32) -> Result<(), DirectoryError> {
    let shown = || walk::shown_in(parent, name.to_bytes());
    match fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(DirectoryError::Exists { path: shown() }),
        Err(errno) => return Err(DirectoryError::io("make", shown(), errno)),
    }
    let dir = open_directory(parent, name)?;
    fs::fchmod(&dir, Mode::from_raw_mode(mode))
        .map_err(|errno| DirectoryError::io("set the mode of", shown(), errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_move_the_directories() {
        let paths = Paths::from_variables(|name| (name == "STATE_DIRECTORY").then(|| "/s/t".into())).unwrap();
        assert_eq!(paths, Paths { state: "/s/t".into(), ..Paths::default() });
    }

    #[test]
    fn a_variable_that_is_no_single_absolute_path_is_refused() {
        for bad in ["", "run", "/a:/b", "/a/../b"] {
            let paths = Paths::from_variables(|_| Some(bad.into()));
            assert!(matches!(paths, Err(DirectoryError::Path { .. })), "{bad:?}");
        }
    }
}
