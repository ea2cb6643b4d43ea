//! The network namespace of a session: a loopback interface, its addresses and routes, and a table that
//! leads every connection to the gate.
//!
//! It belongs to the host's user namespace, so nobody inside has a right over it. Sockets that are made here
//! stay in it wherever they are handed to.

use crate::netlink::{Message, ROUTE, Socket};
use crate::nft::{self, NftError, equals, field, meta, prefix};
use crate::sys;
use agentbox_plan::gate::{DNS_V4, DNS_V6, RELAY_PORT};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const TABLE: &str = "ab_session";
const DNS_PORT: u16 = 53;
/// Connections that may wait to be accepted. A burst of them is as much as a browser makes.
const BACKLOG: i32 = 1024;
/// The loopback interface is the first of every namespace.
const LOOPBACK: u32 = 1;

/// Why there is no network namespace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetnsError {
    /// A call failed.
    #[error("cannot {doing}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The table.
    #[error(transparent)]
    Table(#[from] NftError),
    /// A thread of this process ended in the middle.
    #[error("a thread ended unexpectedly")]
    Thread,
}

fn failed<E: Into<io::Error>>(doing: &'static str) -> impl Fn(E) -> NetnsError {
    move |error| NetnsError::Io { doing, cause: error.into() }
}

/// A namespace that is ready for a session.
#[derive(Debug)]
pub struct Prepared {
    /// The namespace.
    pub namespace: OwnedFd,
    /// Whether it has IPv6.
    pub ipv6: bool,
}

/// Sockets that listen inside.
#[derive(Debug)]
pub struct Sockets {
    /// Questions for names, by datagrams.
    pub dns_udp_v4: OwnedFd,
    /// The same for IPv6.
    pub dns_udp_v6: Option<OwnedFd>,
    /// Questions for names, by streams.
    pub dns_tcp_v4: OwnedFd,
    /// The same for IPv6.
    pub dns_tcp_v6: Option<OwnedFd>,
    /// Connections that were redirected.
    pub relay_v4: OwnedFd,
    /// The same for IPv6.
    pub relay_v6: Option<OwnedFd>,
}

/// Makes a namespace, in which every address leads to the gate: a refusal is in its words and in the trail.
///
/// # Errors
/// [`NetnsError`] when any part of it cannot be made; nothing is left then.
pub fn prepare() -> Result<Prepared, NetnsError> {
    on_thread(|| {
        sys::new_network_namespace().map_err(failed("make a network namespace"))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())
            .map_err(failed("open the network namespace"))?;
        bring_up().map_err(failed("bring the loopback interface up"))?;
        let ipv6 = has_ipv6() && crate::failpoint::in_force("netns-ipv6");
        configure(ipv6).map_err(failed("set up the loopback interface"))?;
        nft::apply(table(ipv6))?;
        Ok(Prepared { namespace, ipv6 })
    })
}

/// Makes the gate's sockets.
///
/// # Errors
/// [`NetnsError`] when one of them cannot be made.
pub fn sockets(namespace: BorrowedFd<'_>, ipv6: bool) -> Result<Sockets, NetnsError> {
    inside(namespace, || {
        let both = |kind: SocketType, v4: IpAddr, v6: IpAddr, port: u16| -> Result<_, NetnsError> {
            let v6 = ipv6.then(|| listening(kind, SocketAddr::new(v6, port))).transpose()?;
            Ok((listening(kind, SocketAddr::new(v4, port))?, v6))
        };
        let (dns_v4, dns_v6) = (IpAddr::V4(DNS_V4), IpAddr::V6(DNS_V6));
        let (dns_udp_v4, dns_udp_v6) = both(SocketType::DGRAM, dns_v4, dns_v6, DNS_PORT)?;
        let (dns_tcp_v4, dns_tcp_v6) = both(SocketType::STREAM, dns_v4, dns_v6, DNS_PORT)?;
        let (relay_v4, relay_v6) = both(
            SocketType::STREAM,
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            RELAY_PORT,
        )?;
        Ok(Sockets { dns_udp_v4, dns_udp_v6, dns_tcp_v4, dns_tcp_v6, relay_v4, relay_v6 })
    })
}

