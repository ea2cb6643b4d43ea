//! Ends of connections on this machine that no session may reach: on its loopback, on its own address, in the abstract
//! namespace. Each answers whatever comes with a token and remembers it. Nothing leaves this machine.

use crate::Error;
use agentbox_probe::{Endpoint, Network, Site};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Most bytes that are remembered of all that came.
const MOST_BYTES: usize = 4 << 20;
/// Longest that one connection is listened to.
const PATIENCE: Duration = Duration::from_secs(3);

/// They listen as long as this process lives.
#[derive(Debug)]
pub(crate) struct Listeners {
    came: Arc<Mutex<Vec<u8>>>,
    /// Where they are, in the probe's words.
    pub(crate) network: Network,
}

impl Listeners {
    /// Starts them.
    pub(crate) fn start(tag: &str) -> Result<Self, Error> {
        let came = Arc::new(Mutex::new(Vec::new()));
        let token = format!("token-{tag}");
        let mut network = Network { tag: tag.to_owned(), ..Network::default() };
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            network.internal.host_loopback.extend(listen(address, 0, &token, &came));
        }
        let own = [own_address("192.0.2.1:9"), own_address("[2001:db8::1]:9")];
        let mut site = Site {
            // A name that nobody has (RFC 6761); what is tried on it is tried by its addresses.
            name: "verify.agentbox.invalid".to_owned(),
            token: token.clone(),
            own_port_only: true,
            ..Site::default()
        };
        for address in own.into_iter().flatten() {
            let Some(end) = listen(address, site.port, &token, &came) else { continue };
            // One number stands for both addresses.
            site.port = end.address.port();
            match address {
                IpAddr::V4(four) => site.v4 = Some(four),
                IpAddr::V6(six) => site.v6 = Some(six),
            }
            network.internal.host.push(end);
        }
        network.refused = (site.port != 0).then_some(site);
        network.internal.abstract_sockets.extend(in_abstract(tag, &token, &came));
        Ok(Self { came, network })
    }

    /// Whether this came to one of them.
    pub(crate) fn heard(&self, mark: &str) -> bool {
        let came = self.came.lock().map(|came| came.clone()).unwrap_or_default();
        let ends_there = |at: usize| {
            let next = came.get(at + mark.len()).copied().unwrap_or(0);
            !(next.is_ascii_alphanumeric() || next == b'-')
        };
        came.windows(mark.len()).enumerate().any(|(at, bytes)| bytes == mark.as_bytes() && ends_there(at))
    }
}

/// The address by which this machine would send there. No packet is sent: a datagram socket only notes its peer.
fn own_address(elsewhere: &str) -> Option<IpAddr> {
    let elsewhere: SocketAddr = elsewhere.parse().ok()?;
    let any: IpAddr =
        if elsewhere.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(elsewhere).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

/// TCP and UDP on one port, or on one that is free for both.
fn listen(address: IpAddr, port: u16, token: &str, came: &Arc<Mutex<Vec<u8>>>) -> Option<Endpoint> {
    let (streams, datagrams) = (0..16).find_map(|_| {
        let streams = TcpListener::bind((address, port)).ok()?;
        let datagrams = UdpSocket::bind(streams.local_addr().ok()?).ok()?;
        Some((streams, datagrams))
    })?;
    let at = streams.local_addr().ok()?;
    let (said, to) = (token.as_bytes().to_vec(), Arc::clone(came));
    std::thread::spawn(move || {
        for stream in streams.incoming().flatten() {
            let (said, to) = (said.clone(), Arc::clone(&to));
            // Each for itself, so that one that says nothing keeps nobody waiting.
            std::thread::spawn(move || {
                let limits = |stream: &TcpStream| stream.set_read_timeout(Some(PATIENCE));
                if limits(&stream).is_ok() {
                    answer(stream, &said, &to);
                }
            });
        }
    });
    let (said, to) = (token.as_bytes().to_vec(), Arc::clone(came));
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((length, from)) = datagrams.recv_from(&mut bytes) {
            remember(&to, &bytes[..length]);
            let _who_asked_may_be_gone = datagrams.send_to(&said, from);
        }
    });
    Some(Endpoint { address: at, token: token.to_owned() })
}

fn in_abstract(tag: &str, token: &str, came: &Arc<Mutex<Vec<u8>>>) -> Option<(String, String)> {
    let name = format!("agentbox-verify-{tag}");
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).ok()?;
    let listener = UnixListener::bind_addr(&address).ok()?;
    let (said, to) = (token.as_bytes().to_vec(), Arc::clone(came));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if stream.set_read_timeout(Some(PATIENCE)).is_ok() {
                answer(stream, &said, &to);
            }
        }
    });
    Some((name, token.to_owned()))
}

fn answer(mut stream: impl Read + Write, said: &[u8], came: &Arc<Mutex<Vec<u8>>>) {
    let (mut bytes, mut answered) = ([0; 4096], false);
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        remember(came, &bytes[..length]);
        if !answered {
            answered = true;
            let _who_asked_may_be_gone = stream.write_all(said);
        }
    }
}

fn remember(came: &Arc<Mutex<Vec<u8>>>, bytes: &[u8]) {
    if let Ok(mut came) = came.lock()
        && came.len() + bytes.len() < MOST_BYTES
    {
        came.extend_from_slice(bytes);
        came.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_answered_and_remembered_whole() {
        let listeners = Listeners::start("vtest1").unwrap();
        let end = &listeners.network.internal.host_loopback[0];
        let mut stream = TcpStream::connect(end.address).unwrap();
        stream.write_all(b"x vtest1-t5-host-address\n").unwrap();
        let mut token = vec![0; end.token.len()];
        stream.read_exact(&mut token).unwrap();
        assert_eq!(token, end.token.as_bytes());
        assert!(listeners.heard("vtest1-t5-host-address"));
        // The beginning of another's mark is not one's own.
        assert!(!listeners.heard("vtest1-t5-host"));
        assert!(!listeners.heard("vtest1-t5-lan4"));
    }
}
