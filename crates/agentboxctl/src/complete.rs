//! What a shell offers when a person presses Tab: ids of sessions, names of projects and profiles.
//!
//! Nothing is started to find that out, and what cannot be found out is not offered. The names are those that
//! configuration and ids are made of, so none of them means anything to a shell.

use crate::account::own_home;
use crate::arguments::Arguments;
use crate::errors::Failure;
use crate::layers;
use crate::output::escape;
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{ChangeSet, SessionSummary};
use clap::CommandFactory;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_complete::{CompleteEnv, CompletionCandidate, Shell};
use std::ffi::OsString;
use std::time::Duration;

/// Set by the scripts: the shell that asks.
const VARIABLE: &str = "AGENTBOX_COMPLETE";
const PROGRAM: &str = "agentboxctl";
/// A person who waits longer goes on typing.
const LIMIT: Duration = Duration::from_secs(2);

/// Answers a shell, when it is one that asks.
pub(crate) fn answered(arguments: &[OsString]) -> Result<bool, Failure> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    CompleteEnv::with_factory(Arguments::command)
        .var(VARIABLE)
        .bin(PROGRAM)
        .try_complete(arguments.iter().cloned(), std::env::current_dir().ok().as_deref())
        .map_err(|error| Failure::new(error.render().to_string()))
}

/// The script that has a shell ask; none for shells that cannot.
#[must_use]
pub fn script(shell: Shell) -> Option<Vec<u8>> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
        _ => return None,
    };
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script).ok()?;
    Some(script)
}

/// Sessions that there are.
pub(crate) fn sessions() -> Vec<CompletionCandidate> {
    let summaries = asked(async |manager| manager.list().await);
    let sessions = summaries.into_iter().filter_map(|answer| understand::<SessionSummary>(answer).ok());
    sessions.map(|session| candidate(&session.id, &session.project)).collect()
}

/// Sessions on an overlay whose changes wait.
pub(crate) fn changes() -> Vec<CompletionCandidate> {
    let sets = asked(async |manager| manager.changes().await);
    let sets = sets.into_iter().filter_map(|answer| understand::<ChangeSet>(answer).ok());
    sets.map(|set| candidate(&set.id, &set.project)).collect()
}

/// Projects with a name.
pub(crate) fn projects() -> Vec<CompletionCandidate> {
    let projects = layers::projects(own_home().as_deref()).unwrap_or_default();
    let path =
        |path: Option<agentbox_policy::HostPath>| path.map(|path| path.to_string()).unwrap_or_default();
    projects.into_iter().map(|project| candidate(&project.name, &path(project.value.path))).collect()
}

/// Profiles.
pub(crate) fn profiles() -> Vec<CompletionCandidate> {
    let profiles = layers::profiles(own_home().as_deref()).unwrap_or_default();
    profiles.into_iter().map(|profile| candidate(&profile.name, &profile.file)).collect()
}

fn candidate(value: &str, help: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(escape::name(help).into()))
}

fn asked(
    question: impl AsyncFnOnce(
        &agentbox_ipc::ManagerProxy<'static>,
    ) -> Result<Vec<agentbox_ipc::Dict>, agentbox_ipc::Error>,
) -> Vec<agentbox_ipc::Dict> {
    let Some(supervisor) = Supervisor::running() else { return Vec::new() };
    let answer = supervisor.ask(async |manager| {
        let late = |_elapsed| agentbox_ipc::Error::Failed("it does not answer".to_owned());
        tokio::time::timeout(LIMIT, question(manager)).await.map_err(late)?
    });
    answer.unwrap_or_default()
}
