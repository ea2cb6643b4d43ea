//! Which control sequences (CSI) and escape sequences a terminal may see.
//!
//! A list of what is known to be harmless; whatever is not on it is dropped. Left out on purpose:
//! window operations and title reports (`t`), media copy (`i`), DECRQCRA (`*y`, reads the screen),
//! macros (`*z`), locator requests (`'|`), saved private modes (`?s ?r`, which would change modes
//! unseen), 8-bit controls (`ESC SP G`), other encodings (`ESC %`), and every string but OSC.

use super::modes::Modes;
use super::sgr::number;

/// All flags of the kitty keyboard protocol together.
const FLAGS_MAX: u32 = 31;

/// What becomes of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing of it is shown.
    Drop,
    /// It is shown as it came.
    Same,
    /// It is shown as it came, and the terminal answers: never repeated for a client that attaches later.
    Ask,
    /// These bytes are shown in its place.
    Instead(Vec<u8>),
}

/// A control sequence in its parts: `CSI marker parameters intermediates last`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Control<'a> {
    /// `?`, `<`, `=`, `>`, or 0 without one.
    pub(super) marker: u8,
    /// Digits, `:` and `;`.
    pub(super) parameters: &'a [u8],
    /// 0x20 to 0x2f.
    pub(super) intermediates: &'a [u8],
    /// 0x40 to 0x7e.
    pub(super) last: u8,
}

impl<'a> Control<'a> {
    /// Takes the bytes between CSI and the final byte apart. `None` when they are in no valid order.
    pub(super) fn parse(held: &'a [u8], last: u8) -> Option<Self> {
        let (marker, rest) = match held.split_first() {
            Some((marker @ b'<'..=b'?', rest)) => (*marker, rest),
            _ => (0, held),
        };
        let is_parameter = |byte: &u8| matches!(byte, b'0'..=b';');
        let end = rest.iter().position(|byte| !is_parameter(byte)).unwrap_or(rest.len());
        let (parameters, intermediates) = rest.split_at(end);
        intermediates.iter().all(|byte| matches!(byte, 0x20..=0x2f)).then_some(Self {
            marker,
            parameters,
            intermediates,
            last,
        })
    }

    /// The parameters, `None` where one is empty.
    pub(super) fn numbers(&self) -> impl Iterator<Item = Option<u32>> + use<'a> {
        self.parameters.split(|byte| *byte == b';').map(number)
    }

    /// Parameter `at`.
    pub(super) fn number(&self, at: usize) -> Option<u32> {
        self.numbers().nth(at).flatten()
    }

    /// Terminals differ in what they make of numbers beyond 16 bits; nobody draws with those.
    fn is_sane(&self) -> bool {
        self.parameters.split(|byte| matches!(byte, b';' | b':')).all(|digits| digits.len() <= 5)
    }

    /// What becomes of it on a terminal in state `modes`.
    pub(super) fn judge(&self, modes: &Modes) -> Verdict {
        if !self.is_sane() {
            return Verdict::Drop;
        }
        let first = self.number(0).unwrap_or(0);
        let single = !self.parameters.contains(&b';');
        match (self.marker, self.intermediates, self.last) {
            // Moving, erasing, inserting, scrolling, tabs, attributes, margins.
            (0, b"", b'@' | b'A'..=b'M' | b'P' | b'S' | b'X' | b'Z' | b'`' | b'a' | b'b') => Verdict::Same,
            (0, b"", b'd'..=b'g' | b'm' | b'r' | b's' | b'u') => Verdict::Same,
            // With five parameters it tracks the mouse and waits for the program.
            (0, b"", b'T') if single => Verdict::Same,
            (b'?', b"", b'J' | b'K') => Verdict::Same,
            (b'?', b"", b'W') if first == 5 => Verdict::Same,
            (0, b" ", b'q') if first <= 6 => Verdict::Same,
            // Wrapping at the margin after a soft reset differs between terminals.
            (0, b"!", b'p') => Verdict::Instead(b"\x1b[!p\x1b[?7h".to_vec()),
            // Questions whose answers hold numbers of the terminal's own only.
            (0 | b'>', b"", b'c') if first == 0 => Verdict::Ask,
            (0, b"", b'n') if matches!(first, 5 | 6) => Verdict::Ask,
            (b'?', b"", b'n') if matches!(first, 6 | 996) => Verdict::Ask,
            (b'>', b"", b'q') if first == 0 => Verdict::Ask,
            (0 | b'?', b"$", b'p') if single => Verdict::Ask,
            (b'?', b"", b'u') => Verdict::Ask,
            // modifyOtherKeys and no other resource.
            (b'>', b"", b'm') if first == 4 && self.number(1).unwrap_or(0) <= 3 => Verdict::Same,
            (b'>', b"", b'n') if first == 4 => Verdict::Same,
            (b'>' | b'<' | b'=', b"", b'u') => self.judge_keyboard(modes),
            (0 | b'?', b"", b'h' | b'l') => self.judge_modes(),
            _ => Verdict::Drop,
        }
    }

    /// Keeps the modes that are known, each by itself.
    fn judge_modes(&self) -> Verdict {
        let known = if self.marker == 0 { Modes::knows_ansi } else { Modes::knows_private };
        let all = self.numbers().count();
        let kept: Vec<String> =
            self.numbers().flatten().filter(|number| known(*number)).map(|n| n.to_string()).collect();
        match kept.len() {
            0 => Verdict::Drop,
            count if count == all => Verdict::Same,
            _ => {
                let mut text = vec![0x1b, b'['];
                text.extend((self.marker != 0).then_some(self.marker));
                text.extend_from_slice(kept.join(";").as_bytes());
                text.push(self.last);
                Verdict::Instead(text)
            }
        }
    }

    /// The kitty keyboard protocol. What the host pushed before the session is neither popped nor
    /// changed.
    fn judge_keyboard(&self, modes: &Modes) -> Verdict {
        let flags = self.number(0).unwrap_or(0);
        match self.marker {
            b'>' if modes.can_push() && flags <= FLAGS_MAX => Verdict::Same,
            b'=' if modes.has_pushed() && flags <= FLAGS_MAX => Verdict::Same,
            b'<' => match modes.poppable(self.number(0).unwrap_or(1)) {
                0 => Verdict::Drop,
                count => Verdict::Instead(format!("\x1b[<{count}u").into_bytes()),
            },
            _ => Verdict::Drop,
        }
    }

    /// Puts what was passed on into `modes`.
    pub(super) fn follow(&self, modes: &mut Modes) {
        match (self.marker, self.intermediates, self.last) {
            (b'>' | b'<' | b'=', b"", b'u') => modes.apply_keyboard(self),
            _ => modes.apply(self),
        }
    }

    /// Whether `modes` follow it even where it was dropped: a program that pushes more keyboard entries
    /// than are passed on also pops more.
    pub(super) fn counts_when_dropped(&self) -> bool {
        let stack = matches!((self.marker, self.intermediates, self.last), (b'>' | b'<', b"", b'u'));
        stack && self.is_sane() && (self.marker == b'<' || self.number(0).unwrap_or(0) <= FLAGS_MAX)
    }
}

