//! One of our output streams, written without ever waiting for its reader.
//!
//! The descriptor is shared with other processes (a shell, the rest of a pipe), and `O_NONBLOCK` belongs
//! to what is shared. So a pipe or terminal is opened once more through /proc/self/fd, which makes an
//! open file description of our own (proc_pid_fd(5)).

use super::backlog::Backlog;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// An output stream and what it has not yet taken.
#[derive(Debug)]
pub(crate) struct Sink {
    stream: OwnedFd,
    way: Way,
    backlog: Backlog,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Our own description with `O_NONBLOCK`, or a file that never blocks.
    Whole,
    /// A blocking pipe or terminal that could not be opened again. After poll(2) said so, a pipe takes
    /// `PIPE_BUF` bytes without blocking (pipe(7)).
    Pieces,
    /// A socket: `MSG_DONTWAIT` does it.
    Socket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nobody reads any more.
    Closed,
    /// Writing failed for another reason: a full disk.
    Failed(Errno),
}

const PIPE_BUF: usize = 4096;

impl Sink {
    /// A sink over a stream of ours.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub(crate) fn new(stream: impl AsFd) -> io::Result<Self> {
        let stream = stream.as_fd();
        let kind = rustix::fs::fstat(stream).map(|found| FileType::from_raw_mode(found.st_mode))?;
        let (stream, way) = match kind {
            FileType::Fifo => own_description(stream)?,
            FileType::CharacterDevice if rustix::termios::isatty(stream) => own_description(stream)?,
            FileType::Socket => (duplicate(stream)?, Way::Socket),
            _ => (duplicate(stream)?, Way::Whole),
        };
        Ok(Self { stream, way, backlog: Backlog::default(), state: State::Open })
    }

    /// Adds bytes and writes what goes without waiting.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let taken = if self.backlog.len() == 0 { self.write(bytes) } else { 0 };
        if self.state == State::Open {
            self.backlog.push(&bytes[taken..]);
        }
    }

    /// Writes what goes without waiting.
    pub(crate) fn flush(&mut self) {
        let mut backlog = std::mem::take(&mut self.backlog);
        backlog.taken(self.write(backlog.pending()));
        if self.state == State::Open {
            self.backlog = backlog;
        }
    }

    /// How many bytes wait for the reader.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// Whether nothing can be written any more.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.state != State::Open
    }

    /// Why writing failed, when it was not just that the reader left.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<io::Error> {
        match self.state {
            State::Failed(errno) => Some(errno.into()),
            State::Open | State::Closed => None,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && self.state == State::Open {
            let rest = &bytes[taken..];
            let answer = match self.way {
                Way::Whole => rustix::io::write(&self.stream, rest),
                Way::Socket => rustix::net::send(
                    &self.stream,
                    rest,
                    rustix::net::SendFlags::DONTWAIT | rustix::net::SendFlags::NOSIGNAL,
                ),
                Way::Pieces if !can_write(&self.stream) => Err(Errno::AGAIN),
                Way::Pieces => rustix::io::write(&self.stream, &rest[..rest.len().min(PIPE_BUF)]),
            };
            match answer {
                Ok(count) => taken += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // EIO: the terminal has gone. ECONNRESET: the socket's peer has.
                Err(Errno::PIPE | Errno::IO | Errno::CONNRESET) => self.state = State::Closed,
                Err(errno) => self.state = State::Failed(errno),
            }
        }
        taken
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn duplicate(stream: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(stream, 3)?)
}

fn own_description(stream: BorrowedFd<'_>) -> io::Result<(OwnedFd, Way)> {
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(own) => Ok((own, Way::Whole)),
        // Another user's pipe or terminal (su, sudo), or no /proc.
        Err(_) => Ok((duplicate(stream)?, Way::Pieces)),
    }
}

fn can_write(stream: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut descriptors = [PollFd::new(stream, PollFlags::OUT)];
    matches!(poll(&mut descriptors, Some(&Timespec::default())), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::fcntl_getfl;

    #[test]
    fn the_shared_description_stays_blocking() {
        let (_read, write) = rustix::pipe::pipe().unwrap();
        let sink = Sink::new(&write).unwrap();
        assert!(fcntl_getfl(&sink).unwrap().contains(OFlags::NONBLOCK));
        assert!(!fcntl_getfl(&write).unwrap().contains(OFlags::NONBLOCK));
    }

    #[test]
    fn a_slow_reader_gets_every_byte_by_either_way() {
        for way in [Way::Whole, Way::Pieces] {
            let (read, write) = rustix::pipe::pipe().unwrap();
            let mut sink = Sink::new(&write).unwrap();
            if way == Way::Pieces {
                sink.stream = duplicate(write.as_fd()).unwrap();
                sink.way = way;
            }
            let sent: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
            for piece in sent.chunks(70_001) {
                sink.push(piece);
            }
            assert!(sink.waiting() > 0, "a pipe does not hold all of it");
            let (mut received, mut buffer) = (Vec::new(), [0; 3001]);
            while received.len() < sent.len() {
                let count = rustix::io::read(&read, &mut buffer).unwrap();
                received.extend_from_slice(&buffer[..count]);
                sink.flush();
            }
            assert!(received == sent, "{way:?}");
            assert_eq!(sink.waiting(), 0);
        }
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut sink = Sink::new(&write).unwrap();
        drop(read);
        sink.push(b"x");
        assert!(sink.is_closed());
        assert!(sink.failure().is_none());
        assert_eq!(sink.waiting(), 0);
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut sink = Sink::new(&full).unwrap();
        sink.push(b"x");
        assert!(sink.is_closed());
        assert!(sink.failure().is_some());
    }
}
