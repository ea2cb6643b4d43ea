//! Signals as something that poll(2) can wait for.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Those by which somebody is told to end.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The signals that a client answers, taken off their usual way for as long as this lives.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: SignalFd,
    blocked: SigSet,
}

impl Signals {
    /// Takes them over. A child that is started after this inherits the blocked mask: start none.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(crate) fn take_over() -> io::Result<Self> {
        Self::block(ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()))
    }

    /// Job control as well: from here on standard input is a terminal in raw mode.
    ///
    /// # Errors
    /// As [`take_over`](Self::take_over).
    pub(super) fn take_job_control(&mut self) -> io::Result<()> {
        self.blocked.add(Signal::SIGTSTP);
        self.blocked.add(Signal::SIGCONT);
        self.blocked.thread_block()?;
        Ok(self.descriptor.set_mask(&self.blocked)?)
    }

    /// `ignored`: signals that this process was started to ignore, by nohup(1) or by a shell that put it into the
    /// background. A blocked signal arrives in spite of that (signal(7)), so these are left alone.
    fn block(ignored: u64) -> io::Result<Self> {
        let mut blocked = SigSet::empty();
        for signal in ENDING {
            if ignored & (1 << (signal as u32 - 1)) == 0 {
                blocked.add(signal);
            }
        }
        blocked.add(Signal::SIGWINCH);
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

    /// A signal to end that has arrived, before there is a session to pass it to.
    #[must_use]
    pub(crate) fn told_to_end(&self) -> Option<Signal> {
        std::iter::from_fn(|| self.next()).find(|signal| ENDING.contains(signal))
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
        let signals = Signals::take_over().unwrap();
        assert_eq!(signals.next(), None);
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.next(), Some(Signal::SIGTERM));
        assert_eq!(signals.next(), None);
    }

    #[test]
    fn what_was_ignored_at_the_start_stays_ignored() {
        assert_eq!(ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001003\n"), 0x1003);
        assert_eq!(ignored("nothing"), 0);
        let signals = Signals::block(0b11).unwrap();
        assert!(!signals.blocked.contains(Signal::SIGHUP) && !signals.blocked.contains(Signal::SIGINT));
        assert!(signals.blocked.contains(Signal::SIGTERM) && signals.blocked.contains(Signal::SIGQUIT));
    }
}
