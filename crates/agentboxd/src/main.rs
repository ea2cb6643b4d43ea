//! The supervisor: owns sessions, their ledgers and the audit trail.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `embedded` | the command line; the socket, its connections, the end of the process |
//! | `caller`, `manager` | who calls and what they may ask for; the interface on the bus |
//! | `configuration`, `start` | the system's files; from a request to a session |
//! | `session` | the life of a session: state machine, driver, steps |
//! | `ledger`, `reconcile`, `audit` | what was begun; what a crash left of it; the chained trail |
//! | `status`, `describe` | what is said about sessions, the host and a plan |
//! | `descriptor`, `group`, `kill_point` | waiting; names of groups; where tests have the process killed |
//! | `supervisor` | what all of these share |
#![forbid(unsafe_code)]

mod accepted;
mod audit;
mod caller;
mod configuration;
mod describe;
mod descriptor;
mod embedded;
mod kill_point;
mod ledger;
mod manager;
mod neighbours;
mod network;
mod options;
mod profiles;
mod reconcile;
mod session;
mod start;
mod status;
mod supervisor;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = options::Options::parse();
    #[cfg(feature = "testing")]
    if options.list_kill_points {
        kill_point::all().iter().for_each(|point| println!("{point}"));
        return ExitCode::SUCCESS;
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(options.log).init();
    match embedded::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => options::failed(&error),
    }
}