/// Whether an escape sequence (`ESC intermediate last`, intermediate 0 for none) may be shown.
pub(super) fn escape_is_harmless(intermediate: u8, last: u8) -> bool {
    match intermediate {
        0 => matches!(last, b'7' | b'8' | b'=' | b'>' | b'D' | b'E' | b'H' | b'M' | b'c'),
        // Character sets: ASCII, British, line drawing.
        b'(' | b')' => matches!(last, b'0' | b'A' | b'B'),
        b'#' => last == b'8',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(sequence: &str) -> Verdict {
        let (last, held) = sequence.as_bytes().split_last().unwrap();
        Control::parse(held, *last).map_or(Verdict::Drop, |control| control.judge(&Modes::default()))
    }

    #[test]
    fn what_draws_is_shown() {
        for sequence in [
            "A",
            "5C",
            "10;20H",
            "2J",
            "3J",
            "K",
            "?2K",
            "4L",
            "P",
            "1;31m",
            "38:2::1:2:3m",
            "2;20r",
            "r",
            "s",
            "u",
            "?25l",
            "?1049h",
            "?2004h",
            "4h",
            "2 q",
            "3g",
            "?5W",
            "2T",
            "20b",
            ">4;2m",
            ">4n",
            ">1u",
        ] {
            assert_eq!(judge(sequence), Verdict::Same, "{sequence}");
        }
    }

    #[test]
    fn questions_are_asked_once() {
        for sequence in ["c", "0c", ">c", ">0q", "6n", "5n", "?6n", "?996n", "?2026$p", "4$p", "?u"] {
            assert_eq!(judge(sequence), Verdict::Ask, "{sequence}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_dropped() {
        for sequence in [
            "21t",
            "14t",
            "8;50;100t",
            "22;0t",
            ">2t",
            "i",
            "5i",
            "?5i",
            "1;1;1;1;1;1*y",
            "1*z",
            "1'|",
            "=c",
            "?15n",
            "?2l",
            "?40h",
            "?46h",
            "?1001h",
            "2h",
            "12h",
            "?1s",
            "?1r",
            "1;2;3;4;5T",
            "62;1\"p",
            "$w",
            "1&u",
            ">1p",
            "=31u",
            "<u",
            "<5u",
            ">2;1m",
            "999999A",
            "?99999999999h",
            "1 q2m",
            "1?2h",
            "7 q",
            "#p",
            "u$",
            "0q",
        ] {
            assert_eq!(judge(sequence), Verdict::Drop, "{sequence}");
        }
    }

    #[test]
    fn of_several_modes_only_the_known_ones_are_switched() {
        assert_eq!(judge("?1000;46;1006h"), Verdict::Instead(b"\x1b[?1000;1006h".to_vec()));
        assert_eq!(judge("2;4l"), Verdict::Instead(b"\x1b[4l".to_vec()));
    }
}
