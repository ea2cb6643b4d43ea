//! How a looker becomes a process with the rights of a person and nothing of root's.
//!
//! It starts as root with the descriptors of [`agentbox_plan::look::descriptors`], and comes out under the
//! person's ids, without a capability, confined by Landlock to the places that it looks at, and with a filter
//! that lets it start no program and make no socket. The kernel ends it when it takes too long.

use crate::outer::read_sealed;
use crate::step::{InStep, StepError, in_force};
use crate::{landlock, privileges, seccomp, sys};
use agentbox_plan::Wire as _;
use agentbox_plan::look::{LookPlan, Task, descriptors};
use rustix::process::{Resource, Rlimit};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

/// Most memory. A plan, an answer and the largest file that is parsed, several times over.
const MEMORY_BYTES: u64 = 512 << 20;
/// Largest file that it writes: a configuration.
const FILE_BYTES: u64 = 1 << 20;
/// Processor time. The places' own limit is in the plan; this one holds when that does not.
const PROCESSOR_SECONDS: u64 = 60;

/// What a looker works with.
#[derive(Debug)]
pub struct Inherited {
    /// Its plan.
    pub plan: LookPlan,
    /// Where the answer goes.
    pub answer: OwnedFd,
    /// The places, in the plan's order.
    pub places: Vec<OwnedFd>,
    /// For one that watches: a group of fanotify(7), which only the supervisor could make.
    pub watch: Option<OwnedFd>,
}

/// Watches a directory: names that come to be in it, and with `writes` also files of it that were written.
///
/// # Errors
/// As fanotify_mark(2).
pub fn mark(group: &OwnedFd, directory: &OwnedFd, writes: bool) -> std::io::Result<()> {
    sys::mark(group.as_fd(), directory.as_fd(), writes)
}

/// By which events name a directory: type and bytes of its file handle (name_to_handle_at(2)).
///
/// # Errors
/// As name_to_handle_at(2).
pub fn handle(directory: &OwnedFd) -> std::io::Result<Vec<u8>> {
    sys::handle(directory.as_fd())
}

/// Why a looker could not confine itself.
#[derive(Debug)]
pub struct Unconfined(StepError);

impl fmt::Display for Unconfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unconfined {}

/// Takes over the descriptors and gives up every right but the person's.
///
/// # Errors
/// [`Unconfined`] with the step that failed; the process has to end then.
pub fn enter() -> Result<Inherited, Unconfined> {
    sys::ignore_broken_pipes();
    let inherited = inherit().map_err(Unconfined)?;
    confine(&inherited).map_err(Unconfined)?;
    Ok(inherited)
}

fn take(number: i32) -> Result<OwnedFd, StepError> {
    sys::inherited(number).step_with(|| format!("descriptor {number}"))
}

fn inherit() -> Result<Inherited, StepError> {
    sys::undumpable().step("PR_SET_DUMPABLE")?;
    let bytes = read_sealed(take(descriptors::PLAN)?)?;
    let plan = LookPlan::from_bytes(&bytes).map_err(|error| StepError::new("read the plan", error))?;
    let answer = take(descriptors::ANSWER)?;
    let mut numbers = descriptors::FIRST_PLACE..;
    let places = numbers.by_ref().take(plan.places.len()).map(take).collect::<Result<_, _>>()?;
    let watch = match (&plan.task, numbers.next()) {
        (Task::Watch { .. }, Some(number)) => Some(take(number)?),
        _ => None,
    };
    Ok(Inherited { places, answer, plan, watch })
}

fn confine(inherited: &Inherited) -> Result<(), StepError> {
    let mut keep = vec![inherited.answer.as_fd()];
    keep.extend(inherited.places.iter().chain(&inherited.watch).map(AsFd::as_fd));
    sys::close_all_but(&keep).step("close descriptors")?;
    let limits = [
        (Resource::As, MEMORY_BYTES),
        (Resource::Fsize, FILE_BYTES),
        (Resource::Cpu, PROCESSOR_SECONDS),
        (Resource::Core, 0),
    ];
    // One that watches does so for as long as its session runs.
    let limits =
        limits.into_iter().filter(|(resource, _)| inherited.watch.is_none() || *resource != Resource::Cpu);
    for (resource, most) in limits {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::setrlimit(resource, limit).step_with(|| format!("limit {resource:?}"))?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    privileges::drop_to(&inherited.plan.ids)?;
    rustix::thread::set_no_new_privs(true).step("no_new_privs of the looker")?;
    landlock::confine_look(&inherited.places)?;
    if in_force("look-seccomp") {
        seccomp::confine_look(inherited.watch.is_some())?;
    }
    Ok(())
}
