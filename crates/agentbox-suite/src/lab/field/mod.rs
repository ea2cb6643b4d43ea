//! The network that attacks aim at: the lab's places, with listeners that answer everything with a token and
//! look for marks in every packet, stream and datagram that arrives.
//!
//! What a listener says and hears is told in `agentbox_probe::network`. There is no web and no authority:
//! nothing of TLS is spoken, so that it is the far side that an attack hears of, and not a library between.

mod answers;
mod far;
mod heard;
mod knock;
mod places;

pub use heard::Marks;

use super::Families;
use super::links;
use super::space::{Space, sweep};
use agentbox_probe::{Endpoint, Inside, Internal, Network, Site};
use answers::{Named, Names};
use anyhow::{Context, Result};
use far::{Far, Ports};
use heard::Heard;
use knock::Knocking;
use places::*;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Numbers of labs go up from 0; those of fields stay apart.
static NEXT: AtomicU32 = AtomicU32::new(500_000);

/// Who is attacked from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From the host, where nothing holds.
    Host,
    /// From a session.
    Session,
}

/// The network. Dropping it removes it.
#[derive(Debug)]
pub struct Field {
    // In this order they are dropped: what serves, then where it serves.
    _knocking: Knocking,
    _far: Vec<Far>,
    heard: Heard,
    runs: AtomicU32,
    /// Numbers of devices of the host: to the LAN with global addresses.
    six: u32,
    host: Space,
    lan: Space,
    _others: Vec<Space>,
}

impl Field {
    /// Makes it.
    ///
    /// # Errors
    /// When it is not root that runs the tests, or a program is missing.
    pub fn new() -> Result<Self> {
        sweep();
        let mut limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        // The attacks on limits make thousands of connections.
        limits.current = limits.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).context("descriptors")?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let make = |short: &str| Space::new(number, short);
        let (host, router, wan) = (make("host")?, make("router")?, make("wan")?);
        let (lan, lan6, tailnet, meta) = (make("lan")?, make("lan6")?, make("tailnet")?, make("meta")?);
        links::connect(Families::Both, [&host, &router, &wan, &lan, &lan6, &tailnet, &meta])?;
        // What the attacks need that a host may allow: pings by everybody, whatever source, groups of the LAN.
        host.set(&[("ipv4/ping_group_range", "0 2147483647")])?;
        for space in [&host, &router, &wan, &lan] {
            space.set(&[("ipv4/conf/all/rp_filter", "0")])?;
        }
        for (space, links) in
            [(&router, &["host0", "host1", "wan"][..]), (&wan, &["router"]), (&lan, &["host"])]
        {
            for link in links {
                space.set(&[(&format!("ipv4/conf/{link}/rp_filter"), "0")])?;
            }
        }
        host.ip("route add 224.0.0.0/4 dev lan0\nroute add 255.255.255.255/32 dev lan0")?;
        lan6.ip(&format!("address add {LINK_LOCAL}/64 dev host nodad"))?;
        let (six, near) = (device(&host, "six0")?, device(&lan6, "host")?);

