//! What PID 1 says and what processes write.

use super::super::client::{Client, Role};
use super::super::process::{Process, host_pid};
use super::super::source::{Got, Kind};
use super::{AGENT, END, Server, Token};
use agentbox_plan::Exit;
use agentbox_plan::console::FromConsole;
use agentbox_plan::inner::FromInner;
use agentbox_plan::report::Report;
use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use std::time::Instant;

/// Most characters of each part of a failure that are passed on.
const FAILURE_CHARACTERS: usize = 2048;
const EPERM: i32 = 1;

impl Server {
    /// Handles what PID 1 says. What makes no sense is ignored: PID 1 is honest until the agent runs,
    /// and may be the agent's afterwards.
    pub(super) fn heard(&mut self, message: FromInner, descriptors: Vec<OwnedFd>, now: Instant) {
        match message {
            FromInner::Confined => {}
            FromInner::Failed { step, detail } => self.failed(&step, &detail),
            FromInner::Started { number, pid: _ } => self.started(number, descriptors, now),
            FromInner::Ended { number, exit } => {
                let Some(process) = self.processes.get_mut(&number) else { return };
                process.end(exit, now);
                if number == AGENT {
                    self.init_until.get_or_insert(now + END);
                }
            }
        }
    }

    fn failed(&mut self, step: &str, detail: &str) {
        let agent = self.processes.get(&AGENT);
        if agent.is_none_or(|agent| agent.started || agent.exit.is_some()) {
            return;
        }
        let short = |text: &str| text.chars().take(FAILURE_CHARACTERS).collect();
        self.tell(&Report::Failed { step: short(step), detail: short(detail) });
        self.failed = Some(Exit::NotExecuted { errno: EPERM });
    }

    fn started(&mut self, number: u32, descriptors: Vec<OwnedFd>, now: Instant) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if process.started || process.exit.is_some() {
            return;
        }
        let mut descriptors = descriptors.into_iter();
        let pidfd = descriptors.next();
        process.start(descriptors, &self.prefix);
        if process.abandoned {
            self.hang_up(number, now);
        }
        if number == AGENT {
            let agent_pid = pidfd.as_ref().map_or(0, host_pid);
            self.agent_pid = Some(agent_pid);
            self.tell(&Report::Running { init_pid: self.init_pid, agent_pid });
            let state = self.state();
            let supervisors = self.clients.values_mut().filter(|client| client.role == Role::Supervisor);
            for (supervisor, state) in supervisors.zip(state.iter().cycle()) {
                supervisor.say(state);
            }
        }
    }

    /// Whether a stream of `process` is read now: not while its client has to take something first.
    /// Without a client a terminal is read, so that the agent goes on, and a pipe is not, so that
    /// nothing is lost.
    pub(super) fn wants(&self, process: &Process, kind: Kind) -> bool {
        match process.client.and_then(|id| self.clients.get(&id)) {
            Some(client) => !client.is_full(),
            None => kind == Kind::Terminal,
        }
    }

    /// Reads what processes wrote.
    pub(super) fn read_sources(&mut self, ready: &[(Token, PollFlags)], now: Instant) {
        for (number, process) in &mut self.processes {
            let ended = process.exit.is_some();
            let drained = process.is_drained(now);
            let mut sources = std::mem::take(&mut process.sources);
            sources.retain_mut(|source| {
                let is_ready = ready.iter().any(|(token, _)| *token == Token::Source(*number, source.kind));
                if !is_ready && !drained {
                    return true;
                }
                let route = process.route(source.kind);
                let mut client = process.client.and_then(|id| self.clients.get_mut(&id));
                if client.is_none() && source.kind != Kind::Terminal {
                    // Nobody came in time for the last bytes of a pipe.
                    return !drained;
                }
                if client.as_ref().is_some_and(|client| client.is_full()) {
                    return true;
                }
                let target = client.as_deref_mut().zip(route);
                let shown = target.as_ref().is_some_and(|(client, stream)| client.is_terminal(*stream));
                let kept = match source.read(&mut self.scratch, shown, ended, now) {
                    Got::Bytes(bytes) => {
                        if let Some((client, stream)) = target {
                            client.show(stream, &bytes);
                        }
                        true
                    }
                    Got::Nothing => !drained,
                    Got::End => false,
                };
                // The terminal is brought back behind the last byte.
                if let Some((client, stream)) = client.zip(route).filter(|_| !kept && shown) {
                    client.show(stream, &source.modes().reset());
                }
                kept
            });
            process.sources = sources;
        }
    }

    /// Tells the clients of processes that ended and were read to their end.
    pub(super) fn settle(&mut self, now: Instant) {
        let ended = |(number, process): (&u32, &Process)| {
            let settled = !process.done && process.sources.is_empty() && (*number != AGENT || self.init_gone);
            process.exit.filter(|_| settled).map(|exit| (*number, exit))
        };
        let all: Vec<(u32, Exit)> = self.processes.iter().filter_map(ended).collect();
        for (number, exit) in all {
            let last = FromConsole::Exited(exit);
            let client = self.processes.get_mut(&number).and_then(|process| process.client.take());
            if let Some(id) = client {
                self.dismiss(id, &last, now);
            }
            if number != AGENT {
                self.processes.remove(&number);
                continue;
            }
            if let Some(agent) = self.processes.get_mut(&AGENT) {
                agent.done = true;
            }
            let is_supervisor = |client: &&mut Client| client.role == Role::Supervisor;
            for supervisor in self.clients.values_mut().filter(is_supervisor) {
                supervisor.say(&last);
                supervisor.leave(true, now);
            }
        }
    }
}
