//! Connections to a person's own ssh-agent.
//!
//! Root could connect to any socket that a person names, and would be their deputy. So a child of a few calls
//! becomes the person, looks whether the socket is the person's, and connects; this process only ever holds
//! what the child was able to get. A thread would not do: it could be killed by the person, and with it this
//! process (kill(2) looks at the ids of the thread).

use crate::person::Person;
use crate::sys::{self, Deputy};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use std::ffi::CString;
use std::io;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A call failed.
    #[error("cannot {doing}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Not a path.
    #[error("`SSH_AUTH_SOCK` is no absolute path of at most 4096 bytes")]
    Path,
    /// It cannot be connected to as the person.
    #[error("the agent's socket cannot be connected to by its person: {0}")]
    Refused(io::Error),
    /// Something else is there, or it is somebody else's.
    #[error("what `SSH_AUTH_SOCK` names is not a socket of the session's person")]
    NotTheirs,
    /// The child was killed.
    #[error("the connection was broken off")]
    BrokenOff,
}

/// A connection that is being made.
#[derive(Debug)]
pub struct Connecting {
    socket: OwnedFd,
    uid: u32,
    /// The child; readable when it has ended. It can hang as long as the person's file systems can.
    pub child: OwnedFd,
}

/// Begins to connect as a person, in a control group of the session.
///
/// # Errors
/// [`AgentError`] when the child cannot be started.
pub fn connect(person: &Person, path: &str, group: BorrowedFd<'_>) -> Result<Connecting, AgentError> {
    let failed = |doing| move |cause: io::Error| AgentError::Io { doing, cause };
    if !is_path(path) {
        return Err(AgentError::Path);
    }
    let path = CString::new(path).map_err(|_| AgentError::Path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|errno| failed("make a socket")(errno.into()))?;
    let deputy = Deputy {
        uid: person.uid,
        gid: person.gid,
        groups: &person.groups,
        path: &path,
        socket: socket.as_fd(),
        group,
    };
    let child = sys::connect_as(&deputy).map_err(failed("start the child that connects"))?;
    Ok(Connecting { socket, uid: person.uid, child })
}

/// Whether a text can be the path of an agent's socket.
#[must_use]
pub fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 4096 && !text.contains('\0')
}

impl Connecting {
    /// The connection, once the child has ended.
    ///
    /// # Errors
    /// [`AgentError`]: what the person could not do either.
    pub fn finish(self) -> Result<OwnedFd, AgentError> {
        let failed = |doing: &'static str| move |errno: Errno| AgentError::Io { doing, cause: errno.into() };
        let options = WaitIdOptions::EXITED;
        let wait = || rustix::process::waitid(WaitId::PidFd(self.child.as_fd()), options);
        let ended = rustix::io::retry_on_intr(wait).map_err(failed("wait for the child"))?;
        match ended.and_then(|ended| ended.exit_status()) {
            Some(0) => {}
            Some(sys::NOT_THEIRS) => return Err(AgentError::NotTheirs),
            Some(number) => return Err(AgentError::Refused(io::Error::from_raw_os_error(number))),
            None => return Err(AgentError::BrokenOff),
        }
        // Whose the socket's file is says nothing of who listens.
        let peer = sockopt::socket_peercred(&self.socket).map_err(failed("look at the agent"))?;
        if peer.uid.as_raw() == self.uid { Ok(self.socket) } else { Err(AgentError::NotTheirs) }
    }

    /// Gives it up: the child is killed, and what comes back is to be waited for with [`collect`].
    #[must_use]
    pub fn abandon(self) -> OwnedFd {
        let _ = rustix::process::pidfd_send_signal(&self.child, Signal::KILL);
        self.child
    }
}

/// Takes note of the end of a child that was given up, once it is readable.
pub fn collect(child: &OwnedFd) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let _ = rustix::process::waitid(WaitId::PidFd(child.as_fd()), options);
}
