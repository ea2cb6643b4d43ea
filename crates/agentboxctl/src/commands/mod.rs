//! A file for each verb; `allow` and `deny` share one.

mod allow;
mod apply;
mod attach;
mod check;
mod commits;
mod completions;
mod confirm;
mod diff;
mod discard;
mod doctor;
mod early;
mod exec;
mod explain;
mod freeze;
mod inspect;
mod list;
pub(crate) mod log;
mod named;
mod profile;
mod project;
mod report;
mod schema;
mod start;
mod status;
mod stop;
mod thaw;
mod trust;
pub(crate) mod verify;
mod why;

use crate::arguments::{Arguments, Choice, Command};
use crate::client::Ending;
use crate::errors::{Failure, OWN_FAILURE, reason};
use crate::output::{escape, note};
use agentbox_plan::Exit;
use agentbox_policy::Request;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

/// Does what was asked; the status to end with.
pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    let embedded = arguments.embedded;
    match arguments.command {
        Command::Start(start) => start::run(start, embedded),
        Command::List(list) => list::run(&list, embedded),
        Command::Attach(attach) => attach::run(&attach, embedded),
        Command::Exec(exec) => exec::run(&exec, embedded),
        Command::Stop(stop) => stop::run(&stop, embedded),
        Command::Status(status) => status::run(&status, embedded),
        Command::Diff(diff) => diff::run(&diff, embedded),
        Command::Apply(apply) => apply::run(apply, embedded),
        Command::Discard(discard) => discard::run(discard, embedded),
        Command::Allow(wanted) => allow::allow(&wanted, embedded),
        Command::Deny(wanted) => allow::deny(&wanted, embedded),
        Command::Why(why) => why::run(&why, embedded),
        Command::Confirm(confirm) => confirm::run(&confirm, embedded),
        Command::Freeze(freeze) => freeze::run(&freeze, embedded),
        Command::Thaw(thaw) => thaw::run(&thaw, embedded),
        Command::Report(report) => report::run(&report, embedded),
        Command::Log(log) => log::run(&log, embedded),
        Command::Explain(explain) => explain::run(explain, embedded),
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Trust(trust) => trust::run(trust, embedded),
        Command::Profile { verb } => profile::run(&verb, embedded),
        Command::Project { verb } => project::run(&verb),
        Command::Check(check) => check::run(&check),
        Command::Schema => schema::run(),
        Command::Doctor(doctor) => doctor::run(&doctor, embedded),
        Command::Verify(wanted) => verify::run(&wanted, embedded),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// The request that a choice is. `project` is the name of a configured project.
fn request(choice: &Choice, project: Option<String>, name: Option<String>) -> Request {
    Request {
        profile: choice.profile.clone(),
        posture: choice.posture.clone(),
        agent: choice.agent.clone(),
        network: choice.network,
        workspace: choice.workspace,
        state: choice.state,
        allow: choice.allow.clone(),
        deny: choice.deny.clone(),
        publish: choice.publish.clone(),
        git_dirs: choice.git_dir.clone(),
        project,
        name,
        command: choice.command.clone(),
        allow_unconfined: choice.yes_unconfined,
        login: false,
        allow_trifecta: choice.yes_trifecta,
        allow_root_project: choice.allow_root_project,
    }
}

/// The caller's environment, without what cannot be text.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

const ENOENT: i32 = 2;

/// Where a program is here.
pub(crate) fn in_path(program: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Where a program is that the session does not find, and what to do about it.
fn elsewhere(program: &str) -> String {
    if program.contains('/') {
        return String::new();
    }
    match in_path(OsStr::new(program)) {
        Some(found) => format!(
            "\n  here it is {}, which the session does not see\n  \
             grant the directory that it is installed in: read = [\"…\"] of a profile, or install it for the whole system",
            escape::name(&found.to_string_lossy())
        ),
        None => "\n  it is not in PATH here either: install it, or name what to run behind --".to_owned(),
    }
}

/// Tells how an attachment ended, where that needs words, and the status for it.
fn conclude(ending: Ending, id: &str, command: Option<&str>) -> u8 {
    match ending {
        Ending::Exited(exit) => {
            if let Exit::NotExecuted { errno } = exit {
                let program = command
                    .map_or_else(|| "the agent".to_owned(), |name| format!("`{}`", escape::name(name)));
                let why = reason(&io::Error::from_raw_os_error(errno));
                let found = command.filter(|_| errno == ENOENT).map(elsewhere).unwrap_or_default();
                note(&format!("agentboxctl: cannot execute {program} in the session: {why}{found}"));
            }
            exit.shell_status()
        }
        Ending::Left => {
            note(&format!("left the session, which goes on; come back with: agentboxctl attach {id}"));
            0
        }
        Ending::Replaced => {
            note(&format!(
                "agentboxctl: another client took over the session\n  take it back with: agentboxctl attach {id}"
            ));
            OWN_FAILURE
        }
        Ending::Signalled(number) | Ending::StandsStill(number) => 128 | number,
    }
}
