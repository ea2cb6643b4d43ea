//! The command line of agentbox.
//!
//! Files of the person and of the project are read and parsed here, as the person, and travel to the
//! supervisor as typed values; what may be done is decided there. Once a session runs, this program is
//! the bridge between its console and the person's terminal.
//!
//! | file | holds |
//! |---|---|
//! | `arguments` | every verb and option |
//! | `commands` | a file for each verb |
//! | `complete` | what a shell offers when Tab is pressed |
//! | `project` | which directory a session is for |
//! | `own_files` | what the owner and the project say in files of their own; reading them as somebody else |
//! | `inspect` | what in a project should make a person think |
//! | `edit` | changing the person's own file |
//! | `layers` | reading one configuration file safely |
//! | `git` | the author that the owner's git uses |
//! | `review` | what a session on an overlay did, and taking it into the project |
//! | `ssh` | keys of hosts that the owner knows |
//! | `account` | who somebody is, and where their home is |
//! | `child` | output of a child process, with bounds |
//! | `supervisor`, `embedded` | the connection; starting a supervisor where none runs |
//! | `client`, `terminal` | streams and frames; raw mode |
//! | `targets` | hosts, ports and times as they are written on the command line |
//! | `output` | tables, ages, sizes, networks in words; the escaping of what agents and projects name |
//! | `errors` | [`Failure`](errors::Failure), and the exit status it gives |
#![forbid(unsafe_code)]
// The targets reach a few readers of it, and nothing else is compiled for them.
#![cfg_attr(fuzzing, allow(dead_code, unused_imports, unreachable_pub))]
#![warn(missing_docs)]

mod account;
#[cfg(fuzzing)]
mod arguments;
#[cfg(not(fuzzing))]
pub mod arguments;
mod child;
mod client;
mod commands;
#[cfg(fuzzing)]
mod complete;
#[cfg(not(fuzzing))]
pub mod complete;
mod edit;
mod embedded;
mod errors;
#[cfg(fuzzing)]
pub mod fuzzing;
mod git;
mod inspect;
mod layers;
mod output;
mod own_files;
mod project;
mod review;
mod ssh;
mod supervisor;
mod targets;
mod terminal;

use clap::Parser;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::ffi::OsString;
use std::process::ExitCode;

/// For those who have other programs' `exec` in their fingers.
const EXEC_HINT: &str = "\nthe program stands behind `--`, and a terminal is used where there is one: agentboxctl exec ID -- COMMAND";

/// Runs the program with these arguments, its own name first.
#[cfg(not(fuzzing))]
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    // It has the person's whole environment and terminal: what else runs as the person reads none of it here.
    if let Err(errno) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        errors::Failure::system("cannot close this process to others", errno).print();
        return ExitCode::from(errors::FAILURE);
    }
    // The program's own children come first: they have nothing of what a person's call needs.
    match arguments.get(1).and_then(|verb| verb.to_str()) {
        Some(own_files::AS_OWNER) => return own_files::become_owner(&arguments[2..]),
        Some(own_files::READ) => return own_files::read_and_print(&arguments[2..]),
        Some(review::owner::AS_OWNER) => return review::owner::become_owner(&arguments[2..]),
        Some(review::owner::REVIEW) => return review::owner::review_and_print(&arguments[2..]),
        Some(commands::verify::AS_OWNER) => return commands::verify::become_owner(&arguments[2..]),
        Some(commands::verify::TRY) => return commands::verify::try_and_print(&arguments[2..]),
        Some(embedded::BECOME_SUPERVISOR) => return embedded::become_supervisor(&arguments[2..]),
        _ => {}
    }
    match complete::answered(&arguments) {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            return ExitCode::from(errors::FAILURE);
        }
    }
    let failure_status = errors::failure_status(&arguments);
    let is_exec = arguments.get(1).is_some_and(|verb| verb == "exec");
    let parsed = match arguments::Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(usage) => {
            let wrong = usage.use_stderr();
            if wrong {
                // It quotes the arguments, which may have been pasted from anywhere.
                let hint = if is_exec { EXEC_HINT } else { "" };
                errors::Failure::new(format!("{}{hint}", usage.render())).print_plain();
            } else {
                let _nobody_to_tell = usage.print();
            }
            return ExitCode::from(if wrong { failure_status.max(errors::USAGE) } else { 0 });
        }
    };
    match commands::run(parsed) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure_status)
        }
    }
}
