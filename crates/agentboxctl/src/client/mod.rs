//! The conversation with a session's console: the person's three streams on one side, frames on the other.
//!
//! One thread and poll(2). Nothing is read from a side whose other side has not taken what came before,
//! so a slow reader slows the writer, as in a pipe.

mod backlog;
pub(crate) mod collect;
pub(crate) mod detach_key;
pub(crate) mod frames;
pub(crate) mod screen;
pub(crate) mod signals;
mod sink;

use crate::terminal::{self, RawMode};
use agentbox_plan::console::{FromConsole, ToConsole};
use agentbox_plan::{Exit, Streams};
use backlog::Backlog;
use detach_key::{DetachKey, Verdict};
use frames::Incoming;
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use screen::Screen;
use signals::Signals;
use sink::Sink;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What may wait in one direction before its source is no longer read.
const MAX_WAITING_BYTES: usize = 256 * 1024;
/// What a person is told in the middle of a session. No session can make it true by printing it: what waits is
/// asked of the supervisor.
const WAITS: &[u8] =
    b"\r\nagentbox: a signature waits to be confirmed, in another terminal: agentboxctl confirm\r\n";
/// Bytes of one read: what a pipe holds by default (pipe(7)).
const READ_BYTES: usize = 64 * 1024;
/// How long the console may take to say good-bye. It detaches a client that just closes all the same.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The process ended and all its output is where it belongs.
    Exited(Exit),
    /// The person left.
    Left,
    /// Another client took over.
    Replaced,
    /// A signal told this client to go.
    Signalled(u8),
    /// A signal was for the agent, which stands still and so cannot hear it.
    StandsStill(u8),
}

/// Why an attachment could not go on.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// The console closed the connection or said something that it cannot say.
    Lost(String),
    /// The process ended, but its output could not be written.
    Output {
        /// `standard output` or `standard error`.
        stream: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A system call failed that does not fail.
    System(io::Error),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(why) => write!(f, "the connection to the session was lost: {why}"),
            Self::Output { stream, source } => write!(f, "cannot write {stream}: {source}"),
            Self::System(source) => write!(f, "cannot attach: {source}"),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<io::Error> for ClientError {
    fn from(source: io::Error) -> Self {
        Self::System(source)
    }
}

impl From<Errno> for ClientError {
    fn from(source: Errno) -> Self {
        Self::System(source.into())
    }
}

/// Which of this process's standard streams are terminals.
#[must_use]
pub(crate) fn streams() -> Streams {
    Streams {
        input: terminal::is_terminal(io::stdin()),
        output: terminal::is_terminal(io::stdout()),
        error: terminal::is_terminal(io::stderr()),
    }
}

/// This process's standard streams and a console, about to be connected.
#[derive(Debug)]
pub(crate) struct Bridge {
    console: OwnedFd,
    streams: Streams,
    signals: Signals,
    raw: Option<RawMode>,
}

impl Bridge {
    /// Takes signals over where nobody has yet, and the terminal. `is_terminal`: whether what the agent writes to is one;
    /// where it is not, lines end as they do outside.
    ///
    /// # Errors
    /// [`ClientError`] when a stream of ours fails.
    pub(crate) fn begin(
        console: OwnedFd,
        signals: Option<Signals>,
        is_terminal: bool,
    ) -> Result<Self, ClientError> {
        let streams = streams();
        let mut signals = signals.map_or_else(Signals::take_over, Ok)?;
        let mut raw = None;
        if streams.input {
            signals.take_job_control()?;
            raw = Some(RawMode::enter(io::stdin(), !(streams.output && is_terminal))?);
        }
        Ok(Self { console, streams, signals, raw })
    }

    /// A signal to end that came before the terminal was the agent's.
    #[must_use]
    pub(crate) fn told_to_end(&self) -> Option<Signal> {
        self.signals.told_to_end()
    }

    /// Connects both until either side ends it. The terminal has its earlier modes again when this returns.
    ///
    /// `stands_still`: whether nothing in the session can hear a signal.
    ///
    /// # Errors
    /// [`ClientError`] when the console or a stream of ours fails.
    pub(crate) fn run(self, stands_still: &dyn Fn() -> bool) -> Result<Ending, ClientError> {
        let stdin = io::stdin();
        let (output, error) = (Sink::new(io::stdout())?, Sink::new(io::stderr())?);
        let mut client = Client::new(self.console, stdin.as_fd(), output, error, self.streams);
        client.signals = Some(self.signals);
        client.raw = self.raw;
        client.stands_still = Some(stands_still);
        // The window may have changed its size since the request was made.
        if client.streams.has_terminal() {
            client.tell(&ToConsole::Resize(terminal::size()));
        }
        client.run()
    }
}

struct Client<'a> {
    console: OwnedFd,
    /// `None` when it has ended.
    input: Option<BorrowedFd<'a>>,
    output: Sink,
    error: Sink,
    streams: Streams,
    raw: Option<RawMode>,
    signals: Option<Signals>,
    stands_still: Option<&'a dyn Fn() -> bool>,
    to_console: Backlog,
    from_console: Incoming,
    /// Whether the console still takes frames.
    console_listens: bool,
    told_output_closed: bool,
    told_error_closed: bool,
    detach_key: DetachKey,
    key_held_since: Option<Instant>,
    leaving_since: Option<Instant>,
    screen: Screen,
    /// How it ended; what waits in the sinks is still to be written.
    ending: Option<Result<Ending, String>>,
}

