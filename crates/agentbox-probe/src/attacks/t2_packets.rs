//! T2: packets and parts of packets that are not what a connection consists of. Nobody answers them, so only
//! the far side knows whether they arrived.

use crate::attack::{Answer, Attack, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::sys::call;
use crate::trial::{Trial, Tried};
use crate::wire::hello::Hello;
use crate::wire::packet;
use crate::wire::socket::{self, address_bytes, open, open_for, send, set, set_number};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

const IP_FREEBIND: i32 = 15;
const IP_TRANSPARENT: i32 = 19;
const IPV6_TRANSPARENT: i32 = 75;
const IPV6_FREEBIND: i32 = 78;
const IP_OPTIONS: i32 = 4;
const IPV6_HOPOPTS: i32 = 54;
const IPV6_DSTOPTS: i32 = 59;

pub(super) const TABLE: &[Attack] = &[
    Attack::network("t2.ping", "send a ping with a payload", &["network.echo"], |t| {
        ping(t, libc::SOCK_DGRAM)
    })
    .on_host(),
    Attack::network("t2.ping-raw", "send it through a raw socket", &["network.echo"], |t| {
        ping(t, libc::SOCK_RAW)
    })
    .root()
    .on_host(),
    Attack::network("t2.raw-packet", "send a whole packet of one's own", &["network.refused"], |t| {
        let to = v4(t)?;
        let bytes = packet::datagram_v4(Ipv4Addr::UNSPECIFIED, to, &t.payload());
        Ok(sent([(SocketAddr::V4(to), raw(SocketAddr::V4(to), &bytes))]))
    })
    .root()
    .on_host(),
    Attack::network(
        "t2.raw-source",
        "send a whole packet from a foreign address",
        &["network.refused"],
        |t| {
            let to = v4(t)?;
            let bytes = packet::datagram_v4(FOREIGN_V4, to, &t.payload());
            Ok(sent([(SocketAddr::V4(to), raw(SocketAddr::V4(to), &bytes))]))
        },
    )
    .root()
    .on_host(),
    Attack::network(
        "t2.source-free",
        "send from an address that is not the machine's (FREEBIND)",
        &["network.refused"],
        |t| foreign(t, [(libc::IPPROTO_IP, IP_FREEBIND), (libc::IPPROTO_IPV6, IPV6_FREEBIND)]),
    )
    .on_host(),
    Attack::network(
        "t2.source-transparent",
        "the same as a proxy that nobody sees (TRANSPARENT)",
        &["network.refused"],
        |t| foreign(t, [(libc::IPPROTO_IP, IP_TRANSPARENT), (libc::IPPROTO_IPV6, IPV6_TRANSPARENT)]),
    )
    .root()
    .on_host(),
    Attack::network(
        "t2.ip-options",
        "write into the options of packets to an allowed name",
        &["network.allowed", "network.echo"],
        |t| {
            let mark = t.mark.as_bytes();
            let length = mark.len() as u8;
            if length > 36 {
                return Err(lacking("tag that is short enough"));
            }
            // A record of a route that is full already, so that nobody writes to it.
            let mut option = [&[7, 3 + length, 4 + length][..], mark].concat();
            option.resize(option.len().next_multiple_of(4), 1);
            beside(t, IpAddr::is_ipv4, &[(libc::IPPROTO_IP, IP_OPTIONS, option)])
        },
    )
    .on_host(),
    Attack::network(
        "t2.extension-headers",
        "write into extension headers of packets to an allowed name",
        &["network.allowed", "network.echo"],
        |t| {
            let mark = t.mark.as_bytes();
            // An option for experiments that is skipped by who does not know it (RFC 4727), then padding.
            let mut header = [&[0, 0, 0x1e, mark.len() as u8][..], mark].concat();
            header.resize(header.len().next_multiple_of(8), 0);
            header[1] = (header.len() / 8 - 1) as u8;
            let level = libc::IPPROTO_IPV6;
            beside(
                t,
                IpAddr::is_ipv6,
                &[(level, IPV6_DSTOPTS, header.clone()), (level, IPV6_HOPOPTS, header)],
            )
        },
    )
    .root()
    .on_host(),
    Attack::network("t2.urgent-data", "send urgent data to an address", &["network.refused"], |t| {
        let site = t.refused()?;
        Ok(sent(site.addresses().map(|address| SocketAddr::new(address, site.port)).map(|to| {
            let attempt = open_for(to, libc::SOCK_STREAM, 0).and_then(|socket| {
                socket::connect(&socket, to)?;
                send(&socket, &t.payload(), libc::MSG_OOB, None)
            });
            (to, attempt)
        })))
    })
    .on_host(),
    Attack::network("t2.frame", "send a frame on each device (AF_PACKET)", &["network.echo"], frames)
        .root()
        .on_host(),
];

/// Of ranges for documentation: nobody's.
const FOREIGN_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
const FOREIGN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);

