//! Output of a child process, with bounds in bytes and time: the child may be somebody else's.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::process::Child;
use std::time::{Duration, Instant};

/// Reads the child's standard output to its end and waits for it. A child that says too much or takes
/// too long is killed.
///
/// # Errors
/// [`ErrorKind::TimedOut`], [`ErrorKind::FileTooLarge`], or what reading failed with.
pub(crate) fn output(mut child: Child, most_bytes: usize, patience: Duration) -> io::Result<(bool, Vec<u8>)> {
    let read = read(&mut child, most_bytes, patience);
    if read.is_err() {
        let _already_dead = child.kill();
    }
    let succeeded = child.wait()?.success();
    read.map(|bytes| (succeeded, bytes))
}

fn read(child: &mut Child, most_bytes: usize, patience: Duration) -> io::Result<Vec<u8>> {
    let Some(stream) = child.stdout.take() else { return Ok(Vec::new()) };
    let (begun, mut bytes) = (Instant::now(), Vec::with_capacity(4096));
    loop {
        let left = patience.checked_sub(begun.elapsed()).ok_or(ErrorKind::TimedOut)?;
        let timeout = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        bytes.reserve(4096);
        let (count, _) =
            rustix::io::read(&stream, rustix::buffer::spare_capacity(&mut bytes)).map(|n| (n, ()))?;
        if count == 0 {
            return Ok(bytes);
        }
        if bytes.len() > most_bytes {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn shell(script: &str) -> Child {
        Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn output_and_success_are_returned() {
        let patience = Duration::from_secs(60);
        assert_eq!(output(shell("printf abc"), 10, patience).unwrap(), (true, b"abc".to_vec()));
        assert_eq!(output(shell("printf abc; exit 3"), 10, patience).unwrap(), (false, b"abc".to_vec()));
    }

    #[test]
    fn a_child_without_end_is_ended() {
        let too_much = output(shell("yes"), 1000, Duration::from_secs(60)).unwrap_err();
        assert_eq!(too_much.kind(), ErrorKind::FileTooLarge);
        let too_long = output(shell("exec sleep 1000"), 1000, Duration::from_millis(20)).unwrap_err();
        assert_eq!(too_long.kind(), ErrorKind::TimedOut);
    }
}