        let heard = Heard::default();
        let names = Arc::new(Mutex::new(names()));
        let at = |address: IpAddr, port: u16| SocketAddr::new(address, port);
        let every = |addresses: &[IpAddr], ports: &[u16]| -> Vec<SocketAddr> {
            addresses.iter().flat_map(|address| ports.iter().map(move |port| at(*address, *port))).collect()
        };
        let mut wide = every(&[REFUSED.0, REFUSED.1, ALLOWED.0, ALLOWED.1], DATAGRAM_PORTS);
        wide.extend(every(&[RESOLVER.0, RESOLVER.1, OTHER_RESOLVER.0, OTHER_RESOLVER.1], &[53, 443, 853]));
        wide.extend(every(ENDS, &[PORT]));
        wide.extend(every(METADATA_ELSEWHERE, &[80]));
        let start = |space: &Space, place, ports: &Ports| {
            Far::start(space, place, ports, places::token, Arc::clone(&names), &heard)
        };
        let usual = |datagrams: Vec<SocketAddr>| Ports {
            streams: STREAM_PORTS.to_vec(),
            datagrams,
            ..Ports::default()
        };
        let mut of_lan = every(&[LAN], DATAGRAM_PORTS);
        of_lan.extend(GROUPS_V4.iter().map(|(_, port)| at([0, 0, 0, 0].into(), *port)));
        let mut of_lan6 = every(&[LAN6], DATAGRAM_PORTS);
        of_lan6.push(scoped(LINK_LOCAL, PORT, near));
        of_lan6.push(at([0_u16; 8].into(), GROUP_V6.1));
        let mut of_host = every(HOST, DATAGRAM_PORTS);
        of_host.extend(every(LOOPBACK, &[80, 443, PORT, SESSION_PORT]));
        let far = vec![
            start(
                &wan,
                "wan",
                &Ports {
                    streams: [STREAM_PORTS, &[53, 853]].concat(),
                    lite: every(&[REFUSED.0, REFUSED.1], &[PORT]),
                    ..usual(wide)
                },
            )?,
            start(
                &lan,
                "lan",
                &Ports {
                    groups: GROUPS_V4
                        .iter()
                        .filter(|(group, _)| group.is_multicast())
                        .map(|g| (g.0, 0))
                        .collect(),
                    ..usual(of_lan)
                },
            )?,
            start(&lan6, "lan6", &Ports { groups: vec![(GROUP_V6.0, near)], ..usual(of_lan6) })?,
            start(&tailnet, "tailnet", &usual(every(TAILNET, DATAGRAM_PORTS)))?,
            start(&meta, "meta", &usual(every(&[META], DATAGRAM_PORTS)))?,
            start(&router, "router", &usual(every(GATEWAY, DATAGRAM_PORTS)))?,
            start(
                &host,
                "host",
                &Ports {
                    streams: [STREAM_PORTS, &[SESSION_PORT]].concat(),
                    abstract_name: Some(abstract_name(&host)),
                    ..usual(of_host)
                },
            )?,
        ];
        let knocking = Knocking::start(&host, every(KNOCKED, &[KNOCK_PORT]), KNOCK)?;
        Ok(Self {
            _knocking: knocking,
            _far: far,
            heard,
            runs: AtomicU32::new(0),
            six,
            host,
            lan,
            _others: vec![router, wan, lan6, tailnet, meta],
        })
    }

    /// Where sessions run.
    #[must_use]
    pub fn host(&self) -> &Space {
        &self.host
    }

    /// The upstream resolver, for the system's configuration.
    #[must_use]
    pub fn resolver(&self) -> String {
        RESOLVER.0.to_string()
    }

    /// The name that a rule has to allow, and those that no rule allows with the public addresses that
    /// attacks aim at.
    #[must_use]
    pub fn rules() -> (Vec<String>, Vec<String>) {
        let allowed = [ALLOWED_NAME, REBINDING_NAME, ALIAS_NAME, INWARD_NAME];
        let mut refused = vec![format!("**.{REFUSED_NAME}"), REFUSED_NAME.to_owned(), SHARED_NAME.to_owned()];
        for (v4, v6) in [REFUSED, OTHER_RESOLVER, RESOLVER] {
            refused.extend([v4.to_string(), v6.to_string()]);
        }
        (allowed.map(str::to_owned).to_vec(), refused)
    }

    /// Port at which another session has to answer with [`Field::internal_token`], over both families and by
    /// datagrams.
    #[must_use]
    pub fn session_port(&self) -> u16 {
        SESSION_PORT
    }

    /// What answers from wherever no session may reach.
    #[must_use]
    pub fn internal_token(&self) -> &'static str {
        INTERNAL
    }

    /// Marks that arrived so far, and where.
    #[must_use]
    pub fn marks(&self) -> Marks {
        self.heard.marks()
    }

    /// Looks for marks in what another place received.
    pub fn heard_elsewhere(&self, place: &'static str, bytes: &[u8]) {
        self.heard.look(place, &[bytes, b"\n"].concat());
    }

    /// The facts for one run of the attacks.
    #[must_use]
    pub fn facts(&self, side: Side) -> Network {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let endpoint = |address: SocketAddr, token: &str| Endpoint { address, token: token.to_owned() };
        let internal = |addresses: &[IpAddr], ports: &[u16]| -> Vec<Endpoint> {
            let ports = |address: &IpAddr| {
                let address = *address;
                ports.iter().map(move |port| endpoint(SocketAddr::new(address, *port), INTERNAL))
            };
            addresses.iter().flat_map(ports).collect()
        };
        let site = |name: &str, (v4, v6): (IpAddr, IpAddr), token: &str| {
            let (v4, v6) = match (v4, v6) {
                (IpAddr::V4(v4), IpAddr::V6(v6)) => (Some(v4), Some(v6)),
                _ => (None, None),
            };
            Some(Site {
                name: name.to_owned(),
                v4,
                v6,
                port: PORT,
                token: token.to_owned(),
                own_port_only: false,
            })
        };
        let mut multicast: Vec<Endpoint> = GROUPS_V4
            .iter()
            .map(|(group, port)| endpoint(SocketAddr::new(*group, *port), INTERNAL))
            .collect();
        multicast.push(endpoint(scoped(GROUP_V6.0, GROUP_V6.1, self.six), INTERNAL));
        let mut metadata = internal(&[META], &[80]);
        metadata.extend(internal(METADATA_ELSEWHERE, &[80]));
        let relay = LOOPBACK.iter().map(|address| SocketAddr::new(*address, RELAY_PORT)).collect();
        let (resolvers, session) = match side {
            Side::Host => (vec![RESOLVER.0, RESOLVER.1], internal(LOOPBACK, &[SESSION_PORT])),
            Side::Session => (INSIDE_RESOLVERS.to_vec(), internal(SESSION, &[SESSION_PORT])),
        };
        Network {
            tag: heard::tag(run),
            resolvers,
            refused: site(REFUSED_NAME, REFUSED, REFUSED_TOKEN),
            allowed: site(ALLOWED_NAME, ALLOWED, ALLOWED_TOKEN),
            shared: site(SHARED_NAME, ALLOWED, ALLOWED_TOKEN),
            rebinding: site(REBINDING_NAME, INWARD, INTERNAL),
            alias: site(ALIAS_NAME, INWARD, INTERNAL),
            inward: site(INWARD_NAME, INWARD, INTERNAL),
            other_resolvers: [OTHER_RESOLVER.0, OTHER_RESOLVER.1]
                .map(|address| endpoint(SocketAddr::new(address, 53), RESOLVER_TOKEN))
                .to_vec(),
            echo: vec![REFUSED.0, REFUSED.1],
            nat64: Some(NAT64),
            six_to_four: true,
            internal: Internal {
                lan4: internal(&[LAN], &[80, 443, PORT]),
                lan6: internal(&[LAN6], &[80, 443, PORT]),
                link_local: vec![endpoint(scoped(LINK_LOCAL, PORT, self.six), INTERNAL)],
                unique_local: internal(&[INWARD.1], &[80, 443, PORT]),
                tailnet: internal(TAILNET, &[80, PORT]),
                metadata,
                metadata_name: site(METADATA_NAME, (META, METADATA_ELSEWHERE[0]), INTERNAL),
                gateway: internal(GATEWAY, &[80, PORT]),
                host: internal(HOST, &[80, 443, PORT]),
                host_loopback: internal(LOOPBACK, &[80, 443, PORT]),
                ends: internal(ENDS, &[PORT]),
                multicast,
                abstract_sockets: vec![(abstract_name(&self.host), INTERNAL.to_owned())],
                session,
            },
            inside: Inside {
                relay,
                knock_port: Some(KNOCK_PORT),
                knock_token: KNOCK.to_owned(),
                connections: Some(CONNECTIONS),
                other_namespace: Some(self.other_namespace().to_string_lossy().into_owned()),
            },
        }
    }

    fn other_namespace(&self) -> PathBuf {
        self.lan.path()
    }
}

