//! What runs in a session and how it ends.

use crate::InnerPath;
use crate::wire::{wire_enum, wire_struct};
use std::ffi::CString;

wire_struct! {
    /// A program to run: the agent itself, or what `exec` adds beside it.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Process {
        /// Program and arguments; the program is looked up in the `PATH` of `environment` when it
        /// holds no slash. Never empty.
        pub arguments: Vec<CString>,
        /// `NAME=value`, each name once.
        pub environment: Vec<CString>,
        /// Working directory.
        pub directory: InnerPath,
        /// Where its three streams go.
        pub streams: Streams,
        /// Size of its terminal at the start.
        pub size: TerminalSize,
    }
}

wire_struct! {
    /// Which of the three streams are a terminal on the person's side. Those share one pseudo-terminal
    /// inside; each other one is a pipe of its own, so that what is separate outside stays separate.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Streams {
        /// Standard input is a terminal.
        pub input: bool,
        /// Standard output is a terminal.
        pub output: bool,
        /// Standard error is a terminal.
        pub error: bool,
    }
}

impl From<[bool; 3]> for Streams {
    fn from([input, output, error]: [bool; 3]) -> Self {
        Self { input, output, error }
    }
}

impl From<Streams> for [bool; 3] {
    fn from(Streams { input, output, error }: Streams) -> Self {
        [input, output, error]
    }
}

impl Streams {
    /// All three are a terminal.
    pub const TERMINAL: Self = Self { input: true, output: true, error: true };
    /// None is a terminal.
    pub const PIPES: Self = Self { input: false, output: false, error: false };

    /// Whether a pseudo-terminal is needed.
    #[must_use]
    pub fn has_terminal(self) -> bool {
        self.input || self.output || self.error
    }
}

wire_struct! {
    /// Size of a terminal in characters; 0 is unknown.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct TerminalSize {
        /// Lines.
        pub rows: u16,
        /// Characters in a line.
        pub columns: u16,
    }
}

wire_enum! {
    /// How a process ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Exit {
        /// It returned this status.
        1 = Code {
            /// 0 to 255.
            status: u8,
        },
        /// A signal ended it.
        2 = Signal {
            /// Number of the signal.
            number: u8,
        },
        /// It could not be executed.
        3 = NotExecuted {
            /// `errno` of the last attempt (execve(2)).
            errno: i32,
        },
    }
}

impl Exit {
    /// The status that a shell would report: 128 + n for a signal, 127 for a program that was not found,
    /// 126 for one that could not be executed.
    #[must_use]
    pub fn shell_status(self) -> u8 {
        const ENOENT: i32 = 2;
        match self {
            Self::Code { status } => status,
            Self::Signal { number } => 128 | (number & 0x7f),
            Self::NotExecuted { errno: ENOENT } => 127,
            Self::NotExecuted { .. } => 126,
        }
    }
}
