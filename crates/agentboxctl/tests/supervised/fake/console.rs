//! The console of a session, played by a test.

use agentbox_plan::console::{Frame, FromConsole, ToConsole};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// The session's end of a conversation.
pub(crate) struct Console {
    socket: UnixStream,
    buffer: Vec<u8>,
    heard: Vec<ToConsole>,
}

impl Console {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { socket, buffer: Vec::new(), heard: Vec::new() }
    }

    pub(crate) fn say(&mut self, message: &FromConsole) {
        // A client that left is what some tests are about.
        let _ = self.socket.write_all(&message.to_frame().encode());
    }

    /// Everything up to a message.
    pub(crate) fn read_until(&mut self, last: impl Fn(&ToConsole) -> bool) -> Vec<ToConsole> {
        let mut piece = [0; 65536];
        while !self.heard.iter().any(&last) {
            let count = self.socket.read(&mut piece).unwrap();
            assert!(count > 0, "the client left after {:?}", self.heard);
            self.buffer.extend_from_slice(&piece[..count]);
            self.understand();
        }
        std::mem::take(&mut self.heard)
    }

    /// Whether a message has come, without waiting for it.
    pub(crate) fn heard(&mut self, message: &ToConsole) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut piece = [0; 4096];
        if let Ok(count) = self.socket.read(&mut piece) {
            self.buffer.extend_from_slice(&piece[..count]);
        }
        self.socket.set_nonblocking(false).unwrap();
        self.understand();
        self.heard.contains(message)
    }

    fn understand(&mut self) {
        while let Some(frame) = Frame::take(&mut self.buffer).unwrap() {
            self.heard.push(ToConsole::from_frame(frame).unwrap());
        }
    }
}
