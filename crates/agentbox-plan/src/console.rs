//! Between a person's terminal and the launcher's outer half.
//!
//! The supervisor connects to the session's console socket, sends one [`Hello`] in a [frame](Frame) of
//! kind 0, and hands the connected socket to `agentboxctl`, which from then on speaks frames. The outer
//! half accepts only connections made by root, so nobody else can say Hello.
//!
//! A frame is a kind (`u8`), a length (`u32`, little-endian) and that many bytes, at most
//! [`Frame::MAX_BYTES`]. Either side ends the conversation by closing the socket.

use crate::wire::{Wire, WireError, wire_enum, wire_struct};
use crate::{Exit, Process, Streams, TerminalSize};

wire_enum! {
    /// What the supervisor wants of the connection it made.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Hello {
        /// Bytes of the agent's streams. A session has one such client; a new one takes over, and the
        /// old one gets [`FromConsole::Detached`].
        1 = Attach {
            /// What the client attaches.
            client: Client,
        },
        /// A second process beside the agent, with this connection as its only client.
        2 = Exec {
            /// The process; its streams are the client's.
            process: Process,
        },
        /// The supervisor itself: may send [`ToConsole::Signal`] and [`ToConsole::Waits`], gets [`FromConsole::State`] at once
        /// and [`FromConsole::Exited`] when the agent ends.
        3 = Supervise,
    }
}

wire_struct! {
    /// What a client that attaches brings.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Client {
        /// Which of its streams are a terminal.
        pub streams: Streams,
        /// Size of its terminal.
        pub size: TerminalSize,
    }
}

/// Frames from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToConsole {
    /// First frame of every connection.
    Hello(Hello),
    /// Bytes for standard input.
    Input(Vec<u8>),
    /// Standard input has ended.
    InputEnd,
    /// Nobody reads standard output any more.
    OutputClosed,
    /// Nobody reads standard error any more.
    ErrorClosed,
    /// The terminal has a new size.
    Resize(TerminalSize),
    /// A signal for the foreground process group, or the agent's group where there is no terminal.
    Signal(u8),
    /// The client leaves; the session goes on.
    Detach,
    /// From the supervisor: a signature waits for the person. Whoever is attached is told.
    Waits,
}

/// Frames to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromConsole {
    /// Bytes of standard output, or of the terminal. What reaches a terminal has passed the filter.
    Output(Vec<u8>),
    /// Bytes of standard error where it is no terminal.
    Error(Vec<u8>),
    /// The process ended and all its output was sent. Last frame.
    Exited(Exit),
    /// Another client took over, or this one asked to leave. Last frame.
    Detached,
    /// Answer to [`Hello::Supervise`].
    State {
        /// Process id on the host of PID 1 inside.
        init_pid: u32,
        /// Process id on the host of the agent.
        agent_pid: u32,
    },
    /// A signature waits for the person. The words are the client's own.
    Waits,
}

/// A frame before its payload is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which message it is.
    pub kind: u8,
    /// Its content.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Most bytes of a payload. A sender splits longer streams; a [`Hello`] may need all of it.
    pub const MAX_BYTES: usize = 1 << 20;
    /// Bytes in front of the payload.
    pub const HEAD_BYTES: usize = 5;

    /// The frame as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::HEAD_BYTES + self.payload.len());
        out.push(self.kind);
        // Senders split at MAX_BYTES, far below u32::MAX.
        out.extend_from_slice(&u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&self.payload);
        out
    }

    /// Takes the first whole frame off `buffer`, or `None` when there is not yet one.
    ///
    /// # Errors
    /// [`WireError::Invalid`] when the head announces more than [`Frame::MAX_BYTES`]; the connection
    /// is of no more use then.
    pub fn take(buffer: &mut Vec<u8>) -> Result<Option<Self>, WireError> {
        let Some(head) = buffer.first_chunk::<{ Self::HEAD_BYTES }>() else { return Ok(None) };
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > Self::MAX_BYTES {
            return Err(WireError::Invalid { at: Self::HEAD_BYTES, what: "frame length" });
        }
        let kind = head[0];
        let end = Self::HEAD_BYTES + length;
        if buffer.len() < end {
            return Ok(None);
        }
        let payload = buffer[Self::HEAD_BYTES..end].to_vec();
        buffer.drain(..end);
        Ok(Some(Self { kind, payload }))
    }
}

