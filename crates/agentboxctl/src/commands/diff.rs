//! `diff`: what a session on an overlay changed.

use crate::arguments::Diff;
use crate::errors::Failure;
use crate::output::{note, print};
use crate::review::job::{Answer, Job};
use crate::review::owner;
use crate::supervisor::{Supervisor, understand};
use crate::terminal;
use agentbox_ipc::ReviewAnswer;
use agentbox_plan::SessionId;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

pub(super) fn run(diff: &Diff, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let paint = terminal::is_terminal(io::stdout());
    let job = Job::Diff { paths: bytes(&diff.paths), json: diff.json, stat: diff.stat, paint };
    let answer = ask(&supervisor, &diff.id, job)?;
    tell(&answer)?;
    Ok(answer.status)
}

/// Asks for what a session wrote, and does a job on it as its owner.
pub(super) fn ask(supervisor: &Supervisor, id: &SessionId, job: Job) -> Result<Answer, Failure> {
    ask_with(supervisor, id, job, None)
}

/// The same, with a file besides.
pub(super) fn ask_with(
    supervisor: &Supervisor,
    id: &SessionId,
    job: Job,
    file: Option<OwnedFd>,
) -> Result<Answer, Failure> {
    let (answer, descriptors) = supervisor.ask(async |manager| manager.review(id.as_str()).await)?;
    let facts: ReviewAnswer = understand(answer)?;
    let descriptors: Vec<OwnedFd> = descriptors.into_iter().map(OwnedFd::from).collect();
    let descriptors = descriptors.try_into().map_err(|_| {
        Failure::new(
            "the supervisor's answer holds other descriptors than three\nagentboxctl and agentboxd are of different versions",
        )
    })?;
    owner::run(facts, descriptors, job, file)
}

/// Says an answer.
pub(super) fn tell(answer: &Answer) -> Result<(), Failure> {
    answer.notes.iter().for_each(|line| note(line));
    print(&answer.out)
}

/// Paths as they were written.
pub(super) fn bytes(paths: &[OsString]) -> Vec<Vec<u8>> {
    paths.iter().map(|path| path.as_bytes().to_vec()).collect()
}
