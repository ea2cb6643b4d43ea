//! The outer half: reads the plan, prepares what needs the host's view, starts the inner half, gives up
//! every right, and keeps the console until the session ends.

use crate::confine;
use crate::console::{self, Wiring};
use crate::landlock;
use crate::privileges;
use crate::seccomp;
use crate::step::{InStep, StepError, in_force, kill_point};
use crate::sys::{self, Fork};
use crate::tree::{self, Detached};
use agentbox_plan::report::Report;
use agentbox_plan::{Confinement, Plan, Wire as _, descriptors};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use std::os::fd::{AsFd, OwnedFd};

/// What the supervisor handed over, by [`descriptors`].
struct Inheritance {
    console: OwnedFd,
    release: OwnedFd,
    report: OwnedFd,
    payload: OwnedFd,
    network: OwnedFd,
    plan: OwnedFd,
    sources: Vec<OwnedFd>,
}

/// Runs a session to its end; the exit status of the launcher, which nobody but a test looks at.
pub(crate) fn run() -> u8 {
    sys::ignore_broken_pipes();
    let Ok(inherited) = inherit() else { return 2 };
    let report = match inherited.report.try_clone() {
        Ok(report) => report,
        Err(_) => return 2,
    };
    match start(inherited, &report) {
        Ok(Some(wiring)) => {
            console::serve(wiring);
            0
        }
        // Nobody released it: the supervisor is gone or changed its mind.
        Ok(None) => 3,
        Err(StepError { step, detail }) => {
            let message = Report::Failed { step, detail }.to_bytes();
            let _ = rustix::net::send(&report, &message, SendFlags::NOSIGNAL);
            1
        }
    }
}

fn inherit() -> std::io::Result<Inheritance> {
    sys::undumpable()?;
    // Before anything else is opened: the sources are what is open from there on without a gap.
    let mut sources = Vec::new();
    while let Ok(source) = sys::inherited(descriptors::FIRST_SOURCE + sources.len() as i32) {
        sources.push(source);
    }
    Ok(Inheritance {
        sources,
        plan: sys::inherited(descriptors::PLAN)?,
        console: sys::inherited(descriptors::CONSOLE)?,
        release: sys::inherited(descriptors::RELEASE)?,
        report: sys::inherited(descriptors::REPORT)?,
        payload: sys::inherited(descriptors::PAYLOAD)?,
        network: sys::inherited(descriptors::NETWORK)?,
    })
}

/// `failures` is a second descriptor of the report socket that outlives this function.
fn start(inherited: Inheritance, failures: &OwnedFd) -> Result<Option<Wiring>, StepError> {
    let Inheritance { console, release, report, payload, network, plan, sources } = inherited;
    // Before anything is read: a launcher that is never released is one that only holds a scope.
    kill_point("l:plan");
    if rustix::io::retry_on_intr(|| rustix::io::read(&release, &mut [0; 1])).step("wait for release")? != 1 {
        return Ok(None);
    }
    drop(release);
    kill_point("l:released");
    let mut plan = read_plan(plan)?;

    let (flags, detached) = match &plan.confinement {
        Confinement::None => (0, Detached::new()),
        Confinement::Sandbox { sandbox } => {
            (confine::namespaces(sandbox.network), tree::detach(sandbox, &sources)?)
        }
    };
    kill_point("l:detached");
    let (outer, inner) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .step("socket of the inner half")?;
    let group = in_force("control-group").then_some(payload.as_fd());
    match sys::clone3(flags, group).step("start the inner half")? {
        // Does not return, so nothing that the parent owns is dropped in the child.
        Fork::Child => confine::run(plan, detached, network, inner),
        Fork::Parent { pid, pidfd } => {
            kill_point("l:cloned");
            drop((detached, sources, inner, payload, network));
            // The environment is the inner half's.
            sys::wipe_all(std::mem::take(&mut plan.process.environment));
            give_up_rights(&plan, &[&console, &report, failures, &outer, &pidfd])?;
            Ok(Some(Wiring {
                listener: console,
                inner: outer,
                report,
                init: pidfd,
                init_pid: pid.cast_unsigned(),
                session: plan.session,
                streams: plan.process.streams,
                size: plan.process.size,
                label: plan.label,
            }))
        }
    }
}

fn read_plan(memfd: OwnedFd) -> Result<Plan, StepError> {
    let mut bytes = read_sealed(memfd)?;
    let plan = Plan::from_bytes(&bytes).map_err(|error| StepError::new("read the plan", error));
    sys::wipe(&mut bytes);
    plan
}

/// The content of a memfd that nobody can change any more.
pub(crate) fn read_sealed(memfd: OwnedFd) -> Result<Vec<u8>, StepError> {
    const STEP: &str = "read the plan";
    let sealed = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    if sys::seals(memfd.as_fd()).step(STEP)? & sealed != sealed {
        return Err(StepError::new(STEP, "it is not sealed and could change while it is read"));
    }
    let length = rustix::fs::fstat(&memfd).step(STEP)?.st_size;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut at = 0;
    while at < bytes.len() {
        match rustix::io::pread(&memfd, &mut bytes[at..], at as u64).step(STEP)? {
            0 => break,
            count => at += count,
        }
    }
    Ok(bytes)
}

/// The outer half reads what the agent writes, so it keeps nothing that would be worth taking over.
fn give_up_rights(plan: &Plan, keep: &[&OwnedFd]) -> Result<(), StepError> {
    let keep: Vec<_> = keep.iter().map(|fd| fd.as_fd()).collect();
    sys::close_all_but(&keep).step("close descriptors")?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    privileges::drop_to(&plan.identity.console)?;
    // Whatever a test leaves out for the session: the two steps below cannot do without.
    rustix::thread::set_no_new_privs(true).step("no_new_privs of the console")?;
    landlock::confine_console()?;
    if in_force("console-seccomp") { seccomp::confine_console() } else { Ok(()) }
}