/// One of the descriptors that are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Signals,
    Output,
    Error,
    Input,
    Console,
}

impl<'a> Client<'a> {
    fn new(console: OwnedFd, input: BorrowedFd<'a>, output: Sink, error: Sink, streams: Streams) -> Self {
        Self {
            console,
            input: Some(input),
            output,
            error,
            streams,
            raw: None,
            signals: None,
            stands_still: None,
            to_console: Backlog::default(),
            from_console: Incoming::default(),
            console_listens: true,
            told_output_closed: false,
            told_error_closed: false,
            detach_key: DetachKey::default(),
            key_held_since: None,
            leaving_since: None,
            screen: Screen::default(),
            ending: None,
        }
    }

    fn run(mut self) -> Result<Ending, ClientError> {
        let ended = self.converse();
        if self.streams.output {
            self.output.push(&self.screen.farewell());
        }
        // The terminal is the person's again before anything is said about the ending.
        self.raw = None;
        let ending = ended?;
        for (stream, sink) in [("standard output", &self.output), ("standard error", &self.error)] {
            if let Some(source) = sink.failure() {
                return Err(ClientError::Output { stream, source });
            }
        }
        Ok(ending)
    }

    fn converse(&mut self) -> Result<Ending, ClientError> {
        loop {
            self.send();
            match &self.ending {
                // Whoever sent the signal does not wait for a reader of ours.
                Some(Ok(ending @ (Ending::Signalled(_) | Ending::StandsStill(_)))) => return Ok(*ending),
                // The last frame came, and everything before it is written.
                Some(ended) if self.output.waiting() == 0 && self.error.waiting() == 0 => {
                    return ended.clone().map_err(ClientError::Lost);
                }
                _ => {}
            }
            for side in self.wait()? {
                match side {
                    Side::Signals => self.answer_signals(),
                    Side::Output => self.output.flush(),
                    Side::Error => self.error.flush(),
                    Side::Input => self.read_input(),
                    Side::Console => self.receive()?,
                }
            }
            self.report_closed();
            self.keep_time();
        }
    }

