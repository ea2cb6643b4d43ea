//! The last of what a terminal was shown, for a client that attaches later.
//!
//! Kept in pieces that begin between sequences, each with the state of the terminal ahead of it: the
//! oldest piece goes first, and a replay begins by bringing the terminal into the state of the next.

use super::filter::Screen;
use super::modes::Modes;
use std::collections::VecDeque;

/// Most bytes kept.
const RING_BYTES: usize = 64 * 1024;
/// A piece is closed when it has so many.
const PIECE_BYTES: usize = 4096;

#[derive(Debug)]
struct Piece {
    before: Modes,
    bytes: Vec<u8>,
}

/// The last [`RING_BYTES`] that were drawn.
#[derive(Debug, Default)]
pub(super) struct Ring {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl Ring {
    /// Adds what is drawn on a terminal in state `before`.
    pub(super) fn add(&mut self, mut bytes: &[u8], before: &Modes) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(cut(bytes));
            match self.pieces.back_mut() {
                Some(piece) if piece.bytes.len() < PIECE_BYTES => piece.bytes.extend_from_slice(now),
                _ => self.pieces.push_back(Piece { before: before.clone(), bytes: now.to_vec() }),
            }
            self.bytes += now.len();
            bytes = later;
        }
        while self.bytes > RING_BYTES {
            let Some(oldest) = self.pieces.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Bytes that bring a terminal in its default state to what is shown now.
    pub(super) fn replay(&self) -> Vec<u8> {
        let mut out = self.pieces.front().map_or_else(Vec::new, |piece| piece.before.restore());
        for piece in &self.pieces {
            out.extend_from_slice(&piece.bytes);
        }
        out
    }
}

/// Where to cut what is drawn at once: sequences never, text between characters.
fn cut(bytes: &[u8]) -> usize {
    if bytes.first() == Some(&0x1b) || bytes.len() <= PIECE_BYTES {
        return bytes.len();
    }
    let is_start = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (PIECE_BYTES..bytes.len()).find(is_start).unwrap_or(bytes.len())
}

/// A client's buffer and the ring, filled together.
#[derive(Debug)]
pub(super) struct Recorded<'a> {
    /// What a client gets now.
    pub(super) live: &'a mut Vec<u8>,
    /// What one gets that attaches later.
    pub(super) ring: &'a mut Ring,
}

impl Screen for Recorded<'_> {
    fn draw(&mut self, bytes: &[u8], before: &Modes) {
        self.live.extend_from_slice(bytes);
        self.ring.add(bytes, before);
    }

    fn ask(&mut self, bytes: &[u8]) {
        self.live.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Filter;
    use super::*;
    use proptest::prelude::*;

    fn record(chunks: &[&[u8]]) -> (Filter, Ring, Vec<u8>) {
        let (mut filter, mut ring, mut live) = (Filter::new(""), Ring::default(), Vec::new());
        for chunk in chunks {
            filter.push(chunk, &mut Recorded { live: &mut live, ring: &mut ring });
        }
        (filter, ring, live)
    }

    #[test]
    fn a_replay_holds_no_questions() {
        let (_, ring, live) = record(&[b"a\x1b[6nb\x1b]11;?\x07c\x07\x1b[?u"]);
        assert_eq!(live, b"a\x1b[6nb\x1b]11;?\x07c\x07\x1b[?u");
        assert_eq!(ring.replay(), b"abc");
    }

    #[test]
    fn what_was_set_before_the_ring_begins_is_set_again() {
        let text = "x".repeat(200_000);
        let (filter, ring, _) = record(&[b"\x1b[?1049h\x1b[?1002h\x1b[31m", text.as_bytes()]);
        let replay = ring.replay();
        assert!(replay.starts_with(b"\x1b[?1049h\x1b[?1002h\x1b[0;31m"));
        assert_eq!(replay.iter().filter(|byte| **byte == b'x').count() / 4096, 15);
        let (mut again, mut shown) = (Filter::new(""), Vec::new());
        again.push(&replay, &mut shown);
        assert_eq!(again.modes(), filter.modes());
    }

    proptest! {
        #[test]
        fn the_ring_is_bounded_and_a_replay_ends_in_the_same_state(
            pieces in proptest::collection::vec(prop_oneof![
                Just(b"\x1b[?1049h".to_vec()), Just(b"\x1b[?1049l".to_vec()), Just(b"\x1b[1;4:3;38;5;7m".to_vec()),
                Just(b"\x1b[?1003h\x1b[?25l".to_vec()), Just(b"\x1b[?1003l".to_vec()), Just(b"\x1b[2;9r".to_vec()),
                Just(b"\x1b(0\x0e".to_vec()), Just(b"\x1b[m\x0f".to_vec()), Just(b"\x1b[>4;2m\x1b[4 q".to_vec()),
                (0usize..30_000).prop_map(|count| "\u{e4}b".repeat(count).into_bytes()),
            ], 0..24),
        ) {
            let chunks: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let (filter, ring, _) = record(&chunks);
            let replay = ring.replay();
            prop_assert!(replay.len() <= RING_BYTES + 1024);
            prop_assert!(std::str::from_utf8(&replay).is_ok());
            let (mut again, mut shown) = (Filter::new(""), Vec::new());
            again.push(&replay, &mut shown);
            prop_assert_eq!(again.modes().reset(), filter.modes().reset());
        }
    }
}
