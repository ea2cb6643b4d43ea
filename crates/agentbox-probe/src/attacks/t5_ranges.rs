//! T5: every kind of network beside the public one, and both ends of every range that is none.

use crate::attack::{Answer, Attack, lacking};
use crate::trial::{Trial, Tried};
use crate::wire::exchange::{all_at_once, udp};
use agentbox_probe::{Endpoint, Internal};
use std::net::{IpAddr, SocketAddr};

/// First and last address of each range that is not public, with what lies between.
const ENDS: &[[&str; 2]] = &[
    ["0.0.0.0", "0.255.255.255"],
    ["10.0.0.0", "10.255.255.255"],
    ["10.0.0.1", "10.255.255.254"],
    ["100.64.0.0", "100.127.255.255"],
    ["127.0.0.0", "127.255.255.255"],
    ["127.0.0.2", "127.255.255.254"],
    ["168.63.129.16", "168.63.129.16"],
    ["169.254.0.0", "169.254.255.255"],
    ["172.16.0.0", "172.31.255.255"],
    ["192.0.0.0", "192.0.0.255"],
    ["192.0.2.0", "192.0.2.255"],
    ["192.31.196.0", "192.31.196.255"],
    ["192.52.193.0", "192.52.193.255"],
    ["192.88.99.0", "192.88.99.255"],
    ["192.168.0.0", "192.168.255.255"],
    ["192.175.48.0", "192.175.48.255"],
    ["198.18.0.0", "198.19.255.255"],
    ["198.51.100.0", "198.51.100.255"],
    ["203.0.113.0", "203.0.113.255"],
    ["224.0.0.0", "239.255.255.255"],
    ["240.0.0.0", "255.255.255.255"],
    ["::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["64:ff9b::", "64:ff9b:0:0:0:0:ffff:ffff"],
    ["64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"],
    ["100::", "100::ffff:ffff:ffff:ffff"],
    ["2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"],
    ["3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    // IPv4 within IPv6.
    ["::ffff:10.0.0.1", "::ffff:192.168.255.254"],
    ["::ffff:127.0.0.1", "::ffff:169.254.169.254"],
];

/// Where clouds serve credentials of the machine: Amazon, Google, Azure and others share the first; Amazon
/// over IPv6; Azure's host; Alibaba; Amazon's containers; Oracle; Tencent.
const METADATA: &[&str] = &[
    "169.254.169.254",
    "fd00:ec2::254",
    "168.63.129.16",
    "100.100.100.200",
    "169.254.170.2",
    "192.0.0.192",
    "169.254.0.23",
];

type List = fn(&Internal) -> &[Endpoint];

/// A kind of network, over TCP and over UDP.
macro_rules! kind {
    ($id:literal, $datagrams:literal, $what:literal, $need:literal, $list:expr) => {
        [
            Attack::network($id, concat!("reach ", $what), &[$need], |t| streams(t, $list)),
            Attack::network($datagrams, concat!("send a datagram to ", $what), &[$need], |t| {
                datagrams(t, $list)
            }),
        ]
    };
}

const KINDS: [[Attack; 2]; 9] = [
    kind!("t5.lan4", "t5.lan4-datagram", "the person's network, IPv4", "network.internal.lan4", |i| &i.lan4),
    kind!(
        "t5.lan6",
        "t5.lan6-datagram",
        "the person's network, global IPv6 addresses",
        "network.internal.lan6",
        |i| &i.lan6
    ),
    kind!(
        "t5.unique-local",
        "t5.unique-local-datagram",
        "unique local addresses",
        "network.internal.unique_local",
        |i| &i.unique_local
    ),
    kind!(
        "t5.tailnet",
        "t5.tailnet-datagram",
        "a tailnet and what serves it",
        "network.internal.tailnet",
        |i| &i.tailnet
    ),
    kind!("t5.metadata", "t5.metadata-datagram", "metadata services", "network.internal.metadata", |i| &i
        .metadata),
    kind!(
        "t5.gateway",
        "t5.gateway-datagram",
        "the gateway of the network",
        "network.internal.gateway",
        |i| &i.gateway
    ),
    kind!(
        "t5.host-address",
        "t5.host-address-datagram",
        "the host's own addresses",
        "network.internal.host",
        |i| &i.host
    ),
    kind!(
        "t5.host-loopback",
        "t5.host-loopback-datagram",
        "the host's loopback",
        "network.internal.host_loopback",
        |i| &i.host_loopback
    ),
    kind!(
        "t5.ends",
        "t5.ends-datagram",
        "both ends of ranges that are routed",
        "network.internal.ends",
        |i| &i.ends
    ),
];

pub(super) const TABLE: &[Attack] = KINDS.as_flattened();

/// What is tried beside the endpoints that the lab names.
pub(super) const FIXED: &[Attack] = &[
    Attack::network(
        "t5.range-ends-v4",
        "reach both ends of every range, IPv4",
        &["network.internal.ends"],
        |t| ends(t, IpAddr::is_ipv4),
    ),
    Attack::network(
        "t5.range-ends-v6",
        "reach both ends of every range, IPv6",
        &["network.internal.ends"],
        |t| ends(t, IpAddr::is_ipv6),
    ),
    Attack::network(
        "t5.metadata-clouds",
        "reach the metadata of every cloud that is known",
        &["network.internal.metadata"],
        |t| {
            let places = METADATA.iter().filter_map(|text| text.parse().ok());
            fixed(
                t,
                &t.network.internal.metadata,
                places.map(|address| SocketAddr::new(address, 80)).collect(),
            )
        },
    ),
    Attack::network(
        "t5.metadata-name",
        "reach a metadata service by its name",
        &["network.internal.metadata_name"],
        |t| {
            let site = t.network.internal.metadata_name.as_ref().ok_or_else(|| lacking("name"))?;
            let names = [site.name.as_str(), "metadata.google.internal", "metadata", "instance-data"];
            let found: Vec<IpAddr> = names.iter().flat_map(|name| t.resolve(name)).collect();
            Ok(t.reach(site, &found))
        },
    ),
];

fn listed<'a>(t: &'a Trial<'_>, list: List) -> Result<&'a [Endpoint], Answer> {
    let endpoints = list(&t.network.internal);
    if endpoints.is_empty() { Err(lacking("listener")) } else { Ok(endpoints) }
}

fn streams(t: &Trial<'_>, list: List) -> Tried {
    Ok(greet(t, listed(t, list)?))
}

/// An exchange over TCP with each of them.
pub(super) fn greet(t: &Trial<'_>, endpoints: &[Endpoint]) -> Answer {
    let name = |endpoint: &Endpoint| endpoint.address.to_string();
    all_at_once(endpoints, name, |endpoint| {
        let host = endpoint.address.ip().to_string();
        t.greet(endpoint.address, &host, &endpoint.token)
    })
}

fn datagrams(t: &Trial<'_>, list: List) -> Tried {
    Ok(send(t, listed(t, list)?))
}

/// A datagram to each of them.
pub(super) fn send(t: &Trial<'_>, endpoints: &[Endpoint]) -> Answer {
    let name = |endpoint: &Endpoint| endpoint.address.to_string();
    all_at_once(endpoints, name, |endpoint| udp(endpoint.address, &t.payload(), &endpoint.token))
}

fn ends(t: &Trial<'_>, family: fn(&IpAddr) -> bool) -> Tried {
    let endpoints = &t.network.internal.ends;
    let port = endpoints.first().ok_or_else(|| lacking("listener"))?.address.port();
    let all = ENDS.as_flattened().iter().filter_map(|text| text.parse::<IpAddr>().ok()).filter(family);
    fixed(t, endpoints, all.map(|address| SocketAddr::new(address, port)).collect())
}

/// Places that are known beforehand. Where the lab listens on one of them, its token is known; the others
/// would answer with that of the first, for a lab routes whole ranges to one listener.
fn fixed(t: &Trial<'_>, known: &[Endpoint], places: Vec<SocketAddr>) -> Tried {
    let first = known.first().ok_or_else(|| lacking("listener"))?;
    let endpoints: Vec<Endpoint> = places
        .into_iter()
        .map(|address| {
            let same = known.iter().find(|one| one.address.ip() == address.ip()).unwrap_or(first);
            Endpoint { address, token: same.token.clone() }
        })
        .collect();
    Ok(greet(t, &endpoints))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_an_address() {
        for text in ENDS.as_flattened().iter().chain(METADATA) {
            assert!(text.parse::<IpAddr>().is_ok(), "{text}");
        }
        for [first, last] in &ENDS[..36] {
            assert!(first.parse::<IpAddr>().unwrap() <= last.parse::<IpAddr>().unwrap(), "{first}");
        }
    }
}
