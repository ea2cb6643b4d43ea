//! What clients ask for.

use super::super::client::{ClientId, Role, Stream};
use super::super::inner::Unsendable;
use super::super::process::Process;
use super::super::source::Kind;
use super::{AGENT, SIGHUP, SIGTERM, Server};
use agentbox_plan::console::{Client as Attaching, FromConsole, Hello, ToConsole};
use agentbox_plan::inner::{MAX_BYTES, ToInner};
use agentbox_plan::{Exit, Process as Program};
use std::time::Instant;

/// Most processes beside the agent at once.
const EXEC_MAX: usize = 64;
/// Signals have numbers up to 64 (signal(7)).
const SIGNAL_MAX: u8 = 64;
const ESRCH: i32 = 3;
const E2BIG: i32 = 7;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;

impl Server {
    /// Handles one message of a client.
    pub(super) fn message(&mut self, id: ClientId, message: ToConsole, now: Instant) {
        let Some(role) = self.clients.get(&id).map(|client| client.role) else { return };
        match (role, message) {
            (Role::New, ToConsole::Hello(hello)) => self.hello(id, hello, now),
            (Role::Supervisor, ToConsole::Signal(signal)) => self.end(signal),
            (Role::Supervisor, ToConsole::Waits) => self.tell_of_waiting(),
            (Role::Process(number), message) => self.streamed(id, number, message, now),
            // Not in order: the conversation has no meaning from here on.
            _ => self.vanished(id, now),
        }
    }

