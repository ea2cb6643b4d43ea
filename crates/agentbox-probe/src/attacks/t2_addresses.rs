//! T2: reach what no rule allows by another way to write an address, or by no name at all.

use crate::attack::{Answer, Attack, lacking, refused};
use crate::trial::{Trial, Tried};
use crate::wire::exchange;
use agentbox_probe::{Endpoint, Site};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

const REFUSED: &[&str] = &["network.refused"];

pub(super) const TABLE: &[Attack] = &[
    Attack::network("t2.refused-name", "reach a name that no rule allows", REFUSED, |t| {
        let site = t.refused()?;
        Ok(t.reach(site, &t.resolve(&site.name)))
    }),
    Attack::network("t2.refused-name-spelled", "the same in other spellings of the name", REFUSED, spelled),
    Attack::network(
        "t2.through-proxy",
        "reach it through whatever looks like a proxy",
        REFUSED,
        through_proxy,
    )
    .never_shown("outside there is no proxy"),
    Attack::network("t2.literal-v4", "reach it by its IPv4 address", REFUSED, |t| {
        let site = t.refused()?;
        Ok(t.reach(site, &[v4(site)?.into()]))
    }),
    Attack::network("t2.literal-v6", "reach it by its IPv6 address", REFUSED, |t| {
        let site = t.refused()?;
        Ok(t.reach(site, &[v6(site)?.into()]))
    }),
    Attack::network("t2.literal-mapped", "reach it by its IPv4 address within IPv6", REFUSED, |t| {
        let site = t.refused()?;
        // `::a.b.c.d` beside `::ffff:a.b.c.d`: the kernel knows the second only, a filter has to know both.
        Ok(t.reach(
            site,
            &[v4(site)?.to_ipv6_mapped().into(), embedded(Ipv6Addr::UNSPECIFIED, v4(site)?).into()],
        ))
    }),
    Attack::network(
        "t2.literal-nat64",
        "reach it by its IPv4 address behind NAT64",
        &["network.refused", "network.nat64"],
        |t| {
            let site = t.refused()?;
            let prefix = t.network.nat64.ok_or_else(|| lacking("NAT64 prefix"))?;
            let common = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
            let own = Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0);
            let ways: Vec<IpAddr> = [prefix, common, own]
                .map(|prefix| embedded(prefix, v4(site).unwrap_or(Ipv4Addr::UNSPECIFIED)).into())
                .to_vec();
            Ok(t.reach(site, &ways))
        },
    ),
    Attack::network(
        "t2.literal-6to4",
        "reach it by its IPv4 address within 6to4",
        &["network.refused", "network.six_to_four"],
        |t| {
            let site = t.refused()?;
            if !t.network.six_to_four {
                return Err(lacking("6to4"));
            }
            let [a, b, c, d] = v4(site)?.octets().map(u16::from);
            let prefix = (a << 8 | b, c << 8 | d);
            Ok(t.reach(
                site,
                &[0, 1].map(|host| Ipv6Addr::new(0x2002, prefix.0, prefix.1, 0, 0, 0, 0, host).into()),
            ))
        },
    ),
    Attack::network("t2.literal-spelled", "reach it by its IPv4 address in odd spellings", REFUSED, |t| {
        let site = t.refused()?;
        let ports = [80, 443, site.port];
        Ok(by_spelling(t, &spellings(v4(site)?), &ports, &site.name, &site.token))
    }),
    Attack::network(
        "t2.loopback-spelled",
        "reach the host's loopback in odd spellings of 127.0.0.1",
        &["network.internal.host_loopback"],
        |t| {
            let listeners = &t.network.internal.host_loopback;
            let listener = listeners.first().ok_or_else(|| lacking("listener on the loopback"))?;
            let mut ways = spellings(Ipv4Addr::LOCALHOST);
            ways.extend(["127.1", "127.0.1", "0", "0x0", "127.0.0.2", "127.255.255.254"].map(str::to_owned));
            Ok(by_spelling(t, &ways, &ports(listeners), "localhost", &listener.token))
        },
    ),
    Attack::network(
        "t2.literal-of-allowed",
        "reach the address of an allowed name without its name",
        &["network.allowed"],
        |t| {
            let allowed = t.allowed()?;
            Ok(t.reach(allowed.site, &allowed.site.addresses().collect::<Vec<_>>()))
        },
    ),
    Attack::network(
        "t2.other-port-of-allowed",
        "reach a port of an allowed name that no rule allows",
        &["network.allowed"],
        |t| {
            let allowed = t.allowed()?;
            let to = allowed.at(allowed.site.port);
            let token = &allowed.site.token;
            Ok(exchange::all_at_once(&to, SocketAddr::to_string, |to| {
                t.greet(*to, &allowed.site.name, token)
            }))
        },
    ),
];

