//! Who is where in the field, and what answers there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(s: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]))
}

/// An address of the lab's public and global networks.
const fn lab6(c: u16, last: u16) -> IpAddr {
    v6([0x2a0e, 0xb107, c, 0, 0, 0, 0, last])
}

/// By address of both families.
pub(super) type Both = (IpAddr, IpAddr);

pub(super) const REFUSED_NAME: &str = "refused.example.net";
pub(super) const REFUSED: Both = (v4(9, 10, 0, 1), lab6(0x10, 1));
pub(super) const ALLOWED_NAME: &str = "allowed.example.com";
pub(super) const ALLOWED: Both = (v4(9, 20, 0, 1), lab6(0x20, 1));
/// At the addresses of the allowed name.
pub(super) const SHARED_NAME: &str = "shared.example.net";
pub(super) const REBINDING_NAME: &str = "moves.example.com";
pub(super) const ALIAS_NAME: &str = "alias.example.com";
pub(super) const INWARD_NAME: &str = "inward.example.com";
pub(super) const METADATA_NAME: &str = "metadata.google.internal";

pub(super) const RESOLVER: Both = (v4(9, 53, 53, 53), lab6(0x53, 0x53));
pub(super) const OTHER_RESOLVER: Both = (v4(9, 8, 8, 8), lab6(0x88, 0x88));
/// Where a session asks for names: the gate's addresses.
pub(super) const INSIDE_RESOLVERS: &[IpAddr] =
    &[v4(198, 18, 0, 1), v6([0xfdab, 0x6f78, 0x6167, 0, 0, 0, 0, 1])];
/// Where a session's connections are redirected to.
pub(super) const RELAY_PORT: u16 = 2;
/// Most connections of a session at once.
pub(super) const CONNECTIONS: u32 = 12_000;
/// The prefix of the network's NAT64.
pub(super) const NAT64: Ipv6Addr = Ipv6Addr::new(0x2a0e, 0xb107, 0x64, 0, 0, 0, 0, 0);

pub(super) const LAN: IpAddr = v4(192, 168, 77, 10);
pub(super) const LAN6: IpAddr = lab6(0x6, 0x10);
pub(super) const LINK_LOCAL: IpAddr = v6([0xfe80, 0, 0, 0, 0, 0, 0, 0x10]);
/// Where names that turn inward lead: the LAN, and a unique local address of the tailnet.
pub(super) const INWARD: Both = (LAN, v6([0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, 0x10]));
pub(super) const TAILNET: &[IpAddr] = &[v4(100, 101, 102, 104), v4(100, 100, 100, 100), INWARD.1];
pub(super) const META: IpAddr = v4(169, 254, 169, 254);
/// Metadata of clouds that the lab's router leads out.
pub(super) const METADATA_ELSEWHERE: &[IpAddr] = &[
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
    v4(168, 63, 129, 16),
    v4(169, 254, 170, 2),
    v4(192, 0, 0, 192),
];
pub(super) const GATEWAY: &[IpAddr] = &[v4(10, 77, 0, 1), lab6(0x77, 1)];
pub(super) const HOST: &[IpAddr] = &[
    v4(10, 77, 0, 2),
    v4(10, 78, 0, 2),
    v4(192, 168, 77, 2),
    v4(100, 101, 102, 103),
    lab6(0x77, 2),
    lab6(0x6, 2),
];
pub(super) const LOOPBACK: &[IpAddr] = &[v4(127, 0, 0, 1), v6([0, 0, 0, 0, 0, 0, 0, 1])];
/// Both ends of ranges that lead out of the host, to the wan.
pub(super) const ENDS: &[IpAddr] = &[
    v4(10, 0, 0, 1),
    v4(10, 255, 255, 254),
    v4(168, 63, 129, 16),
    v4(172, 16, 0, 1),
    v4(172, 31, 255, 254),
    v4(192, 0, 2, 1),
    v4(192, 88, 99, 254),
    v4(192, 168, 0, 1),
    v4(192, 168, 255, 254),
    v4(198, 51, 100, 1),
    v4(203, 0, 113, 254),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 1]),
    v6([0x2001, 0x1ff, 0xffff, 0, 0, 0, 0, 1]),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 1]),
    v6([0x3fff, 0xfff, 0, 0, 0, 0, 0, 1]),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 1]),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 1]),
    v6([0xfdff, 0xffff, 0, 0, 0, 0, 0, 1]),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 1]),
];
/// Groups and everybody, on the LAN.
pub(super) const GROUPS_V4: &[(IpAddr, u16)] =
    &[(v4(224, 0, 0, 251), 5353), (v4(239, 255, 255, 250), 1900), (v4(255, 255, 255, 255), 7001)];
