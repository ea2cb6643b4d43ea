//! What a terminal was told to be, so that it can be brought back when a client leaves and told again
//! when another one attaches.
//!
//! Only what the filter lets through changes anything here. Defaults are those that xterm, VTE, kitty
//! and foot share.

use super::drawing::Drawing;
use super::sequence::Control;

/// Private modes that programs may switch (`CSI ? n h`), and whether a terminal starts with them on.
///
/// Missing on purpose: 2 (VT52, another grammar), 3 and 40 (window size), 18 and 19 (printer),
/// 38 (Tektronix, another grammar), 46 (log to a file), 1001 (waits for the program in the middle of
/// a click).
const PRIVATE: [(u32, bool); 23] = [
    (1, false),    // application cursor keys
    (5, false),    // reverse video
    (7, true),     // wrap at the margin
    (9, false),    // mouse, X10
    (12, false),   // cursor blinks
    (25, true),    // cursor is visible
    (45, false),   // reverse wrap
    (66, false),   // application keypad
    (69, false),   // left and right margins
    (1000, false), // mouse: buttons
    (1002, false), // mouse: drags
    (1003, false), // mouse: all motion
    (1004, false), // focus events
    (1005, false), // mouse coordinates as UTF-8
    (1006, false), // mouse coordinates as SGR
    (1007, true),  // wheel as cursor keys on the alternate screen
    (1015, false), // mouse coordinates as urxvt
    (1016, false), // mouse coordinates in pixels
    (2004, false), // bracketed paste
    (2026, false), // synchronised output
    (2027, false), // grapheme clusters
    (2031, false), // colour scheme events
    (2048, false), // size events
];
/// Saved with the cursor, so kept with [`Drawing`].
const ORIGIN: u32 = 6;
const WRAP: u32 = 7;
const KEYPAD: u32 = 66;
/// The alternate screen, in its three forms.
const ALTERNATE: [u32; 3] = [47, 1047, 1049];
/// Saves or restores the cursor at once; nothing stays on.
const SAVE_CURSOR: u32 = 1048;
/// Modes of `CSI n h`: insert, and new line. Both start off. Missing on purpose: 2 locks the keyboard.
const ANSI: [u32; 2] = [4, 20];
/// Most entries of the kitty keyboard stack that are passed on; the protocol's own terminals keep few.
const STACK_MAX: usize = 8;

/// Entries that programs pushed on one screen's kitty keyboard stack. Entries below are the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stack {
    flags: Vec<u8>,
    /// Pushes beyond [`STACK_MAX`], which the terminal never saw.
    unseen: u32,
}

/// State of a terminal as far as a program can change it and the next user would notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Modes {
    /// Bit n: `PRIVATE[n]` is not at its default.
    private: u32,
    ansi: [bool; 2],
    /// The form of the alternate screen that is on.
    alternate: Option<u32>,
    /// Kitty keyboard stacks of the main and the alternate screen.
    stacks: [Stack; 2],
    /// `CSI > 4 ; n m`: xterm's modifyOtherKeys.
    other_keys: u8,
    cursor_style: u8,
    region: Option<(u32, u32)>,
    drawing: Drawing,
    /// What was saved with the cursor on the main and the alternate screen.
    saved: [Drawing; 2],
    /// A hyperlink was begun and not ended.
    pub(super) link: bool,
    /// Colours were changed: palette, foreground, background, cursor.
    pub(super) colours: [bool; 4],
    tabs: bool,
}

impl Modes {
    /// Whether programs may switch private mode `number`.
    pub(super) fn knows_private(number: u32) -> bool {
        matches!(number, ORIGIN | SAVE_CURSOR)
            || ALTERNATE.contains(&number)
            || PRIVATE.iter().any(|(known, _)| *known == number)
    }

    /// Whether programs may switch mode `number`.
    pub(super) fn knows_ansi(number: u32) -> bool {
        ANSI.contains(&number)
    }

    /// How many of `count` entries that a program pops are its own and known to the terminal.
    pub(super) fn poppable(&self, count: u32) -> u32 {
        let stack = &self.stacks[self.screen()];
        let own = u32::try_from(stack.flags.len()).unwrap_or(0);
        count.saturating_sub(stack.unseen).min(own)
    }

    /// Whether one more entry may be pushed.
    pub(super) fn can_push(&self) -> bool {
        self.stacks[self.screen()].flags.len() < STACK_MAX
    }

    /// Whether the topmost entry is a program's own.
    pub(super) fn has_pushed(&self) -> bool {
        !self.stacks[self.screen()].flags.is_empty()
    }

    fn screen(&self) -> usize {
        usize::from(self.alternate.is_some())
    }