/// A socket that is being connected to a port on the loopback inside; IPv6 when nobody listens on IPv4. It becomes
/// writable, and `SO_ERROR` says how that went: a server that does not accept leaves it waiting, and not the caller.
///
/// # Errors
/// [`NetnsError`] when nobody listens there.
pub fn connect_inside(namespace: BorrowedFd<'_>, port: u16) -> Result<OwnedFd, NetnsError> {
    inside(namespace, || {
        let connect = |address: IpAddr| {
            let socket = new_socket(SocketType::STREAM, address)?;
            rustix::io::ioctl_fionbio(&socket, true)?;
            match rustix::net::connect(&socket, &SocketAddr::new(address, port)) {
                // Over the loopback a refusal is there when the call returns, as an error of the socket.
                Ok(()) | Err(Errno::INPROGRESS) => sockopt::socket_error(&socket)??,
                Err(errno) => return Err(errno),
            }
            Ok::<_, Errno>(socket)
        };
        connect(Ipv4Addr::LOCALHOST.into())
            .or_else(|_| connect(Ipv6Addr::LOCALHOST.into()))
            .map_err(failed("connect to the port inside"))
    })
}

/// The namespace of a process.
///
/// # Errors
/// [`NetnsError`] when there is no such process.
pub fn of_process(pid: u32) -> Result<OwnedFd, NetnsError> {
    let path = format!("/proc/{pid}/ns/net");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open a process's network namespace"))
}

/// Runs something on a thread of its own, which ends with it: namespaces belong to threads.
fn on_thread<T: Send>(work: impl FnOnce() -> Result<T, NetnsError> + Send) -> Result<T, NetnsError> {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or(Err(NetnsError::Thread)))
}

fn inside<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> Result<T, NetnsError> + Send,
) -> Result<T, NetnsError> {
    on_thread(|| {
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))
            .map_err(failed("enter the network namespace"))?;
        work()
    })
}

fn new_socket(kind: SocketType, address: IpAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)
}

fn listening(kind: SocketType, address: SocketAddr) -> Result<OwnedFd, NetnsError> {
    let doing = failed::<Errno>("make a socket of the gate");
    let socket = new_socket(kind, address.ip()).map_err(&doing)?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(&doing)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).map_err(&doing)?;
    }
    sys::free_bind(socket.as_fd()).map_err(failed("make a socket of the gate"))?;
    rustix::net::bind(&socket, &address).map_err(&doing)?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG).map_err(&doing)?;
    }
    Ok(socket)
}

/// From here on it has the addresses of its loopback network.
fn bring_up() -> io::Result<()> {
    let mut message = Message::default();
    // struct ifinfomsg: family, padding, type, index, flags, mask of flags.
    let mut link = vec![0; 4];
    link.extend(LOOPBACK.to_ne_bytes());
    link.extend((libc::IFF_UP as u32).to_ne_bytes());
    link.extend((libc::IFF_UP as u32).to_ne_bytes());
    message.begin(libc::RTM_NEWLINK, libc::NLM_F_ACK as u16, &link).end();
    Socket::open(ROUTE)?.request(&message)
}

/// Whether this namespace, whose loopback interface is up, has IPv6. The file of /proc/sys that says the same has
/// one entry for each namespace, through all of which the kernel looks for this one's.
fn has_ipv6() -> bool {
    let loopback = IpAddr::from(Ipv6Addr::LOCALHOST);
    new_socket(SocketType::DGRAM, loopback)
        .and_then(|socket| rustix::net::bind(&socket, &SocketAddr::new(loopback, 0)))
        .is_ok()
}

