//! One connection to the console: frames in and out, each through a bounded buffer.

use agentbox_plan::console::{Frame, FromConsole, ToConsole};
use agentbox_plan::{Streams, WireError};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt::socket_peercred};
use std::time::{Duration, Instant};

/// Above so many unsent bytes nothing more is read for this client.
const FULL_BYTES: usize = 256 * 1024;
/// Longest payload of one frame of output.
const PAYLOAD_BYTES: usize = 64 * 1024;
/// Time for the first frame, and for the last ones of a client that has left.
const SHORT: Duration = Duration::from_secs(10);
/// How long a client may take nothing at all of the last output before it is given up: it may be a
/// pager that somebody reads. Stopping the session ends it at once.
const DELIVERY: Duration = Duration::from_secs(3600);

/// Name of a client within the server.
pub(super) type ClientId = u64;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It has not said hello.
    New,
    /// Streams of the process with this number; 0 is the agent.
    Process(u32),
    /// The supervisor's own.
    Supervisor,
    /// It was told its last frame and gets what is unsent.
    Leaving,
}

/// A standard stream that the client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Error,
}

/// What became of an attempt to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    Some,
    Nothing,
    Gone,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
    received: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    pub(super) role: Role,
    /// Which of its streams are a terminal.
    pub(super) streams: Streams,
    /// Streams that it closed.
    closed: Streams,
    /// When it last took something, or was given something to take.
    progress: Instant,
    /// It did not take everything when it was last sent something.
    waiting: bool,
    patience: Duration,
}

impl Client {
    /// Takes one connection off the listening socket. `Ok(None)` when there is none, or one that was not
    /// made by `peer_uid`: the socket's directory keeps others away, this is the second lock.
    pub(super) fn accept(listener: &OwnedFd, peer_uid: u32, now: Instant) -> Result<Option<Self>, Errno> {
        let socket = match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => socket,
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return Ok(None),
            Err(error) => return Err(error),
        };
        let by = socket_peercred(&socket).map(|peer| peer.uid.as_raw());
        Ok((by == Ok(peer_uid)).then(|| Self::new(socket, now)))
    }

    fn new(socket: OwnedFd, now: Instant) -> Self {
        Self {
            socket,
            received: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            role: Role::New,
            streams: Streams::PIPES,
            closed: Streams::PIPES,
            progress: now,
            waiting: false,
            patience: SHORT,
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads once from the socket.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> Received {
        match recv(&self.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Received::Gone,
            Ok((count, _)) => {
                self.received.extend_from_slice(&scratch[..count]);
                Received::Some
            }
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::Gone,
        }
    }

    /// The next whole message that was received.
    pub(super) fn next_message(&mut self) -> Result<Option<ToConsole>, WireError> {
        Frame::take(&mut self.received)?.map(ToConsole::from_frame).transpose()
    }

    /// Whether [`Self::next_message`] has something to say.
    pub(super) fn has_message(&self) -> bool {
        let Some(head) = self.received.first_chunk::<{ Frame::HEAD_BYTES }>() else { return false };
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        length > Frame::MAX_BYTES || self.received.len() >= Frame::HEAD_BYTES + length
    }

    /// Queues a message.
    pub(super) fn say(&mut self, message: &FromConsole) {
        self.unsent.extend_from_slice(&message.to_frame().encode());
    }

    /// Queues bytes for one of its streams, unless it closed that.
    pub(super) fn show(&mut self, stream: Stream, bytes: &[u8]) {
        if match stream {
            Stream::Output => self.closed.output,
            Stream::Error => self.closed.error,
        } {
            return;
        }
        for piece in bytes.chunks(PAYLOAD_BYTES) {
            self.say(&match stream {
                Stream::Output => FromConsole::Output(piece.to_vec()),
                Stream::Error => FromConsole::Error(piece.to_vec()),
            });
        }
    }

    /// Notes that nobody reads `stream` any more.
    pub(super) fn close(&mut self, stream: Stream) {
        match stream {
            Stream::Output => self.closed.output = true,
            Stream::Error => self.closed.error = true,
        }
    }

    /// Whether `stream` is a terminal.
    pub(super) fn is_terminal(&self, stream: Stream) -> bool {
        match stream {
            Stream::Output => self.streams.output,
            Stream::Error => self.streams.error,
        }
    }

    /// Whether it has to take something before it is sent more.
    pub(super) fn is_full(&self) -> bool {
        self.unsent.len() - self.sent > FULL_BYTES
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.unsent.len()
    }

    /// Sends what it takes. False when it is gone.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        if !self.waiting && self.has_unsent() {
            self.progress = now;
        }
        while self.has_unsent() {
            match send(&self.socket, &self.unsent[self.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => {
                    self.sent += count;
                    self.progress = now;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return false,
            }
        }
        self.waiting = self.has_unsent();
        if !self.waiting {
            self.unsent.clear();
            self.unsent.shrink_to(FULL_BYTES);
            self.sent = 0;
        } else if self.sent > FULL_BYTES {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
        true
    }

    /// Its last frame is queued. `delivered`: what is unsent is output that must not be lost.
    pub(super) fn leave(&mut self, delivered: bool, now: Instant) {
        (self.role, self.progress) = (Role::Leaving, now);
        self.patience = if delivered { DELIVERY } else { SHORT };
        self.received = Vec::new();
    }

    /// When it last took something.
    pub(super) fn progress(&self) -> Instant {
        self.progress
    }

    /// When it is given up for taking nothing of what it was sent, if its process has ended.
    pub(super) fn blocked(&self) -> Option<Instant> {
        self.waiting.then(|| self.progress + DELIVERY)
    }

    /// When it is given up, if it does nothing until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        matches!(self.role, Role::New | Role::Leaving).then(|| self.progress + self.patience)
    }
}