    /// Waits until something can be done. A descriptor with nothing to wait for is left out, because
    /// poll(2) would report its hang-up again and again.
    fn wait(&self) -> Result<Vec<Side>, ClientError> {
        let backlog = self.output.waiting().max(self.error.waiting());
        let mut console = PollFlags::empty();
        console.set(PollFlags::IN, self.ending.is_none() && backlog < MAX_WAITING_BYTES);
        console.set(PollFlags::OUT, self.to_console.len() > 0);
        let reads = self.leaving_since.is_none()
            && self.ending.is_none()
            && self.to_console.len() < MAX_WAITING_BYTES;
        let watched = [
            (Side::Signals, self.signals.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (Side::Output, (self.output.waiting() > 0).then(|| self.output.as_fd()), PollFlags::OUT),
            (Side::Error, (self.error.waiting() > 0).then(|| self.error.as_fd()), PollFlags::OUT),
            (Side::Input, self.input.filter(|_| reads), PollFlags::IN),
            (Side::Console, (!console.is_empty()).then(|| self.console.as_fd()), console),
        ];
        let (mut sides, mut descriptors) = (Vec::with_capacity(5), Vec::with_capacity(5));
        for (side, descriptor, flags) in watched {
            if let Some(descriptor) = descriptor {
                sides.push(side);
                descriptors.push(PollFd::from_borrowed_fd(descriptor, flags));
            }
        }
        match poll(&mut descriptors, self.time_left().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = |descriptor: &PollFd<'_>| !descriptor.revents().is_empty();
        Ok(sides
            .into_iter()
            .zip(&descriptors)
            .filter(|(_, found)| ready(found))
            .map(|(side, _)| side)
            .collect())
    }

    /// Until the next of the two clocks runs out.
    fn time_left(&self) -> Option<Timespec> {
        let left = |since: Option<Instant>, limit: Duration| {
            since.map(|since| limit.saturating_sub(since.elapsed()))
        };
        let key = left(self.key_held_since, DetachKey::HOLD);
        let leaving = left(self.leaving_since, LEAVE_PATIENCE);
        let time = key.into_iter().chain(leaving).min()?;
        // A millisecond more: a clock that is rounded down would turn the last one into a busy loop.
        Timespec::try_from(time + Duration::from_millis(1)).ok()
    }

    fn keep_time(&mut self) {
        let over = |since: Option<Instant>, limit| since.is_some_and(|since| since.elapsed() >= limit);
        if over(self.key_held_since, DetachKey::HOLD) {
            self.key_held_since = None;
            let mut typed = Vec::new();
            self.detach_key.expire(&mut typed);
            self.tell(&ToConsole::Input(typed));
        }
        if over(self.leaving_since, LEAVE_PATIENCE) && self.ending.is_none() {
            self.ending = Some(Ok(Ending::Left));
        }
    }

    fn tell(&mut self, message: &ToConsole) {
        if self.console_listens {
            self.to_console.push(&message.to_frame().encode());
        }
    }

    fn send(&mut self) {
        while self.to_console.len() > 0 {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.console, self.to_console.pending(), flags) {
                Ok(count) => self.to_console.taken(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // What the console still has to say is read all the same.
                Err(_) => {
                    self.console_listens = false;
                    self.input = None;
                    self.to_console.clear();
                }
            }
        }
    }

    fn receive(&mut self) -> Result<(), ClientError> {
        let space = self.from_console.space();
        space.reserve(READ_BYTES);
        let answer =
            rustix::net::recv(&self.console, rustix::buffer::spare_capacity(space), RecvFlags::DONTWAIT);
        let closed = match answer {
            Ok((count, _)) => count == 0,
            // Only room to send was reported.
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(Errno::CONNRESET) => true,
            Err(errno) => return Err(errno.into()),
        };
        while self.ending.is_none() {
            let message = match self.from_console.next() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    self.ending = Some(Err(error.to_string()));
                    break;
                }
            };
            match message {
                FromConsole::Output(bytes) => {
                    if self.streams.output {
                        self.screen.feed(&bytes);
                    }
                    self.output.push(&bytes);
                }
                FromConsole::Error(bytes) => self.error.push(&bytes),
                FromConsole::Exited(exit) => self.ending = Some(Ok(Ending::Exited(exit))),
                FromConsole::Detached if self.leaving_since.is_some() => self.ending = Some(Ok(Ending::Left)),
                FromConsole::Detached => self.ending = Some(Ok(Ending::Replaced)),
                FromConsole::Waits if self.streams.output => self.output.push(WAITS),
                FromConsole::Waits => {}
                FromConsole::State { .. } => self.ending = Some(Err("an unexpected answer".into())),
            }
        }
        if closed && self.ending.is_none() {
            self.ending = Some(match self.leaving_since {
                Some(_) => Ok(Ending::Left),
                None => Err("it was closed at the other end".into()),
            });
        }
        Ok(())
    }

