//! No session reaches an internal address, however it is written or found: judged at the far side, where the
//! host itself arrives and the session does not.

use agentbox_suite::eventually;
use agentbox_suite::lab::addresses::{
    HOST_LAN, HOST_V4, HOST_V6, LAN, LAN6, META, OTHER_V4, RESOLVER_V4, TAILNET,
};
use agentbox_suite::lab::dns::Says;
use agentbox_suite::lab::{Guest, Lab};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// First and last address of every internal range. The order and the limits are those of the registries.
const EDGES: &[&str] = &[
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.31.196.0",
    "192.31.196.255",
    "192.52.193.0",
    "192.52.193.255",
    "192.88.99.0",
    "192.88.99.255",
    "192.168.0.0",
    "192.168.255.255",
    "192.175.48.0",
    "192.175.48.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.0",
    "198.51.100.255",
    "203.0.113.0",
    "203.0.113.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001::",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db8::",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002::",
    "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2620:4f:8000::",
    "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
    "3fff::",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::",
    "64:ff9b::a09:909",
    "64:ff9b:1::1",
    "100::1",
    "5f00::1",
    "fc00::",
    "fd00:ec2::254",
    "fd7a:115c:a1e0::10",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fec0::1",
    "::ffff:10.9.9.9",
    "::10.9.9.9",
];
/// Addresses beside the ranges, which are as public as any.
const BESIDE: &[&str] = &[
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.255",
    "192.0.3.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.114.0",
    "223.255.255.255",
    "2000::",
    "2001:200::",
    "2001:db9::",
    "2003::",
    "3ffe::",
];
/// What no connection is made to by anybody: the kernel of the host itself refuses.
fn has_no_connections(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let broadcast = v4.is_broadcast() || v4.octets() == [127, 255, 255, 255];
            v4.is_multicast() || broadcast || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => {
            v6.is_multicast()
                || v6.is_unspecified()
                || v6.segments()[..6] == [0; 6] && v6.segments()[6..] != [0, 1]
        }
    }
}

fn parsed(texts: &[&str]) -> Result<Vec<IpAddr>> {
    texts.iter().map(|text| text.parse().with_context(|| (*text).to_owned())).collect()
}

/// Everything that was to see nothing: the places of the lab, and each address of its own.
struct Watched {
    addresses: Vec<IpAddr>,
}

impl Watched {
    /// What has arrived: packets elsewhere, connections on the host, whose loopback others use too.
    fn arrived(&self, lab: &Lab) -> Result<BTreeMap<IpAddr, u64>> {
        let mut arrived = BTreeMap::new();
        for address in self.addresses.iter().map(IpAddr::to_canonical) {
            let place = lab.place_of(address);
            let count = if std::ptr::eq(place, lab.host()) {
                place.arrived(address).len() as u64
            } else {
                place.packets_to(address)?
            };
            arrived.insert(address, count);
        }
        Ok(arrived)
    }
}

/// The host itself reaches what the session must not, or the absence would prove nothing.
fn host_reaches(lab: &Lab, addresses: &[IpAddr], port: u16) -> Result<()> {
    for address in addresses.iter().filter(|address| !has_no_connections(**address)) {
        let connected = lab.host().space().enter(|| {
            TcpStream::connect_timeout(&SocketAddr::new(*address, port), Duration::from_secs(3)).map(drop)
        })?;
        connected.with_context(|| format!("the host does not reach {address}"))?;
    }
    Ok(())
}

