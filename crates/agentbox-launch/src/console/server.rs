//! The loop: what is waited for, what is due, and when the session is over.
//!
//! ```text
//! awaiting ──Started 0──▶ running ──Ended 0 / PID 1 gone──▶ ending ──all output taken──▶ over
//!     └─────Failed──────▶ over
//! ```
//! `requests` holds what clients ask for, `events` what PID 1 says and what processes write.

mod events;
mod requests;

use super::Wiring;
use super::client::{Client, ClientId, Received, Role};
use super::inner::{Inner, Packet};
use super::process::Process;
use super::source::Kind;
use agentbox_plan::console::FromConsole;
use agentbox_plan::inner::ToInner;
use agentbox_plan::report::Report;
use agentbox_plan::{Exit, Wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Number of the agent.
const AGENT: u32 = 0;
/// Most connections at once. The agent's, the supervisor's and those of all processes that may run are half of it, so
/// that there is always one that only has to be delivered to, and gives its place to the next one.
const CLIENTS_MAX: usize = 128;
/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;
/// Packets of PID 1 that are looked at before everybody else has a turn.
const PACKETS: usize = 16;
/// How long the end of PID 1 is waited for when it has said that the agent ended, or said nothing more.
/// The kernel kills what is left in milliseconds; the supervisor kills the control group in any case.
const END: Duration = Duration::from_secs(5);
/// Pause when no connection can be taken for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Pause when poll(2) fails.
const POLL_PAUSE: Duration = Duration::from_millis(20);
const SIGHUP: u8 = 1;
const SIGKILL: u8 = 9;
const SIGTERM: u8 = 15;

/// What a descriptor in the poll set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Listener,
    Inner,
    Init,
    Client(ClientId),
    Source(u32, Kind),
    Input(u32),
}

/// State of the console.
#[derive(Debug)]
pub(super) struct Server {
    listener: OwnedFd,
    peer_uid: u32,
    /// Set while no connection can be taken.
    accept_at: Option<Instant>,
    inner: Inner,
    report: OwnedFd,
    init: OwnedFd,
    init_pid: u32,
    /// PID 1 has ended, or is not waited for any longer.
    init_gone: bool,
    /// When it is not waited for any longer.
    init_until: Option<Instant>,
    agent_pid: Option<u32>,
    /// PID 1 said that a confinement step failed.
    failed: Option<Exit>,
    prefix: String,
    clients: BTreeMap<ClientId, Client>,
    next_client: ClientId,
    processes: BTreeMap<u32, Process>,
    next_number: u32,
    scratch: Vec<u8>,
}

impl Server {
    /// A console that takes connections of `peer_uid`.
    pub(super) fn new(wiring: Wiring, peer_uid: u32) -> Self {
        let prefix = format!("[agentbox {} {}] ", wiring.label, wiring.session);
        // Accepting must not block when a connection was reset between poll and accept.
        if let Ok(flags) = rustix::fs::fcntl_getfl(&wiring.listener) {
            let _ = rustix::fs::fcntl_setfl(&wiring.listener, flags | rustix::fs::OFlags::NONBLOCK);
        }
        Self {
            listener: wiring.listener,
            peer_uid,
            accept_at: None,
            inner: Inner::new(wiring.inner),
            report: wiring.report,
            init: wiring.init,
            init_pid: wiring.init_pid,
            init_gone: false,
            init_until: None,
            agent_pid: None,
            failed: None,
            prefix,
            clients: BTreeMap::new(),
            next_client: 0,
            processes: BTreeMap::from([(AGENT, Process::new(wiring.streams, wiring.size, None))]),
            next_number: AGENT + 1,
            scratch: vec![0; READ_BYTES],
        }
    }

    /// Serves until the session is over.
    pub(super) fn run(mut self) -> Exit {
        loop {
            let ready = self.wait();
            let now = Instant::now();
            self.accept(&ready, now);
            self.receive(&ready, now);
            self.messages(now);
            if ready.iter().any(|(token, _)| *token == Token::Inner) {
                self.hear(now);
            }
            self.watch_init(&ready, now);
            if let Some(exit) = self.failed {
                return exit;
            }
            self.read_sources(&ready, now);
            self.tick(now);
            self.settle(now);
            self.flush(now);
            if let Some(exit) = self.over() {
                self.tell(&Report::Ended { exit });
                return exit;
            }
        }
    }

