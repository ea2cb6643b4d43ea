//! Looks into a project with its person's rights.
//!
//! Names, links, git's files: all of it may have been written by an agent, so it is parsed here, in a process
//! that has the rights of the session's person, confined to the project, and ends after one answer. What
//! it says is checked by the supervisor, which opens again whatever it acts on.
//!
//! | file | responsible for |
//! |---|---|
//! | `place` | opening beneath a place, without links and without crossing into another file system |
//! | `walk` | every entry of a place, in bounded number and time |
//! | `git::keys` | which changes of it stay |
//! | `git::index` | which files git tracks |
//! | `git::hooks` | where git finds hooks by what a configuration says |
//! | `git::pointers` | files of git that name other places |
//! | `git::repository` | which directories are git's, and what of them is held |
//! | `masks` | secrets |
//! | `restore` | a configuration written anew |
//! | `survey` | all that is known before a session starts |
//! | `sweep` | what is different at its end |
//! | `watch` | what comes to be while it runs |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(fuzzing)]
pub mod fuzzing;
pub mod git;
mod masks;
mod place;
mod restore;
mod survey;
mod sweep;
mod walk;
mod watch;

use agentbox_launch::look::{self, Inherited};
use agentbox_plan::Wire as _;
use agentbox_plan::look::Task;
use place::Places;
use std::io::Write as _;

/// Confines the process, looks, answers. Returns the exit status; without an answer nothing is believed.
#[must_use]
pub fn run() -> u8 {
    let Ok(Inherited { plan, answer, places, watch }) = look::enter() else { return 2 };
    let names = plan.places.iter().map(|name| name.0.clone());
    let Ok(places) = Places::new(places, names) else { return 3 };
    let bytes = match &plan.task {
        Task::Survey => survey::survey(&places, &plan).to_bytes(),
        Task::Judge { before, spots } => sweep::judge(&places, &plan, before, spots).to_bytes(),
        Task::Sweep { before } => sweep::sweep(&places, &plan, before).to_bytes(),
        Task::Watch { configs } => {
            let Some(group) = watch else { return 5 };
            // It ends with the one who reads what it says.
            return match watch::watch(&places, &plan, configs, &group, std::fs::File::from(answer)) {
                Ok(()) => 0,
                Err(_) => 6,
            };
        }
    };
    match std::fs::File::from(answer).write_all(&bytes) {
        Ok(()) => 0,
        Err(_) => 4,
    }
}
