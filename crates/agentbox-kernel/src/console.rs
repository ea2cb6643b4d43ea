//! The socket on which a launcher listens for its supervisor, at `console` in the session's directory.
//!
//! A path makes it reachable for a supervisor that was started again. Only root reaches it: the directory
//! is 0700, and the launcher looks at the peer. Names longer than `sun_path` (unix(7), 108 bytes) and
//! exchanged directories are no concern, because the socket is addressed through the descriptor.

use crate::walk;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::CStr;
use std::io;

const NAME: &CStr = c"console";
/// Connections that may wait. The supervisor makes two before it releases the launcher.
const BACKLOG: i32 = 32;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConsoleError {
    /// A call failed.
    #[error("cannot {doing} {path}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The socket.
        path: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Something else has the name.
    #[error("{path} is a {found} of uid {owner}, not a socket of root's; nothing was touched")]
    NotOurs {
        /// The path.
        path: String,
        /// What is there.
        found: &'static str,
        /// Whose it is.
        owner: u32,
    },
    /// Whoever listens takes no connections, and no more can wait.
    #[error("{path} is busy: {BACKLOG} connections wait to be taken already")]
    Busy {
        /// The path.
        path: String,
    },
}

/// Makes the socket and listens. One that an earlier attempt left is replaced.
///
/// # Errors
/// [`ConsoleError`] when something else has the name, or the socket cannot be made.
pub fn listen(session_dir: impl AsFd) -> Result<OwnedFd, ConsoleError> {
    listen_at(session_dir.as_fd(), NAME, SocketType::STREAM)
}

/// The same for a socket of another name and kind.
pub(crate) fn listen_at(dir: BorrowedFd<'_>, name: &CStr, kind: SocketType) -> Result<OwnedFd, ConsoleError> {
    let failed = |doing, dir, errno| failed(doing, dir, name, errno);
    if open_socket(dir, name)?.is_some() {
        let flags = fs::AtFlags::empty();
        fs::unlinkat(dir, name, flags).map_err(|errno| failed("replace", dir, errno))?;
    }
    let socket = new_socket(dir, name, kind)?;
    let address = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), name.to_string_lossy());
    let address = SocketAddrUnix::new(address).map_err(|errno| failed("name", dir, errno))?;
    rustix::net::bind(&socket, &address).map_err(|errno| failed("make", dir, errno))?;
    rustix::net::listen(&socket, BACKLOG).map_err(|errno| failed("listen at", dir, errno))?;
    Ok(socket)
}

/// Connects to a launcher, without waiting for it.
///
/// # Errors
/// [`ConsoleError`] when nobody listens, so many connections wait that there is no place for one more, or what is
/// there is not a socket of root's.
pub fn connect(session_dir: impl AsFd) -> Result<OwnedFd, ConsoleError> {
    connect_at(session_dir.as_fd(), NAME, SocketType::STREAM)
}

/// The same for a socket of another name and kind.
pub(crate) fn connect_at(
    dir: BorrowedFd<'_>,
    name: &CStr,
    kind: SocketType,
) -> Result<OwnedFd, ConsoleError> {
    let failed = |doing, dir, errno| failed(doing, dir, name, errno);
    let Some(there) = open_socket(dir, name)? else { return Err(failed("find", dir, Errno::NOENT)) };
    let socket = new_socket(dir, name, kind)?;
    // What was opened and looked at is what is connected to.
    let address = format!("/proc/self/fd/{}", there.as_raw_fd());
    let address = SocketAddrUnix::new(address).map_err(|errno| failed("name", dir, errno))?;
    // Who listens has no rights and may never take a connection; the supervisor is everybody's and waits for nobody.
    rustix::io::ioctl_fionbio(&socket, true).map_err(|errno| failed("prepare", dir, errno))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::AGAIN) => return Err(ConsoleError::Busy { path: walk::shown_in(dir, name.to_bytes()) }),
        Err(errno) => return Err(failed("connect to", dir, errno)),
    }
    rustix::io::ioctl_fionbio(&socket, false).map_err(|errno| failed("prepare", dir, errno))?;
    Ok(socket)
}

fn new_socket(dir: BorrowedFd<'_>, name: &CStr, kind: SocketType) -> Result<OwnedFd, ConsoleError> {
    rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .map_err(|errno| failed("make a socket for", dir, name, errno))
}

/// What has the socket's name, opened with `O_PATH` and found to be a socket of root's.
fn open_socket(dir: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>, ConsoleError> {
    let failed = |doing, dir, errno| failed(doing, dir, name, errno);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let there = match fs::openat2(dir, name, flags, Mode::empty(), resolve) {
        Ok(there) => there,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed("open", dir, errno)),
    };
    let stat = fs::fstat(&there).map_err(|errno| failed("examine", dir, errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket || stat.st_uid != 0 {
        return Err(ConsoleError::NotOurs {
            path: walk::shown_in(dir, name.to_bytes()),
            found: walk::type_name(stat.st_mode),
            owner: stat.st_uid,
        });
    }
    Ok(Some(there))
}

pub(crate) fn failed(doing: &'static str, dir: BorrowedFd<'_>, name: &CStr, errno: Errno) -> ConsoleError {
    ConsoleError::Io { doing, path: walk::shown_in(dir, name.to_bytes()), cause: errno.into() }
}
