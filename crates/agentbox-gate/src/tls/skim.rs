//! The framing of a ClientHello, of which nothing is kept here.

use super::{
    CLIENT_HELLO, MAX_HELLO_BYTES, MAX_RECORD_BYTES, MESSAGE_HEADER_BYTES, RECORD_HEADER_BYTES,
    begins_like_record,
};

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skimmed {
    /// Its end has not come.
    NeedMore,
    /// It is whole.
    Hello,
    /// It is none.
    Malformed,
}

/// Finds the end of a ClientHello. Nothing here looks behind what it decides about, so that the size of pieces makes no
/// difference.
#[derive(Debug, Default)]
pub struct Skim {
    seen: usize,
    record: Vec<u8>,
    /// What is missing of a record's payload.
    payload: usize,
    message: Vec<u8>,
    /// What is missing of the message behind its header.
    body: usize,
    outcome: Option<Skimmed>,
}

impl Skim {
    /// One to which nothing was fed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: &[u8]) -> Skimmed {
        self.feed_to(piece, &mut |_part| {})
    }

    /// The same; `body` is given what there is of the message behind its header.
    pub(super) fn feed_to(&mut self, piece: &[u8], body: &mut dyn FnMut(&[u8])) -> Skimmed {
        let mut rest = piece;
        loop {
            if let Some(outcome) = self.outcome {
                return outcome;
            }
            if rest.is_empty() {
                return Skimmed::NeedMore;
            }
            self.outcome = self.step(&mut rest, body);
        }
    }

    /// Takes something from the front of `rest`, which is not empty.
    fn step(&mut self, rest: &mut &[u8], body: &mut dyn FnMut(&[u8])) -> Option<Skimmed> {
        if self.record.len() < RECORD_HEADER_BYTES {
            fill(&mut self.record, RECORD_HEADER_BYTES, rest);
            if !begins_like_record(&self.record) {
                return Some(Skimmed::Malformed);
            }
            let [_, _, _, high, low] = *self.record.first_chunk::<RECORD_HEADER_BYTES>()?;
            self.payload = usize::from(u16::from_be_bytes([high, low]));
            self.seen += RECORD_HEADER_BYTES + self.payload;
            // Handshake records are never empty (RFC 8446, section 5.1).
            let is_none = self.payload == 0 || self.payload > MAX_RECORD_BYTES;
            return (is_none || self.seen > MAX_HELLO_BYTES).then_some(Skimmed::Malformed);
        }
        let (mut within, behind) = rest.split_at(self.payload.min(rest.len()));
        *rest = behind;
        self.payload -= within.len();
        if self.message.len() < MESSAGE_HEADER_BYTES {
            fill(&mut self.message, MESSAGE_HEADER_BYTES, &mut within);
            if self.message.first() != Some(&CLIENT_HELLO) {
                return Some(Skimmed::Malformed);
            }
            if let Some(&[_, high, middle, low]) = self.message.first_chunk::<MESSAGE_HEADER_BYTES>() {
                self.body = u32::from_be_bytes([0, high, middle, low]) as usize;
                if self.body > MAX_HELLO_BYTES {
                    return Some(Skimmed::Malformed);
                }
            }
        }
        // A client says nothing more before the server has answered, least of all in the same record.
        if within.len() > self.body {
            return Some(Skimmed::Malformed);
        }
        self.body -= within.len();
        body(within);
        if self.payload == 0 {
            self.record.clear();
            let is_whole = self.message.len() == MESSAGE_HEADER_BYTES && self.body == 0;
            return is_whole.then_some(Skimmed::Hello);
        }
        None
    }
}

/// Moves bytes from the front of `rest` until there are so many.
fn fill(into: &mut Vec<u8>, most: usize, rest: &mut &[u8]) {
    let (taken, behind) = rest.split_at((most - into.len()).min(rest.len()));
    into.extend_from_slice(taken);
    *rest = behind;
}
