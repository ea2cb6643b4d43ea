//! Where the attacks on the network aim: the listeners of a lab. Without a lab there is nothing that they
//! could reach, and they answer "not-applicable".
//!
//! What counts is the far side. Every listener answers with a token of its own, so that an attack knows
//! that it was the far end that spoke, not something in between that accepts and hangs up. Everything that
//! an attack sends holds its [`mark`], in the part that must not arrive and in no other; a listener that
//! sees the mark saw something leave.
//!
//! What the listeners do, each on all that the facts name, over IPv4 and IPv6:
//!
//! * port 80: every empty line (CRLF CRLF) ends a request; nothing else of it is looked at. Each is answered
//!   with `200`, `Content-Length` and the token as the body, once in the whole response; the connection stays.
//!   Only one with `Upgrade: websocket` is answered with `101` and the token in a header.
//! * every other TCP port: waits for the first bytes, whatever they are, answers with the token once, and
//!   goes on to read and to record until the end of the stream. Nothing of TLS is spoken.
//! * UDP, on the same addresses and ports: answers every datagram with the token. The same for UDP-Lite,
//!   SCTP and DCCP on [`Site::port`], where the kernel has them.
//! * port 53, UDP and TCP: answers every question of every type and class with `NOERROR`, TXT with the
//!   token; A and AAAA of the names below with their addresses, and of every other name with those of
//!   [`Network::refused`]. Messages are recorded as they came, since a mark can be anywhere in them.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A lab.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Names this run: at most 16 lower-case letters and digits, and not the beginning of another run's.
    pub tag: String,
    /// What a process is told to ask for names. Inside it is the gate, outside a resolver of the lab.
    pub resolvers: Vec<IpAddr>,
    /// A public name that no rule allows. It has both addresses.
    pub refused: Option<Site>,
    /// A public name that a rule allows, on ports 80 and 443 only. It has both addresses.
    pub allowed: Option<Site>,
    /// A public name that no rule allows, with the addresses and listeners of `allowed`, as at a CDN.
    pub shared: Option<Site>,
    /// A name that a rule allows, and whose addresses are public and internal in turn: one answer with an
    /// address of `allowed`, the next with those given here. TTL 0.
    pub rebinding: Option<Site>,
    /// A name that a rule allows, and that is another name for one with the internal addresses given here.
    pub alias: Option<Site>,
    /// A name that a rule allows, and that has the internal addresses given here.
    pub inward: Option<Site>,
    /// Resolvers on the public side that nobody was told to ask: ports 53, 853 (TCP) and 443.
    pub other_resolvers: Vec<Endpoint>,
    /// Addresses on the public side that answer an ICMP echo, and whose neighbourhood is recorded packet
    /// by packet, so that a mark is seen in whatever carries it.
    pub echo: Vec<IpAddr>,
    /// A NAT64 prefix (/96) of the network, behind which the IPv4 address of `refused` answers with its token.
    pub nat64: Option<Ipv6Addr>,
    /// Whether the 6to4 network (2002::/16) of the IPv4 address of `refused` answers with its token: hosts 0 and 1.
    pub six_to_four: bool,
    /// What is not public.
    pub internal: Internal,
    /// The session's own side, as the host sees it.
    pub inside: Inside,
}

/// A name with listeners on port 80, 443 and one more.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// Its name, without a dot at the end.
    pub name: String,
    /// Its real address.
    pub v4: Option<Ipv4Addr>,
    /// Its real address.
    pub v6: Option<Ipv6Addr>,
    /// A port that is neither 80 nor 443: TCP and UDP; UDP-Lite, SCTP and DCCP where the kernel has them.
    pub port: u16,
    /// What its listeners answer.
    pub token: String,
    /// Whether nobody of the lab's listens on port 80 and 443: somebody else may.
    pub own_port_only: bool,
}

impl Site {
    /// Its real addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

/// A listener on TCP and UDP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Where. A link-local address has its scope for the control outside; inside there is but one device.
    pub address: SocketAddr,
    /// What it answers.
    pub token: String,
}

/// Listeners that no session may reach, by what they stand for. Each list may be empty; several ports of
/// one address are several endpoints.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Internal {
    /// The person's network (RFC 1918).
    pub lan4: Vec<Endpoint>,
    /// The person's network: global addresses, on-link.
    pub lan6: Vec<Endpoint>,
    /// Link-local addresses of the person's network.
    pub link_local: Vec<Endpoint>,
    /// Unique local addresses (fc00::/7).
    pub unique_local: Vec<Endpoint>,
    /// A tailnet (100.64.0.0/10), with 100.100.100.100.
    pub tailnet: Vec<Endpoint>,
    /// Metadata services of clouds, port 80.
    pub metadata: Vec<Endpoint>,
    /// Name of a metadata service, with its internal addresses; a rule does not allow it.
    pub metadata_name: Option<Site>,
    /// The gateway of the person's network.
    pub gateway: Vec<Endpoint>,
    /// The host's own addresses, of each network that it is in.
    pub host: Vec<Endpoint>,
    /// Ports of the host's loopback (127.0.0.1, ::1).
    pub host_loopback: Vec<Endpoint>,
    /// Addresses at both ends of each internal range, as many as the lab can route.
    pub ends: Vec<Endpoint>,
    /// Multicast and broadcast on the person's network (224.0.0.251:5353, 239.255.255.250:1900,
    /// [ff02::fb]:5353, 255.255.255.255): UDP, answered from an address of the network.
    pub multicast: Vec<Endpoint>,
    /// Abstract sockets of the host that answer with the token (name, token).
    pub abstract_sockets: Vec<(String, String)>,
    /// Listeners of another session: on its loopback, and on addresses from the range of its names. For the
    /// control the same listeners without a session around them.
    pub session: Vec<Endpoint>,
}

/// What there is on the session's own side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inside {
    /// Ports of the gate on the loopback inside: where connections are redirected to.
    pub relay: Vec<SocketAddr>,
    /// A port that is not published. During the whole run somebody outside connects to it, over TCP and
    /// UDP, on every address by which the host or a session could be meant, twice a second, and sends
    /// `knock_token`.
    pub knock_port: Option<u16>,
    /// What is sent there.
    pub knock_token: String,
    /// Most connections that the session may have at once.
    pub connections: Option<u32>,
    /// A network namespace that belongs to somebody else, by a path that opens it, such as
    /// `/run/netns/lan`.
    pub other_namespace: Option<String>,
}

/// What an attack writes into all that it sends: letters, digits and hyphens, so that it is also a label
/// of a name.
#[must_use]
pub fn mark(tag: &str, attack: &str) -> String {
    format!("{tag}-{}", attack.replace('.', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_label() {
        assert_eq!(mark("run1", "t2.label-txt"), "run1-t2-label-txt");
    }

    #[test]
    fn facts_without_a_lab_stay_facts() {
        let facts: crate::Facts = serde_json::from_str("{}").unwrap();
        assert!(facts.network.is_none());
        let facts: crate::Facts = serde_json::from_str(r#"{"network":{"tag":"a"}}"#).unwrap();
        assert!(facts.network.is_some_and(|network| network.tag == "a" && network.refused.is_none()));
    }
}
