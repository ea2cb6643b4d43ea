//! How a gate of keys becomes a process without rights: as a gate of the network, with three descriptors.

use crate::gate::{Unconfined, give_up_rights, take, tell};
use crate::outer::read_sealed;
use crate::step::{InStep, StepError, in_force};
use crate::{seccomp, sys};
use agentbox_plan::Wire as _;
use agentbox_plan::keys::{KeysPlan, KeysRequest, MAX_CLIENTS, descriptors};
use rustix::process::{Resource, Rlimit};
use std::os::fd::{AsFd, OwnedFd};

/// Open descriptors besides those of clients: streams, listeners, the supervisor, epoll, and one that is
/// just being accepted or received.
const OWN_DESCRIPTORS: usize = 12;

/// What a gate of keys works with.
#[derive(Debug)]
pub struct Inherited {
    /// Its plan.
    pub plan: KeysPlan,
    /// Where the supervisor connects.
    pub supervisor: OwnedFd,
    /// Where programs of the session connect.
    pub agent: OwnedFd,
}

/// Takes over the descriptors and gives up every right.
///
/// # Errors
/// [`Unconfined`] with the step that failed; the process has to end then.
pub fn enter() -> Result<Inherited, Unconfined> {
    sys::ignore_broken_pipes();
    let supervisor = take(descriptors::SUPERVISOR).map_err(Unconfined)?;
    match inherit().and_then(|(plan, agent)| confine(&plan, &[&supervisor, &agent]).map(|()| (plan, agent))) {
        Ok((plan, agent)) => Ok(Inherited { plan, supervisor, agent }),
        Err(error) => {
            let failed = KeysRequest::Failed { step: error.step.clone(), detail: error.detail.clone() };
            tell(&supervisor, &failed.to_bytes());
            Err(Unconfined(error))
        }
    }
}

fn inherit() -> Result<(KeysPlan, OwnedFd), StepError> {
    sys::undumpable().step("PR_SET_DUMPABLE")?;
    let bytes = read_sealed(take(descriptors::PLAN)?)?;
    let plan = KeysPlan::from_bytes(&bytes).map_err(|error| StepError::new("read the plan", error))?;
    Ok((plan, take(descriptors::AGENT)?))
}

fn confine(plan: &KeysPlan, keep: &[&OwnedFd]) -> Result<(), StepError> {
    let keep: Vec<_> = keep.iter().map(|fd| fd.as_fd()).collect();
    // Each connection to the person's agent is one that could sign anything: whatever this process comes to
    // ask for, it holds no more of them than it has clients.
    let most = Some((2 * MAX_CLIENTS + OWN_DESCRIPTORS) as u64);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .step("limit of open files")?;
    give_up_rights(&keep, &plan.ids)?;
    if in_force("gate-seccomp") {
        seccomp::confine_keys()?;
    }
    Ok(())
}
