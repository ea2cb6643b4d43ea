//! First process of a session; see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(agentbox_launch::run())
}
