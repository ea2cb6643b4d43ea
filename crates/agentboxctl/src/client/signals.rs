//! Signals as something that poll(2) can wait for.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The signals that a client answers, taken off their usual way for as long as this lives.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: SignalFd,
    blocked: SigSet,
}

impl Signals {
    /// Takes them over. A child that is started after this inherits the blocked mask: start none.
    ///
    /// `terminal`: standard input is one, so job control is ours to answer as well.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(crate) fn take_over(terminal: bool) -> io::Result<Self> {
        Self::block(terminal, ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()))
    }

    /// `ignored`: signals that this process was started to ignore, by nohup(1) or by a shell that put it into the
    /// background. A blocked signal arrives in spite of that (signal(7)), so these are left alone.
    fn block(terminal: bool, ignored: u64) -> io::Result<Self> {
        let mut blocked = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
            if ignored & (1 << (signal as u32 - 1)) == 0 {
                blocked.add(signal);
            }
        }
        blocked.add(Signal::SIGWINCH);
        if terminal {
            blocked.add(Signal::SIGTSTP);
            blocked.add(Signal::SIGCONT);
        }
        blocked.thread_block()?;
        let descriptor = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { descriptor, blocked })
    }

    /// The next signal that has arrived.
    #[must_use]
    pub(crate) fn next(&self) -> Option<Signal> {
        let info = self.descriptor.read_signal().ok()??;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

/// The set of ignored signals in the text of /proc/PID/status (proc_pid_status(5)).
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

impl Drop for Signals {
    fn drop(&mut self) {
        // An unblocked signal that is pending is delivered now, as without us.
        let _only_wrong_arguments_fail = self.blocked.thread_unblock();
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_instead_of_ending_the_process() {
        let signals = Signals::take_over(false).unwrap();
        assert_eq!(signals.next(), None);
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.next(), Some(Signal::SIGTERM));
        assert_eq!(signals.next(), None);
    }

    #[test]
    fn what_was_ignored_at_the_start_stays_ignored() {
        assert_eq!(ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001003\n"), 0x1003);
        assert_eq!(ignored("nothing"), 0);
        let signals = Signals::block(false, 0b11).unwrap();
        assert!(!signals.blocked.contains(Signal::SIGHUP) && !signals.blocked.contains(Signal::SIGINT));
        assert!(signals.blocked.contains(Signal::SIGTERM) && signals.blocked.contains(Signal::SIGQUIT));
    }
}
