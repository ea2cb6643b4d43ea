//! A place of the lab: a namespace whose every arriving packet is counted and whose connections are recorded.

use super::serving::{Serving, Sockets};
use super::space::Space;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Ports where places that are no web listen.
pub const PORTS: &[u16] = &[22, 80, 443, 5432, 8080];

/// A connection that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// To which address.
    pub to: IpAddr,
    /// To which port.
    pub port: u16,
    /// From where.
    pub from: IpAddr,
    /// What it said: first bytes, or the name in TLS, or requests.
    pub said: Vec<String>,
    /// How much it sent; counted when it ended where a web listens.
    pub bytes: u64,
}

/// Connections so far, in the order of their arrival.
pub(super) type Arrivals = Arc<Mutex<BTreeMap<u64, Arrival>>>;

/// A namespace that records what arrives.
#[derive(Debug)]
pub struct Place {
    space: Space,
    arrivals: Arrivals,
    _serving: Option<Serving>,
}

/// Counts before any other rule sees a packet. Neighbour discovery is how links work, not traffic.
const COUNTERS: &str = "
table inet ab_lab_seen {
  set v4 { type ipv4_addr . inet_proto; flags dynamic; size 65535; counter; }
  set v6 { type ipv6_addr . inet_proto; flags dynamic; size 65535; counter; }
  chain arriving { type filter hook prerouting priority -350; policy accept;
    update @v4 { ip daddr . meta l4proto counter }
    icmpv6 type { 130, 131, 132, 133, 134, 135, 136, 137, 143 } accept
    update @v6 { ip6 daddr . meta l4proto counter }
  }
}";

impl Place {
    pub(super) fn new(space: Space) -> Result<Self> {
        space.nft(COUNTERS)?;
        Ok(Self { space, arrivals: Arrivals::default(), _serving: None })
    }

    /// Listens on the usual ports of all addresses, answers HTTP with its own name, and echoes elsewhere.
    pub(super) fn listen(mut self, says: &'static str) -> Result<Self> {
        let listeners = self.space.enter(|| -> Result<Vec<TcpListener>> {
            let mut listeners = Vec::new();
            for port in PORTS {
                // Both families apart: one of them may not be there.
                let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port));
                match v6_listener(*port) {
                    Ok(v6) => {
                        listeners.push(v6);
                        listeners.extend(v4.ok());
                    }
                    Err(_) => listeners.push(v4.with_context(|| format!("port {port}"))?),
                }
            }
            Ok(listeners)
        })??;
        let arrivals = Arc::clone(&self.arrivals);
        let serve = move |stream: TcpStream| {
            // A connection that is broken already has still arrived: the counters tell.
            let _ = answer(stream, &arrivals, says);
        };
        self._serving =
            Some(Serving::start(Sockets { streams: listeners, datagrams: vec![] }, serve, |_, _, _| {})?);
        Ok(self)
    }

    pub(super) fn arrivals_handle(&self) -> Arrivals {
        Arc::clone(&self.arrivals)
    }

    /// Its namespace.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Every connection that arrived so far.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Connections that arrived at this address.
    #[must_use]
    pub fn arrived(&self, to: IpAddr) -> Vec<Arrival> {
        self.arrivals().into_iter().filter(|arrival| arrival.to == to).collect()
    }

    /// Whether any connection named this in TLS or HTTP.
    #[must_use]
    pub fn heard_of(&self, name: &str) -> bool {
        self.arrivals().iter().any(|arrival| arrival.said.iter().any(|said| said.contains(name)))
    }

    /// How many packets arrived, by address. The kernel counts, whether anything listens or not.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn packets(&self) -> Result<BTreeMap<IpAddr, u64>> {
        let mut seen = BTreeMap::new();
        for set in ["v4", "v6"] {
            let said = self.space.nft_list(&["set", "inet", "ab_lab_seen", set])?;
            let sets = said["nftables"].as_array().context("no list")?;
            for element in sets.iter().filter_map(|one| one["set"]["elem"].as_array()).flatten() {
                let element = &element["elem"];
                let address = element["val"]["concat"][0].as_str().context("no address")?.parse()?;
                let count = element["counter"]["packets"].as_u64().context("no count")?;
                *seen.entry(address).or_default() += count;
            }
        }
        Ok(seen)
    }

    /// How many packets arrived at this address.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn packets_to(&self, to: IpAddr) -> Result<u64> {
        Ok(self.packets()?.get(&to).copied().unwrap_or(0))
    }
}

/// A listener for IPv6 only, so that the one for IPv4 can have the same port.
fn v6_listener(port: u16) -> Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let listener = socket(AddressFamily::INET6, SocketType::STREAM, None)?;
    sockopt::set_ipv6_v6only(&listener, true)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    bind(&listener, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    listen(&listener, 1024)?;
    Ok(TcpListener::from(listener))
}

fn answer(mut stream: TcpStream, arrivals: &Arrivals, says: &str) -> Result<()> {
    let (to, from) = (stream.local_addr()?, stream.peer_addr()?);
    let arrival = Arrival {
        to: to.ip().to_canonical(),
        port: to.port(),
        from: from.ip().to_canonical(),
        said: vec![],
        bytes: 0,
    };
    let number = {
        let mut all = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.len() as u64;
        all.insert(number, arrival);
        number
    };
    let mut bytes = [0; 4096];
    loop {
        let length = stream.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        let first = String::from_utf8_lossy(&bytes[..length.min(200)]).into_owned();
        if let Some(arrival) = arrivals.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&number) {
            arrival.bytes += length as u64;
            arrival.said.push(first.clone());
        }
        if first.contains(" HTTP/1.") {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{says}\n", says.len() + 1)?;
            return Ok(());
        }
        stream.write_all(&bytes[..length])?;
    }
}
