//! T7: socket families that reach parts of the kernel no agent needs.

use crate::attack::{Answer, Attack, any_of, judge};
use crate::sys::{call, owned};
use std::os::fd::OwnedFd;

const SOCK_DCCP: i32 = 6;
const SOCK_PACKET: i32 = 10;

pub(super) const TABLE: &[Attack] = &[
    Attack::new("t7.socket-packet", "see every packet (AF_PACKET)", |_| {
        socket(libc::AF_PACKET, libc::SOCK_RAW, 0)
    })
    .root(),
    Attack::new(
        "t7.socket-packet-old",
        "see every packet (SOCK_PACKET, which is AF_PACKET in disguise)",
        |_| {
            any_of([
                ("every protocol".to_owned(), socket(libc::AF_INET, SOCK_PACKET, 0x0300)),
                ("protocol 0".to_owned(), socket(libc::AF_INET, SOCK_PACKET, 0)),
            ])
        },
    )
    .root(),
    Attack::new("t7.socket-sctp-by-type", "reach SCTP without naming it, by the type of a socket", |_| {
        by_type(libc::SOCK_SEQPACKET)
    })
    .kernel("SCTP"),
    Attack::new("t7.socket-dccp-by-type", "reach DCCP without naming it, by the type of a socket", |_| {
        by_type(SOCK_DCCP)
    })
    .kernel("DCCP"),
    Attack::new("t7.socket-raw", "send raw packets", |_| {
        any_of([
            ("IPv4".to_owned(), socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
            ("IPv6".to_owned(), socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)),
        ])
    })
    .root(),
    Attack::new("t7.socket-vsock", "talk to the hypervisor (AF_VSOCK)", |_| {
        socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)
    })
    .kernel("vsock"),
    Attack::new("t7.socket-vsock-high-bits", "the same with high bits set in the family", |_| {
        let opened = owned(call!(libc::SYS_socket, 0x7fff_0001_0000_0028_i64, libc::SOCK_STREAM, 0));
        judge(opened)
    })
    .kernel("vsock"),
    Attack::new("t7.socket-crypto", "reach the kernel's ciphers (AF_ALG)", |_| {
        socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)
    })
    .kernel("AF_ALG"),
    Attack::new("t7.socket-xdp", "reach AF_XDP", |_| socket(libc::AF_XDP, libc::SOCK_RAW, 0))
        .root()
        .kernel("AF_XDP"),
    Attack::new("t7.socket-netlink", "reach netlink protocols other than routing", |_| netlink()),
    Attack::new("t7.socket-rare-families", "reach any other family", |_| rare()).root(),
];

fn open(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, crate::errno::Errno> {
    owned(call!(libc::SYS_socket, family, kind | libc::SOCK_CLOEXEC, protocol))
}

fn socket(family: i32, kind: i32, protocol: i32) -> Answer {
    judge(open(family, kind, protocol))
}

/// The kernel takes the one protocol that has sockets of this type, and loads its module.
fn by_type(kind: i32) -> Answer {
    any_of([
        ("IPv4".to_owned(), socket(libc::AF_INET, kind, 0)),
        ("IPv6".to_owned(), socket(libc::AF_INET6, kind, 0)),
    ])
}

fn netlink() -> Answer {
    any_of(
        (1..=22).map(|protocol| {
            (format!("protocol {protocol}"), socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol))
        }),
    )
}

fn rare() -> Answer {
    let known = [libc::AF_UNSPEC, libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let kinds = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET];
    any_of((0..=46).filter(|family| !known.contains(family)).flat_map(|family| {
        kinds.map(|kind| (format!("family {family} type {kind}"), socket(family, kind, 0)))
    }))
}