pub(super) const GROUP_V6: (IpAddr, u16) = (v6([0xff02, 0, 0, 0, 0, 0, 0, 0xfb]), 5353);

/// Neither 80 nor 443.
pub(super) const PORT: u16 = 7000;
pub(super) const STREAM_PORTS: &[u16] = &[80, 443, PORT];
pub(super) const DATAGRAM_PORTS: &[u16] = &[53, 80, 443, PORT];
/// Where another session listens.
pub(super) const SESSION_PORT: u16 = 7100;
/// By which it could be meant: its loopback, and addresses of names.
pub(super) const SESSION: &[IpAddr] = &[
    LOOPBACK[0],
    LOOPBACK[1],
    v4(198, 18, 0, 1),
    v4(198, 18, 0, 16),
    v4(198, 18, 0, 17),
    INSIDE_RESOLVERS[1],
    v6([0xfdab, 0x6f78, 0x6167, 0, 0, 0, 0, 0x10]),
];
/// Where nobody published anything.
pub(super) const KNOCK_PORT: u16 = 7200;
pub(super) const KNOCKED: &[IpAddr] =
    &[LOOPBACK[0], LOOPBACK[1], HOST[0], HOST[4], v4(198, 18, 0, 1), v4(198, 18, 0, 16), INSIDE_RESOLVERS[1]];

pub(super) const REFUSED_TOKEN: &str = "token-refused-4b1d";
pub(super) const ALLOWED_TOKEN: &str = "token-allowed-92c0";
pub(super) const RESOLVER_TOKEN: &str = "token-resolver-77ae";
pub(super) const INTERNAL: &str = "token-internal-e35f";
pub(super) const KNOCK: &str = "token-knock-08d6";

/// What answers at an address.
pub(super) fn token(address: IpAddr) -> &'static str {
    let address = match address.to_canonical() {
        // NAT64, of the network and by both well-known prefixes, and 6to4 lead to an IPv4 address.
        IpAddr::V6(v6) => match v6.segments() {
            [0x2a0e, 0xb107, 0x64, 0, 0, 0, ..] | [0x64, 0xff9b, 0 | 1, 0, 0, 0, ..] => {
                IpAddr::V4(Ipv4Addr::from_bits(v6.to_bits() as u32))
            }
            [0x2002, high, low, ..] => {
                IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
            }
            _ => address,
        },
        v4 @ IpAddr::V4(_) => v4,
    };
    if [REFUSED.0, REFUSED.1].contains(&address) {
        REFUSED_TOKEN
    } else if [ALLOWED.0, ALLOWED.1].contains(&address) {
        ALLOWED_TOKEN
    } else if [OTHER_RESOLVER.0, OTHER_RESOLVER.1, RESOLVER.0, RESOLVER.1].contains(&address) {
        RESOLVER_TOKEN
    } else {
        INTERNAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_leads_to_the_same_token() {
        for text in ["9.10.0.1", "::ffff:9.10.0.1", "64:ff9b::90a:1", "2002:90a:1::1", "2a0e:b107:64::90a:1"]
        {
            assert_eq!(token(text.parse().unwrap()), REFUSED_TOKEN, "{text}");
        }
        assert_eq!(token("192.168.77.10".parse().unwrap()), INTERNAL);
        assert_eq!(token("2002:c0a8:4d0a::1".parse().unwrap()), INTERNAL);
    }
}
