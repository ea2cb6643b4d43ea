//! The supervisor on a socket of its own, without a bus and without a service manager.
//!
//! Each connection is a D-Bus conversation between two peers, with an object that knows who is at the
//! other end. The process ends by itself when no session and no connection is left.
//!
//! SIGTERM and SIGINT end the supervisor; sessions live on, their launchers need nobody, and the next
//! supervisor takes them over.

mod admission;
mod socket;

use crate::caller::Caller;
use crate::manager::Manager;
use crate::options::Options;
use crate::process::{self, FIRST_LISTEN_FD};
use crate::supervisor::Supervisor;
use crate::{objects, reconcile, workspace};
use admission::{Admission, Admitted};
use agentbox_ipc::{PATH, SOCKET_NAME};
use agentbox_kernel::directory::{Directories, DirectoryError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};
use socket::{MAX_MESSAGE_BYTES, Peer};
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use zbus::connection::Builder;
use zbus::{Guid, OwnedGuid};

/// A client authenticates in three packets, which takes less than a millisecond.
const AUTHENTICATION_LIMIT: Duration = Duration::from_secs(5);
/// Who may use nothing is told so within this time, and the connection ends.
const REFUSED_LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of a message of theirs: a start with a common environment has a tenth.
const MAX_REFUSED_BYTES: u64 = 256 << 10;
/// How long nobody is accepted after somebody could not be: descriptors or memory have run out, and who waits stays.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Who starts a supervisor connects at once; this is for one that was killed in between.
const FIRST_CONNECTION_LIMIT: Duration = Duration::from_secs(30);
/// How long it waits before it asks again for a lock that somebody holds who is just starting or connecting.
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// The supervisor cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmbeddedError {
    /// Its directories.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its socket.
    #[error("{SOCKET_NAME}: {0}")]
    Socket(#[from] io::Error),
    /// Another one runs.
    #[error("another agentboxd serves {0} already")]
    Taken(String),
}

/// Runs until there is nothing left to do.
pub(crate) fn run(options: &Options) -> Result<(), EmbeddedError> {
    process::run(supervise(options))?
}

async fn supervise(options: &Options) -> Result<(), EmbeddedError> {
    process::forbid_inspection()?;
    process::raise_descriptor_limit();
    process::prepare_starts();
    let directories = process::directories()?;
    let bus = directories.paths.runtime.join(SOCKET_NAME);
    let listener = match inherited()? {
        Some(listener) => listener,
        None => bind(&directories, &bus)?,
    };
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let supervisor = process::supervisor(options, directories, None, None)?;
    reconcile::reconcile(&supervisor).await;
    supervisor.all_taken_over().await;
    // Before anybody starts something in a project again.
    workspace::finish_all(&supervisor).await;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let server = Server { supervisor, guid: Guid::generate().into(), admission: Admission::new() };
    let mut serving = std::pin::pin!(server.serve(&listener, &bus));
    let lock = loop {
        tokio::select! {
            lock = &mut serving => break Some(lock),
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = hangup.recv() => server.supervisor.reload(),
        }
    };
    if lock.is_none() {
        tracing::info!("told to end; sessions live on");
    }
    process::end(&server.supervisor);
    // The next supervisor may start; the disk is not its business.
    drop(lock);
    server.supervisor.audit().sync();
    Ok(())
}

/// The socket that `agentboxctl` or a service manager made (sd_listen_fds(3)).
fn inherited() -> io::Result<Option<StdListener>> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) || number("LISTEN_FDS") != Some(1) {
        return Ok(None);
    }
    // A number from outside becomes an owned descriptor only through the kernel: pidfd_getfd(2) of ourselves.
    let me = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    let socket = rustix::process::pidfd_getfd(me, FIRST_LISTEN_FD, PidfdGetfdFlags::empty())?;
    if !rustix::net::sockopt::socket_acceptconn(&socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "descriptor 3 is no listening socket"));
    }
    Ok(Some(socket.into()))
}

/// A socket of our own, for a supervisor that was started by hand.
fn bind(directories: &Directories, bus: &Path) -> Result<StdListener, EmbeddedError> {
    let _lock = directories.lock(true)?;
    if StdStream::connect(bus).is_ok() {
        return Err(EmbeddedError::Taken(bus.display().to_string()));
    }
    match std::fs::remove_file(bus) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = StdListener::bind(bus)?;
    // Everybody may connect; who they are is looked at then.
    std::fs::set_permissions(bus, Permissions::from_mode(0o666))?;
    Ok(listener)
}

