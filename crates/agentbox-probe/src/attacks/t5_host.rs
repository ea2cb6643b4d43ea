//! T5: the host by its names and sockets, other sessions, and the way from outside to a session.

use super::t5_ranges::{greet, send};
use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::trial::{Trial, Tried};
use crate::wire::exchange::{self, all_at_once, holds};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const LOOPBACK: &[&str] = &["network.internal.host_loopback"];
const SESSION: &[&str] = &["network.internal.session"];
const KNOCK: &[&str] = &["network.inside.knock_port"];

pub(super) const TABLE: &[Attack] = &[
    Attack::network(
        "t5.host-by-name",
        "reach a port of the host's loopback by a name of the host",
        LOOPBACK,
        by_name,
    ),
    Attack::network("t5.host-by-nothing", "reach it by addresses that mean this machine", LOOPBACK, |t| {
        let listeners = &t.network.internal.host_loopback;
        let places = ["0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "127.0.0.53", "127.127.127.127"];
        let places = places.iter().filter_map(|text| text.parse().ok());
        let all: Vec<_> = places
            .flat_map(|address| {
                listeners.iter().map(move |one| agentbox_probe::Endpoint {
                    address: SocketAddr::new(address, one.address.port()),
                    token: one.token.clone(),
                })
            })
            .collect();
        if all.is_empty() { Err(lacking("listener on the loopback")) } else { Ok(greet(t, &all)) }
    }),
    Attack::network(
        "t5.abstract-socket",
        "reach an abstract socket of the host",
        &["network.internal.abstract_sockets"],
        abstract_sockets,
    ),
    Attack::network("t5.session", "reach a listener of another session", SESSION, |t| {
        let list = &t.network.internal.session;
        if list.is_empty() { Err(lacking("another session")) } else { Ok(greet(t, list)) }
    }),
    Attack::network("t5.session-datagram", "send a datagram to another session", SESSION, |t| {
        let list = &t.network.internal.session;
        if list.is_empty() { Err(lacking("another session")) } else { Ok(send(t, list)) }
    }),
    Attack::network("t5.inbound", "be reached from outside at a port that is not published", KNOCK, inbound),
    Attack::network("t5.inbound-datagram", "be reached from outside by datagrams", KNOCK, inbound_datagram),
];

fn by_name(t: &Trial<'_>) -> Tried {
    let listeners = &t.network.internal.host_loopback;
    if listeners.is_empty() {
        return Err(lacking("listener on the loopback"));
    }
    let names = [
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "host",
        "host.agentbox.internal",
        "host.docker.internal",
        "host.containers.internal",
        "gateway.docker.internal",
        "_gateway",
        "_localdnsstub",
    ];
    let ways: Vec<_> = names.iter().flat_map(|name| listeners.iter().map(move |one| (*name, one))).collect();
    Ok(all_at_once(
        &ways,
        |(name, one)| format!("{name}:{}", one.address.port()),
        |(name, one)| {
            // By the C library, as programs do, and by the resolver.
            let port = one.address.port();
            let found = (*name, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
            let asked = t.resolve(name).into_iter().map(|address| SocketAddr::new(address, port));
            any_of(found.into_iter().chain(asked).map(|to| (to.to_string(), t.greet(to, name, &one.token))))
        },
    ))
}

fn abstract_sockets(t: &Trial<'_>) -> Tried {
    let sockets = &t.network.internal.abstract_sockets;
    if sockets.is_empty() {
        return Err(lacking("abstract socket"));
    }
    Ok(any_of(sockets.iter().map(|(name, token)| {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes());
        let answer = match address.and_then(|address| UnixStream::connect_addr(&address)) {
            Ok(stream) => hear_unix(t, stream, token),
            Err(error) => refused(Errno::from(error)),
        };
        (format!("@{name}"), answer)
    })))
}

fn hear_unix(t: &Trial<'_>, mut stream: UnixStream, token: &str) -> Answer {
    use std::io::Write;
    let mut heard = [0; 256];
    let limits = stream.set_read_timeout(Some(crate::wire::PATIENCE));
    match limits.and_then(|()| stream.write_all(&t.payload())).and_then(|()| stream.read(&mut heard)) {
        Ok(length) if holds(&heard[..length], token) => succeeded("the far end answered"),
        Ok(_) => refused("something else answered"),
        Err(error) => exchange::error(&error),
    }
}

/// How long to be there for somebody outside, who knocks twice a second.
const OPEN_FOR: Duration = Duration::from_secs(4);

fn port<'a>(t: &'a Trial<'_>) -> Result<(u16, &'a str), Answer> {
    let port = t.network.inside.knock_port.ok_or_else(|| lacking("port to be reached at"))?;
    Ok((port, &t.network.inside.knock_token))
}

fn inbound(t: &Trial<'_>) -> Tried {
    let (port, token) = port(t)?;
    let listen = |address| {
        let listener = TcpListener::bind(SocketAddr::new(address, port))?;
        listener.set_nonblocking(true).map(|()| listener)
    };
    let listeners: Vec<TcpListener> =
        everywhere().into_iter().filter_map(|address| listen(address).ok()).collect();
    if listeners.is_empty() {
        return Ok(judge(Err::<(), _>(Errno::last())));
    }
    let (until, mut came) = (Instant::now() + OPEN_FOR, 0);
    while Instant::now() < until {
        for (mut stream, _) in listeners.iter().filter_map(|listener| listener.accept().ok()) {
            came += 1;
            if brings(&mut stream, token) {
                return Ok(succeeded("somebody came"));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(refused(format!("{came} came without the token")))
}

fn brings(stream: &mut TcpStream, token: &str) -> bool {
    let mut heard = [0; 256];
    let limits =
        stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(Duration::from_secs(1))));
    limits.and_then(|()| stream.read(&mut heard)).is_ok_and(|length| holds(&heard[..length], token))
}

fn inbound_datagram(t: &Trial<'_>) -> Tried {
    let (port, token) = port(t)?;
    let open = |address| {
        let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
        socket.set_nonblocking(true).map(|()| socket)
    };
    let sockets: Vec<UdpSocket> = everywhere().into_iter().filter_map(|address| open(address).ok()).collect();
    if sockets.is_empty() {
        return Ok(judge(Err::<(), _>(Errno::last())));
    }
    let (until, mut heard) = (Instant::now() + OPEN_FOR, [0; 256]);
    while Instant::now() < until {
        for socket in &sockets {
            if socket.recv(&mut heard).is_ok_and(|length| holds(&heard[..length], token)) {
                return Ok(succeeded("somebody sent"));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(refused("nobody sent"))
}

/// All addresses of this machine. IPv6 first, which takes IPv4 as well.
fn everywhere() -> [std::net::IpAddr; 2] {
    [[0_u16; 8].into(), [0_u8; 4].into()]
}
