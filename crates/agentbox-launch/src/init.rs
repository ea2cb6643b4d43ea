//! PID 1 of a session: starts the agent and what `exec` adds, reaps, passes signals on.
//!
//! It runs under everything that the agent runs under, since its children inherit that. It is not
//! dumpable, so the agent, of the same uid, can neither trace it nor open its descriptors; and the
//! kernel drops signals from inside that PID 1 has no handler for (pid_namespaces(7)).
//!
//! Without confinement (posture L0) it is an ordinary process that adopts orphans.

use crate::child::{self, Child};
use crate::sys;
use agentbox_plan::inner::{FromInner, MAX_BYTES, ToInner};
use agentbox_plan::{Exit, Process, Wire as _};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Number of the agent in the messages.
const AGENT: u32 = 0;

/// A process that was started and is not known to have ended.
#[derive(Debug)]
struct Running {
    number: u32,
    pid: i32,
    terminal: Option<OwnedFd>,
    /// Set when it ended before it could be executed.
    not_executed: Option<i32>,
}

#[derive(Debug)]
pub(crate) struct Init {
    outer: OwnedFd,
    signals: OwnedFd,
    /// Whether the process ids this process sees are the session's alone.
    own_pids: bool,
    running: Vec<Running>,
}

impl Init {
    /// # Errors
    /// When SIGCHLD cannot be taken as a descriptor.
    pub(crate) fn new(outer: OwnedFd, own_pids: bool) -> io::Result<Self> {
        Ok(Self { outer, signals: sys::child_signals()?, own_pids, running: Vec::new() })
    }

    /// Runs the agent to its end. What remains of the session then ends with this process.
    pub(crate) fn run(mut self, agent: Process) {
        self.tell(&FromInner::Confined, &[]);
        if !self.start(AGENT, agent) {
            return;
        }
        loop {
            let mut ready =
                [PollFd::new(&self.outer, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let [from_outer, child_changed] = ready.map(|fd| fd.revents());
            if !child_changed.is_empty() && self.reap() {
                return;
            }
            if !from_outer.is_empty() && !self.listen() {
                // The outer half is gone, and with it everybody who could see or stop this session.
                return;
            }
        }
    }

    /// Starts a process and says so; whether it is the agent's end if not.
    fn start(&mut self, number: u32, mut process: Process) -> bool {
        let started = child::start(&process);
        // The process has it now, and this one needs it no more.
        sys::wipe_all(std::mem::take(&mut process.environment));
        match started {
            Ok(Child { pid, pidfd, ends, terminal, failure }) => {
                let descriptors: Vec<_> =
                    [pidfd.as_fd()].into_iter().chain(ends.iter().map(AsFd::as_fd)).collect();
                self.tell(&FromInner::Started { number, pid: pid.cast_unsigned() }, &descriptors);
                let not_executed = child::execution_failure(&failure);
                self.running.push(Running { number, pid, terminal, not_executed });
                true
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                self.tell(&FromInner::Ended { number, exit: Exit::NotExecuted { errno } }, &[]);
                number != AGENT
            }
        }
    }

    /// Collects every child that ended. Whether the agent was among them.
    fn reap(&mut self) -> bool {
        // What the descriptor holds is only that something changed; several changes may share one entry.
        let mut entries = [0; 512];
        while matches!(rustix::io::read(&self.signals, &mut entries), Ok(count) if count > 0) {}
        let mut agent_ended = false;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let Some(position) = self.running.iter().position(|running| running.pid == pid) else { continue };
            let running = self.running.swap_remove(position);
            let exit = match running.not_executed {
                Some(errno) => Exit::NotExecuted { errno },
                None => exit_of(status),
            };
            self.tell(&FromInner::Ended { number: running.number, exit }, &[]);
            agent_ended |= running.number == AGENT;
        }
        agent_ended
    }

    /// Carries out one message of the outer half. False when there is no outer half any more.
    fn listen(&mut self) -> bool {
        let mut packet = vec![0; MAX_BYTES + 1];
        let length = match rustix::net::recv(&self.outer, &mut packet[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return false,
            Ok((length, _)) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        };
        let message = ToInner::from_bytes(&packet[..length]);
        // An environment may be in it.
        sys::wipe(&mut packet[..length]);
        match message {
            Ok(ToInner::Exec { number, process }) if number != AGENT => {
                self.start(number, process);
            }
            Ok(ToInner::Signal { number, signal }) => self.signal(number, signal),
            Ok(ToInner::SignalAll { signal }) if self.own_pids => sys::kill(-1, signal),
            Ok(ToInner::SignalAll { signal }) => {
                // Among the host's processes `-1` would be everything of this user.
                for running in &self.running {
                    sys::kill(-running.pid, signal);
                }
            }
            // Both halves are one program: anything else is a bug of ours, and doing nothing is safe.
            Ok(ToInner::Exec { .. }) | Err(_) => {}
        }
        true
    }

    fn signal(&self, number: u32, signal: u8) {
        let Some(running) = self.running.iter().find(|running| running.number == number) else { return };
        let foreground =
            running.terminal.as_ref().and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok());
        let group = foreground.map_or(running.pid, Pid::as_raw_pid);
        sys::kill(-group, signal);
        // As the kernel hangs up a terminal (tty_io.c): the leader of its session hears of it, whoever is in front.
        if i32::from(signal) == libc::SIGHUP && group != running.pid {
            sys::kill(-running.pid, signal);
        }
    }

    fn tell(&self, message: &FromInner, descriptors: &[BorrowedFd<'_>]) {
        // Nobody to hear it means the outer half is gone, which the next poll finds out.
        let _ = send(&self.outer, message, descriptors);
    }
}

/// Sends one packet with descriptors.
pub(crate) fn send(socket: &OwnedFd, message: &FromInner, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let bytes = message.to_bytes();
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Exit::Code { status: (status & 0xff) as u8 },
        (None, Some(signal)) => Exit::Signal { number: (signal & 0x7f) as u8 },
        (None, None) => Exit::Signal { number: libc::SIGKILL as u8 },
    }
}
