//! Messages and attributes as they lie in memory (netlink(7), rtnetlink(7), nfnetlink).

/// Bytes of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Bytes of `struct nlattr`.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const NESTED: u16 = 0x8000;
/// What is left of a type without its two flags.
const TYPE: u16 = 0x3fff;

/// A sequence of messages that is sent at once.
#[derive(Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    /// Where the message in hand begins.
    begin: usize,
    /// Messages that the kernel will acknowledge.
    pub(super) acknowledged: u32,
}

impl Message {
    /// Begins a message with the fixed part of its family.
    pub(crate) fn begin(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> &mut Self {
        self.begin = self.bytes.len();
        self.acknowledged += u32::from(flags & libc::NLM_F_ACK as u16 != 0);
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        // Number and sender: answers come on a socket of their own, in order.
        self.bytes.extend([0; 8]);
        self.bytes.extend(fixed);
        self.pad();
        self
    }

    /// Adds an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = (ATTRIBUTE_HEADER_BYTES + value.len()) as u16;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.pad();
        self
    }

    /// Adds a text with the zero byte that the kernel expects.
    pub(crate) fn text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Adds an attribute of attributes.
    pub(crate) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        inside(self);
        let length = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Ends the message in hand.
    pub(crate) fn end(&mut self) -> &mut Self {
        let length = (self.bytes.len() - self.begin) as u32;
        self.bytes[self.begin..self.begin + 4].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One message that was received: its type and what follows the header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) body: &'a [u8],
}

/// The messages of a packet. What does not fit its own length ends the sequence.
pub(crate) fn received(packet: &[u8]) -> impl Iterator<Item = Received<'_>> {
    let mut rest = packet;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(4..6)?.try_into().ok()?);
        let body = rest.get(HEADER_BYTES..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Received { kind, body })
    })
}

/// Type and value of each attribute.
pub(crate) type Attributes<'a> = Vec<(u16, &'a [u8])>;

/// The attributes in a sequence of bytes.
pub(crate) fn attributes(bytes: &[u8]) -> Attributes<'_> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while let Some(header) = rest.get(..ATTRIBUTE_HEADER_BYTES) {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE;
        let Some(value) = rest.get(ATTRIBUTE_HEADER_BYTES..length) else { break };
        found.push((kind, value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut message = Message::default();
        message.begin(7, 0, &[1, 2, 3, 4]).put(5, &[9]).nest(6, |inside| {
            inside.text(1, "ab");
        });
        message.end().begin(8, libc::NLM_F_ACK as u16, &[]).end();
        assert_eq!(message.acknowledged, 1);
        let all: Vec<_> = received(message.as_bytes()).collect();
        assert_eq!((all.len(), all[0].kind, all[1].kind), (2, 7, 8));
        let found = attributes(&all[0].body[4..]);
        assert_eq!(found[0], (5, &[9][..]));
        assert_eq!(attributes(found[1].1), [(1, &b"ab\0"[..])]);
    }

    #[test]
    fn cut_off_bytes_end_the_sequence() {
        let mut message = Message::default();
        message.begin(7, 0, &[]).put(5, &[1; 9]).end();
        for length in 0..message.as_bytes().len() {
            assert_eq!(received(&message.as_bytes()[..length]).count(), 0);
        }
        assert!(attributes(&[3, 0, 1, 0, 9]).is_empty());
        assert!(attributes(&[0; 64]).len() <= 16);
    }
}
