//! One process of the session: the agent (number 0) or what `exec` added.

use super::client::{Client, ClientId, Stream};
use super::input::Input;
use super::source::{Kind, Source};
use agentbox_plan::{Exit, Streams, TerminalSize};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat, major, minor};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};
use std::io::Read;
use std::time::{Duration, Instant};

/// How long a stream that is still open is looked at when its process has ended but others live that may
/// hold it. What the process wrote is readable at once.
const DRAIN: Duration = Duration::from_millis(100);
/// Between the two sizes of [`Process::nudge`]: long enough for the program to see the first one.
const NUDGE: Duration = Duration::from_millis(50);
/// From SIGHUP to SIGKILL.
const HANGUP: Duration = Duration::from_secs(10);

/// A process, its streams and its client.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) streams: Streams,
    pub(super) client: Option<ClientId>,
    /// It had a client before this one, or has none any more.
    pub(super) had_client: bool,
    pub(super) started: bool,
    pub(super) sources: Vec<Source>,
    pub(super) input: Input,
    pub(super) exit: Option<Exit>,
    /// Its client was told how it ended.
    pub(super) done: bool,
    /// Nobody can reach it any more: it is hung up as soon as it runs.
    pub(super) abandoned: bool,
    /// When it gets SIGKILL.
    pub(super) kill: Option<Instant>,
    /// When a stream without bytes is not waited for any longer, once it has ended.
    drained: Option<Instant>,
    /// Streams that nobody reads any more.
    closed: Streams,
    size: TerminalSize,
    /// The size that a nudge goes back to, and when.
    nudged: Option<(Instant, TerminalSize)>,
}

impl Process {
    /// A process that PID 1 was asked to start.
    pub(super) fn new(streams: Streams, size: TerminalSize, client: Option<ClientId>) -> Self {
        Self {
            streams,
            client,
            had_client: client.is_some(),
            started: false,
            sources: Vec::new(),
            input: Input::new(),
            exit: None,
            done: false,
            abandoned: false,
            kill: None,
            drained: None,
            closed: Streams::PIPES,
            size,
            nudged: None,
        }
    }

