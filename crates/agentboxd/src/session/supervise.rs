//! The supervisor's own conversation with a session's launcher: the report socket of a launcher that it
//! started, and the supervise connection to the console, which every later supervisor can make as well.
//!
//! The launcher's outer half reads what agents write. It is trusted no more than that: what it says
//! changes the state of its own session and nothing else, and every message is bounded.

use super::sources::forget;
use crate::descriptor::watch;
use agentbox_kernel::console::{self, ConsoleError};
use agentbox_plan::console::{Frame, FromConsole, Hello, ToConsole};
use agentbox_plan::report::Report;
use agentbox_plan::{Exit, Wire};
use rustix::net::RecvFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use zeroize::{Zeroize, Zeroizing};

/// Most bytes of a report. Its only texts are a step and what was refused.
const MAX_REPORT_BYTES: usize = 64 * 1024;
/// Most bytes of frames that wait to be understood; the largest that a supervisor gets has 14.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// Between two tries at a console where so many connections wait that there is no place for one more.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What the launcher says on the supervise connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// Which processes it has.
    Processes {
        /// PID 1 inside.
        init_pid: u32,
        /// The agent.
        agent_pid: u32,
    },
    /// The agent ended.
    Exited(Exit),
}

/// The report socket.
#[derive(Debug)]
pub(crate) struct Reports {
    socket: AsyncFd<OwnedFd>,
}

impl Reports {
    /// Takes the supervisor's end, in non-blocking mode.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket: watch(socket, Interest::READABLE)? })
    }

    /// The next report; `None` when there will be none. Cancel safe.
    pub(crate) async fn next(&self) -> Option<Report> {
        loop {
            let mut ready = self.socket.readable().await.ok()?;
            match ready.try_io(|socket| receive(socket.get_ref())) {
                Ok(report) => return report.ok().flatten(),
                Err(_would_block) => {}
            }
        }
    }

    /// A report that is there already.
    pub(crate) fn waiting(&self) -> Option<Report> {
        receive(self.socket.get_ref()).ok().flatten()
    }
}

fn receive(socket: &OwnedFd) -> io::Result<Option<Report>> {
    let mut bytes = [0; MAX_REPORT_BYTES];
    let (filled, whole) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::TRUNC)?;
    if filled == 0 || whole > MAX_REPORT_BYTES {
        return Ok(None);
    }
    match Report::from_bytes(&bytes[..filled]) {
        Ok(report) => Ok(Some(report)),
        Err(error) => {
            tracing::error!("report of a launcher: {error}");
            Ok(None)
        }
    }
}

/// The supervise connection.
#[derive(Debug)]
pub(crate) struct Supervise {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Supervise {
    /// Says hello on a connection to the console.
    pub(crate) fn new(connection: OwnedFd) -> io::Result<Self> {
        greet(&connection, &Hello::Supervise)?;
        let stream = StdStream::from(connection);
        stream.set_nonblocking(true)?;
        Ok(Self { stream: UnixStream::from_std(stream)?, buffer: Vec::new() })
    }

    /// The next thing that the launcher says; `None` when the connection is of no more use. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        loop {
            while let Some(frame) = Frame::take(&mut self.buffer).ok()? {
                match FromConsole::from_frame(frame).ok()? {
                    FromConsole::State { init_pid, agent_pid } => {
                        return Some(Said::Processes { init_pid, agent_pid });
                    }
                    FromConsole::Exited(exit) => return Some(Said::Exited(exit)),
                    FromConsole::Output(_)
                    | FromConsole::Error(_)
                    | FromConsole::Detached
                    | FromConsole::Waits => {}
                }
            }
            if self.buffer.len() > MAX_BUFFER_BYTES {
                return None;
            }
            self.stream.readable().await.ok()?;
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends a signal to the agent.
    pub(crate) fn signal(&self, number: u8) -> io::Result<()> {
        self.say(&ToConsole::Signal(number))
    }