    fn set_private(&mut self, number: u32, on: bool) {
        if number == ORIGIN {
            self.drawing.origin = on;
        } else if let Some(at) = PRIVATE.iter().position(|(known, _)| *known == number) {
            if PRIVATE[at].1 == on {
                self.private &= !(1 << at);
            } else {
                self.private |= 1 << at;
            }
        } else if ALTERNATE.contains(&number) {
            match (on, number) {
                // 1049 saves and restores the cursor, and with it how characters are drawn.
                (true, 1049) => self.saved[0] = self.drawing,
                (false, 1049) => self.drawing = self.saved[0],
                _ => {}
            }
            self.alternate = on.then_some(number);
        } else if number == SAVE_CURSOR {
            if on { self.save() } else { self.unsave() }
        }
    }

    fn save(&mut self) {
        self.saved[self.screen()] = self.drawing;
    }

    fn unsave(&mut self) {
        self.drawing = self.saved[self.screen()];
    }

    /// Follows a control sequence that was passed on.
    pub(super) fn apply(&mut self, control: &Control<'_>) {
        let first = control.number(0);
        match (control.marker, control.intermediates, control.last) {
            (0, b"", b'm') => self.drawing.sgr.apply(control.parameters),
            (0, b"", b'r') => {
                let bottom = control.number(1).unwrap_or(0);
                let set = (first.unwrap_or(0), bottom);
                self.region = (set != (0, 0)).then_some(set);
            }
            (0, b"", b's') if control.parameters.is_empty() => self.save(),
            (0, b"", b'u') => self.unsave(),
            (0, b"", b'g') => self.tabs = true,
            (b'?', b"", b'W') => self.tabs = false,
            (0, b"", switch @ (b'h' | b'l')) => {
                for number in control.numbers().flatten() {
                    if let Some(at) = ANSI.iter().position(|known| *known == number) {
                        self.ansi[at] = switch == b'h';
                    }
                }
            }
            (b'?', b"", switch @ (b'h' | b'l')) => {
                for number in control.numbers().flatten() {
                    self.set_private(number, switch == b'h');
                }
            }
            (0, b" ", b'q') => self.cursor_style = byte(first.unwrap_or(0)),
            (0, b"!", b'p') => self.soft_reset(),
            (b'>', b"", b'm') => self.other_keys = byte(control.number(1).unwrap_or(0)),
            (b'>', b"", b'n') => self.other_keys = u8::MAX,
            _ => {}
        }
    }

    /// Follows the kitty keyboard sequences, whether or not they were passed on.
    pub(super) fn apply_keyboard(&mut self, control: &Control<'_>) {
        let screen = self.screen();
        let stack = &mut self.stacks[screen];
        let first = control.number(0);
        match control.marker {
            b'>' if stack.flags.len() < STACK_MAX => stack.flags.push(byte(first.unwrap_or(0))),
            b'>' => stack.unseen = stack.unseen.saturating_add(1),
            b'<' => {
                let count = first.unwrap_or(1);
                let unseen = stack.unseen.min(count);
                stack.unseen -= unseen;
                let left = stack.flags.len().saturating_sub((count - unseen) as usize);
                stack.flags.truncate(left);
            }
            b'=' => {
                if let Some(top) = stack.flags.last_mut() {
                    let flags = byte(first.unwrap_or(0));
                    match control.number(1).unwrap_or(1) {
                        2 => *top |= flags,
                        3 => *top &= !flags,
                        _ => *top = flags,
                    }
                }
            }
            _ => {}
        }
    }

    /// Follows an escape sequence that was passed on: its intermediate (or 0) and its final byte.
    pub(super) fn apply_escape(&mut self, intermediate: u8, last: u8) {
        match (intermediate, last) {
            (0, b'7') => self.save(),
            (0, b'8') => self.unsave(),
            (0, b'=') => self.set_private(KEYPAD, true),
            (0, b'>') => self.set_private(KEYPAD, false),
            (0, b'H') => self.tabs = true,
            // A full reset leaves nothing to bring back.
            (0, b'c') => *self = Self::default(),
            (b'(', set) => self.drawing.charsets[0] = if set == b'B' { 0 } else { set },
            (b')', set) => self.drawing.charsets[1] = if set == b'B' { 0 } else { set },
            _ => {}
        }
    }

    /// Follows SO and SI.
    pub(super) fn shift(&mut self, out: bool) {
        self.drawing.shifted = out;
    }

    /// DECSTR. The filter adds `CSI ? 7 h`, because terminals differ in what becomes of wrapping.
    fn soft_reset(&mut self) {
        for number in [1, WRAP, 25, KEYPAD] {
            let default = PRIVATE.iter().any(|(known, on)| *known == number && *on);
            self.set_private(number, default);
        }
        self.ansi[0] = false;
        (self.region, self.drawing, self.saved) = (None, Drawing::default(), [Drawing::default(); 2]);
    }

    fn is_changed(&self, number: u32) -> bool {
        PRIVATE.iter().enumerate().any(|(at, (known, _))| *known == number && self.private & (1 << at) != 0)
    }

