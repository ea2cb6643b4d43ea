//! What a terminal saves with the cursor (DECSC): colours and attributes, character sets, origin.

use super::sgr::Sgr;

/// How characters are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Drawing {
    pub(super) sgr: Sgr,
    /// Character sets G0 and G1, 0 for ASCII.
    pub(super) charsets: [u8; 2],
    /// G1 is in use (SO).
    pub(super) shifted: bool,
    /// Lines are counted from the top of the scroll region (DECOM).
    pub(super) origin: bool,
}

const DESIGNATE: [u8; 2] = [b'(', b')'];

impl Drawing {
    /// The bytes that bring a terminal here which draws as at the start.
    pub(super) fn restore(&self, out: &mut Vec<u8>) {
        if self.origin {
            out.extend_from_slice(b"\x1b[?6h");
        }
        for (set, begin) in self.charsets.into_iter().zip(DESIGNATE) {
            if set != 0 {
                out.extend_from_slice(&[0x1b, begin, set]);
            }
        }
        if self.shifted {
            out.push(0x0e);
        }
        self.sgr.restore(out);
    }

    /// The bytes that bring a terminal back to how it draws at the start.
    pub(super) fn reset(&self, out: &mut Vec<u8>) {
        if self.sgr != Sgr::default() {
            out.extend_from_slice(b"\x1b[0m");
        }
        for (set, begin) in self.charsets.into_iter().zip(DESIGNATE) {
            if set != 0 {
                out.extend_from_slice(&[0x1b, begin, b'B']);
            }
        }
        if self.shifted {
            out.push(0x0f);
        }
        if self.origin {
            // Moves the cursor home: the last line is where a shell goes on.
            out.extend_from_slice(b"\x1b[?6l\x1b[9999;1H");
        }
    }
}