/// Addresses and routes (rtnetlink(7)). Addresses that are not of the loopback network make name lookups
/// ask for both families (AI_ADDRCONFIG of getaddrinfo(3)).
fn configure(ipv6: bool) -> io::Result<()> {
    let mut message = Message::default();
    let create = (libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
    let mut family = |dns: IpAddr, any: IpAddr| {
        address(&mut message, create, dns);
        route(&mut message, create, any);
    };
    family(DNS_V4.into(), Ipv4Addr::UNSPECIFIED.into());
    if ipv6 {
        family(DNS_V6.into(), Ipv6Addr::UNSPECIFIED.into());
    }
    Socket::open(ROUTE)?.request(&message)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

fn address(message: &mut Message, flags: u16, address: IpAddr) {
    let length = if address.is_ipv4() { 32 } else { 128 };
    // struct ifaddrmsg: family, length, flags, scope, interface. Nobody else has the address: not looked for.
    let mut fixed = vec![family(address), length, libc::IFA_F_NODAD as u8, 0];
    fixed.extend(LOOPBACK.to_ne_bytes());
    message.begin(libc::RTM_NEWADDR, flags, &fixed);
    message.put(libc::IFA_LOCAL, &octets(address)).put(libc::IFA_ADDRESS, &octets(address)).end();
}

/// To all addresses of a family.
fn route(message: &mut Message, flags: u16, any: IpAddr) {
    // struct rtmsg: family, length, source length, type of service, table, protocol, scope, type, flags.
    let mut fixed = vec![family(any), 0, 0, 0];
    fixed.extend([libc::RT_TABLE_LOCAL, libc::RTPROT_STATIC, libc::RT_SCOPE_HOST, libc::RTN_LOCAL]);
    fixed.extend([0; 4]);
    message.begin(libc::RTM_NEWROUTE, flags, &fixed);
    message.put(libc::RTA_OIF, &LOOPBACK.to_ne_bytes()).end();
}

/// The table: connections to anywhere but the loopback and the resolver go to the gate. Whatever is not a
/// connection ends at this host's own closed ports, and is refused at once.
fn table(ipv6: bool) -> Vec<Value> {
    // In a new namespace there is nothing to replace. Where a transaction takes something away, nft waits at its end until the
    // kernel has forgotten it, which is longer than all the rest of a start.
    let mut commands = vec![nft::add("inet", TABLE)];
    if !crate::failpoint::in_force("netns-table") {
        return commands;
    }
    // What is not redirected needs no tracking: a datagram to each of very many addresses would be an entry each, in
    // memory of the kernel that counts for nobody. Its way back over the loopback remembers this.
    commands.push(json!({ "add": { "chain": {
        "family": "inet", "table": TABLE, "name": "ab_untracked", "type": "filter", "hook": "output", "prio": -300,
        "policy": "accept",
    } } }));
    commands.push(json!({ "add": { "rule": {
        "family": "inet", "table": TABLE, "chain": "ab_untracked", "expr": [
            { "match": { "op": "!=", "left": meta("l4proto"), "right": "tcp" } }, { "notrack": null },
        ],
    } } }));
    commands.push(json!({ "add": { "chain": {
        "family": "inet", "table": TABLE, "name": "ab_redirect", "type": "nat", "hook": "output", "prio": -100,
        "policy": "accept",
    } } }));
    let mut rule = |expressions: Vec<Value>| {
        commands.push(json!({ "add": { "rule": {
            "family": "inet", "table": TABLE, "chain": "ab_redirect", "expr": expressions,
        } } }));
    };
    let redirect = json!({ "redirect": { "port": RELAY_PORT } });
    rule(vec![equals(field("ip", "daddr"), prefix("127.0.0.0", 8)), json!({ "return": null })]);
    rule(vec![equals(field("ip", "daddr"), json!(DNS_V4.to_string())), json!({ "return": null })]);
    if ipv6 {
        rule(vec![equals(field("ip6", "daddr"), json!("::1")), json!({ "return": null })]);
        rule(vec![equals(field("ip6", "daddr"), json!(DNS_V6.to_string())), json!({ "return": null })]);
    }
    rule(vec![equals(meta("l4proto"), json!("tcp")), redirect]);
    commands
}