    /// Waits until something is ready or due.
    fn wait(&self) -> Vec<(Token, PollFlags)> {
        let now = Instant::now();
        let (tokens, mut descriptors): (Vec<Token>, Vec<PollFd<'_>>) = self
            .interests(now)
            .into_iter()
            .map(|(token, descriptor, flags)| (token, PollFd::from_borrowed_fd(descriptor, flags)))
            .unzip();
        // A client whose process takes input again may have said everything it will ever say.
        let unheard = self.clients.values().any(|client| client.has_message() && self.is_heard(client));
        let due = if unheard { Some(now) } else { self.deadline(now) };
        let timeout = due.map(|at| {
            let left = at.saturating_duration_since(now);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => tokens
                .into_iter()
                .zip(descriptors.iter().map(PollFd::revents))
                .filter(|(_, revents)| !revents.is_empty())
                .collect(),
            Err(Errno::INTR) => Vec::new(),
            // Out of memory: what is due is looked at, and everything else a little later.
            Err(_) => {
                std::thread::sleep(POLL_PAUSE);
                Vec::new()
            }
        }
    }

    /// What to wait for. A descriptor that is not to be read or written is left out, as poll(2) reports
    /// the other side's end unasked and the loop would spin.
    fn interests(&self, now: Instant) -> Vec<(Token, BorrowedFd<'_>, PollFlags)> {
        let mut all = Vec::new();
        if self.can_accept(now) {
            all.push((Token::Listener, self.listener.as_fd(), PollFlags::IN));
        }
        if let Some(socket) = self.inner.socket() {
            let send = if self.inner.has_unsent() { PollFlags::OUT } else { PollFlags::empty() };
            all.push((Token::Inner, socket, PollFlags::IN | send));
        }
        if !self.init_gone {
            all.push((Token::Init, self.init.as_fd(), PollFlags::IN));
        }
        for (id, client) in &self.clients {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.is_heard(client));
            flags.set(PollFlags::OUT, client.has_unsent());
            // Even with no flag: a client that is gone has to be noticed.
            all.push((Token::Client(*id), client.socket(), flags));
        }
        for (number, process) in &self.processes {
            for source in &process.sources {
                if source.retry(now).is_none() && self.wants(process, source.kind) {
                    all.push((Token::Source(*number, source.kind), source.descriptor(), PollFlags::IN));
                }
            }
            if let Some(descriptor) = process.input.wants() {
                all.push((Token::Input(*number), descriptor, PollFlags::OUT));
            }
        }
        all
    }

    /// When something is due next.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let clients = self.clients.values().filter_map(Client::deadline);
        let processes = self.processes.values().filter_map(|process| process.deadline(now));
        let init = self.init_until.filter(|_| !self.init_gone);
        let last = self.last_clients().map(|(_, at)| at);
        clients.chain(last).chain(processes).chain(init).chain(self.accept_at).min()
    }

    /// Clients that hold up the end of a process, and until when they may.
    fn last_clients(&self) -> impl Iterator<Item = (ClientId, Instant)> {
        let ended = self.processes.values().filter(|process| process.exit.is_some());
        ended
            .filter_map(|process| process.client)
            .filter_map(|id| Some((id, self.clients.get(&id)?.blocked()?)))
    }

    fn can_accept(&self, now: Instant) -> bool {
        (self.clients.len() < CLIENTS_MAX || self.idlest().is_some())
            && self.accept_at.is_none_or(|at| at <= now)
    }

    /// Of the clients whose process has ended, the one that has taken nothing of the rest for the longest time.
    fn idlest(&self) -> Option<ClientId> {
        let leaving = self.clients.iter().filter(|(_, client)| client.role == Role::Leaving);
        leaving.min_by_key(|(_, client)| client.progress()).map(|(id, _)| *id)
    }

