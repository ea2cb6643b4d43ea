//! The supervisor: owns sessions, their ledgers and the audit trail.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `process` | the command line; what both ways to run have in common |
//! | `embedded` | a socket of its own, its connections, the end of the process |
//! | `system` | a service on the system bus, with scopes of the service manager |
//! | `caller`, `manager` | who calls and what they may ask for; the interface on the bus |
//! | `calls` | how much of that one user has in hand |
//! | `objects` | an object for each session, and signals |
//! | `configuration`, `start` | the system's files; from a request to a session |
//! | `session` | the life of a session: state machine, driver, steps |
//! | `network`, `keys` | what is decided and done for the gates of sessions |
//! | `ledger`, `reconcile`, `audit` | what was begun; what a crash left of it; the chained trail |
//! | `pinned` | whether what a profile puts into a session is what was looked at |
//! | `accepted`, `neighbours`, `profiles` | what a project's own file held; who shares a project; what is kept for profiles |
//! | `layers` | what sessions on an overlay leave for their owner to look at |
//! | `workspace` | what is in a project before a session and after it |
//! | `keys` | the gate of a session's ssh-agent |
//! | `status`, `describe` | what is said about sessions, the host and a plan |
//! | `waits`, `removals` | what may take for ever, or long, beside everything else |
//! | `descriptor`, `group`, `kill_point` | waiting; names of groups; where tests have the process killed |
//! | `supervisor` | what all of these share |
#![forbid(unsafe_code)]
// The targets reach a few readers of it, and nothing else is compiled for them.
#![cfg_attr(fuzzing, allow(dead_code, unused_imports))]

mod accepted;
mod audit;
mod caller;
mod calls;
mod configuration;
mod describe;
mod descriptor;
mod embedded;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guard;
mod keys;
mod kill_point;
mod layers;
mod ledger;
mod manager;
mod neighbours;
mod network;
mod objects;
mod options;
mod pinned;
mod process;
mod profiles;
mod reconcile;
mod removals;
mod session;
mod start;
mod status;
mod supervisor;
mod system;
mod waits;
mod workspace;

use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// The command line, for its manual page.
#[cfg(not(fuzzing))]
#[must_use]
pub fn command_line() -> clap::Command {
    options::Options::command()
}

/// Runs the program.
#[cfg(not(fuzzing))]
#[must_use]
pub fn main() -> ExitCode {
    let options = options::Options::parse();
    #[cfg(feature = "testing")]
    if options.list_kill_points {
        kill_point::all().iter().for_each(|point| println!("{point}"));
        return ExitCode::SUCCESS;
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(options.log).init();
    let failed = |error: &dyn std::error::Error| options::failed(error);
    let result = if options.embedded {
        embedded::run(&options).map_err(|error| failed(&error))
    } else {
        system::run(&options).map_err(|error| failed(&error))
    };
    result.err().unwrap_or(ExitCode::SUCCESS)
}
