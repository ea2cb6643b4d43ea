//! Lines that are held back until they are whole.

/// What was held back: up to an empty line or the end of one line, within a limit.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
}

/// Up to where bytes are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// The end of the first line.
    Line,
    /// The first empty line, with what is before it.
    EmptyLine,
}

/// The lines are too long, or have a byte or a line end that readers take differently.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// Looks for the end of a head, of which nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct EndOfHead {
    /// How many bytes of two line ends have just come.
    matched: usize,
    seen: usize,
}

impl EndOfHead {
    /// Nothing has come.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether it has come with the end of this, or more than a head is.
    pub(crate) fn is_behind(&mut self, piece: &[u8]) -> bool {
        const END: &[u8] = b"\r\n\r\n";
        self.seen = self.seen.saturating_add(piece.len());
        for byte in piece {
            self.matched = match END.get(self.matched) {
                Some(next) if next == byte => self.matched + 1,
                None => break,
                Some(_) => usize::from(*byte == b'\r'),
            };
        }
        self.matched == END.len() || self.seen > super::MAX_HEAD_BYTES
    }
}

impl Held {
    /// How many bytes are held back.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes bytes from the front of `piece`, up to and with the end. Gives the lines when they are whole; then
    /// nothing is held any more.
    pub(super) fn take(
        &mut self,
        piece: &mut &[u8],
        until: Until,
        most: usize,
    ) -> Result<Option<Vec<u8>>, Unclear> {
        let mut last = self.bytes.last().copied();
        for (at, byte) in piece.iter().copied().enumerate() {
            // A line ends in CR LF: a lone one of them ends it for some readers only. So with NUL.
            let is_clear = match byte {
                b'\n' => last == Some(b'\r'),
                _ if last == Some(b'\r') => false,
                b'\r' | b'\t' => true,
                _ => !byte.is_ascii_control(),
            };
            if !is_clear || self.bytes.len() + at >= most {
                return Err(Unclear);
            }
            last = Some(byte);
            if byte == b'\n' {
                let (taken, rest) = piece.split_at(at + 1);
                let is_end = until == Until::Line || self.ends_empty(taken);
                if is_end {
                    self.bytes.extend_from_slice(taken);
                    *piece = rest;
                    return Ok(Some(std::mem::take(&mut self.bytes)));
                }
            }
        }
        self.bytes.extend_from_slice(piece);
        *piece = &[];
        Ok(None)
    }

    /// Whether all that is held with `taken` behind it ends in an empty line, or is one.
    fn ends_empty(&self, taken: &[u8]) -> bool {
        let mut backwards = taken.iter().rev().chain(self.bytes.iter().rev()).skip(2);
        matches!(backwards.next(), None | Some(b'\n'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: a.org\r\r\n\r\nbody";
        for cut in 0..head.len() {
            let mut end = EndOfHead::new();
            let is_first = end.is_behind(&head[..cut]);
            assert_eq!(is_first, cut >= head.len() - 4, "{cut}");
            assert!(end.is_behind(&head[cut..]), "{cut}");
        }
        let mut end = EndOfHead::new();
        assert!(!end.is_behind(&[b'x'; crate::http::MAX_HEAD_BYTES]) && end.is_behind(b"x"));
    }
}
