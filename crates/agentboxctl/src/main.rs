//! `agentboxctl`, what a person types. The map of its parts is in `lib.rs`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    agentboxctl::run(std::env::args_os().collect())
}