fn abstract_name(host: &Space) -> String {
    format!("agentbox-field-{}", host.name())
}

/// Number of a device.
fn device(space: &Space, name: &str) -> Result<u32> {
    space
        .enter(|| {
            let socket =
                rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
            rustix::net::netdevice::name_to_index(&socket, name)
        })?
        .with_context(|| name.to_owned())
}

fn names() -> Names {
    let (allowed, inward) = (vec![ALLOWED.0, ALLOWED.1], vec![INWARD.0, INWARD.1]);
    let refused = vec![REFUSED.0, REFUSED.1];
    Names::new(
        [
            (REFUSED_NAME, Named::At(refused.clone())),
            (ALLOWED_NAME, Named::At(allowed.clone())),
            (SHARED_NAME, Named::At(allowed.clone())),
            (REBINDING_NAME, Named::InTurn(allowed, inward.clone())),
            (ALIAS_NAME, Named::Alias("inner.example.org", inward.clone())),
            ("inner.example.org", Named::At(inward.clone())),
            (INWARD_NAME, Named::At(inward)),
            (METADATA_NAME, Named::At(vec![META, METADATA_ELSEWHERE[0]])),
            // By this a network shows its prefix (RFC 7050).
            (
                "ipv4only.arpa",
                Named::At(vec![std::net::Ipv6Addr::from_bits(NAT64.to_bits() | 0xc000_00aa).into()]),
            ),
        ],
        refused,
        RESOLVER_TOKEN,
    )
}

fn scoped(address: IpAddr, port: u16, device: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) => SocketAddr::V6(std::net::SocketAddrV6::new(v6, port, 0, device)),
        IpAddr::V4(_) => SocketAddr::new(address, port),
    }
}
