//! Between what a session writes and a person's terminal.
//!
//! A state machine over bytes, after the grammar of ECMA-48 and of xterm. It shows text, and whole
//! sequences that `sequence` and `command` know to be harmless; a sequence is shown when its last
//! byte is there, so that two streams on one terminal cannot build one together. What is shown is
//! UTF-8 without C1 controls. (A terminal that takes each byte for a character sees such controls in the later bytes of
//! some letters: the threat model does not promise it.) Memory is constant, and where chunks are cut makes no difference.

use super::command;
use super::modes::Modes;
use super::sequence::{Control, Verdict, escape_is_harmless};

const ESC: u8 = 0x1b;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const BEL: u8 = 0x07;
const DEL: u8 = 0x7f;
/// ST as a single byte, where it does not belong to a character.
const ST: u8 = 0x9c;
/// Most bytes of a control sequence between CSI and its last byte; longer ones are dropped.
const CONTROL_BYTES: usize = 256;
/// Most bytes kept of a command. Holds the longest hyperlink.
const COMMAND_BYTES: usize = 4096;
/// A string without an end is given up after so many bytes. Pictures that fit are dropped whole.
const STRING_BYTES: usize = 16 << 20;
/// What stands for bytes that are no UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Where filtered bytes go.
pub(super) trait Screen {
    /// Bytes that draw, or change how the terminal draws; `before` is its state ahead of them.
    fn draw(&mut self, bytes: &[u8], before: &Modes);
    /// Bytes that make the terminal answer or ring. They mean nothing to a client that attaches later.
    fn ask(&mut self, bytes: &[u8]);
}

impl Screen for Vec<u8> {
    fn draw(&mut self, bytes: &[u8], _before: &Modes) {
        self.extend_from_slice(bytes);
    }

    fn ask(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Text; `held` is the beginning of a character.
    Ground,
    /// Behind ESC; `held` are intermediates.
    Escape,
    /// Behind CSI; `held` is what came since, or too long.
    Control,
    /// A string: OSC when `command`, else one that is dropped.
    String { command: bool },
    /// Behind ESC within a string.
    StringEscape { command: bool },
}

/// The filter of one stream, and the state of the terminal behind it.
#[derive(Debug)]
pub(super) struct Filter {
    state: State,
    held: Vec<u8>,
    /// Bytes of the sequence so far, held or not.
    count: usize,
    /// Continuation bytes that the character within a string still wants.
    wanting: u8,
    prefix: String,
    modes: Modes,
}

impl Filter {
    /// A filter that puts `prefix` in front of titles.
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = prefix.chars().filter(|character| !command::is_invisible(*character)).collect();
        Self { state: State::Ground, held: Vec::new(), count: 0, wanting: 0, prefix, modes: Modes::default() }
    }

    /// State of a terminal that was shown everything.
    pub(super) fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Filters `input` to `screen`.
    pub(super) fn push(&mut self, mut input: &[u8], screen: &mut impl Screen) {
        while let Some((first, rest)) = input.split_first() {
            if self.state == State::Ground && !is_control(*first) {
                input = &input[self.text(input, screen)..];
            } else if self.byte(*first, screen) {
                input = rest;
            }
        }
    }

