//! The commits that a session made, as references of the project's repository.
//!
//! The session's repository is read by a session: git runs over it without network, in the layer it was made
//! in, where its configuration, hooks and filters can do what they like. What comes out is a bundle, which
//! the owner's side judges with a git that has no configuration at all.

use super::diff::ask_with;
use super::start::Gathered;
use crate::arguments::{Apply, Choice};
use crate::client::collect;
use crate::errors::Failure;
use crate::review::job::{Answer, Job};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{ReviewAnswer, StartAnswer, to_dict};
use agentbox_plan::Exit;
use agentbox_policy::{Network, State, Workspace};
use std::os::fd::{AsFd, OwnedFd};

/// Most bytes of a bundle. It lies in memory.
const MOST_BYTES: u64 = 2 << 30;
/// Nothing at all when there is nothing new.
const BUNDLE: &str = "test -z \"$(git rev-list --max-count=1 --branches --tags HEAD --not \"$1\")\" || \
    exec git -c core.hooksPath=/dev/null -c core.fsmonitor=false bundle create --quiet - --branches --tags HEAD --not \"$1\"";

/// Brings them.
pub(super) fn bring(supervisor: &Supervisor, wanted: &Apply) -> Result<Answer, Failure> {
    let (answer, descriptors) = supervisor.ask(async |manager| manager.review(wanted.id.as_str()).await)?;
    drop(descriptors);
    let facts: ReviewAnswer = understand(answer)?;
    let Some(base) = facts.base_commit.clone() else {
        return Err(Failure::new(
            "the project had no commit when the session began, so its commits build on nothing that is here\n\
             take its files instead",
        ));
    };
    let bundle = pack(supervisor, &facts, &base)?;
    let size = rustix::fs::fstat(&bundle).map_err(|errno| Failure::system("the bundle", errno))?.st_size;
    if size == 0 {
        return Ok(Answer { out: "no new commits\n".to_owned(), ..Answer::default() });
    }
    ask_with(supervisor, &wanted.id, Job::Commits { base }, Some(bundle))
}

/// Has a session without network pack what is new.
fn pack(supervisor: &Supervisor, facts: &ReviewAnswer, base: &str) -> Result<OwnedFd, Failure> {
    let set = &facts.set;
    let command = ["sh", "-c", BUNDLE, "sh", base].map(str::to_owned);
    let choice = Choice {
        project: Some(set.project.clone().into()),
        profile: Some(set.profile.clone()).filter(|profile| !profile.is_empty()),
        posture: Some(set.posture.clone()),
        agent: Some("shell".to_owned()),
        network: Some(Network::None),
        allow: Vec::new(),
        deny: Vec::new(),
        publish: Vec::new(),
        workspace: Some(Workspace::Overlay),
        state: Some(State::Ephemeral),
        yes_trifecta: false,
        yes_unconfined: false,
        git_dir: Vec::new(),
        allow_root_project: set.owner_uid == 0,
        command: command.into(),
    };
    let (project, mut request) = Gathered::begin(&choice)?.finish(&choice, None)?;
    request.resume = Some(set.id.clone());
    let request = to_dict(&request)?;
    let (answer, console) =
        supervisor.ask(async |manager| manager.start(project.directory.as_fd().into(), request).await)?;
    let _started: StartAnswer = understand(answer)?;
    let collected = collect::collect(&OwnedFd::from(console), MOST_BYTES);
    // Until nothing of it is left: the next thing that is asked is about its layer.
    supervisor.ask(async |manager| match manager.stop(&set.id, 0).await {
        Err(agentbox_ipc::Error::NotFound(_)) => Ok(()),
        stopped => stopped,
    })?;
    match collected? {
        (Exit::Code { status: 0 }, bundle) => Ok(bundle),
        _ => Err(Failure::new(
            "git could not pack the session's commits: its repository is damaged, or there is no git inside\n\
             the session's files can be taken all the same",
        )),
    }
}