    /// Takes the descriptors of a start behind the pidfd. Each is taken for what the kernel says it is,
    /// and what does not fit is closed. They are made non-blocking; PID 1 could undo that and would
    /// stall its own session's console, which the supervisor's stop does not need.
    pub(super) fn start(&mut self, descriptors: impl Iterator<Item = OwnedFd>, prefix: &str) {
        let (mut master, mut pipe) = (None, None);
        for descriptor in descriptors {
            let Ok(flags) = fcntl_getfl(&descriptor) else { continue };
            if fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK).is_err() {
                continue;
            }
            let writes = flags & OFlags::RWMODE == OFlags::WRONLY;
            let reads = flags & OFlags::RWMODE == OFlags::RDONLY;
            if is_master(&descriptor) && master.is_none() && self.streams.has_terminal() {
                master = Some(descriptor);
            } else if !is_pipe(&descriptor) {
            } else if writes && pipe.is_none() && !self.streams.input {
                pipe = Some(descriptor);
            } else if reads && !self.streams.output && !self.has(Kind::Output) {
                self.sources.push(Source::new(Kind::Output, descriptor, prefix));
            } else if reads && !self.streams.error && !self.has(Kind::Error) {
                self.sources.push(Source::new(Kind::Error, descriptor, prefix));
            }
        }
        let typed = master.as_ref().filter(|_| self.streams.input).and_then(|master| master.try_clone().ok());
        self.sources.extend(master.map(|master| Source::new(Kind::Terminal, master, prefix)));
        self.input.open(pipe, typed);
        self.started = true;
        if self.closed.output {
            self.close(Kind::Output);
        }
        if self.closed.error {
            self.close(Kind::Error);
        }
        let size = self.size;
        self.resize(size);
    }

    fn has(&self, kind: Kind) -> bool {
        self.sources.iter().any(|source| source.kind == kind)
    }

    /// Where a client gets what comes from `kind`. A terminal goes where the client has one; when that
    /// is standard input only, all there is is the echo of what was typed.
    pub(super) fn route(&self, kind: Kind) -> Option<Stream> {
        match kind {
            Kind::Output => Some(Stream::Output),
            Kind::Error => Some(Stream::Error),
            Kind::Terminal if self.streams.output => Some(Stream::Output),
            Kind::Terminal if self.streams.error => Some(Stream::Error),
            Kind::Terminal => None,
        }
    }

    /// Gives its terminal another size.
    pub(super) fn resize(&mut self, size: TerminalSize) {
        if !is_known(size) {
            return;
        }
        (self.size, self.nudged) = (size, None);
        self.set_size(size);
    }

    /// Makes a full-screen program draw everything: with the size it has, it would not be told, so it
    /// gets another one for a moment.
    pub(super) fn nudge(&mut self, size: TerminalSize, now: Instant) {
        let size = if is_known(size) { size } else { self.size };
        if !is_known(size) || self.current_size() != Some(size) {
            return self.resize(size);
        }
        let rows = if size.rows > 1 { size.rows - 1 } else { size.rows + 1 };
        self.resize(TerminalSize { rows, ..size });
        (self.size, self.nudged) = (size, Some((now + NUDGE, size)));
    }

    fn set_size(&self, size: TerminalSize) {
        if let Some(master) = self.sources.iter().find(|source| source.kind == Kind::Terminal) {
            let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
            // Fails only when the terminal is gone, which reading tells.
            let _ = tcsetwinsize(master.descriptor(), size);
        }
    }

    fn current_size(&self) -> Option<TerminalSize> {
        let master = self.sources.iter().find(|source| source.kind == Kind::Terminal)?;
        let size = tcgetwinsize(master.descriptor()).ok()?;
        Some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some((_, size)) = self.nudged.take_if(|(at, _)| *at <= now) {
            self.resize(size);
        }
    }

    /// When something is due next.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let nudge = self.nudged.map(|(at, _)| at);
        let drain = self.drained.filter(|at| !self.sources.is_empty() && *at > now);
        let retry = self.sources.iter().filter_map(|source| source.retry(now)).min();
        [nudge, drain, retry, self.kill].into_iter().flatten().min()
    }

    /// PID 1 says how it ended, or has ended itself.
    pub(super) fn end(&mut self, exit: Exit, now: Instant) {
        if self.exit.is_none() {
            (self.exit, self.drained, self.kill) = (Some(exit), Some(now + DRAIN), None);
            self.input.close();
        }
    }

    /// Nobody lives who could write any more: what is there now is read whole, however much others wrote since
    /// it ended. `awaited` is somebody who comes to read; without, nothing is waited for.
    pub(super) fn writers_gone(&mut self, awaited: bool, now: Instant) {
        self.sources.iter_mut().for_each(Source::writers_gone);
        if !awaited {
            self.drained = self.drained.map(|at| at.min(now));
        }
    }

    /// Whether a stream without bytes is not waited for any longer.
    pub(super) fn is_drained(&self, now: Instant) -> bool {
        self.drained.is_some_and(|at| at <= now)
    }

    /// Closes a stream that it writes.
    pub(super) fn close(&mut self, kind: Kind) {
        match kind {
            Kind::Output => self.closed.output = true,
            Kind::Error => self.closed.error = true,
            Kind::Terminal => {}
        }
        self.sources.retain(|source| source.kind != kind);
    }

    /// Brings the terminal of a client that leaves back.
    pub(super) fn reset(&self, client: &mut Client) {
        for source in &self.sources {
            if let Some(stream) = self.route(source.kind).filter(|stream| client.is_terminal(*stream)) {
                client.show(stream, &source.modes().reset());
            }
        }
    }

    /// Closes its streams; the terminal's foreground group gets SIGHUP from the kernel by that.
    pub(super) fn hang_up(&mut self, now: Instant) {
        self.sources.clear();
        self.input.close();
        self.kill = Some(now + HANGUP);
    }
}

/// Whether it is the master of a pseudo-terminal (Documentation/admin-guide/devices.txt: 5, 2).
fn is_master(descriptor: &OwnedFd) -> bool {
    fstat(descriptor).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2)
    })
}

fn is_known(size: TerminalSize) -> bool {
    size.rows != 0 && size.columns != 0
}

fn is_pipe(descriptor: &OwnedFd) -> bool {
    fstat(descriptor).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// The process id on the host of a pidfd (proc_pid_fdinfo(5)); 0 when it is none, or its process has
/// been reaped.
pub(super) fn host_pid(pidfd: &OwnedFd) -> u32 {
    // What PID 1 sent may be anything; some descriptors have long tables there.
    let mut text = String::new();
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let read = std::fs::File::open(path).and_then(|file| file.take(4096).read_to_string(&mut text));
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")).and_then(|pid| pid.trim().parse().ok());
    read.ok().and(pid).unwrap_or(0)
}