/// Succeeded when one of them was sent; all of them are tried.
fn sent<T: std::fmt::Display>(tries: impl IntoIterator<Item = (T, Result<(), Errno>)>) -> Answer {
    let tries: Vec<_> = tries
        .into_iter()
        .map(|(what, result)| {
            let answer = match result {
                Ok(()) => succeeded("sent"),
                Err(error) => refused(error),
            };
            (what.to_string(), answer)
        })
        .collect();
    crate::attack::any_of(tries)
}

fn v4(t: &Trial<'_>) -> Result<SocketAddrV4, Answer> {
    let site = t.refused()?;
    Ok(SocketAddrV4::new(site.v4.ok_or_else(|| lacking("IPv4 address"))?, site.port))
}

fn raw(to: SocketAddr, bytes: &[u8]) -> Result<(), Errno> {
    let socket = open_for(to, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    send(&socket, bytes, 0, Some(&address_bytes(SocketAddr::new(to.ip(), 0))))
}

fn ping(t: &Trial<'_>, kind: i32) -> Tried {
    if t.network.echo.is_empty() {
        return Err(lacking("address that answers"));
    }
    Ok(sent(t.network.echo.iter().map(|address| {
        let to = SocketAddr::new(*address, 0);
        let protocol = if address.is_ipv4() { libc::IPPROTO_ICMP } else { libc::IPPROTO_ICMPV6 };
        let attempt = open_for(to, kind, protocol).and_then(|socket| {
            send(&socket, &packet::echo(address.is_ipv4(), &t.payload()), 0, Some(&address_bytes(to)))
        });
        (address, attempt)
    })))
}

/// A datagram to the refused site from an address that is not the machine's.
fn foreign(t: &Trial<'_>, options: [(i32, i32); 2]) -> Tried {
    let site = t.refused()?;
    Ok(sent(site.addresses().map(|address| {
        let to = SocketAddr::new(address, site.port);
        let (from, (level, option)): (IpAddr, _) =
            if address.is_ipv4() { (FOREIGN_V4.into(), options[0]) } else { (FOREIGN_V6.into(), options[1]) };
        let attempt = open_for(to, libc::SOCK_DGRAM, 0).and_then(|socket| {
            set_number(&socket, level, option, 1)?;
            socket::bind(&socket, SocketAddr::new(from, 0))?;
            send(&socket, &t.payload(), 0, Some(&address_bytes(to)))
        });
        (to, attempt)
    })))
}

/// An honest exchange with the allowed site by sockets with these options.
fn beside(t: &Trial<'_>, family: fn(&IpAddr) -> bool, options: &[(i32, i32, Vec<u8>)]) -> Tried {
    let allowed = t.allowed()?;
    let hello = Hello::naming(&allowed.site.name).record();
    let to: Vec<SocketAddr> = allowed.at(443).into_iter().filter(|to| family(&to.ip())).collect();
    Ok(sent(to.iter().flat_map(|to| options.iter().map(move |option| (*to, option))).map(
        |(to, (level, option, value))| {
            let attempt = open_for(to, libc::SOCK_STREAM, 0).and_then(|socket| {
                set(&socket, *level, *option, value)?;
                socket::connect(&socket, to)?;
                send(&socket, &hello, 0, None)?;
                // The connection lives until the far end has spoken, so that packets with data leave too.
                let _ = socket::hear(&socket, &allowed.site.token);
                Ok(())
            });
            (to, attempt)
        },
    )))
}

fn frames(t: &Trial<'_>) -> Tried {
    const PROTOCOL: u16 = 0x88b5;
    if t.network.echo.is_empty() {
        return Err(lacking("recorder"));
    }
    let protocol = PROTOCOL.to_be_bytes();
    let frame = packet::frame(&t.payload());
    let socket =
        open(libc::AF_PACKET, libc::SOCK_RAW, i32::from(u16::from_ne_bytes(protocol))).map_err(refused)?;
    Ok(sent((1_i32..=64).map(|index| {
        // sockaddr_ll: family, protocol, device, its type, kind of packet, length of the address, address.
        let to = [
            &(libc::AF_PACKET as u16).to_ne_bytes()[..],
            &protocol,
            &index.to_ne_bytes(),
            &[0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
        ]
        .concat();
        let attempt = call!(
            libc::SYS_sendto,
            socket.as_raw_fd(),
            frame.as_slice(),
            frame.len(),
            0,
            to.as_slice(),
            to.len()
        );
        (format!("device {index}"), attempt.map(drop))
    })))
}
