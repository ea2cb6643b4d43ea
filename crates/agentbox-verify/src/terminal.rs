//! What a program's output would do to the terminal that shows it.

use crate::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::PidfdFlags;
use rustix::pty::OpenptFlags;
use std::process::Command;
use std::time::{Duration, Instant};

/// Seconds that a program may take to end that has shown its end.
const ENDING_S: i64 = 5;
/// Most bytes that are read.
const MOST_BYTES: usize = 1 << 20;

/// Runs a command on a pseudo-terminal and returns what the terminal was sent until `end` came.
pub(crate) fn shown(command: &mut Command, end: &str, patience: Duration) -> Result<Vec<u8>, Error> {
    let failed = |errno: rustix::io::Errno| Error::io("cannot make a terminal", errno);
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .map_err(failed)?;
    rustix::pty::grantpt(&master).map_err(failed)?;
    rustix::pty::unlockpt(&master).map_err(failed)?;
    let name = rustix::pty::ptsname(&master, Vec::new()).map_err(failed)?;
    let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed)?;
    let copy = || slave.try_clone().map_err(|error| Error::io("cannot use a terminal", error));
    command.stdin(copy()?).stdout(copy()?).stderr(copy()?);
    let mut child =
        command.spawn().map_err(|error| Error::io("cannot run a program on a terminal", error))?;
    // The slave stays open here, so that what is printed last can be read after the program has ended.
    let (until, mut seen) = (Instant::now() + patience, Vec::new());
    while !seen.windows(end.len()).any(|window| window == end.as_bytes()) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || seen.len() > MOST_BYTES {
            break;
        }
        let step = Timespec::try_from(left.min(Duration::from_millis(200))).unwrap_or_default();
        match poll(&mut [PollFd::new(&master, PollFlags::IN)], Some(&step)) {
            Ok(0) if matches!(child.try_wait(), Ok(Some(_))) => break,
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let mut bytes = [0; 4096];
        match rustix::io::read(&master, &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(length) => seen.extend_from_slice(&bytes[..length]),
        }
    }
    // It has nothing more to do; one that goes on after its end is ended.
    let process = rustix::process::pidfd_open(rustix::process::Pid::from_child(&child), PidfdFlags::empty());
    let ended = process.is_ok_and(|process| {
        let until = Timespec { tv_sec: ENDING_S, tv_nsec: 0 };
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&until)) == Ok(1)
    });
    if !ended {
        let _already_dead = child.kill();
    }
    let _nothing_to_know = child.wait();
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_sent_what_a_program_prints() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "printf '\\033]52;c;YQ==\\007e''nd\\n'"]);
        let seen = shown(&mut command, "end", Duration::from_secs(60)).unwrap();
        assert!(String::from_utf8_lossy(&seen).contains("\x1b]52;c;YQ=="), "{seen:?}");
    }
}
