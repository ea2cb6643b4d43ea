//! Messages of the console, cut out of a byte stream.

use agentbox_plan::WireError;
use agentbox_plan::console::{Frame, FromConsole};

/// Bytes that came from the console and are not yet understood.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    at: usize,
}

impl Incoming {
    /// Where to append what was read.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        &mut self.bytes
    }

    /// The next whole message.
    ///
    /// # Errors
    /// [`WireError`] when it is none; the connection is of no more use then.
    pub(crate) fn next(&mut self) -> Result<Option<FromConsole>, WireError> {
        let rest = &self.bytes[self.at..];
        let Some(head) = rest.first_chunk::<{ Frame::HEAD_BYTES }>() else { return Ok(None) };
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > Frame::MAX_BYTES {
            return Err(WireError::Invalid { at: Frame::HEAD_BYTES, what: "frame length" });
        }
        let end = Frame::HEAD_BYTES + length;
        let Some(payload) = rest.get(Frame::HEAD_BYTES..end) else { return Ok(None) };
        let frame = Frame { kind: head[0], payload: payload.to_vec() };
        self.at += end;
        FromConsole::from_frame(frame).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::Exit;

    #[test]
    fn messages_survive_any_cut() {
        let sent = [
            FromConsole::Output(b"one".to_vec()),
            FromConsole::Error(Vec::new()),
            FromConsole::Output(vec![7; 3000]),
            FromConsole::Exited(Exit::Code { status: 3 }),
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(|message| message.to_frame().encode()).collect();
        for cut in [1, 2, 5, 6, 7, 1000, bytes.len()] {
            let (mut incoming, mut received) = (Incoming::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                incoming.space().extend_from_slice(piece);
                while let Some(message) = incoming.next().unwrap() {
                    received.push(message);
                }
            }
            assert_eq!(received, sent, "cut {cut}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused() {
        let mut incoming = Incoming::default();
        incoming.space().extend_from_slice(&[0, 1, 0, 16, 0]);
        assert!(incoming.next().is_err());
    }
}
