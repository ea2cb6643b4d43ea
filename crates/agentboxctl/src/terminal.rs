//! The person's terminal: raw mode and its certain end, and the size.
//!
//! What travels to and from it is `client`'s.

use crate::errors::Failure;
use agentbox_plan::TerminalSize;
use rustix::termios::{
    OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// A terminal in raw mode. Dropping it gives the terminal its earlier modes back; a panic does so too,
/// also where panics abort.
#[derive(Debug)]
pub(crate) struct RawMode {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    terminal: OwnedFd,
    saved: Termios,
    raw: Termios,
    is_raw: bool,
}

impl RawMode {
    /// Puts `terminal` into raw mode.
    ///
    /// `keep_output` leaves output processing on. That is for a standard output that is no terminal: in
    /// `start | tee` the last program of the pipe writes bare line feeds to this same terminal, and
    /// without the processing its lines would form a staircase.
    ///
    /// # Errors
    /// When it is no terminal, or one that has gone.
    pub(crate) fn enter(terminal: impl AsFd, keep_output: bool) -> io::Result<Self> {
        let terminal = rustix::io::fcntl_dupfd_cloexec(terminal, 3)?;
        let saved = tcgetattr(&terminal)?;
        let mut raw = saved.clone();
        raw.make_raw();
        if keep_output {
            raw.output_modes = saved.output_modes | OutputModes::OPOST;
        }
        // Drain, not flush: what was typed ahead is for the agent.
        tcsetattr(&terminal, OptionalActions::Drain, &raw)?;
        let shared = Arc::new(Mutex::new(State { terminal, saved, raw, is_raw: true }));
        let for_panic = Arc::clone(&shared);
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A lock that is held is held by this very thread, inside one of the methods below.
            if let Ok(mut state) = for_panic.try_lock() {
                state.restore();
            }
            earlier(panic);
        }));
        Ok(Self { shared })
    }

    /// Gives the terminal its earlier modes back for a while, for example while this process is stopped.
    pub(crate) fn leave(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).restore();
    }

    /// Raw mode again: a shell sets its own modes when it takes the terminal, and gives them to the
    /// process that continues.
    pub(crate) fn resume(&self) {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if state.in_foreground() && tcsetattr(&state.terminal, OptionalActions::Drain, &state.raw).is_ok() {
            state.is_raw = true;
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.leave();
    }
}

impl State {
    fn restore(&mut self) {
        if !self.is_raw || !self.in_foreground() {
            return;
        }
        // Flush: answers that the terminal still sends to questions of the agent would otherwise be
        // typed into the person's shell.
        let _gone_with_its_terminal = tcsetattr(&self.terminal, OptionalActions::Flush, &self.saved);
        self.is_raw = false;
    }

    /// In the background the terminal is somebody else's, and tcsetattr(3) would stop this process.
    fn in_foreground(&self) -> bool {
        tcgetpgrp(&self.terminal).map_or(true, |group| group == rustix::process::getpgrp())
    }
}

/// Whether the descriptor is a terminal.
#[must_use]
pub(crate) fn is_terminal(stream: impl AsFd) -> bool {
    isatty(stream)
}

/// Puts /dev/null in the place of standard input, which whoever started this process goes on reading.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn leave_input() -> Result<(), Failure> {
    let null = File::open("/dev/null").map_err(|source| Failure::system("cannot open /dev/null", source))?;
    rustix::stdio::dup2_stdin(&null).map_err(|errno| Failure::system("cannot replace standard input", errno))
}

/// Size of the first of the three standard streams that is a terminal; 0 × 0 when none is.
#[must_use]
pub(crate) fn size() -> TerminalSize {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    size_of(&output).or_else(|| size_of(&input)).or_else(|| size_of(&error)).unwrap_or_default()
}

fn size_of(stream: impl AsFd) -> Option<TerminalSize> {
    let size = tcgetwinsize(stream).ok()?;
    Some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{LocalModes, Winsize, tcsetwinsize};

    /// The hook of one test restores the terminals of all.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    fn alone() -> std::sync::MutexGuard<'static, ()> {
        ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pseudo_terminal() -> (OwnedFd, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        (master, terminal)
    }

    fn modes(terminal: &OwnedFd) -> (bool, bool, bool) {
        let now = tcgetattr(terminal).unwrap();
        (
            now.local_modes.contains(LocalModes::ICANON),
            now.local_modes.contains(LocalModes::ECHO),
            now.output_modes.contains(OutputModes::OPOST),
        )
    }

    #[test]
    fn raw_mode_ends_with_its_guard() {
        let _alone = alone();
        let (_master, terminal) = pseudo_terminal();
        let before = modes(&terminal);
        assert_eq!(before, (true, true, true));
        let raw = RawMode::enter(&terminal, false).unwrap();
        assert_eq!(modes(&terminal), (false, false, false));
        raw.leave();
        assert_eq!(modes(&terminal), before);
        raw.resume();
        assert_eq!(modes(&terminal), (false, false, false));
        drop(raw);
        assert_eq!(modes(&terminal), before);
    }

    #[test]
    fn a_panic_restores_the_terminal() {
        let _alone = alone();
        let (_master, terminal) = pseudo_terminal();
        let before = modes(&terminal);
        let raw = RawMode::enter(&terminal, false).unwrap();
        // The guard lives on in this thread: only the hook can have restored the modes.
        let panicked = std::thread::spawn(|| panic!("on purpose")).join();
        assert!(panicked.is_err());
        assert_eq!(modes(&terminal), before);
        drop(raw);
    }

    #[test]
    fn output_processing_stays_for_the_rest_of_a_pipe() {
        let _alone = alone();
        let (_master, terminal) = pseudo_terminal();
        let _raw = RawMode::enter(&terminal, true).unwrap();
        assert_eq!(modes(&terminal), (false, false, true));
    }

    #[test]
    fn a_pipe_is_no_terminal() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert!(!is_terminal(&read));
        assert!(RawMode::enter(&read, false).is_err());
    }

    #[test]
    fn the_size_is_the_terminals() {
        let (master, terminal) = pseudo_terminal();
        let size = Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        assert_eq!(size_of(&terminal), Some(TerminalSize { rows: 33, columns: 77 }));
    }
}
