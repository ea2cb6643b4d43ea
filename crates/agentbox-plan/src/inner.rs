//! Between the launcher's outer half and its inner half, PID 1 of the session.
//!
//! A `SOCK_SEQPACKET` pair, one message a packet, descriptors attached with `SCM_RIGHTS`. The inner
//! half is as confined as the agent, so the outer half treats what it says as untrusted: it is read
//! without privilege, and its descriptors are only read from and written to.

use crate::wire::wire_enum;
use crate::{Exit, Process};

/// Most bytes of one message; one that is longer is refused by the sender. Below the default
/// `net.core.wmem_default` of 212992.
pub const MAX_BYTES: usize = 192 * 1024;

wire_enum! {
    /// From the outer half.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ToInner {
        /// Start a process beside the agent.
        1 = Exec {
            /// Number by which answers name it; 0 is the agent.
            number: u32,
            /// The process.
            process: Process,
        },
        /// Send a signal to a process started by `Exec` or to the agent: to the foreground group of
        /// its terminal, or to its own group where it has none.
        2 = Signal {
            /// Number of the process.
            number: u32,
            /// The signal.
            signal: u8,
        },
        /// Send a signal to every process of the session but PID 1.
        3 = SignalAll {
            /// The signal.
            signal: u8,
        },
    }
}

wire_enum! {
    /// From the inner half.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum FromInner {
        /// All confinement is in force. Sent once, before anything is executed.
        1 = Confined,
        /// A confinement step failed; the inner half ends.
        2 = Failed {
            /// The step.
            step: String,
            /// What was refused or missing.
            detail: String,
        },
        /// A process was started. Attached descriptors, in this order: its pidfd, always; and where they
        /// exist the master of its terminal, the write end of standard input, the read ends of standard
        /// output and standard error.
        3 = Started {
            /// Number of the process.
            number: u32,
            /// Its process id inside.
            pid: u32,
        },
        /// A process ended, or could not be executed. For number 0 the inner half ends after this,
        /// and the kernel ends every other process of the session.
        4 = Ended {
            /// Number of the process.
            number: u32,
            /// How.
            exit: Exit,
        },
    }
}