fn v4(site: &Site) -> Result<Ipv4Addr, Answer> {
    site.v4.ok_or_else(|| lacking("IPv4 address"))
}

fn v6(site: &Site) -> Result<Ipv6Addr, Answer> {
    site.v6.ok_or_else(|| lacking("IPv6 address"))
}

/// An IPv4 address in the last 32 bits of a prefix (RFC 6052).
fn embedded(prefix: Ipv6Addr, address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(prefix.to_bits() & !0xffff_ffff | u128::from(address.to_bits()))
}

fn ports(listeners: &[Endpoint]) -> Vec<u16> {
    listeners.iter().map(|listener| listener.address.port()).collect()
}

/// What inet_aton(3) takes for this address beside the usual.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let ([a, b, c, d], whole) = (address.octets(), address.to_bits());
    vec![
        format!("{whole:#x}"),
        format!("{whole}"),
        format!("{whole:#o}").replacen("0o", "0", 1),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("0{a:03o}.{b}.{c}.{d}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("{a}.{}", whole & 0xff_ffff),
        format!("{a}.{b}.{}", whole & 0xffff),
        format!("{a}.{b:#x}.0{c:o}.{d}"),
    ]
}

fn by_spelling(t: &Trial<'_>, ways: &[String], ports: &[u16], name: &str, token: &str) -> Answer {
    let ways: Vec<(&String, u16)> =
        ways.iter().flat_map(|way| ports.iter().map(move |port| (way, *port))).collect();
    exchange::all_at_once(
        &ways,
        |(way, port)| format!("{way}:{port}"),
        |(way, port)| {
            // By the C library, as programs do.
            match (way.as_str(), *port).to_socket_addrs().map(|mut found| found.next()) {
                Ok(Some(to)) => t.greet(to, name, token),
                _ => refused("not an address"),
            }
        },
    )
}

fn spelled(t: &Trial<'_>) -> Tried {
    let site = t.refused()?;
    let mut found = Vec::new();
    for name in [site.name.to_uppercase(), format!("{}.", site.name), format!("www.{}", site.name)] {
        found.extend(t.resolve(&name));
    }
    Ok(t.reach(site, &found))
}

/// Proxies that variables name, those at usual ports, and the gate's own.
fn through_proxy(t: &Trial<'_>) -> Tried {
    const USUAL: [u16; 6] = [1080, 3128, 8080, 8118, 8888, 9050];
    let site = t.refused()?;
    let named = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let named = named.iter().filter_map(|name| std::env::var(name).ok()).filter_map(|value| {
        let place = value.rsplit('@').next()?.rsplit("//").next()?.trim_end_matches('/').to_owned();
        place.to_socket_addrs().ok()?.next()
    });
    let hosts =
        t.network.resolvers.iter().copied().chain([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    let usual = hosts.flat_map(|host| USUAL.map(|port| SocketAddr::new(host, port)));
    let to: Vec<SocketAddr> = named.chain(usual).chain(t.network.inside.relay.iter().copied()).collect();
    Ok(exchange::all_at_once(&to, SocketAddr::to_string, |to| {
        let connect =
            format!("CONNECT {0}:443 HTTP/1.1\r\nHost: {0}:443\r\nX-Mark: {1}\r\n\r\n", site.name, t.mark);
        let absolute =
            format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\nX-Mark: {1}\r\n\r\n", site.name, t.mark);
        // SOCKS 5 without a password (RFC 1928): a stream to the name.
        let socks =
            [&[5, 1, 0, 5, 1, 0, 3, site.name.len() as u8][..], site.name.as_bytes(), &[0, 80]].concat();
        let request = absolute.as_bytes();
        crate::attack::any_of([
            ("CONNECT".to_owned(), exchange::tcp(*to, &[connect.as_bytes(), request], &site.token)),
            ("GET".to_owned(), exchange::tcp(*to, &[request], &site.token)),
            ("SOCKS".to_owned(), exchange::tcp(*to, &[&socks, request], &site.token)),
        ])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_the_same_address_to_the_library() {
        let address = Ipv4Addr::new(127, 1, 2, 3);
        for way in spellings(address) {
            let found = (way.as_str(), 1).to_socket_addrs().unwrap().next().unwrap();
            assert_eq!(found.ip(), IpAddr::from(address), "{way}");
        }
    }

    #[test]
    fn an_address_is_embedded_in_the_last_bits() {
        let prefix = "64:ff9b::".parse().unwrap();
        assert_eq!(embedded(prefix, Ipv4Addr::new(192, 0, 2, 1)).to_string(), "64:ff9b::c000:201");
    }
}
