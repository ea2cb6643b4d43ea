//! Who is where in the lab. What looks public lies in no internal range; what looks internal lies in one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(c: u16, d: u16, last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2a0e, 0xb107, c, d, 0, 0, 0, last))
}

/// One address that serves every name: what a content network looks like.
pub const CDN_V4: IpAddr = v4(9, 0, 0, 1);
/// The same by IPv6.
pub const CDN_V6: IpAddr = v6(0xc, 0, 1);
/// Another public address that serves every name.
pub const OTHER_V4: IpAddr = v4(9, 0, 0, 2);
/// The same by IPv6.
pub const OTHER_V6: IpAddr = v6(0xc, 0, 2);

/// The public resolver.
pub const RESOLVER_V4: IpAddr = v4(9, 53, 53, 53);
/// The same by IPv6.
pub const RESOLVER_V6: IpAddr = v6(0x53, 0, 0x53);
/// The resolver of the LAN.
pub const RESOLVER_LAN: IpAddr = v4(192, 168, 77, 53);
/// The resolver of the tailnet.
pub const RESOLVER_TAILNET: IpAddr = v4(100, 100, 100, 100);
/// The resolver on the host's own loopback.
pub const RESOLVER_STUB: IpAddr = v4(127, 0, 0, 53);

/// The host on its uplink.
pub const HOST_V4: IpAddr = v4(10, 77, 0, 2);
/// The same by IPv6.
pub const HOST_V6: IpAddr = v6(0x77, 0, 2);
/// The host on its second uplink.
pub const HOST_SECOND_V4: IpAddr = v4(10, 78, 0, 2);
/// The same by IPv6.
pub const HOST_SECOND_V6: IpAddr = v6(0x78, 0, 2);
/// The host on the LAN.
pub const HOST_LAN: IpAddr = v4(192, 168, 77, 2);
/// A machine of the LAN, on-link to the host.
pub const LAN: IpAddr = v4(192, 168, 77, 10);
/// A machine of a LAN with global IPv6 addresses, on-link to the host.
pub const LAN6: IpAddr = v6(0x6, 0, 0x10);
/// A machine of the tailnet.
pub const TAILNET: IpAddr = v4(100, 101, 102, 104);
/// Metadata of a cloud.
pub const META: IpAddr = v4(169, 254, 169, 254);

/// Accepts, and says nothing.
pub const SILENT: IpAddr = v4(9, 66, 0, 1);
/// Sends what is no protocol.
pub const GARBAGE: IpAddr = v4(9, 66, 0, 2);
/// Resets each connection.
pub const RESET: IpAddr = v4(9, 66, 0, 3);
/// Sends a byte now and then.
pub const DRIP: IpAddr = v4(9, 66, 0, 4);
/// Closes each connection.
pub const CLOSE: IpAddr = v4(9, 66, 0, 5);
/// Sends without an end.
pub const FLOOD: IpAddr = v4(9, 66, 0, 6);
/// Nothing ever comes back from it.
pub const BLACKHOLE: IpAddr = v4(9, 66, 0, 7);
/// Refuses every connection.
pub const CLOSED: IpAddr = v4(9, 66, 0, 8);

/// What each hostile address does, in the words of the web's program.
pub(super) const HOSTILE: &[(IpAddr, &str)] = &[
    (SILENT, "silent"),
    (GARBAGE, "garbage"),
    (RESET, "reset"),
    (DRIP, "drip"),
    (CLOSE, "close"),
    (FLOOD, "flood"),
];

/// Names that are there from the beginning, all at [`CDN_V4`] and [`CDN_V6`]. The web has a certificate for
/// them and for every name directly below `example.com` and `example.org`.
pub const NAMES: &[&str] = &[
    "registry.npmjs.org",
    "pypi.org",
    "files.pythonhosted.org",
    "index.crates.io",
    "static.crates.io",
    "crates.io",
    "github.com",
    "api.github.com",
    "codeload.github.com",
    "work.example.com",
    "other.example.com",
    "refused.example.com",
    "work.example.org",
    // Services of agents.
    "api.anthropic.com",
    "api.openai.com",
    "generativelanguage.googleapis.com",
];