    /// Takes text off the front of `input`, which begins with some; returns how much was taken.
    fn text(&mut self, input: &[u8], screen: &mut impl Screen) -> usize {
        if !self.held.is_empty() {
            return self.continue_character(input[0], screen);
        }
        let end = input.iter().position(|byte| is_control(*byte)).unwrap_or(input.len());
        let mut chunks = input[..end].utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.draw_text(chunk.valid(), screen);
            let bad = chunk.invalid();
            if bad.is_empty() {
                continue;
            }
            if end == input.len() && chunks.peek().is_none() && is_beginning(bad) {
                self.held.extend_from_slice(bad);
            } else {
                screen.draw(REPLACEMENT, &self.modes);
            }
        }
        end
    }

    /// Adds a byte to a character that was cut; 0 when it does not belong to it.
    fn continue_character(&mut self, byte: u8, screen: &mut impl Screen) -> usize {
        self.held.push(byte);
        let held = std::mem::take(&mut self.held);
        match std::str::from_utf8(&held) {
            Ok(character) => {
                self.draw_text(character, screen);
                1
            }
            Err(error) if error.error_len().is_none() => {
                self.held = held;
                1
            }
            Err(_) => {
                screen.draw(REPLACEMENT, &self.modes);
                0
            }
        }
    }

    /// Shows text without the C1 controls in it.
    fn draw_text(&self, text: &str, screen: &mut impl Screen) {
        for part in text.split(|character| ('\u{80}'..='\u{9f}').contains(&character)) {
            if !part.is_empty() {
                screen.draw(part.as_bytes(), &self.modes);
            }
        }
    }

    /// Takes one byte that is not plain text; false when it has to be looked at again in the new state.
    fn byte(&mut self, byte: u8, screen: &mut impl Screen) -> bool {
        if matches!(byte, CAN | SUB) {
            self.cut_character(screen);
            self.enter(State::Ground);
            return true;
        }
        match self.state {
            State::String { command } => self.string_byte(byte, command, screen),
            State::StringEscape { command } => {
                if byte == b'\\' {
                    self.end_string(command, b"\x1b\\", screen);
                    return true;
                }
                // Any other escape sequence cancels the string and is one itself.
                self.enter(State::Escape);
                return false;
            }
            _ if byte == ESC => {
                self.cut_character(screen);
                self.enter(State::Escape);
            }
            State::Ground => self.control(byte, screen),
            // No character belongs into a sequence.
            _ if byte >= 0x80 => {
                self.enter(State::Ground);
                return false;
            }
            _ if is_control(byte) => self.control(byte, screen),
            State::Escape => self.escape_byte(byte, screen),
            State::Control => self.control_byte(byte, screen),
        }
        true
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.held.clear();
        (self.count, self.wanting) = (0, 0);
    }

    /// Holds a byte of a sequence, up to `most` of them.
    fn hold(&mut self, byte: u8, most: usize) {
        self.count += 1;
        if self.held.len() < most {
            self.held.push(byte);
        }
    }

    fn cut_character(&mut self, screen: &mut impl Screen) {
        if self.state == State::Ground && !self.held.is_empty() {
            self.held.clear();
            screen.draw(REPLACEMENT, &self.modes);
        }
    }

    /// C0 controls, which also work within sequences. ENQ (answers), NUL, XON, XOFF and DEL are dropped.
    fn control(&mut self, byte: u8, screen: &mut impl Screen) {
        self.cut_character(screen);
        match byte {
            BEL => screen.ask(&[byte]),
            0x08..=0x0d => screen.draw(&[byte], &self.modes),
            0x0e | 0x0f => {
                screen.draw(&[byte], &self.modes);
                self.modes.shift(byte == 0x0e);
            }
            _ => {}
        }
    }

    fn escape_byte(&mut self, byte: u8, screen: &mut impl Screen) {
        match (byte, self.held.as_slice()) {
            (0x20..=0x2f, _) => self.hold(byte, 2),
            (b'[', []) => self.enter(State::Control),
            (b']', []) => self.enter(State::String { command: true }),
            // DCS, SOS, PM, APC, and the title string of screen.
            (b'P' | b'X' | b'^' | b'_' | b'k', []) => self.enter(State::String { command: false }),
            (last, held) => {
                let intermediate = match held {
                    [] => Some(0),
                    [one] => Some(*one),
                    _ => None,
                };
                if let Some(intermediate) = intermediate.filter(|one| escape_is_harmless(*one, last)) {
                    let text = [&[ESC], held, &[last]].concat();
                    screen.draw(&text, &self.modes);
                    self.modes.apply_escape(intermediate, last);
                }
                self.enter(State::Ground);
            }
        }
    }

    fn control_byte(&mut self, byte: u8, screen: &mut impl Screen) {
        if !matches!(byte, 0x40..=0x7e) {
            self.hold(byte, CONTROL_BYTES);
            return;
        }
        let held = std::mem::take(&mut self.held);
        let whole = self.count == held.len();
        self.enter(State::Ground);
        let Some(control) = Control::parse(&held, byte).filter(|_| whole) else { return };
        let same = || [b"\x1b[", held.as_slice(), &[byte]].concat();
        let verdict = control.judge(&self.modes);
        match &verdict {
            Verdict::Drop => {}
            Verdict::Same => screen.draw(&same(), &self.modes),
            Verdict::Ask => screen.ask(&same()),
            Verdict::Instead(bytes) => screen.draw(bytes, &self.modes),
        }
        if verdict != Verdict::Drop || control.counts_when_dropped() {
            control.follow(&mut self.modes);
        }
    }

    fn string_byte(&mut self, byte: u8, command: bool, screen: &mut impl Screen) {
        match byte {
            ESC => self.state = State::StringEscape { command },
            BEL if command => self.end_string(command, b"\x07", screen),
            ST if self.wanting == 0 => self.end_string(command, b"\x1b\\", screen),
            // U+009C, the same in UTF-8.
            ST if self.wanting == 1 && self.held.last() == Some(&0xc2) => {
                self.held.pop();
                self.count = self.count.saturating_sub(1);
                self.end_string(command, b"\x1b\\", screen);
            }
            _ => {
                self.wanting = match byte {
                    0x80..=0xbf => self.wanting.saturating_sub(1),
                    0xc2..=0xdf => 1,
                    0xe0..=0xef => 2,
                    0xf0..=0xf4 => 3,
                    _ => 0,
                };
                // A string that is dropped keeps its last byte only, for U+009C.
                if !command {
                    self.held.clear();
                    self.count = self.count.saturating_add(1);
                    self.held.push(byte);
                } else {
                    self.hold(byte, COMMAND_BYTES);
                }
                if self.count >= STRING_BYTES {
                    self.enter(State::Ground);
                }
            }
        }
    }

    fn end_string(&mut self, command: bool, end: &[u8], screen: &mut impl Screen) {
        let held = std::mem::take(&mut self.held);
        let whole = self.count == held.len();
        self.enter(State::Ground);
        if !command {
            return;
        }
        let before = self.modes.clone();
        match command::judge(&held, whole, end, &self.prefix, &mut self.modes) {
            Verdict::Drop => {}
            Verdict::Same | Verdict::Ask => screen.ask(&[b"\x1b]", held.as_slice(), end].concat()),
            Verdict::Instead(bytes) => screen.draw(&bytes, &before),
        }
    }
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == DEL
}

/// Whether more bytes could make a character of `bytes`.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(any(test, fuzzing))]
pub(crate) mod reading;
#[cfg(test)]
mod tests;
