//! The conversation with a session's gate, and its replacement when it is lost.
//!
//! What a gate says is believed no more than what an agent says: each request is judged again, by the same
//! rules and by what only the supervisor knows, and each answer is one socket to one address.

use super::decisions::Decided;
use super::host::HostNetwork;
use super::session::{OnLoss, Shared};
use crate::descriptor;
use crate::supervisor::Supervisor;
use agentbox_kernel::failpoint::in_force;
use agentbox_kernel::gate::{self, GateSocketError};
use agentbox_kernel::launcher::{Launcher, LauncherError};
use agentbox_kernel::netns::{self, NetnsError, Sockets};
use agentbox_plan::Wire;
use agentbox_plan::gate::{Answer, MAX_REQUEST_BYTES, Request, Transport};
use agentbox_plan::net::{Decision, Destination, Reason, Rules, Translators};
use serde_json::json;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

/// Gates that may be lost within [`LOSS_WINDOW`] before the session is stopped.
const MAX_LOSSES: usize = 5;
const LOSS_WINDOW: Duration = Duration::from_secs(60);
/// A killed process is gone in milliseconds; one that is in uninterruptible sleep may take for ever.
const GONE_LIMIT: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
/// How often counted decisions are looked at, and rules that end.
const TICK: Duration = Duration::from_secs(1);
/// Requests that are served before other sessions get their turn.
const BATCH: usize = 64;
/// A gate reads in milliseconds. For one that does not, the rules that end, the totals and the trail would wait.
const SAY_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GateError {
    #[error("network namespace: {0}")]
    Namespace(#[from] NetnsError),
    #[error("network gate: {0}")]
    Program(#[from] LauncherError),
    #[error("network gate: {0}")]
    Socket(#[from] GateSocketError),
    #[error("network gate: {0}")]
    Io(#[from] io::Error),
    /// Its last word.
    #[error("it could not confine itself: {0}")]
    Failed(String),
    #[error("it tells of more connections than it can have made")]
    MadeUp,
    #[error("it does not read what it is told")]
    DoesNotRead,
}

/// What a gate is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) namespace: OwnedFd,
    /// The session's directory.
    pub(crate) directory: OwnedFd,
    /// The control group that it runs in.
    pub(crate) group: OwnedFd,
    /// Listening sockets on the host's loopback, in the order of the published ports.
    pub(crate) published: Vec<Vec<OwnedFd>>,
}

impl Parts {
    /// Starts a gate and connects to it.
    pub(crate) fn start(
        &self,
        supervisor: &Supervisor,
        network: &Shared,
        sockets: Option<Sockets>,
    ) -> Result<(Launcher, OwnedFd), GateError> {
        let sockets = match sockets {
            Some(sockets) => sockets,
            None => netns::sockets(self.namespace.as_fd(), network.fixed.ipv6)?,
        };
        let mut plan = network.gate_plan();
        // A published port has a listener for each family of the host's loopback.
        let inside = network.fixed.published.iter().map(|(_, inside)| *inside);
        plan.published = inside.zip(&self.published).flat_map(|(port, of)| vec![port; of.len()]).collect();
        let published = self.published.iter().flatten().map(OwnedFd::try_clone).collect::<Result<_, _>>()?;
        let program = gate::find_program()?;
        let started = gate::spawn(gate::Spawn {
            program: &program,
            plan: &plan.to_bytes(),
            supervisor: gate::listen(&self.directory)?,
            sockets,
            published,
            supervise_group: &self.group,
            environment: supervisor.launcher_environment(),
        })?;
        Ok((started, gate::connect(&self.directory)?))
    }
}

/// The task that talks to a session's gate.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) host: Arc<HostNetwork>,
    pub(crate) network: Shared,
    pub(crate) parts: Parts,
    /// Told when the first gate is confined, or why it is not.
    pub(crate) ready: Option<oneshot::Sender<Result<(), String>>>,
}

impl Conversation {
    /// Talks to the gate until the task is ended from outside or the session is to be stopped.
    pub(crate) async fn run(mut self, gate: Option<Launcher>, connection: Option<OwnedFd>) {
        let (mut gate, mut connection, mut losses) = (gate, connection, Vec::new());
        loop {
            let mut why = "the network gate ended before it was ready".to_owned();
            if let Some(connection) = connection.take()
                && let Err(error) = self.converse(connection).await
            {
                tracing::warn!("{}: {error}", self.network.id);
                if let GateError::Failed(what) = error {
                    why = what;
                }
            }
            self.host.forget(self.network.fixed.gate_uid);
            // Its sockets are closed only when it is gone; the next one needs their ports.
            if let Some(gate) = gate.take() {
                let _ = tokio::time::timeout(GONE_LIMIT, end(gate)).await;
            }
            if let Some(ready) = self.ready.take() {
                let _ = ready.send(Err(why));
                return;
            }
            self.network.audit(&self.supervisor, json!({ "event": "gate-lost" }));
            losses.retain(|at: &Instant| at.elapsed() < LOSS_WINDOW);
            losses.push(Instant::now());
            if self.network.fixed.on_loss == OnLoss::Stop || losses.len() > MAX_LOSSES {
                return self.supervisor.stop_for_lost_gate(&self.network.id);
            }
            match self.replace().await {
                Ok((started, connected)) => {
                    let attempt =
                        self.network.gate_started(started.pid, started.pidfd.try_clone().ok(), true);
                    self.network
                        .audit(&self.supervisor, json!({ "event": "gate-repaired", "attempt": attempt }));
                    gate = Some(started);
                    connection = Some(connected);
                }
                Err(error) => {
                    self.supervisor.report(format!("session {}: {error}", self.network.id));
                    return self.supervisor.stop_for_lost_gate(&self.network.id);
                }
            }
        }
    }

    /// Another gate. One that an earlier supervisor started cannot be waited for, so it is tried for a while.
    async fn replace(&self) -> Result<(Launcher, OwnedFd), GateError> {
        let begun = Instant::now();
        loop {
            match self.parts.start(&self.supervisor, &self.network, None) {
                Err(_) if begun.elapsed() < GONE_LIMIT => tokio::time::sleep(BETWEEN_TRIES).await,
                result => return result,
            }
        }
    }

    async fn converse(&mut self, connection: OwnedFd) -> Result<(), GateError> {
        rustix::io::ioctl_fionbio(&connection, true).map_err(io::Error::from)?;
        let connection = descriptor::watch(connection, Interest::READABLE | Interest::WRITABLE)?;
        say(&connection, &Answer::Rules { rules: self.network.rules() }, None).await?;
        let mut changes = self.host.changes();
        say(&connection, &Answer::OtherNetwork, None).await?;
        let mut tick = tokio::time::interval(TICK);
        let network = Arc::clone(&self.network);
        loop {
            tokio::select! {
                biased;
                () = network.rules_changed.notified() => {
                    say(&connection, &Answer::Rules { rules: network.rules() }, None).await?;
                    network.keep_or_tell(&self.parts.directory);
                }
                changed = changes.changed() => {
                    if changed.is_ok() {
                        say(&connection, &Answer::OtherNetwork, None).await?;
                    }
                }
                _ = tick.tick() => {
                    network.write_due(&self.supervisor);
                    network.keep_totals(&self.parts.directory);
                    super::live::expire(&self.supervisor, &self.host, &network);
                }
                ready = connection.readable() => {
                    let mut ready = ready?;
                    let begun = Instant::now();
                    // One that reads slowly keeps the rest waiting no longer than one that does not read.
                    for _ in (0..BATCH).take_while(|_| begun.elapsed() < TICK) {
                        match ready.try_io(|connection| receive(connection.get_ref())) {
                            Ok(Ok(Some(request))) => self.serve(&connection, request, &mut changes).await?,
                            Ok(Ok(None)) => return Ok(()),
                            Ok(Err(error)) => return Err(error.into()),
                            Err(_would_block) => break,
                        }
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    async fn serve(
        &mut self,
        connection: &AsyncFd<OwnedFd>,
        request: Request,
        changes: &mut watch::Receiver<()>,
    ) -> Result<(), GateError> {
        let (number, made) = match request {
            Request::Ready => {
                if let Some(ready) = self.ready.take() {
                    let _ = ready.send(Ok(()));
                }
                return Ok(());
            }
            Request::Failed { step, detail } => {
                let what = format!("{step}: {detail}");
                // Of a start that waits for it. Of a session that runs, what ends here is told, and nothing that the
                // gate made up.
                if self.ready.is_some() {
                    let failed = json!({ "event": "failed", "step": "gate", "what": what });
                    self.network.audit(&self.supervisor, failed);
                }
                return Err(GateError::Failed(what));
            }
            Request::Decided { destination, port, reason, rule, other } => {
                let decided = Decided { destination, port, reason, rule, other };
                let may_be = self.network.decided(&self.supervisor, decided);
                return if may_be { Ok(()) } else { Err(GateError::MadeUp) };
            }
            Request::Used { sent } => {
                self.network.used(sent);
                return Ok(());
            }
            Request::Translates { translators } => {
                if self.network.translates(translators) {
                    self.network.keep_or_tell(&self.parts.directory);
                    self.host.cut(&self.network);
                }
                return Ok(());
            }
            Request::Dial { number, destination, address, port } => {
                (number, self.dial(&destination, address, port))
            }
            Request::Resolver { number, which, transport } => (number, self.resolver(which, transport)),
            Request::DialInside { number, port } => (number, self.dial_inside(port)),
        };
        // Before what it asks for, which is of that network already.
        if changes.has_changed().is_ok_and(|changed| changed) {
            changes.mark_unchanged();
            say(connection, &Answer::OtherNetwork, None).await?;
        }
        match made {
            Ok(socket) => say(connection, &Answer::Socket { number }, Some(&socket)).await,
            Err(reason) => say(connection, &Answer::Refused { number, reason }, None).await,
        }
    }

    fn dial(&self, destination: &Destination, address: IpAddr, port: u16) -> Result<OwnedFd, Reason> {
        let (rules, translators) = (self.network.rules(), self.network.translators());
        judge(&rules, &translators, |address| self.host.what_is(address), destination, address, port)?;
        self.network.may_reach(destination, port)?;
        let to = SocketAddr::new(address.to_canonical(), port);
        self.made(self.host.tcp(self.network.fixed.gate_uid, to, Some(destination)))
    }

    fn resolver(&self, which: u8, transport: Transport) -> Result<OwnedFd, Reason> {
        let to = self.host.resolver(which).ok_or(Reason::Unresolved)?;
        let uid = self.network.fixed.gate_uid;
        self.made(match transport {
            Transport::Udp => self.host.udp(uid, to),
            Transport::Tcp => self.host.tcp(uid, to, None),
        })
    }

    fn dial_inside(&self, port: u16) -> Result<OwnedFd, Reason> {
        if !self.network.fixed.published.iter().any(|(_, inside)| *inside == port) {
            return Err(Reason::NotListed);
        }
        let made = netns::connect_inside(self.parts.namespace.as_fd(), port);
        self.made(made.map_err(|error| io::Error::other(error.to_string())))
    }

    fn made(&self, made: io::Result<OwnedFd>) -> Result<OwnedFd, Reason> {
        made.map_err(|error| {
            tracing::debug!("{}: {error}", self.network.id);
            Reason::Unreachable
        })
    }
}

/// Says something to a gate, for which it has [`SAY_LIMIT`].
pub(crate) async fn say(
    connection: &AsyncFd<OwnedFd>,
    answer: &impl Wire,
    socket: Option<&OwnedFd>,
) -> Result<(), GateError> {
    let bytes = answer.to_bytes();
    let said = async {
        loop {
            let mut ready = connection.writable().await?;
            match ready.try_io(|connection| gate::send(connection.get_ref(), &bytes, socket.map(AsFd::as_fd)))
            {
                Ok(sent) => return Ok(sent?),
                Err(_would_block) => {}
            }
        }
    };
    tokio::time::timeout(SAY_LIMIT, said).await.unwrap_or(Err(GateError::DoesNotRead))
}

/// The second judgement: the rules again, and what only this machine knows of itself.
fn judge(
    rules: &Rules,
    translators: &Translators,
    what_is: impl Fn(IpAddr) -> Option<Reason>,
    destination: &Destination,
    address: IpAddr,
    port: u16,
) -> Result<(), Reason> {
    match rules.judge_address(destination, port, address, translators) {
        Decision::Denied { reason, .. } if in_force("supervisor-rules") => return Err(reason),
        _ => {}
    }
    match next_to(rules, translators, what_is, destination, address, port) {
        Some(reason) if in_force("supervisor-reach") => Err(reason),
        _ => Ok(()),
    }
}

/// What an address that rules allow is to this machine, where no rule grants that it is reached.
pub(super) fn next_to(
    rules: &Rules,
    translators: &Translators,
    what_is: impl Fn(IpAddr) -> Option<Reason>,
    destination: &Destination,
    address: IpAddr,
    port: u16,
) -> Option<Reason> {
    let reason = translators.behind(address).chain([address]).find_map(what_is)?;
    (!rules.grants_internal(destination, port, address)).then_some(reason)
}

/// A gate that has ended or lost its way: its end is awaited, so that nothing of it is left.
pub(crate) async fn end(gate: Launcher) {
    let _ = rustix::process::pidfd_send_signal(&gate.pidfd, rustix::process::Signal::KILL);
    if let Ok(pidfd) = gate.pidfd.try_clone()
        && let Ok(ended) = descriptor::watch(pidfd, Interest::READABLE)
    {
        let _ = ended.readable().await.map(drop);
    }
    let _ = gate.try_wait();
}

/// The next request; none when the gate is gone.
fn receive(connection: &OwnedFd) -> io::Result<Option<Request>> {
    let mut bytes = [0; MAX_REQUEST_BYTES];
    let flags = rustix::net::RecvFlags::TRUNC;
    let (filled, whole) = rustix::net::recv(connection, &mut bytes[..], flags)?;
    if filled == 0 {
        return Ok(None);
    }
    if whole > MAX_REQUEST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Request::from_bytes(&bytes[..filled])
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