fn session_reaches_none(
    lab: &Lab,
    guest: &Guest<'_>,
    options: &[&str],
    hosts: &[String],
    addresses: &[IpAddr],
    reached: &str,
) -> Result<()> {
    let watched = Watched { addresses: addresses.to_vec() };
    let session = guest.waiting(options)?;
    let before = watched.arrived(lab)?;
    let said = guest.client_in(&session, &["attempt", reached, "80"])?.remove(0);
    ensure!(said["outcome"] == "200 OK", "{options:?} reach nothing at all: {said}");
    let mut arguments = vec!["attempt"];
    for host in hosts {
        for port in ["80", "443", "5432"] {
            arguments.extend([host.as_str(), port]);
        }
    }
    for said in guest.client_in(&session, &arguments)? {
        let refused = said["outcome"] != "200 OK"
            && said["outcome"] != "server hello"
            && said["outcome"] != "timed out";
        ensure!(refused, "{options:?}: {said}");
    }
    let mut datagrams = vec!["datagrams"];
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    for text in &texts {
        datagrams.extend([text.as_str(), "53"]);
    }
    guest.client_in(&session, &datagrams)?;
    let after = watched.arrived(lab)?;
    let seen: Vec<_> = after.iter().filter(|(address, count)| before.get(address) != Some(count)).collect();
    ensure!(seen.is_empty(), "{options:?}: arrived at {seen:?}");
    session.stop()
}

#[test]
fn no_edge_of_an_internal_range_is_reached_by_its_address() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let mut addresses = parsed(EDGES)?;
    addresses.extend([LAN, META, TAILNET, HOST_V4, HOST_LAN]);
    host_reaches(&lab, &addresses, 80)?;
    let hosts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let public = OTHER_V4.to_string();
    for (options, reached) in [
        (&["--network", "public"][..], public.as_str()),
        (&["--network", "allowlist", "--allow", "work.example.com"], "work.example.com"),
        // The widest rules that name addresses still grant none that is internal.
        (
            &[
                "--network",
                "allowlist",
                "--allow",
                "0.0.0.0/0",
                "--allow",
                "::/0",
                "--allow",
                "0.0.0.0/0:5432",
            ],
            public.as_str(),
        ),
    ] {
        session_reaches_none(&lab, &guest, options, &hosts, &addresses, reached)?;
    }
    Ok(())
}

#[test]
fn no_edge_of_an_internal_range_is_reached_by_a_name() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let mut addresses = parsed(EDGES)?;
    addresses.extend([LAN, META, TAILNET, HOST_V4, HOST_LAN]);
    host_reaches(&lab, &addresses, 80)?;
    lab.dns().set("edge.example.org", Says::Addresses(vec![OTHER_V4]));
    let mut hosts = Vec::new();
    for (number, address) in addresses.iter().enumerate() {
        let name = format!("edge{number}.example.org");
        lab.dns().set(&name, Says::Addresses(vec![*address]));
        hosts.push(name);
    }
    for options in [
        &["--network", "public"][..],
        &["--network", "allowlist", "--allow", "*.example.org", "--allow", "*.example.org:5432"],
    ] {
        session_reaches_none(&lab, &guest, options, &hosts, &addresses, "edge.example.org")?;
    }
    Ok(())
}

#[test]
fn addresses_beside_the_ranges_are_reached() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    host_reaches(&lab, &parsed(BESIDE)?, 80)?;
    let session = guest.waiting(&["--network", "public"])?;
    let mut arguments = vec!["attempt"];
    BESIDE.iter().for_each(|address| arguments.extend([*address, "80"]));
    for said in guest.client_in(&session, &arguments)? {
        ensure!(said["outcome"] == "200 OK", "{said}");
    }
    Ok(())
}

#[test]
fn what_lies_next_to_the_host_is_internal_whatever_its_address_looks_like() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let addresses = [HOST_V6, LAN6, "2a0e:b107:77::1".parse()?, "2a0e:b107:6::2".parse()?];
    host_reaches(&lab, &[LAN6], 80)?;
    let mut hosts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    for (number, address) in addresses.iter().enumerate() {
        let name = format!("near{number}.example.org");
        lab.dns().set(&name, Says::Addresses(vec![*address]));
        hosts.push(name);
    }
    for options in [
        &["--network", "public"][..],
        &["--network", "allowlist", "--allow", "*.example.org", "--allow", "::/0"],
    ] {
        let session = guest.waiting(options)?;
        let mut arguments = vec!["attempt"];
        for host in &hosts {
            arguments.extend([host.as_str(), "80", host, "443"]);
        }
        let before = lab.lan6().packets_to(LAN6)?;
        for said in guest.client_in(&session, &arguments)? {
            let refused = !["200 OK", "server hello", "timed out"].iter().any(|one| said["outcome"] == *one);
            ensure!(refused, "{said}");
        }
        ensure!(lab.lan6().packets_to(LAN6)? == before, "something reached the neighbour");
        session.stop()?;
    }
    ensure!(lab.host().arrivals().is_empty(), "{:?}", lab.host().arrivals());
    Ok(())
}

