//! The supervisor on a socket of its own, without a bus and without a service manager.
//!
//! Each connection is a D-Bus conversation between two peers, with an object that knows who is at the
//! other end. The process ends by itself when no session and no connection is left.
//!
//! SIGTERM and SIGINT end the supervisor; sessions live on, their launchers need nobody, and the next
//! supervisor takes them over.

use crate::caller::{Caller, Decision};
use crate::manager::Manager;
use crate::options::Options;
use crate::process::{self, FIRST_LISTEN_FD};
use crate::supervisor::Supervisor;
use crate::{objects, reconcile, workspace};
use agentbox_ipc::{PATH, SOCKET_NAME};
use agentbox_kernel::directory::{Directories, DirectoryError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};
use std::collections::HashMap;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use zbus::connection::Builder;
use zbus::{Guid, OwnedGuid};

/// Most connections of one user. A command makes one; this leaves room for a script that runs many.
const MAX_CONNECTIONS: usize = 64;
/// Most connections of a user who may ask nothing: enough to be told so.
const MAX_REFUSED_CONNECTIONS: usize = 4;
/// A client authenticates in three packets, which takes less than a millisecond.
const AUTHENTICATION_LIMIT: Duration = Duration::from_secs(5);
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

/// Runs until there is nothing left to do. One thread: there is little to do at once, and a pool costs
/// every start its threads.
pub(crate) fn run(options: &Options) -> Result<(), EmbeddedError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(supervise(options))
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
    supervisor.begin_taking_over();
    // Before anybody starts something in a project again.
    workspace::finish_all(&supervisor).await;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let server = Server { supervisor, guid: Guid::generate().into(), connections: Arc::default() };
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

/// Open connections by user.
type Connections = Arc<Mutex<HashMap<u32, usize>>>;

#[derive(Debug)]
struct Server {
    supervisor: Arc<Supervisor>,
    guid: OwnedGuid,
    connections: Connections,
}

impl Server {
    /// Serves connections until nothing is left. Returns with the lock that keeps the next supervisor waiting.
    async fn serve(&self, listener: &UnixListener, bus: &Path) -> OwnedFd {
        // Nobody has connected yet, and who started us is about to.
        match tokio::time::timeout(FIRST_CONNECTION_LIMIT, listener.accept()).await {
            Ok(accepted) => self.accepted(accepted),
            Err(_elapsed) => tracing::info!("nobody connected"),
        }
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
            tokio::select! {
                accepted = listener.accept() => self.accepted(accepted),
                () = self.supervisor.changed.notified() => {}
                () = again => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.supervisor.sessions().is_empty()
            && self.connections.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
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

    fn accepted(&self, accepted: io::Result<(UnixStream, tokio::net::unix::SocketAddr)>) {
        let admitted = accepted.and_then(|(stream, _)| {
            let caller = Caller::of(&stream, &self.supervisor)?;
            Ok(Connection::admit(&self.connections, &self.supervisor, &caller)
                .map(|guard| (stream, caller, guard)))
        });
        match admitted {
            Ok(Some((stream, caller, guard))) => {
                let manager = Manager::for_peer(Arc::clone(&self.supervisor), caller);
                tokio::spawn(converse(stream, manager, self.guid.clone(), guard));
            }
            // Closed at once: it has too many already.
            Ok(None) => {}
            Err(error) => tracing::warn!("a connection: {error}"),
        }
    }
}

/// Whether nobody waits to be accepted.
fn is_quiet(listener: &UnixListener) -> io::Result<bool> {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0)
}

/// Counts a connection while it lasts.
#[derive(Debug)]
struct Connection {
    uid: u32,
    connections: Connections,
    supervisor: Arc<Supervisor>,
}

impl Connection {
    fn admit(connections: &Connections, supervisor: &Arc<Supervisor>, caller: &Caller) -> Option<Self> {
        let most = match caller.access() {
            Decision::Allowed => MAX_CONNECTIONS,
            Decision::Refused(_) => MAX_REFUSED_CONNECTIONS,
        };
        let mut counts = connections.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(caller.uid).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        let (connections, supervisor) = (Arc::clone(connections), Arc::clone(supervisor));
        Some(Self { uid: caller.uid, connections, supervisor })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut counts = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
        self.supervisor.changed.notify_one();
    }
}

/// One connection, from its authentication to its end.
async fn converse(stream: UnixStream, manager: Manager, guid: OwnedGuid, guard: Connection) {
    let connection = async {
        let stream = stream.into_std()?;
        Builder::unix_stream(stream).server(guid).p2p().serve_at(PATH, manager.clone()).build().await
    };
    match tokio::time::timeout(AUTHENTICATION_LIMIT, connection).await {
        Ok(Ok(connection)) => {
            connection.closed().await;
            objects::leave(&guard.supervisor, &manager);
        }
        Ok(Err(error)) => tracing::debug!("a connection of uid {}: {error}", guard.uid),
        Err(_elapsed) => tracing::debug!("a connection of uid {} did not authenticate", guard.uid),
    }
    drop(guard);
}