    /// The bytes that bring the terminal back. Nothing when nothing was changed.
    pub(super) fn reset(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.is_changed(2026) {
            out.extend_from_slice(b"\x1b[?2026l");
        }
        if self.link {
            out.extend_from_slice(b"\x1b]8;;\x1b\\");
        }
        for (at, number) in ANSI.iter().enumerate() {
            if self.ansi[at] {
                out.extend_from_slice(format!("\x1b[{number}l").as_bytes());
            }
        }
        if self.region.is_some() {
            // Moves the cursor home (DECSTBM), so its place is kept.
            out.extend_from_slice(b"\x1b7\x1b[r\x1b8");
        }
        for (at, (number, default)) in PRIVATE.iter().enumerate() {
            if self.private & (1 << at) == 0 || matches!(*number, KEYPAD | 2026) {
                continue;
            }
            switch(*number, *default, &mut out);
        }
        if self.is_changed(KEYPAD) {
            out.extend_from_slice(b"\x1b>");
        }
        if self.other_keys != 0 {
            out.extend_from_slice(b"\x1b[>4m");
        }
        if self.cursor_style != 0 {
            out.extend_from_slice(b"\x1b[0 q");
        }
        if self.tabs {
            out.extend_from_slice(b"\x1b[?5W");
        }
        for (changed, sequence) in self.colours.iter().zip(["104", "110", "111", "112"]) {
            if *changed {
                out.extend_from_slice(format!("\x1b]{sequence}\x1b\\").as_bytes());
            }
        }
        self.reset_screens(&mut out);
        // Leaving 1049 brings back how characters were drawn ahead of it.
        let drawing = if self.alternate == Some(1049) { &self.saved[0] } else { &self.drawing };
        drawing.reset(&mut out);
        out
    }

    /// Each screen has a keyboard stack of its own, so what was pushed there is popped there.
    fn reset_screens(&self, out: &mut Vec<u8>) {
        let [main, alternate] = &self.stacks;
        if self.alternate.is_none() && !alternate.flags.is_empty() {
            switch(1049, true, out);
        }
        pop(alternate, out);
        match self.alternate {
            Some(number) => switch(number, false, out),
            None if !alternate.flags.is_empty() => switch(1049, false, out),
            None => {}
        }
        pop(main, out);
    }

    /// The bytes that bring a terminal in its default state here.
    pub(super) fn restore(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push(&self.stacks[0], &mut out);
        let [main, alternate] = &self.saved;
        save(main, self.alternate == Some(1049), &mut out);
        if let Some(number) = self.alternate {
            switch(number, true, &mut out);
            main.reset(&mut out);
            save(alternate, false, &mut out);
            alternate.reset(&mut out);
        } else {
            main.reset(&mut out);
        }
        if self.alternate.is_some() {
            push(&self.stacks[1], &mut out);
        }
        if let Some((top, bottom)) = self.region {
            let bottom = if bottom == 0 { String::new() } else { bottom.to_string() };
            out.extend_from_slice(format!("\x1b[{};{bottom}r", top.max(1)).as_bytes());
        }
        for (at, number) in ANSI.iter().enumerate() {
            if self.ansi[at] {
                out.extend_from_slice(format!("\x1b[{number}h").as_bytes());
            }
        }
        for (at, (number, default)) in PRIVATE.iter().enumerate() {
            if self.private & (1 << at) != 0 && *number != KEYPAD {
                switch(*number, !default, &mut out);
            }
        }
        if self.is_changed(KEYPAD) {
            out.extend_from_slice(b"\x1b=");
        }
        match self.other_keys {
            0 => {}
            u8::MAX => out.extend_from_slice(b"\x1b[>4n"),
            level => out.extend_from_slice(format!("\x1b[>4;{level}m").as_bytes()),
        }
        if self.cursor_style != 0 {
            out.extend_from_slice(format!("\x1b[{} q", self.cursor_style).as_bytes());
        }
        self.drawing.restore(&mut out);
        out
    }
}

fn switch(number: u32, on: bool, out: &mut Vec<u8>) {
    let last = if on { 'h' } else { 'l' };
    out.extend_from_slice(format!("\x1b[?{number}{last}").as_bytes());
}

/// Saves a cursor that draws like `drawing`; when `later`, what follows saves it.
fn save(drawing: &Drawing, later: bool, out: &mut Vec<u8>) {
    drawing.restore(out);
    if !later && *drawing != Drawing::default() {
        out.extend_from_slice(b"\x1b7");
    }
}

fn push(stack: &Stack, out: &mut Vec<u8>) {
    for flags in &stack.flags {
        out.extend_from_slice(format!("\x1b[>{flags}u").as_bytes());
    }
}

fn pop(stack: &Stack, out: &mut Vec<u8>) {
    if !stack.flags.is_empty() {
        out.extend_from_slice(format!("\x1b[<{}u", stack.flags.len()).as_bytes());
    }
}

fn byte(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