impl ToConsole {
    /// The message as a frame.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        let (kind, payload) = match self {
            Self::Hello(hello) => (0, hello.to_bytes()),
            Self::Input(bytes) => (1, bytes.clone()),
            Self::InputEnd => (2, Vec::new()),
            Self::OutputClosed => (3, Vec::new()),
            Self::ErrorClosed => (4, Vec::new()),
            Self::Resize(size) => (5, size.to_bytes()),
            Self::Signal(number) => (6, vec![*number]),
            Self::Detach => (7, Vec::new()),
            Self::Waits => (8, Vec::new()),
        };
        Frame { kind, payload }
    }

    /// The message of a frame.
    ///
    /// # Errors
    /// [`WireError`] when it is none.
    pub fn from_frame(frame: Frame) -> Result<Self, WireError> {
        Ok(match frame.kind {
            2..=4 | 7 | 8 if !frame.payload.is_empty() => {
                return Err(WireError::Trailing(frame.payload.len()));
            }
            0 => Self::Hello(Hello::from_bytes(&frame.payload)?),
            1 => Self::Input(frame.payload),
            2 => Self::InputEnd,
            3 => Self::OutputClosed,
            4 => Self::ErrorClosed,
            5 => Self::Resize(TerminalSize::from_bytes(&frame.payload)?),
            6 => Self::Signal(u8::from_bytes(&frame.payload)?),
            7 => Self::Detach,
            8 => Self::Waits,
            _ => return Err(WireError::Invalid { at: 0, what: "frame from a client" }),
        })
    }
}

impl FromConsole {
    /// The message as a frame.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        let (kind, payload) = match self {
            Self::Output(bytes) => (0, bytes.clone()),
            Self::Error(bytes) => (1, bytes.clone()),
            Self::Exited(exit) => (2, exit.to_bytes()),
            Self::Detached => (3, Vec::new()),
            Self::State { init_pid, agent_pid } => (4, (*init_pid, *agent_pid).to_bytes()),
            Self::Waits => (5, Vec::new()),
        };
        Frame { kind, payload }
    }

    /// The message of a frame.
    ///
    /// # Errors
    /// [`WireError`] when it is none.
    pub fn from_frame(frame: Frame) -> Result<Self, WireError> {
        Ok(match frame.kind {
            3 | 5 if !frame.payload.is_empty() => return Err(WireError::Trailing(frame.payload.len())),
            0 => Self::Output(frame.payload),
            1 => Self::Error(frame.payload),
            2 => Self::Exited(Exit::from_bytes(&frame.payload)?),
            3 => Self::Detached,
            4 => {
                let (init_pid, agent_pid) = <(u32, u32)>::from_bytes(&frame.payload)?;
                Self::State { init_pid, agent_pid }
            }
            5 => Self::Waits,
            _ => return Err(WireError::Invalid { at: 0, what: "frame to a client" }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_has_one_frame() {
        for message in [
            ToConsole::InputEnd,
            ToConsole::OutputClosed,
            ToConsole::ErrorClosed,
            ToConsole::Detach,
            ToConsole::Waits,
        ] {
            let mut frame = message.to_frame();
            assert_eq!(ToConsole::from_frame(frame.clone()), Ok(message));
            frame.payload.push(0);
            assert_eq!(ToConsole::from_frame(frame), Err(WireError::Trailing(1)));
        }
        for message in [FromConsole::Detached, FromConsole::Waits] {
            let mut frame = message.to_frame();
            assert_eq!(FromConsole::from_frame(frame.clone()), Ok(message));
            frame.payload.push(0);
            assert_eq!(FromConsole::from_frame(frame), Err(WireError::Trailing(1)));
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            cut in 1usize..20,
        ) {
            let sent: Vec<_> = payloads.into_iter().map(ToConsole::Input).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(|message| message.to_frame().encode()).collect();
            let (mut buffer, mut received) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                    received.push(ToConsole::from_frame(frame).unwrap());
                }
            }
            prop_assert_eq!(sent, received);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn any_frame_is_a_message_or_an_error(kind in any::<u8>(), payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let frame = Frame { kind, payload };
            let _ = ToConsole::from_frame(frame.clone());
            let _ = FromConsole::from_frame(frame);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_ends_the_conversation() {
        let mut buffer = vec![1, 1, 0, 16, 0];
        assert!(Frame::take(&mut buffer).is_err());
    }
}
