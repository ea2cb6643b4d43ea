//! One exchange with a listener: bytes there, a token back. Only the token counts: something in between may
//! accept a connection, and hang up.

use super::PATIENCE;
use crate::attack::{Answer, refused, succeeded};
use crate::errno::Errno;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Most bytes of an answer that are looked at.
const LOOK_AT_BYTES: usize = 64 << 10;

/// What an error of the standard library is called in an answer.
pub(crate) fn error(error: &std::io::Error) -> Answer {
    match (error.raw_os_error(), error.kind()) {
        (None, ErrorKind::TimedOut) | (Some(libc::EAGAIN | libc::EINPROGRESS), _) => silent(),
        (None, kind) => refused(kind),
        (Some(number), _) => refused(Errno(number)),
    }
}

fn silent() -> Answer {
    refused(format!("silent for {} s", PATIENCE.as_secs()))
}

/// Connects, or says why not.
pub(crate) fn connect(to: SocketAddr) -> Result<TcpStream, Answer> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).map_err(|e| error(&e))?;
    let limits = stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
    limits.and(stream.set_nodelay(true)).map_err(|e| error(&e))?;
    Ok(stream)
}

/// Sends these pieces, each in a packet of its own, and hears whether the token comes back.
pub(crate) fn tcp(to: SocketAddr, pieces: &[&[u8]], token: &str) -> Answer {
    match connect(to) {
        Ok(mut stream) => talk(&mut stream, pieces, token, 1),
        Err(answer) => answer,
    }
}

/// The same on an open connection, with a token that has to come so many times.
pub(crate) fn talk(stream: &mut TcpStream, pieces: &[&[u8]], token: &str, times: usize) -> Answer {
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        // What was said before a refusal is heard below.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    hear(stream, token, times)
}

/// Reads until the token came often enough, the stream ends or the patience does.
pub(crate) fn hear(stream: &mut TcpStream, token: &str, times: usize) -> Answer {
    let until = Instant::now() + PATIENCE;
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break "closed".to_owned(),
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => break error(&e).detail,
        }
        if count(&heard, token) >= times {
            return succeeded("the far end answered");
        }
        if Instant::now() >= until || heard.len() > LOOK_AT_BYTES {
            break silent().detail;
        }
    };
    refused(describe(&heard).unwrap_or(end))
}

/// What a refusal says, when it says something.
fn describe(heard: &[u8]) -> Option<String> {
    match heard {
        [] => None,
        [0x15, _, _, _, _, _, alert, ..] => Some(format!("TLS alert {alert}")),
        [b'H', b'T', b'T', b'P', b'/', ..] => {
            let status = heard.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            Some(format!("HTTP {}", String::from_utf8_lossy(&status[..status.len().min(3)])))
        }
        _ => Some(format!("{} bytes of something else", heard.len())),
    }
}

fn count(heard: &[u8], token: &str) -> usize {
    if token.is_empty() {
        return 0;
    }
    heard.windows(token.len()).filter(|window| *window == token.as_bytes()).count()
}

/// Whether these bytes hold the token.
pub(crate) fn holds(heard: &[u8], token: &str) -> bool {
    count(heard, token) > 0
}

/// An unconnected UDP socket of the family, which may broadcast.
pub(crate) fn datagrams(to: SocketAddr) -> Result<UdpSocket, Answer> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).map_err(|e| error(&e))?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|e| error(&e))?;
    Ok(socket)
}

/// Sends a datagram and hears whether the token comes back from wherever.
pub(crate) fn udp(to: SocketAddr, payload: &[u8], token: &str) -> Answer {
    exchange_datagram(to, payload, |heard| holds(heard, token), false)
}

/// The same to a group or to everybody, from whom an answer comes from another address.
pub(crate) fn udp_to_many(to: SocketAddr, payload: &[u8], token: &str) -> Answer {
    exchange_datagram(to, payload, |heard| holds(heard, token), true)
}

/// Sends a datagram and returns the answers until one is liked.
pub(crate) fn exchange_datagram(
    to: SocketAddr,
    payload: &[u8],
    mut like: impl FnMut(&[u8]) -> bool,
    many: bool,
) -> Answer {
    let socket = match datagrams(to) {
        Ok(socket) => socket,
        Err(answer) => return answer,
    };
    // Connected, so that a refusal by ICMP is heard as an error.
    let sent = if many {
        socket.set_broadcast(true).and_then(|()| socket.send_to(payload, to))
    } else {
        socket.connect(to).and_then(|()| socket.send(payload))
    };
    if let Err(e) = sent {
        return error(&e);
    }
    let until = Instant::now() + PATIENCE;
    let mut buffer = [0; 4096];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) if like(&buffer[..length]) => return succeeded("the far end answered"),
            Ok(_) if Instant::now() < until => {}
            Ok(_) => return refused("something else answered"),
            Err(e) => return error(&e),
        }
    }
}

/// Tries all of them at once, since each that is silent takes the whole patience.
pub(crate) fn all_at_once<T: Send + Sync>(
    items: &[T],
    name: impl Fn(&T) -> String,
    attempt: impl Fn(&T) -> Answer + Sync,
) -> Answer {
    /// Threads at once: a session's limit of tasks is not what is attacked.
    const AT_ONCE: usize = 32;
    let mut tries = Vec::new();
    for chunk in items.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let running: Vec<_> = chunk.iter().map(|item| scope.spawn(|| attempt(item))).collect();
            for (item, one) in chunk.iter().zip(running) {
                tries.push((name(item), one.join().unwrap_or_else(|_| refused("ended without an answer"))));
            }
        });
    }
    crate::attack::any_of(tries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_probe::Outcome;
    use std::net::TcpListener;

    fn listener(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(answer);
        });
        address
    }

    #[test]
    fn only_the_token_is_a_success() {
        let try_it = |answer| tcp(listener(answer), &[b"mark"], "token");
        assert_eq!(try_it(b"xx token").outcome, Outcome::Succeeded);
        assert_eq!(try_it(b""), refused("closed"));
        assert_eq!(try_it(&[0x15, 3, 3, 0, 2, 2, 49]), refused("TLS alert 49"));
        assert_eq!(try_it(b"HTTP/1.1 403 Forbidden\r\n\r\n"), refused("HTTP 403"));
        assert_eq!(try_it(b"toke"), refused("4 bytes of something else"));
    }

    #[test]
    fn a_port_where_nobody_listens_refuses_at_once() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(tcp(free, &[b"x"], "token"), refused("ECONNREFUSED"));
        assert_eq!(udp(free, b"x", "token"), refused("ECONNREFUSED"));
    }

    #[test]
    fn a_token_that_has_to_come_twice_is_counted() {
        let twice = |answer, times| {
            let mut stream = connect(listener(answer)).unwrap();
            talk(&mut stream, &[b"mark"], "token", times).outcome
        };
        assert_eq!(twice(b"token token", 2), Outcome::Succeeded);
        assert_eq!(twice(b"token", 2), Outcome::Refused);
    }

    #[test]
    fn a_missing_token_is_found_nowhere() {
        assert!(!holds(b"anything", ""));
    }
}
