//! Starts network gates, and the socket on which a gate listens for its supervisor: `gate` in the session's
//! directory, where a supervisor that was started again finds it.

use crate::cgroup::SessionGroup;
use crate::console::{self, ConsoleError};
use crate::launcher::{self, Launcher, LauncherError, Program};
use crate::netns::Sockets;
use agentbox_plan::gate::descriptors;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType};
use std::ffi::{CStr, CString};
use std::io::{self, IoSlice};

const PROGRAM: &str = "agentbox-gate";
const SOCKET: &CStr = c"gate";

/// The socket of a gate could not be made or connected to.
pub type GateSocketError = ConsoleError;

/// What a gate starts with.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program, from [`find_program`].
    pub program: &'a OwnedFd,
    /// The encoded plan.
    pub plan: &'a [u8],
    /// Listening socket, from [`listen`].
    pub supervisor: OwnedFd,
    /// Its sockets inside the session.
    pub sockets: Sockets,
    /// Listening sockets on the host's loopback.
    pub published: Vec<OwnedFd>,
    /// The group that it starts in.
    pub supervise_group: &'a OwnedFd,
    /// Empty, but for tests of builds that are never released.
    pub environment: Vec<CString>,
}

/// Opens `agentbox-gate`, beside this program or in `../libexec/agentbox` of that directory.
///
/// # Errors
/// [`LauncherError`] when it is in neither place, or others than root can write it.
pub fn find_program() -> Result<OwnedFd, LauncherError> {
    launcher::find(PROGRAM)
}

/// Starts a gate. It confines itself and says so on its connection.
///
/// # Errors
/// [`LauncherError`] when it cannot be started; no process is left then.
pub fn spawn(spawn: Spawn<'_>) -> Result<Launcher, LauncherError> {
    let null = launcher::null()?;
    let plan = launcher::sealed(spawn.plan)?;
    let Sockets { dns_udp_v4, dns_udp_v6, dns_tcp_v4, dns_tcp_v6, relay_v4, relay_v6 } = spawn.sockets;
    let or_null = |socket: &Option<OwnedFd>| socket.as_ref().unwrap_or(&null).as_fd().try_clone_to_owned();
    let copy = || -> io::Result<Vec<OwnedFd>> {
        Ok(vec![
            plan.try_clone()?,
            spawn.supervisor.try_clone()?,
            dns_udp_v4.try_clone()?,
            or_null(&dns_udp_v6)?,
            dns_tcp_v4.try_clone()?,
            or_null(&dns_tcp_v6)?,
            relay_v4.try_clone()?,
            or_null(&relay_v6)?,
        ])
    };
    let mut places = copy().map_err(|cause| LauncherError::Io { doing: "copy a descriptor", cause })?;
    debug_assert_eq!(places.len() + 3, descriptors::FIRST_PUBLISHED as usize);
    places.extend(spawn.published);
    launcher::start(Program {
        name: PROGRAM,
        part: None,
        program: spawn.program,
        places: places.iter().map(AsFd::as_fd).collect(),
        group: Some(spawn.supervise_group),
        environment: &spawn.environment,
    })
}

/// The gate with this id that an earlier supervisor started; none when none runs.
///
/// # Errors
/// [`LauncherError`] when the session's group cannot be read.
pub fn adopt(group: &SessionGroup, uid: u32) -> Result<Option<Launcher>, LauncherError> {
    launcher::find_running(group, Some(uid))
}

/// Makes the socket and listens. One that an earlier gate left is replaced.
///
/// # Errors
/// [`GateSocketError`] when something else has the name, or the socket cannot be made.
pub fn listen(session_dir: impl AsFd) -> Result<OwnedFd, GateSocketError> {
    console::listen_at(session_dir.as_fd(), SOCKET, SocketType::SEQPACKET)
}

/// Connects to a gate, without waiting for it.
///
/// # Errors
/// [`GateSocketError`] when nobody listens, too many connections wait already, or what is there is not a socket of root's.
pub fn connect(session_dir: impl AsFd) -> Result<OwnedFd, GateSocketError> {
    console::connect_at(session_dir.as_fd(), SOCKET, SocketType::SEQPACKET)
}

/// Sends a message, with a socket when there is one (unix(7), SCM_RIGHTS).
///
/// # Errors
/// `WouldBlock` when the gate has not read what was sent before.
pub fn send(connection: &OwnedFd, message: &[u8], socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = socket.map(|socket| [socket]);
    if let Some(sockets) = &sockets {
        control.push(SendAncillaryMessage::ScmRights(sockets));
    }
    rustix::net::sendmsg(connection, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
