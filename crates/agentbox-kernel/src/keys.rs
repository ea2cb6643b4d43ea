//! Starts gates of keys, and makes their two sockets in the session's directory: `keys`, where the supervisor
//! connects, and `ssh-agent.sock`, which the session sees.

use crate::cgroup::SessionGroup;
use crate::console;
use crate::gate::GateSocketError;
use crate::launcher::{self, Launcher, LauncherError, Program};
use agentbox_plan::keys::descriptors;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::net::SocketType;
use std::ffi::{CStr, CString};
use std::io;

const PROGRAM: &str = "agentbox-gate";
const PART: &CStr = c"keys";
const SUPERVISOR_SOCKET: &CStr = c"keys";
const AGENT_SOCKET: &CStr = c"ssh-agent.sock";

/// What a gate of keys starts with.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program, from [`gate::find_program`](crate::gate::find_program).
    pub program: &'a OwnedFd,
    /// The encoded plan.
    pub plan: &'a [u8],
    /// Listening socket, from [`listen`].
    pub supervisor: OwnedFd,
    /// Listening socket, from [`listen_agent`].
    pub agent: OwnedFd,
    /// The group that it starts in.
    pub supervise_group: &'a OwnedFd,
    /// Empty, but for tests of builds that are never released.
    pub environment: Vec<CString>,
}

/// Starts a gate of keys. It confines itself and says so on its connection.
///
/// # Errors
/// [`LauncherError`] when it cannot be started; no process is left then.
pub fn spawn(spawn: Spawn<'_>) -> Result<Launcher, LauncherError> {
    let plan = launcher::sealed(spawn.plan)?;
    let places = vec![plan.as_fd(), spawn.supervisor.as_fd(), spawn.agent.as_fd()];
    debug_assert_eq!(places.len() + 2, descriptors::AGENT as usize);
    launcher::start(Program {
        name: PROGRAM,
        part: Some(PART),
        program: spawn.program,
        places,
        group: Some(spawn.supervise_group),
        environment: &spawn.environment,
    })
}

/// The gate of keys with this id that an earlier supervisor started; none when none runs.
///
/// # Errors
/// [`LauncherError`] when the session's group cannot be read.
pub fn adopt(group: &SessionGroup, uid: u32) -> Result<Option<Launcher>, LauncherError> {
    launcher::find_running(group, Some(uid))
}

/// Makes the supervisor's socket and listens.
///
/// # Errors
/// [`GateSocketError`] when something else has the name, or the socket cannot be made.
pub fn listen(session_dir: impl AsFd) -> Result<OwnedFd, GateSocketError> {
    console::listen_at(session_dir.as_fd(), SUPERVISOR_SOCKET, SocketType::SEQPACKET)
}

/// Connects to a gate of keys, without waiting for it.
///
/// # Errors
/// [`GateSocketError`] when nobody listens, too many connections wait already, or what is there is not a socket of root's.
pub fn connect(session_dir: impl AsFd) -> Result<OwnedFd, GateSocketError> {
    console::connect_at(session_dir.as_fd(), SUPERVISOR_SOCKET, SocketType::SEQPACKET)
}

/// Makes the agent's socket and listens. Everybody may connect who sees it, and only the session does: the
/// directory is root's.
///
/// # Errors
/// [`GateSocketError`] when something else has the name, or the socket cannot be made.
pub fn listen_agent(session_dir: impl AsFd) -> Result<OwnedFd, GateSocketError> {
    let directory = session_dir.as_fd();
    let socket = console::listen_at(directory, AGENT_SOCKET, SocketType::STREAM)?;
    fs::chmodat(directory, AGENT_SOCKET, Mode::from_raw_mode(0o666), AtFlags::empty())
        .map_err(|errno| console::failed("open to the session", directory, AGENT_SOCKET, errno))?;
    Ok(socket)
}

/// The agent's socket, for a session to see.
///
/// # Errors
/// When it is not there.
pub fn agent_source(session_dir: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(session_dir, AGENT_SOCKET, flags, Mode::empty())?)
}
