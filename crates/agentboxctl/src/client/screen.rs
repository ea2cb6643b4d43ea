//! What an agent switched on in the person's terminal, so that leaving it can switch it off.
//!
//! The console at the other end says good-bye in the same way. This is for an end that it does not survive,
//! and writes nothing when it did.
//!
//! Only what is on is switched off: some of these sequences move the cursor when they had no reason.

/// Private modes (`ESC [ ? n h`) that must not outlive an attachment, in the order of switching off:
/// mouse reports, focus reports, bracketed paste, synchronised output, application cursor keys, and last the alternate screen.
const RESET: [u16; 13] = [9, 1000, 1002, 1003, 1005, 1006, 1015, 1004, 2004, 2026, 1, 1047, 1049];
/// The cursor is visible by default; here `l` is what has to be undone.
const CURSOR: u16 = 25;

/// Follows the modes in a stream of output.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    state: Parse,
    number: u16,
    numbers: Vec<u16>,
    on: Vec<u16>,
    cursor_hidden: bool,
    keyboards: u16,
    other_keys: bool,
    coloured: bool,
    colours: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Parse {
    #[default]
    Text,
    Escape,
    Introduced,
    Private,
    Keyboard {
        push: bool,
    },
    Attributes,
}

impl Screen {
    /// Reads output that goes to the terminal.
    pub(crate) fn feed(&mut self, output: &[u8]) {
        for byte in output {
            self.state = self.step(*byte);
        }
    }

    fn step(&mut self, byte: u8) -> Parse {
        match (self.state, byte) {
            (_, 0x1b) => Parse::Escape,
            (Parse::Escape, b'[') => {
                self.colours = false;
                Parse::Introduced
            }
            (Parse::Introduced, b'?') => {
                self.numbers.clear();
                self.number = 0;
                Parse::Private
            }
            // CSI > flags u puts flags of the kitty keyboard protocol on a stack, CSI < count u takes them off.
            (Parse::Introduced, b'>' | b'<') => {
                self.numbers.clear();
                self.number = 0;
                Parse::Keyboard { push: byte == b'>' }
            }
            (Parse::Keyboard { push: true }, b'u') => {
                self.keyboards = self.keyboards.saturating_add(1);
                Parse::Text
            }
            (Parse::Keyboard { push: false }, b'u') => {
                self.keyboards = self.keyboards.saturating_sub(self.number.max(1));
                Parse::Text
            }
            (Parse::Keyboard { .. }, b'0'..=b'9') => {
                self.count(byte);
                self.state
            }
            (Parse::Keyboard { .. }, b';') => {
                self.remember();
                self.state
            }
            (Parse::Private, b'0'..=b'9') => {
                self.count(byte);
                Parse::Private
            }
            (Parse::Private, b';') => {
                self.remember();
                Parse::Private
            }
            (Parse::Private, b'h' | b'l') => {
                self.remember();
                self.switch(byte == b'h');
                Parse::Text
            }
            // xterm's modifyOtherKeys.
            (Parse::Keyboard { push: true }, b'm') => {
                self.remember();
                self.other_keys = matches!(self.numbers[..], [4, kind] if kind > 0);
                Parse::Text
            }
            // `ESC [ m` and `ESC [ 0 m` end all colours.
            (Parse::Introduced | Parse::Attributes, b'm') => {
                self.coloured = self.colours;
                Parse::Text
            }
            (Parse::Introduced | Parse::Attributes, b'0'..=b'9' | b';' | b':') => {
                self.colours |= (b'1'..=b'9').contains(&byte);
                Parse::Attributes
            }
            _ => Parse::Text,
        }
    }

    fn count(&mut self, digit: u8) {
        self.number = self.number.saturating_mul(10).saturating_add(u16::from(digit - b'0'));
    }

    fn remember(&mut self) {
        // Nobody sets more in one sequence; a stream without an end must not fill the memory.
        if self.numbers.len() < 16 {
            self.numbers.push(self.number);
        }
        self.number = 0;
    }

    fn switch(&mut self, on: bool) {
        for number in std::mem::take(&mut self.numbers) {
            if number == CURSOR {
                self.cursor_hidden = !on;
            } else if RESET.contains(&number) {
                self.on.retain(|already| *already != number);
                if on {
                    self.on.push(number);
                }
            }
        }
    }

    /// What to write to the terminal when leaving it.
    #[must_use]
    pub(crate) fn farewell(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.keyboards > 0 {
            bytes.extend_from_slice(format!("\x1b[<{}u", self.keyboards).as_bytes());
        }
        if self.other_keys {
            bytes.extend_from_slice(b"\x1b[>4m");
        }
        for number in RESET.iter().filter(|number| self.on.contains(number)) {
            bytes.extend_from_slice(format!("\x1b[?{number}l").as_bytes());
        }
        if self.cursor_hidden {
            bytes.extend_from_slice(b"\x1b[?25h");
        }
        if self.coloured {
            bytes.extend_from_slice(b"\x1b[0m");
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_is_switched_off() {
        let table: &[(&[u8], &[u8])] = &[
            (b"hello\r\n", b""),
            (b"\x1b[?1049h", b"\x1b[?1049l"),
            (b"\x1b[?1049h\x1b[?1049l", b""),
            (b"\x1b[?1049h\x1b[?25l\x1b[?1000;1006h", b"\x1b[?1000l\x1b[?1006l\x1b[?1049l\x1b[?25h"),
            (b"\x1b[?25l\x1b[?25h", b""),
            (b"\x1b[?2004h", b"\x1b[?2004l"),
            (b"\x1b[>1u", b"\x1b[<1u"),
            (b"\x1b[>1u\x1b[>3u\x1b[<u", b"\x1b[<1u"),
            (b"\x1b[>1u\x1b[>3u\x1b[<2u", b""),
            (b"\x1b[>4;2m\x1b[>4m", b""),
            (b"\x1b[31mred", b"\x1b[0m"),
            (b"\x1b[31mred\x1b[m", b""),
            (b"\x1b[31mred\x1b[0m", b""),
            (b"\x1b[31m\x1b[10;1H\x1b[K", b"\x1b[0m"),
            (b"\x1b[>4;2m", b"\x1b[>4m"),
            (b"\x1b[?7h\x1b[?99999h", b""),
        ];
        for (output, farewell) in table {
            let mut whole = Screen::default();
            whole.feed(output);
            assert_eq!(whole.farewell(), *farewell, "{output:?}");
            let mut bytewise = Screen::default();
            output.iter().for_each(|byte| bytewise.feed(&[*byte]));
            assert_eq!(bytewise.farewell(), *farewell, "{output:?} byte by byte");
        }
    }
}
