//! Which addresses are this machine's own, and which networks it is connected to: what lies next to a
//! machine is not the internet, even where its addresses are public (IPv6 in every home).

use crate::netlink::{Message, ROUTE, Socket, attributes};
use agentbox_plan::net::{Cidr, Reason};
use rustix::fd::AsFd as _;
use rustix::fd::OwnedFd;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Groups of events: addresses and routes of both families (rtnetlink(7), RTNLGRP_*).
const GROUPS: [u32; 4] = [5, 7, 9, 11];
/// A shorter prefix without a gateway is the way into a tunnel (`0.0.0.0/1 dev tun0`), not a network that
/// the machine is part of.
const LEAST_PREFIX_V4: u8 = 8;
const LEAST_PREFIX_V6: u8 = 16;

/// This machine's addresses and networks, as they are now.
#[derive(Debug)]
pub struct Reach {
    events: Socket,
    queries: Socket,
    own: BTreeSet<Cidr>,
    connected: BTreeSet<Cidr>,
    /// Whether something has changed since.
    is_stale: bool,
}

impl Reach {
    /// Looks, and begins to watch, in the network namespace of this thread.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn open() -> io::Result<Self> {
        let events = Socket::open(ROUTE)?;
        for group in GROUPS {
            events.join(group)?;
        }
        events.set_nonblocking()?;
        let queries = Socket::open(ROUTE)?;
        let mut reach =
            Self { events, queries, own: BTreeSet::new(), connected: BTreeSet::new(), is_stale: true };
        reach.refresh()?;
        Ok(reach)
    }

    /// A descriptor that becomes readable when something has changed.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn events(&self) -> io::Result<OwnedFd> {
        self.events.as_fd().try_clone_to_owned()
    }

    /// Reads what has changed; says whether something has.
    ///
    /// # Errors
    /// When the kernel cannot be asked; what was known is then not to be trusted.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let mut changed = false;
        // Lost events are a change.
        if self.events.events(|_, _| changed = true).is_err() {
            changed = true;
        }
        self.is_stale |= changed;
        if self.is_stale {
            self.look()?;
        }
        Ok(std::mem::take(&mut self.is_stale))
    }

    fn look(&mut self) -> io::Result<()> {
        let (mut own, mut connected) = (BTreeSet::new(), BTreeSet::new());
        let dump = libc::NLM_F_DUMP as u16;
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut addresses = Message::default();
            addresses.begin(libc::RTM_GETADDR, dump, &[family as u8, 0, 0, 0, 0, 0, 0, 0]).end();
            self.queries.dump(&addresses, |kind, body| {
                if kind == libc::RTM_NEWADDR
                    && let Some((address, network)) = read_address(body)
                {
                    own.insert(Cidr::single(address));
                    connected.insert(network);
                }
            })?;
            let mut routes = Message::default();
            routes.begin(libc::RTM_GETROUTE, dump, &[family as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).end();
            self.queries.dump(&routes, |kind, body| {
                if kind == libc::RTM_NEWROUTE {
                    match read_route(body) {
                        Some(Route::Own(network)) => drop(own.insert(network)),
                        Some(Route::Connected(network)) => drop(connected.insert(network)),
                        None => {}
                    }
                }
            })?;
        }
        (self.own, self.connected) = (own, connected);
        Ok(())
    }

    /// What an address is to this machine: its own, in a network of its, or neither.
    #[must_use]
    pub fn what_is(&self, address: IpAddr) -> Option<Reason> {
        if self.own.iter().any(|own| own.contains(address)) {
            return Some(Reason::OwnAddress);
        }
        let is_connected = self.connected.iter().any(|network| network.contains(address));
        is_connected.then_some(Reason::OnLink)
    }
}

pub(crate) enum Route {
    Own(Cidr),
    Connected(Cidr),
}

fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match i32::from(family) {
        libc::AF_INET => <[u8; 4]>::try_from(bytes).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        libc::AF_INET6 => <[u8; 16]>::try_from(bytes).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
        _ => None,
    }
}

/// struct ifaddrmsg: an address and the network that it is in.
pub(crate) fn read_address(body: &[u8]) -> Option<(IpAddr, Cidr)> {
    let (family, length) = (*body.first()?, *body.get(1)?);
    let found = attributes(body.get(8..)?);
    let value = |wanted: u16| found.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    // Of a pair of points IFA_ADDRESS is the other one's.
    let peer = value(libc::IFA_ADDRESS).and_then(|bytes| address(family, bytes));
    let own = value(libc::IFA_LOCAL).and_then(|bytes| address(family, bytes)).or(peer)?;
    Some((own, Cidr::around(peer.unwrap_or(own), length)))
}

/// struct rtmsg: the destination of a route that leads nowhere else than to its interface.
pub(crate) fn read_route(body: &[u8]) -> Option<Route> {
    let (family, length, kind) = (*body.first()?, *body.get(1)?, *body.get(7)?);
    let found = attributes(body.get(12..)?);
    let value = |wanted: u16| found.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
    let least = if i32::from(family) == libc::AF_INET { LEAST_PREFIX_V4 } else { LEAST_PREFIX_V6 };
    let network = value(libc::RTA_DST).and_then(|bytes| address(family, bytes));
    match kind {
        libc::RTN_LOCAL | libc::RTN_ANYCAST => Some(Route::Own(Cidr::around(network?, length))),
        libc::RTN_BROADCAST => Some(Route::Connected(Cidr::around(network?, length))),
        libc::RTN_UNICAST if length >= least => {
            let has_gateway = [libc::RTA_GATEWAY, libc::RTA_VIA, libc::RTA_MULTIPATH]
                .into_iter()
                .any(|kind| value(kind).is_some());
            (!has_gateway).then_some(Route::Connected(Cidr::around(network?, length)))
        }
        _ => None,
    }
}
