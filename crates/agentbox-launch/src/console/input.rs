//! Standard input of a process: a pipe, or its terminal.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::termios::{SpecialCodeIndex, tcgetattr};

/// Above so many bytes that wait for the process its client is not read.
const FULL_BYTES: usize = 64 * 1024;
/// End of file on a terminal, where it does not say which character that is (Ctrl-D).
const END_OF_FILE: u8 = 0x04;

#[derive(Debug)]
enum Target {
    /// The process has not been started.
    Awaited,
    Pipe(OwnedFd),
    Terminal(OwnedFd),
    Closed,
}

/// What waits for a process, and where it goes.
#[derive(Debug)]
pub(super) struct Input {
    target: Target,
    pending: Vec<u8>,
    written: usize,
    /// The client's input has ended.
    ended: bool,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { target: Target::Awaited, pending: Vec::new(), written: 0, ended: false }
    }

    /// The process was started with a pipe, with a terminal, or without input. No descriptor blocks.
    pub(super) fn open(&mut self, pipe: Option<OwnedFd>, master: Option<OwnedFd>) {
        self.target = match (pipe, master) {
            (Some(pipe), _) => Target::Pipe(pipe),
            (None, Some(master)) => Target::Terminal(master),
            (None, None) => Target::Closed,
        };
        if std::mem::take(&mut self.ended) {
            self.end();
        }
        if matches!(self.target, Target::Closed) {
            self.close();
        }
    }

    /// Nothing more can be written.
    pub(super) fn close(&mut self) {
        (self.target, self.pending, self.written) = (Target::Closed, Vec::new(), 0);
    }

    /// Another client types from now on.
    pub(super) fn resume(&mut self) {
        if matches!(self.target, Target::Terminal(_)) {
            self.ended = false;
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.ended && !matches!(self.target, Target::Closed) {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// The client's input has ended: a pipe is closed behind what waits, a terminal gets its character
    /// for that.
    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Target::Terminal(master) = &self.target {
            let character = tcgetattr(master).map(|now| now.special_codes[SpecialCodeIndex::VEOF]);
            self.pending.push(character.ok().filter(|character| *character != 0).unwrap_or(END_OF_FILE));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.pending.len() - self.written >= FULL_BYTES
    }

    /// The descriptor to wait for, when something waits for it.
    pub(super) fn wants(&self) -> Option<BorrowedFd<'_>> {
        match &self.target {
            Target::Pipe(target) | Target::Terminal(target) => {
                (self.written < self.pending.len()).then(|| target.as_fd())
            }
            Target::Awaited | Target::Closed => None,
        }
    }

    /// Writes what the process takes. What a process that reads no more does not take is dropped.
    pub(super) fn flush(&mut self) {
        while let Some(target) = self.wants() {
            match rustix::io::write(target, &self.pending[self.written..]) {
                Ok(0) => return,
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) if matches!(self.target, Target::Terminal(_)) => break,
                Err(_) => return self.close(),
            }
        }
        if !matches!(self.target, Target::Awaited) {
            self.pending.clear();
            self.pending.shrink_to(FULL_BYTES);
            self.written = 0;
        }
        if self.ended && matches!(self.target, Target::Pipe(_)) {
            self.close();
        }
    }
}
