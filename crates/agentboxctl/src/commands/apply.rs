//! `apply`: a session's changes into its project.

use super::diff::{ask, bytes, tell};
use crate::arguments::Apply;
use crate::errors::Failure;
use crate::review::job::{Answer, Job};
use crate::supervisor::Supervisor;
use agentbox_ipc::to_dict;

pub(super) fn run(mut wanted: Apply, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    wanted.id = super::named::layer(&supervisor, &wanted.id)?;
    let wanted = &wanted;
    let job = Job::Apply {
        paths: bytes(&wanted.paths),
        all: wanted.all,
        triggers: bytes(&wanted.trigger),
        theirs: wanted.theirs,
        mine: wanted.mine,
        merge: wanted.merge,
    };
    if wanted.commits {
        finish(&supervisor, wanted, &super::commits::bring(&supervisor, wanted)?)?;
        if !wanted.all && wanted.paths.is_empty() && wanted.trigger.is_empty() {
            return Ok(0);
        }
    }
    let answer = ask(&supervisor, &wanted.id, job)?;
    finish(&supervisor, wanted, &answer)?;
    Ok(answer.status)
}

/// Has it recorded what was taken, and says it.
fn finish(supervisor: &Supervisor, wanted: &Apply, answer: &Answer) -> Result<(), Failure> {
    if let Some(taken) = &answer.taken {
        let taken = to_dict(taken)?;
        supervisor.ask(async |manager| manager.reviewed(wanted.id.as_str(), taken).await)?;
    }
    tell(answer)
}
