//! What a process of a session gives up before it runs anything: in this order, since each step needs
//! a right that a later one takes away.

use crate::step::{InStep, StepError, in_force};
use crate::sys;
use agentbox_plan::{Ids, Limit, LimitKind, Plan};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Resource limits, out-of-memory preference, file mode mask, keyring: all that root sets for others.
///
/// # Errors
/// The step that failed.
pub(crate) fn set_bounds(plan: &Plan) -> Result<(), StepError> {
    if in_force("rlimits") {
        for limit in &plan.limits {
            set_limit(*limit)?;
        }
    }
    if in_force("oom-score") {
        std::fs::write("/proc/self/oom_score_adj", plan.oom_score_adj.to_string()).step("oom_score_adj")?;
    }
    let umask = if in_force("umask") { plan.umask } else { 0 };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    if in_force("keyring") {
        sys::leave_session_keyring().step("session keyring")?;
    }
    Ok(())
}

fn set_limit(limit: Limit) -> Result<(), StepError> {
    let resource = match limit.kind {
        LimitKind::Core => Resource::Core,
        LimitKind::OpenFiles => Resource::Nofile,
        LimitKind::Processes => Resource::Nproc,
        LimitKind::LockedMemory => Resource::Memlock,
        LimitKind::MessageQueues => Resource::Msgqueue,
        LimitKind::Niceness => Resource::Nice,
        LimitKind::RealTime => Resource::Rtprio,
    };
    // None is unlimited, and sorts above every number.
    let bounded = |value: u64| (value != u64::MAX).then_some(value);
    let tighter = |wanted: Option<u64>, most: Option<u64>| match (wanted, most) {
        (Some(wanted), Some(most)) => Some(wanted.min(most)),
        (wanted, most) => wanted.or(most),
    };
    let wanted = Rlimit { current: bounded(limit.soft), maximum: bounded(limit.hard) };
    let step = || format!("limit {:?}", limit.kind);
    match rustix::process::setrlimit(resource, wanted) {
        Err(rustix::io::Errno::PERM) => {
            // Raising a hard limit needs CAP_SYS_RESOURCE, which a container's root may lack; what is
            // already lower is at least as tight.
            let most = rustix::process::getrlimit(resource).maximum;
            let maximum = tighter(wanted.maximum, most);
            let current = tighter(wanted.current, maximum);
            rustix::process::setrlimit(resource, Rlimit { current, maximum }).step_with(step)
        }
        result => result.step_with(step),
    }
}

/// Every capability, from every set, and the ids.
///
/// # Errors
/// The step that failed.
pub(crate) fn drop_to(ids: &Ids) -> Result<(), StepError> {
    if in_force("bounding-set") {
        drop_bounding_set()?;
    }
    if !in_force("capabilities") {
        // Without this the change of ids alone would empty the sets, and leaving the step out would not show.
        rustix::thread::set_keep_capabilities(true).step("keep capabilities")?;
    }
    if in_force("uid") {
        sys::set_ids(ids.uid, ids.gid, &groups(ids)?).step("user and group ids")?;
    }
    if in_force("capabilities") {
        // Changing to a uid other than 0 emptied three of the sets already; a caller's uid may be 0.
        rustix::thread::clear_ambient_capability_set().step("ambient capabilities")?;
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, none).step("capabilities")?;
    }
    if in_force("no-new-privs") {
        rustix::thread::set_no_new_privs(true).step("no_new_privs")?;
    }
    forbid_inspection()
}

/// Supplementary groups to have: those of the plan, and where a test leaves that out, those of whoever started this.
fn groups(ids: &Ids) -> Result<Vec<u32>, StepError> {
    if in_force("groups") {
        return Ok(ids.groups.clone());
    }
    let inherited = rustix::process::getgroups().step("groups")?;
    Ok(inherited.into_iter().map(rustix::process::Gid::as_raw).collect())
}

/// Nobody traces this process or reads its memory, not even one of the same uid. execve resets it for
/// the agent, whose own memory it is.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn forbid_inspection() -> Result<(), StepError> {
    if in_force("undumpable") {
        return sys::undumpable().step("PR_SET_DUMPABLE");
    }
    // A change of ids makes a process undumpable by itself; leaving the step out has to show.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
        .step("PR_SET_DUMPABLE")
}

fn drop_bounding_set() -> Result<(), StepError> {
    // The kernel knows how many there are; a fixed list would miss what it adds.
    for number in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => return Ok(()),
            Err(error) => return Err(StepError::new("bounding set", std::io::Error::from(error))),
        }
    }
    Ok(())
}
