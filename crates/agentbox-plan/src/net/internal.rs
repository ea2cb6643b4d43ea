//! Addresses that are not on the public internet.
//!
//! The lists follow the IANA registries of special-purpose addresses (RFC 6890), and name besides what
//! clouds put into public space.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First address, length, what it is.
const V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "this network (RFC 791)"),
    ([10, 0, 0, 0], 8, "private (RFC 1918)"),
    ([100, 64, 0, 0], 10, "shared and Tailscale (RFC 6598)"),
    ([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    ([168, 63, 129, 16], 32, "Azure's host"),
    ([169, 254, 0, 0], 16, "link-local and cloud metadata (RFC 3927)"),
    ([172, 16, 0, 0], 12, "private (RFC 1918)"),
    ([192, 0, 0, 0], 24, "protocol assignments (RFC 6890)"),
    ([192, 0, 2, 0], 24, "documentation (RFC 5737)"),
    ([192, 31, 196, 0], 24, "AS112 (RFC 7535)"),
    ([192, 52, 193, 0], 24, "AMT (RFC 7450)"),
    ([192, 88, 99, 0], 24, "6to4 relays (RFC 7526)"),
    ([192, 168, 0, 0], 16, "private (RFC 1918)"),
    ([192, 175, 48, 0], 24, "AS112 (RFC 7534)"),
    ([198, 18, 0, 0], 15, "benchmarks, and names of sessions (RFC 2544)"),
    ([198, 51, 100, 0], 24, "documentation (RFC 5737)"),
    ([203, 0, 113, 0], 24, "documentation (RFC 5737)"),
    ([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    ([240, 0, 0, 0], 4, "reserved and broadcast (RFC 1112)"),
];

/// Ranges of 2000::/3 that are not public. What lies outside of 2000::/3 never is.
const V6: &[([u16; 8], u8, &str)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments and Teredo (RFC 2928)"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation (RFC 3849)"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4 (RFC 3056)"),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112 (RFC 7534)"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation (RFC 9637)"),
];

/// The well-known prefix of NAT64, 64:ff9b::/96 (RFC 6052).
const NAT64: u128 = 0x0064_ff9b << 96;

/// An IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5.2) is judged as the IPv4
/// address that it reaches.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The IPv4 address behind an address that is one written as IPv6, or translated by the well-known prefix of NAT64;
/// else the address itself.
#[must_use]
pub fn reached(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V6(address) if address.to_bits() & !u128::from(u32::MAX) == NAT64 => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    }
}

/// What an address is, when it is not a public unicast one. IPv4 addresses within IPv6 are judged as IPv4 where they
/// are mapped, and behind the well-known prefix of NAT64, which is all that a host with only IPv6 may have to reach
/// them by (RFC 6052, section 2.1). Every other way to embed one (6to4, Teredo, compatible, local NAT64) is internal as a whole.
#[must_use]
pub fn internal_range(address: IpAddr) -> Option<&'static str> {
    match reached(address) {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |first: &[u8; 4], prefix: u8| {
        (address.to_bits() ^ u32::from_be_bytes(*first)).leading_zeros() >= u32::from(prefix)
    };
    V4.iter().find(|(first, prefix, _)| within(first, *prefix)).map(|(_, _, what)| *what)
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.segments()[0] & 0xe000 != 0x2000 {
        return Some("not global unicast (outside 2000::/3)");
    }
    let within = |first: &[u16; 8], prefix: u8| {
        (address.to_bits() ^ Ipv6Addr::from(*first).to_bits()).leading_zeros() >= u32::from(prefix)
    };
    V6.iter().find(|(first, prefix, _)| within(first, *prefix)).map(|(_, _, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_internal(text: &str) -> bool {
        internal_range(text.parse().unwrap()).is_some()
    }

    /// First and last address of each range, and the public neighbours on both sides (`-`: none is public).
    const EDGES: &[(&str, &str, &str, &str)] = &[
        ("-", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
        ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
        ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
        ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
        ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"),
        ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
        ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
        ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
        ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
        ("192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"),
        ("192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"),
        ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
        ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
        ("192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"),
        ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
        ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
        ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
        ("223.255.255.255", "224.0.0.0", "239.255.255.255", "-"),
        ("-", "240.0.0.0", "255.255.255.255", "-"),
        ("-", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"),
        ("2000:ffff::", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
        ("2001:db7:ffff::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"),
        ("2001:ffff::", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"),
        ("2620:4f:7fff::", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"),
        ("3ffe::", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"),
        ("3fff:ffff::", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"),
    ];

    #[test]
    fn each_range_ends_where_it_ends() {
        for (before, first, last, after) in EDGES {
            assert!(is_internal(first) && is_internal(last), "{first} {last}");
            for public in [before, after] {
                assert!(*public == "-" || !is_internal(public), "{public}");
            }
        }
    }

    #[test]
    fn every_way_to_write_an_ipv4_address_is_judged() {
        for internal in [
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::255.255.255.255",
            "64:ff9b::1:808:808",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "2001:0:53aa::",
            "100::1",
            "5f00::1",
            "fd00:ec2::254",
            "fd7a:115c:a1e0::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::1",
            "::",
        ] {
            assert!(is_internal(internal), "{internal}");
        }
        for public in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "8.8.8.8", "2606:4700::1111", "2a00:1450::1"] {
            assert!(!is_internal(public), "{public}");
        }
    }
}
