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

impl Held {
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
