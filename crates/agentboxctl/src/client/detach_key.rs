//! Ctrl-] Ctrl-]: how a person leaves a session that goes on.
//!
//! The first Ctrl-] is held back until it is clear what it is. Besides the byte 0x1d it may arrive in the
//! two encodings that programs ask terminals for: the kitty keyboard protocol (`ESC [ 93 ; 5 u`) and
//! xterm's modifyOtherKeys (`ESC [ 27 ; 5 ; 93 ~`). A terminal sends a key in one piece, so an encoding
//! that is cut in two by a read is passed on as it is.

use std::time::Duration;

/// What the keys so far mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are for the agent.
    Stay,
    /// The person leaves; what came behind the second Ctrl-] was dropped.
    Detach,
}

/// State between two reads.
#[derive(Debug, Default)]
pub(crate) struct DetachKey {
    held: Vec<u8>,
}

impl DetachKey {
    /// How long a single Ctrl-] is held back. Long enough for two deliberate strokes, short enough for
    /// an editor that binds the key.
    pub(crate) const HOLD: Duration = Duration::from_millis(500);

    /// Reads what was typed and appends to `out` what is for the agent.
    pub(crate) fn feed(&mut self, mut typed: &[u8], out: &mut Vec<u8>) -> Verdict {
        while let Some(first) = typed.first() {
            match Stroke::at_start(typed) {
                Some(Stroke { bytes, released: false }) => {
                    if !self.held.is_empty() {
                        self.held.clear();
                        return Verdict::Detach;
                    }
                    self.held.extend_from_slice(&typed[..bytes]);
                    typed = &typed[bytes..];
                }
                Some(Stroke { bytes, released: true }) if !self.held.is_empty() => {
                    self.held.extend_from_slice(&typed[..bytes]);
                    typed = &typed[bytes..];
                }
                _ => {
                    out.append(&mut self.held);
                    out.push(*first);
                    typed = &typed[1..];
                }
            }
        }
        Verdict::Stay
    }

    /// Whether a Ctrl-] is held back.
    #[must_use]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Passes a held Ctrl-] on: no second one came in time.
    pub(crate) fn expire(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

struct Stroke {
    bytes: usize,
    released: bool,
}

impl Stroke {
    fn at_start(typed: &[u8]) -> Option<Self> {
        const BRACKET: u32 = b']' as u32;
        if typed.first() == Some(&0x1d) {
            return Some(Self { bytes: 1, released: false });
        }
        let rest = typed.strip_prefix(b"\x1b[")?;
        let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'))?;
        let numbers = std::str::from_utf8(&rest[..end]).ok()?;
        let mut fields = numbers.split(';');
        let (key, modifiers) = match rest[end] {
            b'u' => (fields.next()?, fields.next()?),
            b'~' if fields.next() == Some("27") => {
                let modifiers = fields.next()?;
                (fields.next()?, modifiers)
            }
            _ => return None,
        };
        let key: u32 = key.split(':').next()?.parse().ok()?;
        let (modifiers, event) = modifiers.split_once(':').unwrap_or((modifiers, "1"));
        // One more than a bit set: shift 1, alt 2, ctrl 4, …, caps lock 64, num lock 128.
        let held_down = modifiers.parse::<u32>().ok()?.checked_sub(1)? & !(64 | 128);
        (key == BRACKET && held_down == 4).then_some(Self { bytes: 2 + end + 1, released: event == "3" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed_all(reads: &[&[u8]]) -> (Vec<u8>, Verdict, bool) {
        let (mut key, mut out) = (DetachKey::default(), Vec::new());
        for read in reads {
            if key.feed(read, &mut out) == Verdict::Detach {
                return (out, Verdict::Detach, key.is_waiting());
            }
        }
        (out, Verdict::Stay, key.is_waiting())
    }

    #[test]
    fn two_in_a_row_detach() {
        let table: &[(&[&[u8]], &[u8])] = &[
            (&[b"\x1d\x1d"], b""),
            (&[b"\x1d", b"\x1d"], b""),
            (&[b"abc\x1d", b"\x1dxyz"], b"abc"),
            (&[b"\x1b[93;5u", b"\x1b[93;5u"], b""),
            (&[b"\x1b[93;5:1u", b"\x1b[93;5:3u", b"\x1b[93;133:1u"], b""),
            (&[b"\x1b[27;5;93~\x1b[27;5;93~"], b""),
            (&[b"\x1d", b"a\x1d\x1d"], b"\x1da"),
        ];
        for (reads, passed) in table {
            assert_eq!(feed_all(reads), (passed.to_vec(), Verdict::Detach, false), "{reads:?}");
        }
    }

    #[test]
    fn anything_else_is_passed_on() {
        let table: &[(&[&[u8]], &[u8])] = &[
            (&[b"\x1da"], b"\x1da"),
            (&[b"\x1d", b"a"], b"\x1da"),
            (&[b"\x1da\x1db"], b"\x1da\x1db"),
            (&[b"\x1b[93;5ux"], b"\x1b[93;5ux"),
            (&[b"\x1b[93;6u\x1b[93;6u"], b"\x1b[93;6u\x1b[93;6u"),
            (&[b"\x1b[94;5u\x1b[94;5u"], b"\x1b[94;5u\x1b[94;5u"),
            (&[b"\x1b[93;5:3u\x1b[93;5:3u"], b"\x1b[93;5:3u\x1b[93;5:3u"),
            (&[b"\x1b[A\x1b[1;5C"], b"\x1b[A\x1b[1;5C"),
            (&[b"\x1b[93;5", b"u"], b"\x1b[93;5u"),
            (&[b"\x00\xff\x1b"], b"\x00\xff\x1b"),
        ];
        for (reads, passed) in table {
            assert_eq!(feed_all(reads), (passed.to_vec(), Verdict::Stay, false), "{reads:?}");
        }
    }

    #[test]
    fn a_single_one_is_held_and_then_passed_on() {
        let (mut key, mut out) = (DetachKey::default(), Vec::new());
        assert_eq!(key.feed(b"x\x1d", &mut out), Verdict::Stay);
        assert_eq!((out.as_slice(), key.is_waiting()), (&b"x"[..], true));
        key.expire(&mut out);
        assert_eq!((out.as_slice(), key.is_waiting()), (&b"x\x1d"[..], false));
        assert_eq!(key.feed(b"\x1d", &mut out), Verdict::Stay, "the first one is spent");
    }
}
