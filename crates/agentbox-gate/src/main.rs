//! The gates of a session; see the library of this crate. `agentbox-gate keys` is the one of its keys.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    ExitCode::from(match arguments.next() {
        None => agentbox_gate::run(),
        Some(which) if which == "keys" => agentbox_gate::keys::run(),
        Some(_) => 2,
    })
}
