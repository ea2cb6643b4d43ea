//! `agentboxd`, the supervisor. The map of its parts is in `lib.rs`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    agentboxd::main()
}
