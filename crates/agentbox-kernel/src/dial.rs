//! Sockets that the supervisor makes for gates: each is connected to one address and belongs to the gate's
//! id, which is what the host's table matches.

use crate::firewall::Flow;
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{getegid, geteuid};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Connections that may wait on a published port.
const BACKLOG: i32 = 128;

/// A socket that is being connected: it becomes writable, and `SO_ERROR` says how that went.
///
/// # Errors
/// When it cannot even be tried: no route, a refusal of the firewall.
pub fn tcp(uid: u32, to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = owned_by(uid, to, SocketType::STREAM)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// A socket for datagrams to one address.
///
/// # Errors
/// When there is no route.
pub fn udp(uid: u32, to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = owned_by(uid, to, SocketType::DGRAM)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket)
}

fn owned_by(uid: u32, to: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // nftables takes a socket to be whose file it is, and that is who made it (meta skuid in nft(8)).
    sys::set_file_ids(uid, uid)?;
    let socket = rustix::net::socket_with(family, kind, flags, None);
    sys::set_file_ids(geteuid().as_raw(), getegid().as_raw())?;
    let socket = socket?;
    // And routing takes it to be whose inode it is (FRA_UID_RANGE in rtnetlink(7)).
    rustix::fs::fchown(&socket, Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)))?;
    Ok(socket)
}

/// The two ends of a socket.
///
/// # Errors
/// When it is not connected.
pub fn flow(socket: impl AsFd, to: SocketAddr, datagrams: bool) -> io::Result<Flow> {
    let from = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
    Ok(Flow { from, to, datagrams })
}

/// Listens on the loopback of this host, both families where there are both.
///
/// # Errors
/// When the port is taken.
pub fn listen_loopback(port: u16) -> io::Result<Vec<OwnedFd>> {
    let listen = |address: IpAddr| -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &SocketAddr::new(address, port))?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    };
    let v4 = listen(Ipv4Addr::LOCALHOST.into());
    let v6 = listen(Ipv6Addr::LOCALHOST.into());
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok(vec![v4, v6]),
        // A host without that family.
        (Ok(one), Err(error)) | (Err(error), Ok(one)) if error.kind() != io::ErrorKind::AddrInUse => {
            Ok(vec![one])
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}
