//! The inner half's way from root on the host to PID 1 of a session: every step of confinement, in order.

use crate::child;
use crate::init::{self, Init};
use crate::landlock;
use crate::privileges;
use crate::seccomp;
use crate::step::{InStep, StepError, in_force, kill_point};
use crate::sys;
use crate::tree::{Detached, Tree};
use agentbox_plan::inner::FromInner;
use agentbox_plan::{Confinement, NetworkNamespace, Plan, Sandbox};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{AsFd, OwnedFd};

/// Namespaces that the inner half is born into. The control group namespace comes later: its root is the
/// group that the process is in when it is made.
pub(crate) fn namespaces(network: NetworkNamespace) -> u64 {
    let mut flags = libc::CLONE_NEWNS;
    for (step, flag) in [
        ("namespace-pid", libc::CLONE_NEWPID),
        ("namespace-ipc", libc::CLONE_NEWIPC),
        ("namespace-uts", libc::CLONE_NEWUTS),
        ("namespace-net", if network == NetworkNamespace::Empty { libc::CLONE_NEWNET } else { 0 }),
    ] {
        if in_force(step) {
            flags |= flag;
        }
    }
    flags.cast_unsigned().into()
}

/// Confines this process and runs the agent; the process ends with it.
pub(crate) fn run(plan: Plan, detached: Detached, network: OwnedFd, outer: OwnedFd) -> ! {
    let own_pids = matches!(plan.confinement, Confinement::Sandbox { .. });
    let result = match &plan.confinement {
        Confinement::Sandbox { sandbox } => confine(&plan, sandbox, detached, network, &outer),
        Confinement::None => unconfined(&plan, &outer),
    };
    let init = result.and_then(|()| match outer.try_clone() {
        Ok(outer) => Init::new(outer, own_pids).step("signals of children"),
        Err(error) => Err(StepError::new("socket of the outer half", error)),
    });
    match init {
        Ok(init) => {
            init.run(plan.process);
            sys::exit_now(0)
        }
        Err(StepError { step, detail }) => {
            let _ = init::send(&outer, &FromInner::Failed { step, detail }, &[]);
            sys::exit_now(1)
        }
    }
}

fn confine(
    plan: &Plan,
    sandbox: &Sandbox,
    detached: Detached,
    network: OwnedFd,
    outer: &OwnedFd,
) -> Result<(), StepError> {
    if in_force("namespace-cgroup") {
        sys::unshare_control_groups().step("control group namespace")?;
    }
    if in_force("namespace-uts") {
        rustix::system::sethostname(sandbox.hostname.to_bytes()).step("host name")?;
    }
    if in_force("namespace-net") {
        match sandbox.network {
            NetworkNamespace::Empty => sys::loopback_up().step("loopback interface")?,
            NetworkNamespace::Prepared => {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                    .step("network namespace")?;
            }
        }
    }
    drop(network);
    kill_point("l:namespaces");
    Tree::enter(sandbox, detached, &plan.identity.agent)?;
    kill_point("l:tree");
    if in_force("close-descriptors") {
        sys::close_all_but(&[outer.as_fd()]).step("close descriptors")?;
    }
    child::own_null().step("/dev/null")?;
    privileges::set_bounds(plan)?;
    privileges::drop_to(&plan.identity.agent)?;
    kill_point("l:privileges");
    // Landlock needs to open what it allows; the filter, last, takes away what the steps above need.
    if in_force("landlock") {
        landlock::confine(sandbox)?;
    }
    if in_force("seccomp") {
        seccomp::confine_session(sandbox.unix_sockets || !in_force("unix-sockets"))?;
    }
    kill_point("l:confined");
    Ok(())
}

/// Posture L0: the caller's own rights, no more and no less.
fn unconfined(plan: &Plan, outer: &OwnedFd) -> Result<(), StepError> {
    sys::close_all_but(&[outer.as_fd()]).step("close descriptors")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).step("adopt orphans")?;
    privileges::set_bounds(plan)?;
    let agent = &plan.identity.agent;
    sys::set_ids(agent.uid, agent.gid, &agent.groups).step("user and group ids")?;
    privileges::forbid_inspection()
}
