//! How a gate becomes a process without rights: the same steps as a session's, for one known program. The gate
//! of the network is here; what both gates share is, too.
//!
//! It starts as root with the descriptors of [`agentbox_plan::gate::descriptors`], and comes out with
//! sockets and nothing else: an empty root, an empty network namespace, a leased uid, no capability, no new
//! privileges, Landlock without a rule, and a filter that lets it make no connection.

use crate::outer::read_sealed;
use crate::step::{InStep, StepError, in_force};
use crate::{landlock, privileges, seccomp, sys, tree};
use agentbox_plan::gate::{GatePlan, Request, descriptors};
use agentbox_plan::{Ids, Wire as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, SocketFlags};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long a supervisor may take to hear of a failure. It connects before it waits.
const FAILURE_LIMIT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// What a gate works with.
#[derive(Debug)]
pub struct Inherited {
    /// Its plan.
    pub plan: GatePlan,
    /// Where the supervisor connects.
    pub supervisor: OwnedFd,
    /// Questions for names by datagrams, IPv4 and IPv6.
    pub dns_udp: (OwnedFd, Option<OwnedFd>),
    /// Questions for names by streams.
    pub dns_tcp: (OwnedFd, Option<OwnedFd>),
    /// Connections of the session.
    pub relay: (OwnedFd, Option<OwnedFd>),
    /// Connections from the host to published ports, with the port inside.
    pub published: Vec<(OwnedFd, u16)>,
    /// What stands for sockets of IPv6 where there is none. It stays open: on the numbers of the sockets for
    /// questions the filter lets datagrams carry an address, so no other socket may ever get these numbers.
    pub place_holders: Vec<OwnedFd>,
}

/// Why a gate could not confine itself. The supervisor has been told.
#[derive(Debug)]
pub struct Unconfined(pub(crate) StepError);

impl fmt::Display for Unconfined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unconfined {}

/// Takes over the descriptors and gives up every right.
///
/// # Errors
/// [`Unconfined`] with the step that failed; the process has to end then.
pub fn enter() -> Result<Inherited, Unconfined> {
    sys::ignore_broken_pipes();
    let supervisor = take(descriptors::SUPERVISOR).map_err(Unconfined)?;
    match inherit().and_then(|inherited| confine(&inherited, &supervisor).map(|()| inherited)) {
        Ok(Rest { plan, dns_udp, dns_tcp, relay, published, place_holders }) => {
            Ok(Inherited { plan, supervisor, dns_udp, dns_tcp, relay, published, place_holders })
        }
        Err(error) => {
            let failed = Request::Failed { step: error.step.clone(), detail: error.detail.clone() };
            tell(&supervisor, &failed.to_bytes());
            Err(Unconfined(error))
        }
    }
}

/// All but the supervisor's socket.
struct Rest {
    plan: GatePlan,
    dns_udp: (OwnedFd, Option<OwnedFd>),
    dns_tcp: (OwnedFd, Option<OwnedFd>),
    relay: (OwnedFd, Option<OwnedFd>),
    published: Vec<(OwnedFd, u16)>,
    place_holders: Vec<OwnedFd>,
}

pub(crate) fn take(number: i32) -> Result<OwnedFd, StepError> {
    sys::inherited(number).step_with(|| format!("descriptor {number}"))
}

fn inherit() -> Result<Rest, StepError> {
    sys::undumpable().step("PR_SET_DUMPABLE")?;
    let bytes = read_sealed(take(descriptors::PLAN)?)?;
    let plan = GatePlan::from_bytes(&bytes).map_err(|error| StepError::new("read the plan", error))?;
    let mut place_holders = Vec::new();
    let mut pair = |v4: i32, v6: i32| -> Result<_, StepError> {
        let (v4, v6) = (take(v4)?, take(v6)?);
        if plan.ipv6 {
            return Ok((v4, Some(v6)));
        }
        place_holders.push(v6);
        Ok((v4, None))
    };
    let published = (descriptors::FIRST_PUBLISHED..).zip(&plan.published);
    let published = published.map(|(number, port)| Ok((take(number)?, *port))).collect::<Result<_, _>>()?;
    let dns_udp = pair(descriptors::DNS_UDP_V4, descriptors::DNS_UDP_V6)?;
    let dns_tcp = pair(descriptors::DNS_TCP_V4, descriptors::DNS_TCP_V6)?;
    let relay = pair(descriptors::RELAY_V4, descriptors::RELAY_V6)?;
    Ok(Rest { plan, dns_udp, dns_tcp, relay, published, place_holders })
}

fn confine(rest: &Rest, supervisor: &OwnedFd) -> Result<(), StepError> {
    let sockets = [&rest.dns_udp, &rest.dns_tcp, &rest.relay];
    let mut keep = vec![supervisor.as_fd()];
    keep.extend(sockets.iter().flat_map(|(v4, v6)| [Some(v4), v6.as_ref()]).flatten().map(AsFd::as_fd));
    keep.extend(rest.published.iter().map(|(listener, _)| listener.as_fd()));
    keep.extend(rest.place_holders.iter().map(AsFd::as_fd));
    give_up_rights(&keep, &rest.plan.ids)?;
    if in_force("gate-seccomp") {
        seccomp::confine_gate()?;
    }
    Ok(())
}

/// All that both gates give up; the filter comes last and is each one's own.
pub(crate) fn give_up_rights(keep: &[BorrowedFd<'_>], ids: &Ids) -> Result<(), StepError> {
    let mut namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
    if in_force("gate-namespace-net") {
        namespaces |= libc::CLONE_NEWNET;
    }
    sys::unshare(namespaces).step("namespaces")?;
    sys::close_all_but(keep).step("close descriptors")?;
    if in_force("gate-root") {
        tree::enter_empty()?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    privileges::drop_to(ids)?;
    // Whatever a test leaves out for the session: the filter cannot do without.
    rustix::thread::set_no_new_privs(true).step("no_new_privs of the gate")?;
    if in_force("gate-landlock") {
        landlock::confine_gate()?;
    }
    Ok(())
}

/// Says why to the supervisor, which connects before it waits.
pub(crate) fn tell(supervisor: &OwnedFd, message: &[u8]) {
    let mut fds = [PollFd::new(supervisor, PollFlags::IN)];
    if poll(&mut fds, Some(&FAILURE_LIMIT)).is_ok_and(|ready| ready > 0)
        && let Ok(connection) = rustix::net::accept_with(supervisor, SocketFlags::CLOEXEC)
    {
        let _ = rustix::net::send(&connection, message, SendFlags::NOSIGNAL);
    }
}
