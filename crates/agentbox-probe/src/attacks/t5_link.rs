//! T5: what reaches the neighbours on a link without an address of theirs, and what misleads them.

use crate::attack::{Attack, lacking};
use crate::errno::Errno;
use crate::trial::{Trial, Tried};
use crate::wire::exchange::{all_at_once, udp, udp_to_many};
use crate::wire::packet;
use crate::wire::socket::{address_bytes, open_for, send, set_number};
use agentbox_probe::Endpoint;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

const LINK_LOCAL: &[&str] = &["network.internal.link_local"];
const MULTICAST: &[&str] = &["network.internal.multicast"];
const IPV6_MULTICAST_HOPS: i32 = 18;

pub(super) const TABLE: &[Attack] = &[
    Attack::network("t5.link-local", "reach a link-local address by every device", LINK_LOCAL, |t| {
        let all = scoped(t)?;
        let name = |one: &Endpoint| one.address.to_string();
        Ok(all_at_once(&all, name, |one| t.greet(one.address, "localhost", &one.token)))
    }),
    Attack::network("t5.link-local-datagram", "send a datagram to a link-local address", LINK_LOCAL, |t| {
        let all = scoped(t)?;
        let name = |one: &Endpoint| one.address.to_string();
        Ok(all_at_once(&all, name, |one| udp(one.address, &t.payload(), &one.token)))
    }),
    Attack::network("t5.multicast", "speak to everybody who listens for names and devices", MULTICAST, |t| {
        groups(t, |address| address.is_multicast())
    }),
    Attack::network("t5.broadcast", "speak to everybody on the link", MULTICAST, |t| {
        groups(t, |address| !address.is_multicast())
    }),
    Attack::network(
        "t5.redirect",
        "tell a neighbour to use another gateway",
        &["network.internal.lan4"],
        |t| {
            let to = t.network.internal.lan4.first().ok_or_else(|| lacking("neighbour"))?.address;
            let SocketAddr::V4(v4) = to else { return Err(lacking("neighbour")) };
            // About a packet of its own to an address that nobody has.
            let about = packet::datagram_v4(
                *v4.ip(),
                SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9),
                &t.payload(),
            );
            let bytes = packet::redirect(*v4.ip(), &about);
            Ok(crate::attack::judge(raw(to, libc::IPPROTO_ICMP, &bytes)))
        },
    )
    .root()
    .alone()
    .on_host(),
    Attack::network(
        "t5.router-advertisement",
        "say to be the router of the link",
        &["network.internal.link_local"],
        |t| {
            let all = scoped(t)?;
            let bytes = packet::router_advertisement(&t.payload());
            let nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let tries: Vec<_> = all
                .iter()
                .filter_map(|one| match one.address {
                    SocketAddr::V6(v6) => Some(v6.scope_id()),
                    SocketAddr::V4(_) => None,
                })
                .map(|scope| {
                    let to = SocketAddr::V6(SocketAddrV6::new(nodes, 0, 0, scope));
                    (format!("device {scope}"), crate::attack::judge(raw(to, libc::IPPROTO_ICMPV6, &bytes)))
                })
                .collect();
            Ok(crate::attack::any_of(tries))
        },
    )
    .root()
    .alone()
    .on_host(),
];

/// The link-local endpoints on every device: what the facts say holds outside, and inside there is another.
fn scoped(t: &Trial<'_>) -> Result<Vec<Endpoint>, crate::attack::Answer> {
    const DEVICES: u32 = 12;
    let mut all = Vec::new();
    for one in &t.network.internal.link_local {
        all.push(one.clone());
        if let SocketAddr::V6(v6) = one.address {
            all.extend((0..=DEVICES).filter(|scope| *scope != v6.scope_id()).map(|scope| Endpoint {
                address: SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope)),
                token: one.token.clone(),
            }));
        }
    }
    if all.is_empty() { Err(lacking("link-local address")) } else { Ok(all) }
}

fn groups(t: &Trial<'_>, which: fn(&IpAddr) -> bool) -> Tried {
    let listed = &t.network.internal.multicast;
    let chosen: Vec<&Endpoint> = listed.iter().filter(|one| which(&one.address.ip())).collect();
    if chosen.is_empty() {
        return Err(lacking("such a group"));
    }
    let answer = all_at_once(
        &chosen,
        |one| one.address.to_string(),
        |one| udp_to_many(one.address, &t.payload(), &one.token),
    );
    Ok(answer)
}

fn raw(to: SocketAddr, protocol: i32, bytes: &[u8]) -> Result<(), Errno> {
    let socket = open_for(to, libc::SOCK_RAW, protocol)?;
    if to.is_ipv6() {
        // What comes from further away is not believed (RFC 4861, section 6.1.2).
        set_number(&socket, libc::IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255)?;
    }
    let mut to = to;
    // A raw socket has no ports; the kernel insists for IPv6.
    to.set_port(0);
    send(&socket, bytes, 0, Some(&address_bytes(to)))
}