#[derive(Debug)]
struct Server {
    supervisor: Arc<Supervisor>,
    guid: OwnedGuid,
    admission: Admission,
}

impl Server {
    /// Serves connections until nothing is left. Returns with the lock that keeps the next supervisor waiting.
    async fn serve(&self, listener: &UnixListener, bus: &Path) -> OwnedFd {
        // Nobody has connected yet, and who started us is about to.
        match tokio::time::timeout(FIRST_CONNECTION_LIMIT, listener.accept()).await {
            Ok(Ok((stream, _))) => self.accepted(stream),
            Ok(Err(error)) => tracing::warn!("a connection: {error}"),
            Err(_elapsed) => tracing::info!("nobody connected"),
        }
        let mut failed: Option<Instant> = None;
        loop {
            let mut retry = None;
            if self.is_idle() {
                match self.leave(listener, bus) {
                    Ok(Some(lock)) => return lock,
                    Ok(None) => retry = Some(LOCK_RETRY),
                    Err(error) => tracing::warn!("the end of the supervisor: {error}"),
                }
            }
            let again = async {
                match retry {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
            };
            let accept = async {
                if let Some(failed) = failed {
                    tokio::time::sleep_until(failed + ACCEPT_PAUSE).await;
                }
                listener.accept().await
            };
            tokio::select! {
                accepted = accept => match accepted {
                    Ok((stream, _)) => {
                        failed = None;
                        self.accepted(stream);
                    }
                    Err(error) => {
                        if failed.is_none() {
                            tracing::warn!("nobody can connect: {error}");
                        }
                        failed = Some(Instant::now());
                    }
                },
                () = self.supervisor.changed.notified() => {}
                () = again => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.supervisor.sessions().is_empty() && self.admission.is_empty()
    }

    /// Takes the socket away unless somebody is about to use it. Whoever finds it gone starts another
    /// supervisor, and waits for our lock before that.
    fn leave(
        &self,
        listener: &UnixListener,
        bus: &Path,
    ) -> Result<Option<OwnedFd>, Box<dyn std::error::Error>> {
        let Some(lock) = self.supervisor.directories.lock(false)? else { return Ok(None) };
        if !is_quiet(listener)? {
            return Ok(None);
        }
        // Renamed first: a connection that slips in before that waits in the backlog, and is seen.
        let aside = bus.with_extension("ending");
        std::fs::rename(bus, &aside)?;
        if !is_quiet(listener)? {
            std::fs::rename(&aside, bus)?;
            return Ok(None);
        }
        std::fs::remove_file(&aside)?;
        Ok(Some(lock))
    }

    fn accepted(&self, stream: UnixStream) {
        let caller = match Caller::of(&stream, &self.supervisor) {
            Ok(caller) => caller,
            Err(error) => return tracing::warn!("a connection: {error}"),
        };
        // Otherwise it is closed at once: there are too many already.
        if let Some(admitted) = self.admission.admit(&self.supervisor, &caller) {
            let manager = Manager::for_peer(Arc::clone(&self.supervisor), caller);
            tokio::spawn(converse(Arc::new(stream), manager, self.guid.clone(), admitted));
        }
    }
}

/// Whether nobody waits to be accepted.
fn is_quiet(listener: &UnixListener) -> io::Result<bool> {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0)
}

/// One connection, from its authentication to its end.
async fn converse(stream: Arc<UnixStream>, manager: Manager, guid: OwnedGuid, admitted: Admitted) {
    let uid = admitted.uid;
    let max_bytes = if admitted.may { MAX_MESSAGE_BYTES } else { MAX_REFUSED_BYTES };
    let peer = Peer { stream: Arc::clone(&stream), uid, max_bytes };
    let connection = Builder::socket(peer).server(guid).p2p().serve_at(PATH, manager.clone()).build();
    match tokio::time::timeout(AUTHENTICATION_LIMIT, connection).await {
        Ok(Ok(connection)) if admitted.may => connection.closed().await,
        Ok(Ok(connection)) => {
            let _told = tokio::time::timeout(REFUSED_LIMIT, connection.closed()).await;
        }
        Ok(Err(error)) => tracing::debug!("a connection of uid {uid}: {error}"),
        Err(_elapsed) => tracing::debug!("a connection of uid {uid} did not authenticate"),
    }
    // Whatever of it still waits for the other side hears that it has gone.
    if let Err(error) = socket::end(&stream) {
        tracing::debug!("a connection of uid {uid}: {error}");
    }
    objects::leave(&admitted.supervisor, &manager);
}