#[test]
fn what_comes_to_lie_next_to_the_host_is_internal_from_then_on() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&["--network", "public"])?;
    let try_it = || -> Result<String> {
        let said = guest.client_in(&session, &["attempt", &OTHER_V4.to_string(), "80"])?.remove(0);
        Ok(said["outcome"].to_string())
    };
    ensure!(try_it()?.contains("200 OK"), "it was public before");
    lab.lan().space().ip(&format!("address add {OTHER_V4}/28 dev host"))?;
    lab.host().space().ip("address add 9.0.0.9/28 dev lan0")?;
    eventually("the neighbour is internal", Duration::from_secs(10), || {
        Ok((!try_it()?.contains("200 OK")).then_some(()))
    })?;
    host_reaches(&lab, &[OTHER_V4], 80)?;
    // The ends of connections that were made before, the host's own among them, come as well, some of them again.
    let mut arrived = 0;
    eventually("the host itself has arrived there, and is done", Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_secs(1));
        let before = std::mem::replace(&mut arrived, lab.lan().packets_to(OTHER_V4)?);
        Ok((arrived > 0 && before == arrived).then_some(()))
    })?;
    for _ in 0..5 {
        ensure!(!try_it()?.contains("200 OK"));
    }
    ensure!(lab.lan().packets_to(OTHER_V4)? == arrived, "the session arrived there");
    Ok(())
}

#[test]
fn nothing_but_tcp_by_the_gate_leaves_a_session() -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let session = guest.waiting(&["--network", "public"])?;
    // The gate's own question at the start: whether the network translates.
    eventually("it is asked", Duration::from_secs(10), || {
        Ok((!lab.dns().asked_for("ipv4only.arpa").is_empty()).then_some(()))
    })?;
    let before: u64 = lab.wan().packets()?.values().sum();
    ensure!(before == 1, "packets left: {:?}", lab.wan().packets()?);
    let texts = [OTHER_V4.to_string(), RESOLVER_V4.to_string(), LAN.to_string(), META.to_string()];
    let mut datagrams =
        vec!["datagrams", "2a0e:b107:c::1", "443", "224.0.0.251", "5353", "255.255.255.255", "67"];
    for text in &texts {
        datagrams.extend([text.as_str(), "443", text.as_str(), "53", text.as_str(), "123"]);
    }
    guest.client_in(&session, &datagrams)?;
    let others = "/usr/bin/python3 - <<'E'\n\
        import socket\n\
        for family, kind, protocol in ((2, 2, 1), (10, 2, 58), (2, 3, 1), (2, 3, 255), (2, 1, 132), (2, 5, 132), (17, 3, 3), (16, 3, 0)):\n\
        \x20   try:\n\
        \x20       one = socket.socket(family, kind, protocol); one.settimeout(0.2)\n\
        \x20       one.sendto(b'\\x08\\x00\\xf7\\xff\\x00\\x00\\x00\\x00' + b'x' * 24, ('9.0.0.2', 0))\n\
        \x20   except Exception as error: print(family, kind, protocol, error)\n\
        E";
    guest.sh_in(&session, others)?;
    let after: u64 = lab.wan().packets()?.values().sum();
    ensure!(after == before, "packets left: {:?}", lab.wan().packets()?);
    ensure!(lab.lan().packets()?.is_empty() && lab.meta().packets()?.is_empty());
    // The host's own datagram is counted, so the count means something.
    lab.host()
        .space()
        .enter(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", SocketAddr::new(OTHER_V4, 443)))??;
    eventually("it is counted", Duration::from_secs(10), || {
        Ok((lab.wan().packets()?.values().sum::<u64>() > after).then_some(()))
    })
}