    fn read_input(&mut self) {
        let Some(input) = self.input else { return };
        let mut typed = Vec::with_capacity(READ_BYTES);
        match rustix::io::read(input, rustix::buffer::spare_capacity(&mut typed)) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(0) | Err(_) => {
                self.input = None;
                if self.streams.input {
                    // The terminal has gone, which is no end of input: the session lives on.
                    self.leave_at_once(Signal::SIGHUP);
                } else {
                    self.tell(&ToConsole::InputEnd);
                }
            }
            Ok(_) if !self.streams.input => self.tell(&ToConsole::Input(typed)),
            Ok(_) => {
                let mut passed = Vec::with_capacity(typed.len());
                let verdict = self.detach_key.feed(&typed, &mut passed);
                if !passed.is_empty() {
                    self.tell(&ToConsole::Input(passed));
                }
                self.key_held_since = self.detach_key.is_waiting().then(Instant::now);
                if verdict == Verdict::Detach {
                    self.tell(&ToConsole::Detach);
                    self.leaving_since = Some(Instant::now());
                }
            }
        }
    }

    /// Lets the producer inside learn what it would learn from a pipe of its own: nobody reads.
    fn report_closed(&mut self) {
        if self.output.is_closed() && !self.told_output_closed {
            self.told_output_closed = true;
            self.tell(&ToConsole::OutputClosed);
        }
        if self.error.is_closed() && !self.told_error_closed {
            self.told_error_closed = true;
            self.tell(&ToConsole::ErrorClosed);
        }
    }

    fn leave_at_once(&mut self, signal: Signal) {
        self.tell(&ToConsole::Detach);
        self.ending = Some(Ok(Ending::Signalled(number(signal))));
    }

    fn answer_signals(&mut self) {
        while let Some(signal) = self.signals.as_ref().and_then(Signals::next) {
            match signal {
                Signal::SIGWINCH => self.resize(),
                Signal::SIGTSTP => {
                    if let Some(raw) = &self.raw {
                        raw.leave();
                    }
                    // Only this signal stops a process whatever its mask says; SIGCONT follows.
                    let _own_process = nix::sys::signal::raise(Signal::SIGSTOP);
                }
                Signal::SIGCONT => {
                    if let Some(raw) = &self.raw {
                        raw.resume();
                    }
                    self.resize();
                }
                Signal::SIGTERM => self.pass(signal),
                // The keys that make these are the agent's; kill(1) means this client.
                _ if self.streams.input => self.leave_at_once(signal),
                _ => self.pass(signal),
            }
        }
    }

    /// To the agent, unless it stands still: then whoever sent it would wait for good.
    fn pass(&mut self, signal: Signal) {
        self.tell(&ToConsole::Signal(number(signal)));
        self.send();
        if self.ending.is_none() && self.stands_still.is_some_and(|asked| asked()) {
            self.ending = Some(Ok(Ending::StandsStill(number(signal))));
        }
    }

    fn resize(&mut self) {
        if self.streams.has_terminal() {
            self.tell(&ToConsole::Resize(terminal::size()));
        }
    }
}

/// Linux has 64 signals.
pub(crate) fn number(signal: Signal) -> u8 {
    u8::try_from(signal as i32).unwrap_or_default()
}

#[cfg(test)]
mod tests;
