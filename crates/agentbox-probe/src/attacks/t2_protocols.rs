//! T2: leave by something other than plain TCP.

use crate::attack::{Answer, Attack, any_of, lacking, refused};
use crate::errno::Errno;
use crate::trial::{Trial, Tried};
use crate::wire::exchange::{all_at_once, udp};
use crate::wire::hello::Hello;
use crate::wire::socket::{self, open_for};
use agentbox_probe::Site;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;

const REFUSED: &[&str] = &["network.refused"];

const SOCK_DCCP: i32 = 6;
const IPPROTO_DCCP: i32 = 33;
const IPPROTO_UDPLITE: i32 = 136;
const SOL_DCCP: i32 = 269;
const DCCP_SOCKOPT_SERVICE: i32 = 2;
const IPV6_FLOWINFO_SEND: i32 = 33;

pub(super) const TABLE: &[Attack] = &[
    Attack::network("t2.datagram", "send a datagram (UDP)", REFUSED, |t| {
        let site = t.refused()?;
        Ok(datagrams(t, &at(site, site.port), &site.token))
    }),
    Attack::network("t2.datagram-mapped", "send a datagram to an IPv4 address within IPv6", REFUSED, |t| {
        let site = t.refused()?;
        let mapped = site.v4.map(|v4| SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), site.port));
        Ok(datagrams(t, &Vec::from_iter(mapped), &site.token))
    }),
    Attack::network("t2.quic", "speak QUIC to a name that no rule allows", REFUSED, |t| {
        let site = t.refused()?;
        let mut to = at(site, 443);
        to.extend(t.resolve(&site.name).into_iter().map(|address| SocketAddr::new(address, 443)));
        Ok(quic(t, &to, &site.token))
    }),
    Attack::network(
        "t2.quic-to-allowed",
        "speak QUIC, whose name nobody reads, to an allowed name",
        &["network.allowed"],
        |t| {
            let allowed = t.allowed()?;
            Ok(quic(t, &[allowed.at(443), at(allowed.site, 443)].concat(), &allowed.site.token))
        },
    ),
    Attack::network("t2.sctp", "leave by SCTP", REFUSED, |t| {
        by(t, |to| open_for(to, libc::SOCK_STREAM, libc::IPPROTO_SCTP))
    })
    .kernel("SCTP"),
    Attack::network("t2.sctp-packets", "leave by SCTP, one-to-many", REFUSED, |t| {
        by(t, |to| open_for(to, libc::SOCK_SEQPACKET, libc::IPPROTO_SCTP))
    })
    .kernel("SCTP"),
    Attack::network("t2.dccp", "leave by DCCP", REFUSED, |t| {
        by(t, |to| {
            let socket = open_for(to, SOCK_DCCP, IPPROTO_DCCP)?;
            socket::set_number(&socket, SOL_DCCP, DCCP_SOCKOPT_SERVICE, 0x6162)?;
            Ok(socket)
        })
    })
    .kernel("DCCP"),
    Attack::network("t2.udp-lite", "leave by UDP-Lite", REFUSED, |t| {
        by(t, |to| open_for(to, libc::SOCK_DGRAM, IPPROTO_UDPLITE))
    })
    .kernel("UDP-Lite"),
    Attack::network("t2.multipath", "leave by multipath TCP", REFUSED, |t| {
        by(t, |to| open_for(to, libc::SOCK_STREAM, libc::IPPROTO_MPTCP))
    })
    .kernel("MPTCP"),
    Attack::network("t2.fast-open", "send data with the first packet (TCP fast open)", REFUSED, |t| {
        let site = t.refused()?;
        Ok(each(&at(site, site.port), |to| fast_open(to, &t.payload(), &site.token)))
    }),
    Attack::network(
        "t2.fast-open-other-name",
        "send a hello with another name with the first packet to an allowed name",
        &["network.allowed", "network.refused"],
        |t| {
            let (allowed, site) = (t.allowed()?, t.refused()?);
            let hello = [Hello::naming(&site.name).record(), t.payload()].concat();
            Ok(each(&allowed.at(443), |to| fast_open(to, &hello, &allowed.site.token)))
        },
    ),
    Attack::network("t2.flow-label", "leave with a flow label of one's own", REFUSED, |t| {
        let site = t.refused()?;
        let v6 = site.v6.ok_or_else(|| lacking("IPv6 address"))?;
        let to = SocketAddr::V6(SocketAddrV6::new(v6, site.port, 0xa_bcde, 0));
        Ok(any_of([libc::SOCK_STREAM, libc::SOCK_DGRAM].map(|kind| {
            let answer = match flow(to, kind) {
                Ok(socket) => socket::exchange(&socket, to, &t.payload(), &site.token),
                Err(error) => refused(error),
            };
            (format!("type {kind}"), answer)
        })))
    }),
    Attack::network("t2.bind-to-device", "bind a socket to each device and leave by it", REFUSED, |t| {
        let site = t.refused()?;
        let ways: Vec<(String, SocketAddr)> = devices()
            .into_iter()
            .flat_map(|device| at(site, site.port).into_iter().map(move |to| (device.clone(), to)))
            .collect();
        Ok(all_at_once(
            &ways,
            |(device, to)| format!("{to} by {device}"),
            |(device, to)| {
                let bound = open_for(*to, libc::SOCK_STREAM, 0).and_then(|socket| {
                    socket::set(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device.as_bytes())?;
                    Ok(socket)
                });
                match bound {
                    Ok(socket) => socket::exchange(&socket, *to, &t.payload(), &site.token),
                    Err(error) => refused(error),
                }
            },
        ))
    }),
];

