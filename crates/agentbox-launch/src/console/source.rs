//! One stream that a process writes: the master of its terminal, or the read end of a pipe.

use super::filter::Filter;
use super::modes::Modes;
use super::ring::{Recorded, Ring};
use crate::step::in_force;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, ioctl_fionread};
use std::time::{Duration, Instant};

/// What a terminal may still hold when its process has ended.
const TERMINAL_BYTES: usize = 1 << 20;
/// What is taken of a pipe beyond what was in it when its process ended, from others that still write.
const PIPE_BYTES: usize = 64 << 10;
/// Nobody has the terminal open, but its process lives and may open it again.
const RETRY: Duration = Duration::from_millis(100);

/// Which stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Terminal,
    Output,
    Error,
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// Bytes to show; may be none, when all were dropped.
    Bytes(Vec<u8>),
    /// Nothing for now.
    Nothing,
    /// Nothing any more.
    End,
}

/// A stream, with the filter of the terminal it ends on.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    descriptor: OwnedFd,
    filter: Filter,
    /// Used for a terminal only: a pipe that nobody reads keeps what is in it.
    ring: Ring,
    retry: Option<Instant>,
    /// Bytes that may still be read once its process has ended, counted at the first read after that: what
    /// was written before fits in here however large its process made the pipe (F_SETPIPE_SZ), and what
    /// is left running cannot go on for ever.
    left: Option<usize>,
}

impl Source {
    /// A stream whose descriptor does not block.
    pub(super) fn new(kind: Kind, descriptor: OwnedFd, prefix: &str) -> Self {
        Self { kind, descriptor, filter: Filter::new(prefix), ring: Ring::default(), retry: None, left: None }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// State of the terminal behind its filter.
    pub(super) fn modes(&self) -> &Modes {
        self.filter.modes()
    }

    /// What a terminal that attaches now is shown.
    pub(super) fn replay(&self) -> Vec<u8> {
        match self.kind {
            Kind::Terminal => self.ring.replay(),
            Kind::Output | Kind::Error => self.modes().restore(),
        }
    }

    /// When to look again at a terminal that nobody had open.
    pub(super) fn retry(&self, now: Instant) -> Option<Instant> {
        self.retry.filter(|at| *at > now)
    }

    /// What is in it now is all there will be, and is read whole.
    pub(super) fn writers_gone(&mut self) {
        self.left = None;
    }

    /// Most that is read once its process has ended.
    fn bound(&self) -> usize {
        match self.kind {
            Kind::Terminal => TERMINAL_BYTES,
            Kind::Output | Kind::Error => {
                let held = ioctl_fionread(&self.descriptor).unwrap_or(TERMINAL_BYTES as u64);
                usize::try_from(held).unwrap_or(usize::MAX).saturating_add(PIPE_BYTES)
            }
        }
    }

    /// Reads once. `shown` on a terminal, it is filtered; what comes from one always is. `ended`: its
    /// process has ended.
    pub(super) fn read(&mut self, scratch: &mut [u8], shown: bool, ended: bool, now: Instant) -> Got {
        self.retry = None;
        let left = ended.then(|| self.left.unwrap_or_else(|| self.bound()));
        let most = left.unwrap_or(usize::MAX).min(scratch.len());
        if most == 0 {
            return Got::End;
        }
        let count = match rustix::io::read(&self.descriptor, &mut scratch[..most]) {
            Ok(0) => return Got::End,
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Got::Nothing,
            // No process has the other side open (tty_io.c: tty_hung_up, pty_close).
            Err(Errno::IO) if self.kind == Kind::Terminal && !ended => {
                self.retry = Some(now + RETRY);
                return Got::Nothing;
            }
            Err(_) => return Got::End,
        };
        self.left = left.map(|left| left.saturating_sub(count));
        let bytes = &scratch[..count];
        let mut live = Vec::new();
        match self.kind {
            _ if !in_force("terminal-filter") => live.extend_from_slice(bytes),
            Kind::Terminal => {
                self.filter.push(bytes, &mut Recorded { live: &mut live, ring: &mut self.ring })
            }
            _ if shown => self.filter.push(bytes, &mut live),
            _ => live.extend_from_slice(bytes),
        }
        Got::Bytes(live)
    }
}
