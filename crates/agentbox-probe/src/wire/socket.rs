//! Sockets of kinds and with options for which the standard library has no words.

use super::PATIENCE;
use super::exchange::holds;
use crate::attack::{Answer, refused, succeeded};
use crate::errno::Errno;
use crate::sys::{call, owned};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// A socket by its three numbers.
pub(crate) fn open(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    owned(call!(libc::SYS_socket, family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol))
}

/// A socket of the family that an address needs.
pub(crate) fn open_for(to: SocketAddr, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    open(if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }, kind, protocol)
}

/// Sets an option.
pub(crate) fn set(socket: &OwnedFd, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
    call!(libc::SYS_setsockopt, socket.as_raw_fd(), level, option, value, value.len()).map(drop)
}

/// Sets an option whose value is a number.
pub(crate) fn set_number(socket: &OwnedFd, level: i32, option: i32, value: i32) -> Result<(), Errno> {
    set(socket, level, option, &value.to_ne_bytes())
}

/// An address as the kernel reads it (ip(7), ipv6(7)).
pub(crate) fn address_bytes(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => {
            [&(libc::AF_INET as u16).to_ne_bytes()[..], &port, &v4.ip().octets(), &[0; 8]].concat()
        }
        SocketAddr::V6(v6) => [
            &(libc::AF_INET6 as u16).to_ne_bytes()[..],
            &port,
            &v6.flowinfo().to_be_bytes(),
            &v6.ip().octets(),
            &v6.scope_id().to_ne_bytes(),
        ]
        .concat(),
    }
}

pub(crate) fn bind(socket: &OwnedFd, to: SocketAddr) -> Result<(), Errno> {
    let bytes = address_bytes(to);
    call!(libc::SYS_bind, socket.as_raw_fd(), bytes.as_slice(), bytes.len()).map(drop)
}

/// Connects and waits until that is done.
pub(crate) fn connect(socket: &OwnedFd, to: SocketAddr) -> Result<(), Errno> {
    let bytes = address_bytes(to);
    match call!(libc::SYS_connect, socket.as_raw_fd(), bytes.as_slice(), bytes.len()) {
        Ok(_) => Ok(()),
        Err(Errno(libc::EINPROGRESS)) => connected(socket),
        Err(error) => Err(error),
    }
}

/// Waits until a connection that was begun is there.
pub(crate) fn connected(socket: &OwnedFd) -> Result<(), Errno> {
    wait(socket, PollFlags::OUT, PATIENCE)?;
    let (mut value, mut length) = ([0_u8; 4], 4_u32.to_ne_bytes());
    call!(
        libc::SYS_getsockopt,
        socket.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_ERROR,
        value.as_mut_slice(),
        length.as_mut_slice()
    )?;
    match i32::from_ne_bytes(value) {
        0 => Ok(()),
        number => Err(Errno(number)),
    }
}

/// Sends to an address, or to where the socket is connected.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], flags: i32, to: Option<&[u8]>) -> Result<(), Errno> {
    let flags = flags | libc::MSG_NOSIGNAL;
    match to {
        Some(to) => call!(libc::SYS_sendto, socket.as_raw_fd(), bytes, bytes.len(), flags, to, to.len()),
        None => call!(libc::SYS_sendto, socket.as_raw_fd(), bytes, bytes.len(), flags, 0, 0),
    }
    .map(drop)
}

fn wait(socket: &OwnedFd, flags: PollFlags, limit: Duration) -> Result<(), Errno> {
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    match poll(&mut [PollFd::new(socket, flags)], Some(&limit))? {
        0 => Err(Errno(libc::ETIMEDOUT)),
        _ => Ok(()),
    }
}

/// Next bytes that come.
pub(crate) fn receive(socket: &OwnedFd, buffer: &mut [u8], until: Instant) -> Result<usize, Errno> {
    loop {
        wait(socket, PollFlags::IN, until.saturating_duration_since(Instant::now()))?;
        match rustix::net::recv(socket, &mut *buffer, rustix::net::RecvFlags::empty()) {
            Ok((length, _)) => return Ok(length),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for bytes with the token.
pub(crate) fn hear(socket: &OwnedFd, token: &str) -> Answer {
    let (until, mut heard, mut buffer) = (Instant::now() + PATIENCE, Vec::new(), [0; 4096]);
    loop {
        match receive(socket, &mut buffer, until) {
            Ok(0) => return refused("closed"),
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(error) => return refused(error),
        }
        if holds(&heard, token) {
            return succeeded("the far end answered");
        }
    }
}

/// Connects, sends and hears.
pub(crate) fn exchange(socket: &OwnedFd, to: SocketAddr, payload: &[u8], token: &str) -> Answer {
    match connect(socket, to).and_then(|()| send(socket, payload, 0, None)) {
        Ok(()) => hear(socket, token),
        Err(error) => refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn an_address_is_what_the_kernel_reads() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(far) = UdpSocket::bind(any) else { continue };
            let to = far.local_addr().unwrap();
            let near = open_for(to, libc::SOCK_DGRAM, 0).unwrap();
            send(&near, b"mark", 0, Some(&address_bytes(to))).unwrap();
            let mut buffer = [0; 16];
            let (length, from) = far.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"mark");
            far.send_to(b"a token", from).unwrap();
            assert_eq!(hear(&near, "token"), succeeded("the far end answered"));
        }
    }

    #[test]
    fn a_refused_connection_says_so() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = open_for(free, libc::SOCK_STREAM, 0).unwrap();
        assert_eq!(connect(&socket, free), Err(Errno(libc::ECONNREFUSED)));
    }
}