/// The real addresses of a site with this port.
fn at(site: &Site, port: u16) -> Vec<SocketAddr> {
    site.addresses().map(|address| SocketAddr::new(address, port)).collect()
}

fn each(to: &[SocketAddr], attempt: impl Fn(SocketAddr) -> Answer + Sync) -> Answer {
    all_at_once(to, SocketAddr::to_string, |to| attempt(*to))
}

fn datagrams(t: &Trial<'_>, to: &[SocketAddr], token: &str) -> Answer {
    each(to, |to| udp(to, &t.payload(), token))
}

/// As long as a first packet has to be (RFC 9000, section 14.1), with a head of version 1.
fn quic(t: &Trial<'_>, to: &[SocketAddr], token: &str) -> Answer {
    let mut packet = [&[0xc3, 0, 0, 0, 1, 8][..], &[7; 8], &[0, 0, 0x44, 0x9e], t.mark.as_bytes()].concat();
    packet.resize(1200, 0);
    each(to, |to| udp(to, &packet, token))
}

/// An exchange with the refused site by a socket that is opened like this.
fn by(t: &Trial<'_>, open: fn(SocketAddr) -> Result<OwnedFd, Errno>) -> Tried {
    let site = t.refused()?;
    Ok(each(&at(site, site.port), |to| match open(to) {
        Ok(socket) => socket::exchange(&socket, to, &t.payload(), &site.token),
        Err(error) => refused(error),
    }))
}

/// Twice: the first time the far end may only give the cookie that the second needs (RFC 7413).
fn fast_open(to: SocketAddr, payload: &[u8], token: &str) -> Answer {
    let mut answer = refused("not tried");
    for _ in 0..2 {
        answer = match send_first(to, payload) {
            Ok(socket) => socket::hear(&socket, token),
            Err(error) => refused(error),
        };
    }
    answer
}

fn send_first(to: SocketAddr, payload: &[u8]) -> Result<OwnedFd, Errno> {
    let socket = open_for(to, libc::SOCK_STREAM, 0)?;
    match socket::send(&socket, payload, libc::MSG_FASTOPEN, Some(&socket::address_bytes(to))) {
        Ok(()) => {}
        Err(Errno(libc::EINPROGRESS)) => {
            socket::connected(&socket)?;
            socket::send(&socket, payload, 0, None)?;
        }
        Err(error) => return Err(error),
    }
    Ok(socket)
}

/// The kernel lets a process without privilege choose a label only after it asked for it.
fn flow(to: SocketAddr, kind: i32) -> Result<OwnedFd, Errno> {
    const IPV6_FLOWLABEL_MGR: i32 = 32;
    const GET: u8 = 0;
    const ANYBODY: u8 = 255;
    const CREATE: u16 = 1;
    let socket = open_for(to, kind, 0)?;
    if let SocketAddr::V6(v6) = to {
        // in6_flowlabel_req: destination, label, action, share, flags, expiry, linger, padding.
        let request = [
            &v6.ip().octets()[..],
            &v6.flowinfo().to_be_bytes(),
            &[GET, ANYBODY],
            &CREATE.to_ne_bytes(),
            &[0; 8],
        ]
        .concat();
        socket::set(&socket, libc::IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &request)?;
    }
    socket::set_number(&socket, libc::IPPROTO_IPV6, IPV6_FLOWINFO_SEND, 1)?;
    Ok(socket)
}

fn devices() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}
