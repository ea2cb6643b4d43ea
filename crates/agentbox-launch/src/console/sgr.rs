//! How a terminal draws characters at the moment: colours and attributes (ECMA-48 SGR).
//!
//! Only what is needed to set it again for a client that attaches later.

/// A colour as SGR names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Colour {
    #[default]
    Default,
    /// One of the sixteen with a parameter of their own: `30`–`37`, `90`–`97`, `40`–`47`, `100`–`107`.
    Named(u8),
    Palette(u8),
    Rgb(u8, u8, u8),
}

/// Colours and attributes in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sgr {
    /// Bit n: the attribute that parameter n switches on, for 1 to 9 but 4; bit 10: overlined (53).
    attributes: u16,
    /// Style of the underline, 0 for none.
    underline: u8,
    foreground: Colour,
    background: Colour,
    underline_colour: Colour,
}

const OVERLINED: u16 = 1 << 10;

impl Sgr {
    /// Puts the parameters of one sequence into force.
    pub(super) fn apply(&mut self, parameters: &[u8]) {
        let mut items = parameters.split(|byte| *byte == b';');
        while let Some(item) = items.next() {
            let mut parts = item.split(|byte| *byte == b':').map(number);
            let code = parts.next().flatten().unwrap_or(0);
            match code {
                0 => *self = Self::default(),
                4 => self.underline = small(parts.next().flatten().unwrap_or(1)),
                1..=3 | 5..=9 => self.attributes |= 1 << code,
                21 => self.underline = 2,
                22 => self.attributes &= !(1 << 1 | 1 << 2),
                24 => self.underline = 0,
                25 => self.attributes &= !(1 << 5 | 1 << 6),
                23 | 27..=29 => self.attributes &= !(1 << (code - 20)),
                30..=37 | 90..=97 => self.foreground = Colour::Named(small(code)),
                40..=47 | 100..=107 => self.background = Colour::Named(small(code)),
                38 | 48 | 58 => {
                    let colour =
                        if item.contains(&b':') { with_colons(parts) } else { with_semicolons(&mut items) };
                    let Some(colour) = colour else { continue };
                    match code {
                        38 => self.foreground = colour,
                        48 => self.background = colour,
                        _ => self.underline_colour = colour,
                    }
                }
                39 => self.foreground = Colour::Default,
                49 => self.background = Colour::Default,
                53 => self.attributes |= OVERLINED,
                55 => self.attributes &= !OVERLINED,
                59 => self.underline_colour = Colour::Default,
                _ => {}
            }
        }
    }

    /// The sequence that brings a terminal without attributes here; nothing when it has none.
    pub(super) fn restore(&self, out: &mut Vec<u8>) {
        if *self == Self::default() {
            return;
        }
        let mut text = String::from("\x1b[0");
        for code in (1..=9).filter(|code| self.attributes & (1 << code) != 0) {
            text.push_str(&format!(";{code}"));
        }
        if self.attributes & OVERLINED != 0 {
            text.push_str(";53");
        }
        match self.underline {
            0 => {}
            1 => text.push_str(";4"),
            style => text.push_str(&format!(";4:{style}")),
        }
        for (base, colour) in [(38, self.foreground), (48, self.background), (58, self.underline_colour)] {
            match colour {
                Colour::Default => {}
                Colour::Named(code) => text.push_str(&format!(";{code}")),
                Colour::Palette(index) => text.push_str(&format!(";{base};5;{index}")),
                Colour::Rgb(red, green, blue) => text.push_str(&format!(";{base};2;{red};{green};{blue}")),
            }
        }
        text.push('m');
        out.extend_from_slice(text.as_bytes());
    }
}

/// `38;5;N` and `38;2;R;G;B`: the colour takes the items that follow.
fn with_semicolons<'a>(items: &mut impl Iterator<Item = &'a [u8]>) -> Option<Colour> {
    let mut next = || items.next().map(|item| number(item).unwrap_or(0));
    match next()? {
        5 => Some(Colour::Palette(small(next()?))),
        2 => Some(Colour::Rgb(small(next()?), small(next()?), small(next()?))),
        _ => None,
    }
}

/// `38:5:N`, `38:2:R:G:B` and `38:2:SPACE:R:G:B` (ISO 8613-6).
fn with_colons(parts: impl Iterator<Item = Option<u32>>) -> Option<Colour> {
    let parts: Vec<_> = parts.take(8).map(|part| part.unwrap_or(0)).collect();
    match parts.as_slice() {
        [5, index, ..] => Some(Colour::Palette(small(*index))),
        [2, red, green, blue] | [2, _, red, green, blue, ..] => {
            Some(Colour::Rgb(small(*red), small(*green), small(*blue)))
        }
        _ => None,
    }
}

/// A decimal number; `None` when it is empty or none.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_set_again() {
        for (given, again) in [
            ("", ""),
            ("1;31", "\x1b[0;1;31m"),
            ("1;31;0", ""),
            ("1;2;3;5;7;9;53;22;25", "\x1b[0;3;7;9;53m"),
            ("4:3;58:2::1:2:3", "\x1b[0;4:3;58;2;1;2;3m"),
            ("4;24;21", "\x1b[0;4:2m"),
            ("38;5;200;48;2;1;2;3", "\x1b[0;38;5;200;48;2;1;2;3m"),
            ("38:2:9:8:7;97;107", "\x1b[0;97;107m"),
            ("38;2;1", ""),
            ("38;7;1", "\x1b[0;1m"),
            ("999999999999", ""),
            (";;", ""),
        ] {
            let (mut sgr, mut out) = (Sgr::default(), Vec::new());
            sgr.apply(given.as_bytes());
            sgr.restore(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), again, "{given}");
        }
    }

    #[test]
    fn setting_it_again_gives_the_same_state() {
        let mut sgr = Sgr::default();
        sgr.apply(b"1;3;4:3;53;38;5;9;48;2;1;2;3;58;5;7");
        let (mut out, mut again) = (Vec::new(), Sgr::default());
        sgr.restore(&mut out);
        again.apply(&out[2..out.len() - 1]);
        assert_eq!(sgr, again);
    }
}