    /// Has attached clients told that a signature waits.
    pub(crate) fn signature_waits(&self) -> io::Result<()> {
        self.say(&ToConsole::Waits)
    }

    fn say(&self, message: &ToConsole) -> io::Result<()> {
        // Six bytes into an empty socket buffer: they fit or the launcher no longer reads.
        let bytes = message.to_frame().encode();
        match self.stream.try_write(&bytes)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

/// Connects to a console that may have more to do at this moment than to take connections; as often as it takes.
pub(crate) async fn connect_patiently(session_dir: &OwnedFd) -> Result<OwnedFd, ConsoleError> {
    loop {
        match console::connect(session_dir) {
            Err(ConsoleError::Busy { .. }) => tokio::time::sleep(BUSY_PAUSE).await,
            result => return result,
        }
    }
}

/// Writes the first frame of a connection to the console that nobody has accepted yet.
pub(crate) fn greet(connection: &OwnedFd, hello: &Hello) -> io::Result<()> {
    let bytes = ToConsole::Hello(hello.clone()).to_frame().encode();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(connection, rest))?;
        rest = &rest[written..];
    }
    Ok(())
}

/// The same for one that may be larger than a socket buffer: the launcher has to read meanwhile.
pub(crate) async fn greet_patiently(connection: OwnedFd, hello: Hello) -> io::Result<OwnedFd> {
    use tokio::io::AsyncWriteExt;
    let stream = StdStream::from(connection);
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    let message = ToConsole::Hello(hello);
    let mut frame = message.to_frame();
    let bytes = Zeroizing::new(frame.encode());
    frame.payload.zeroize();
    if let ToConsole::Hello(Hello::Exec { process }) = message {
        forget(process);
    }
    stream.write_all(&bytes).await?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[tokio::test]
    async fn the_launchers_words_are_understood_and_an_end_is_an_end() {
        let (ours, mut theirs) = StdStream::pair().unwrap();
        let mut supervise = Supervise::new(ours.into()).unwrap();
        let mut greeting = vec![0; 6];
        theirs.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, ToConsole::Hello(Hello::Supervise).to_frame().encode());
        theirs.write_all(&FromConsole::State { init_pid: 1, agent_pid: 2 }.to_frame().encode()).unwrap();
        theirs.write_all(&FromConsole::Exited(Exit::Code { status: 3 }).to_frame().encode()).unwrap();
        assert_eq!(supervise.next().await, Some(Said::Processes { init_pid: 1, agent_pid: 2 }));
        assert_eq!(supervise.next().await, Some(Said::Exited(Exit::Code { status: 3 })));
        drop(theirs);
        assert_eq!(supervise.next().await, None);
    }

    #[tokio::test]
    async fn a_console_that_is_busy_is_connected_to_when_it_is_not_and_holds_up_nobody() {
        let place = tempfile::TempDir::new().unwrap();
        let dir: OwnedFd = std::fs::File::open(place.path()).unwrap().into();
        let listener = std::os::unix::net::UnixListener::from(console::listen(&dir).unwrap());
        let _waiting: Vec<_> = std::iter::from_fn(|| console::connect(&dir).ok()).take(1000).collect();
        let connecting = connect_patiently(&dir);
        let mut connecting = std::pin::pin!(connecting);
        assert!(tokio::time::timeout(3 * BUSY_PAUSE, &mut connecting).await.is_err());
        drop(listener.accept().unwrap());
        let connected = tokio::time::timeout(Duration::from_secs(5), connecting).await;
        connected.expect("it is connected to").unwrap();
    }

    #[tokio::test]
    async fn a_frame_without_end_ends_the_conversation() {
        let (ours, mut theirs) = StdStream::pair().unwrap();
        let mut supervise = Supervise::new(ours.into()).unwrap();
        theirs.write_all(&[0, 0xff, 0xff, 0xff, 0xff]).unwrap();
        assert_eq!(supervise.next().await, None);
    }
}