    fn accept(&mut self, ready: &[(Token, PollFlags)], now: Instant) {
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept_at = None;
        }
        if !ready.iter().any(|(token, _)| *token == Token::Listener) {
            return;
        }
        match Client::accept(&self.listener, self.peer_uid, now) {
            Ok(None) => {}
            Ok(Some(mut client)) => {
                // What it has to say is mostly there already, and comes before what PID 1 says.
                if client.receive(&mut self.scratch) != Received::Gone {
                    if self.clients.len() >= CLIENTS_MAX
                        && let Some(idlest) = self.idlest()
                    {
                        self.clients.remove(&idlest);
                    }
                    self.clients.insert(self.next_client, client);
                    self.next_client += 1;
                }
            }
            Err(_) => self.accept_at = Some(now + ACCEPT_PAUSE),
        }
    }

    /// Whether a client is read from: not while the process takes nothing of what it sent before.
    fn is_heard(&self, client: &Client) -> bool {
        match client.role {
            Role::New | Role::Supervisor => true,
            Role::Process(number) => {
                self.processes.get(&number).is_none_or(|process| !process.input.is_full())
            }
            Role::Leaving => false,
        }
    }

    fn receive(&mut self, ready: &[(Token, PollFlags)], now: Instant) {
        for (token, revents) in ready {
            let Token::Client(id) = *token else { continue };
            let Some(heard) = self.clients.get(&id).map(|client| self.is_heard(client)) else { continue };
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let lost = revents.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            let received = match (heard, lost) {
                (true, _) if lost || revents.contains(PollFlags::IN) => client.receive(&mut self.scratch),
                (false, true) => Received::Gone,
                _ => Received::Nothing,
            };
            if received == Received::Gone {
                self.vanished(id, now);
            }
        }
    }

    /// Handles the messages that clients sent.
    fn messages(&mut self, now: Instant) {
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            while let Some(client) = self.clients.get(&id) {
                if !self.is_heard(client) {
                    break;
                }
                let Some(client) = self.clients.get_mut(&id) else { break };
                match client.next_message() {
                    Ok(Some(message)) => self.message(id, message, now),
                    Ok(None) => break,
                    Err(_) => self.vanished(id, now),
                }
            }
        }
    }

    /// Hears what PID 1 says. True when there may be more.
    fn hear(&mut self, now: Instant) -> bool {
        for _ in 0..PACKETS {
            match self.inner.receive() {
                Packet::Message(message, descriptors) => self.heard(message, descriptors, now),
                Packet::Garbage => {}
                Packet::Nothing => return false,
                Packet::End => {
                    self.init_until.get_or_insert(now + END);
                    return false;
                }
            }
        }
        true
    }

    /// Notices the end of PID 1, with which every process of the session ends (pid_namespaces(7)).
    fn watch_init(&mut self, ready: &[(Token, PollFlags)], now: Instant) {
        let ended = ready.iter().any(|(token, _)| *token == Token::Init);
        // What it said last comes first, even what poll did not see yet. There is an end to it, as nobody
        // is left who could add to it.
        while ended && self.hear(now) {}
        if !self.init_gone && (ended || self.init_until.is_some_and(|at| at <= now)) {
            self.init_gone = true;
            // A client that is expected is connected before the agent runs, so it is there or waits.
            let awaited = ready.iter().any(|(token, _)| *token == Token::Listener)
                || !self.can_accept(now)
                || self.clients.values().any(|client| client.role == Role::New);
            for process in self.processes.values_mut() {
                process.end(Exit::Signal { number: SIGKILL }, now);
                if ended {
                    process.writers_gone(awaited, now);
                }
            }
        }
    }

    /// Does what is due.
    fn tick(&mut self, now: Instant) {
        for (number, process) in &mut self.processes {
            process.tick(now);
            if process.kill.is_some_and(|at| at <= now) {
                process.kill = None;
                let message = if *number == AGENT {
                    ToInner::SignalAll { signal: SIGKILL }
                } else {
                    ToInner::Signal { number: *number, signal: SIGKILL }
                };
                // A PID 1 that hears nothing any more is ended by the supervisor.
                let _ = self.inner.say(&message);
            }
        }
        let late = |client: &Client| client.deadline().is_some_and(|at| at <= now);
        self.clients.retain(|_, client| !late(client));
        for id in self.last_clients().filter(|(_, at)| *at <= now).map(|(id, _)| id).collect::<Vec<_>>() {
            self.vanished(id, now);
        }
    }

    fn flush(&mut self, now: Instant) {
        self.inner.flush();
        for process in self.processes.values_mut() {
            process.input.flush();
        }
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            if !client.flush(now) {
                self.vanished(id, now);
            } else if client.role == Role::Leaving && !client.has_unsent() {
                self.clients.remove(&id);
            }
        }
    }

    /// How the agent ended, once nothing is left to do. Until every client took its last bytes the
    /// console answers: a supervisor that comes back must find it.
    fn over(&self) -> Option<Exit> {
        let agent = self.processes.get(&AGENT)?;
        let is_idle = self.clients.values().all(|client| client.role == Role::New);
        agent.exit.filter(|_| agent.done && self.processes.len() == 1 && is_idle)
    }

    /// Tells the supervisor. It may be gone: the session does not depend on it.
    fn tell(&self, report: &Report) {
        let _ = send(&self.report, &report.to_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// Says a client's last words.
    fn dismiss(&mut self, id: ClientId, last: &FromConsole, now: Instant) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.say(last);
            client.leave(matches!(last, FromConsole::Exited(_)), now);
        }
    }
}
