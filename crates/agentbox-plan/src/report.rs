//! What the launcher tells the supervisor on [`descriptors::REPORT`](crate::descriptors::REPORT).

use crate::Exit;
use crate::wire::wire_enum;

wire_enum! {
    /// One packet from the launcher.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Report {
        /// Everything is in force and the agent is being executed.
        1 = Running {
            /// Process id on the host of PID 1 inside.
            init_pid: u32,
            /// Process id on the host of the agent.
            agent_pid: u32,
        },
        /// A step failed; nothing was executed, and the launcher ends.
        2 = Failed {
            /// The step, in the words of the plan ("bind /usr").
            step: String,
            /// What was refused or missing.
            detail: String,
        },
        /// The agent ended; every other process of the session is gone with it.
        3 = Ended {
            /// How.
            exit: Exit,
        },
    }
}