    fn streamed(&mut self, id: ClientId, number: u32, message: ToConsole, now: Instant) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        match message {
            ToConsole::Hello(_) | ToConsole::Waits => self.vanished(id, now),
            ToConsole::Input(bytes) => process.input.push(&bytes),
            ToConsole::InputEnd => process.input.end(),
            // The process gets SIGPIPE when it writes to a pipe next.
            ToConsole::OutputClosed => self.closed(id, number, Stream::Output, Kind::Output),
            ToConsole::ErrorClosed => self.closed(id, number, Stream::Error, Kind::Error),
            ToConsole::Resize(size) => process.resize(size),
            ToConsole::Signal(signal) => self.signal(number, signal),
            ToConsole::Detach => self.detach(id, number, now),
        }
    }

    fn closed(&mut self, id: ClientId, number: u32, stream: Stream, kind: Kind) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.close(stream);
        }
        if let Some(process) = self.processes.get_mut(&number) {
            process.close(kind);
        }
    }

    /// Tells every client that shows a terminal to a person.
    fn tell_of_waiting(&mut self) {
        for client in self.clients.values_mut() {
            if matches!(client.role, Role::Process(_)) && client.is_terminal(Stream::Output) {
                client.say(&FromConsole::Waits);
            }
        }
    }

    /// Passes on what the supervisor sends to the agent. An interactive shell ignores SIGTERM and ends when its
    /// terminal is hung up.
    fn end(&mut self, signal: u8) {
        self.signal(AGENT, signal);
        let on_terminal = |agent: &Process| agent.streams.has_terminal();
        if signal == SIGTERM && self.processes.get(&AGENT).is_some_and(on_terminal) {
            self.signal(AGENT, SIGHUP);
        }
    }

    fn signal(&mut self, number: u32, signal: u8) {
        if (1..=SIGNAL_MAX).contains(&signal) {
            // Dropped when PID 1 hears nothing any more.
            let _ = self.inner.say(&ToInner::Signal { number, signal });
        }
    }

    fn hello(&mut self, id: ClientId, hello: Hello, now: Instant) {
        match hello {
            Hello::Attach { client } => self.attach(id, client, now),
            Hello::Exec { process } => self.exec(id, process, now),
            Hello::Supervise => {
                if let Some(exit) = self.finished() {
                    return self.dismiss(id, &FromConsole::Exited(exit), now);
                }
                let state = self.state();
                if let Some(client) = self.clients.get_mut(&id) {
                    client.role = Role::Supervisor;
                    if let Some(state) = state {
                        client.say(&state);
                    }
                }
            }
        }
    }

    /// What supervisors are told, once it is known.
    pub(super) fn state(&self) -> Option<FromConsole> {
        let (init_pid, agent_pid) = (self.init_pid, self.agent_pid?);
        Some(FromConsole::State { init_pid, agent_pid })
    }

    /// How the agent ended, if its clients were told.
    fn finished(&self) -> Option<Exit> {
        self.processes.get(&AGENT).filter(|agent| agent.done).and_then(|agent| agent.exit)
    }

    fn attach(&mut self, id: ClientId, attaching: Attaching, now: Instant) {
        if let Some(exit) = self.finished() {
            return self.dismiss(id, &FromConsole::Exited(exit), now);
        }
        if let Some(before) = self.processes.get(&AGENT).and_then(|agent| agent.client) {
            self.detach(before, AGENT, now);
        }
        let (Some(agent), Some(client)) = (self.processes.get_mut(&AGENT), self.clients.get_mut(&id)) else {
            return;
        };
        client.role = Role::Process(AGENT);
        client.streams = attaching.streams;
        for source in &agent.sources {
            if let Some(stream) = agent.route(source.kind).filter(|stream| client.is_terminal(*stream)) {
                client.show(stream, &source.replay());
            }
        }
        agent.client = Some(id);
        agent.input.resume();
        if agent.had_client {
            agent.nudge(attaching.size, now);
        } else {
            agent.resize(attaching.size);
        }
        (agent.had_client, agent.abandoned) = (true, false);
    }

    fn exec(&mut self, id: ClientId, program: Program, now: Instant) {
        let number = self.next_number;
        let (streams, size) = (program.streams, program.size);
        if let Some(client) = self.clients.get_mut(&id) {
            client.streams = streams;
        }
        if self.processes.get(&AGENT).is_none_or(|agent| agent.exit.is_some()) || self.init_gone {
            return self.refuse(id, "the session is ending", ESRCH, now);
        }
        if program.arguments.is_empty() {
            return self.refuse(id, "no command was given", EINVAL, now);
        }
        if self.processes.len() > EXEC_MAX {
            let what =
                format!("a session runs at most {EXEC_MAX} commands beside its agent; end one of them");
            return self.refuse(id, &what, EAGAIN, now);
        }
        match self.inner.say(&ToInner::Exec { number, process: program }) {
            Ok(()) => {}
            Err(Unsendable::TooLong) => {
                let what = format!(
                    "command and environment are longer than {} KiB; pass long input through standard input",
                    MAX_BYTES / 1024
                );
                return self.refuse(id, &what, E2BIG, now);
            }
            Err(Unsendable::Full) => {
                return self.refuse(id, "the session does not answer; stop it if it never does", EAGAIN, now);
            }
        }
        // Four thousand million commands later there is no number left that PID 1 has not seen.
        self.next_number = number.saturating_add(1);
        self.processes.insert(number, Process::new(streams, size, Some(id)));
        if let Some(client) = self.clients.get_mut(&id) {
            client.role = Role::Process(number);
        }
    }

    /// Says why a command is not executed.
    fn refuse(&mut self, id: ClientId, what: &str, errno: i32, now: Instant) {
        if let Some(client) = self.clients.get_mut(&id) {
            // A client with a terminal has it in raw mode.
            client.show(Stream::Error, format!("agentbox: not executed: {what}\r\n").as_bytes());
        }
        self.dismiss(id, &FromConsole::Exited(Exit::NotExecuted { errno }), now);
    }

    /// The client leaves on purpose, or another one takes over.
    fn detach(&mut self, id: ClientId, number: u32, now: Instant) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.client = None;
            if let Some(client) = self.clients.get_mut(&id) {
                process.reset(client);
            }
        }
        self.dismiss(id, &FromConsole::Detached, now);
        if number != AGENT {
            // Nobody can attach to it again.
            self.hang_up(number, now);
        }
    }

    /// The client is gone without a word, or made no sense.
    pub(super) fn vanished(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.clients.remove(&id) else { return };
        let Role::Process(number) = client.role else { return };
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.client = None;
        // With a terminal the agent goes on, and somebody may attach.
        if number != AGENT || !process.streams.has_terminal() {
            self.hang_up(number, now);
        }
    }

    /// Ends a process that nobody can reach any more, the way a terminal that is closed does.
    pub(super) fn hang_up(&mut self, number: u32, now: Instant) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if process.exit.is_some() {
            process.hang_up(now);
            process.kill = None;
        } else if process.started {
            process.hang_up(now);
            self.signal(number, SIGHUP);
        } else {
            process.abandoned = true;
        }
    }
}
