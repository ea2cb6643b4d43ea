//! `diff`: what a session on an overlay changed.

use crate::arguments::Diff;
use crate::errors::Failure;
use crate::output::{colour, note, print};
use crate::review::job::{Answer, Job};
use crate::review::owner;
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::ReviewAnswer;
use agentbox_plan::SessionId;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

pub(super) fn run(diff: &Diff, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let job = Job::Diff { paths: bytes(&diff.paths), json: diff.json, stat: diff.stat };
    let id = super::named::layer(&supervisor, &diff.id)?;
    let mut answer = ask(&supervisor, &id, job)?;
    // Here, behind the escaping: what a child said may hold no colours.
    if !diff.json && colour::wanted() {
        answer.out = colour::diff(&answer.out);
    }
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

/// Paths as they were written, without the `./` that a shell's completion puts before some.
pub(super) fn bytes(paths: &[OsString]) -> Vec<Vec<u8>> {
    let plain = |path: &OsString| {
        let bytes = path.as_bytes();
        bytes.strip_prefix(b"./").filter(|rest| !rest.is_empty()).unwrap_or(bytes).to_vec()
    };
    paths.iter().map(plain).collect()
}
