//! T2: change the network instead of using it: its addresses, routes and rules, its namespace, the gate's
//! own ports; and the sockets by which a desktop would carry something away.

use crate::attack::{Answer, Attack, any_of, judge, lacking, refused, succeeded};
use crate::errno::Errno;
use crate::sys::{call, owned};
use crate::trial::{Trial, Tried};
use crate::wire::exchange;
use crate::wire::netlink::{self, Change, Thing, nested};
use crate::wire::socket::{self, open_for, set_number};
use agentbox_probe::{Facts, Outcome};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;

const RELAY: &[&str] = &["network.inside.relay"];
/// What an attack on the lab's own host needs; it changes what belongs to nobody, and puts it back.
const HOST: &[&str] = &["network.tag"];

const SIOCGSKNS: i32 = 0x894c;
/// 240.0.0.64, of the reserved range: nobody's.
const NOBODY: [u8; 4] = [240, 0, 0, 64];
/// A table of routes that nothing looks at.
const TABLE_OF_NOBODY: u8 = 199;

pub(super) const TABLE: &[Attack] = &[
    Attack::network("t2.add-address", "give the network another address", HOST, |_| {
        Ok(change(
            libc::NETLINK_ROUTE,
            &Thing {
                add: libc::RTM_NEWADDR,
                remove: libc::RTM_DELADDR,
                fixed: vec![libc::AF_INET as u8, 32, 0, 0, 1, 0, 0, 0],
                attributes: vec![(libc::IFA_LOCAL, NOBODY.to_vec()), (libc::IFA_ADDRESS, NOBODY.to_vec())],
            },
        ))
    })
    .root(),
    Attack::network("t2.add-route", "give the network another route", HOST, |_| {
        Ok(change(
            libc::NETLINK_ROUTE,
            &Thing {
                add: libc::RTM_NEWROUTE,
                remove: libc::RTM_DELROUTE,
                fixed: vec![
                    libc::AF_INET as u8,
                    27,
                    0,
                    0,
                    TABLE_OF_NOBODY,
                    4,
                    0,
                    libc::RTN_BLACKHOLE,
                    0,
                    0,
                    0,
                    0,
                ],
                attributes: vec![(libc::RTA_DST, NOBODY.to_vec())],
            },
        ))
    })
    .root(),
    Attack::network("t2.add-rule", "give the network another rule for routes", HOST, |_| {
        Ok(change(
            libc::NETLINK_ROUTE,
            &Thing {
                add: libc::RTM_NEWRULE,
                remove: libc::RTM_DELRULE,
                fixed: vec![libc::AF_INET as u8, 27, 0, 0, TABLE_OF_NOBODY, 0, 0, 1, 0, 0, 0, 0],
                attributes: vec![(1, NOBODY.to_vec()), (6, 31_999_u32.to_ne_bytes().to_vec())],
            },
        ))
    })
    .root()
    .kernel("rules for routes"),
    Attack::network("t2.add-device", "give the network another device", HOST, |_| Ok(devices()))
        .root()
        .kernel("devices that are made"),
    Attack::network("t2.change-filter", "change the rules of the packet filter", HOST, |_| Ok(filter()))
        .root()
        .kernel("nf_tables"),
    Attack::network("t2.change-settings", "open settings of the network for writing", HOST, |_| {
        let names =
            ["ip_forward", "ip_unprivileged_port_start", "ping_group_range", "conf/all/route_localnet"];
        Ok(any_of(names.map(|name| {
            let path = format!("/proc/sys/net/ipv4/{name}");
            (name.to_owned(), judge(super::open_with(&path, libc::O_WRONLY).map(drop)))
        })))
    })
    .root(),
    Attack::network("t2.namespace-of-socket", "take the namespace of a socket (SIOCGSKNS)", HOST, |_| {
        Ok(judge(
            socket::open(libc::AF_INET, libc::SOCK_DGRAM, 0)
                .and_then(|own| owned(call!(libc::SYS_ioctl, own.as_raw_fd(), SIOCGSKNS, 0)).map(drop)),
        ))
    })
    .root(),
    Attack::network(
        "t2.enter-network",
        "enter another network namespace",
        &["network.inside.other_namespace"],
        enter,
    )
    .root(),
    Attack::network("t2.take-gate-ports", "bind to the gate's ports", RELAY, take_ports).root(),
    Attack::network(
        "t2.relay-directly",
        "connect to where connections are redirected to, with an address of one's own",
        &["network.inside.relay", "network.refused"],
        relay,
    )
    .never_shown("outside there is no gate"),
    Attack::new("t2.display", "connect to the desktop: its clipboard leaves the machine", display)
        .kernel("a desktop"),
];

/// Adds it and takes it away again.
fn change(protocol: i32, thing: &Thing) -> Answer {
    let attempt = netlink::socket(protocol).and_then(|socket| {
        netlink::ask(&socket, &thing.message(Change::Add))?;
        // Whether it can be taken away does not matter any more.
        let _ = netlink::ask(&socket, &thing.message(Change::Remove));
        Ok(())
    });
    judge(attempt)
}

/// A device of whatever kind the kernel has.
fn devices() -> Answer {
    let name = (libc::IFLA_IFNAME, b"ab-probe\0".to_vec());
    any_of(["dummy", "veth", "bridge", "ifb"].map(|kind| {
        let device = Thing {
            add: libc::RTM_NEWLINK,
            remove: libc::RTM_DELLINK,
            fixed: vec![0; 16],
            attributes: vec![name.clone(), (libc::IFLA_LINKINFO, nested(&[(1, kind.as_bytes())]))],
        };
        (kind.to_owned(), change(libc::NETLINK_ROUTE, &device))
    }))
}

/// A table of nftables, by the number of its subsystem.
fn filter() -> Answer {
    const NFTABLES: u16 = 10 << 8;
    const INET: u8 = 1;
    let table = Thing {
        add: NFTABLES,
        remove: NFTABLES | 2,
        fixed: vec![INET, 0, 0, 0],
        attributes: vec![(1, b"agentbox_probe\0".to_vec())],
    };
    let attempt = netlink::socket(libc::NETLINK_NETFILTER).and_then(|socket| {
        netlink::ask(&socket, &netlink::nftables_batch(&table.message(Change::Add)))?;
        let _ = netlink::ask(&socket, &netlink::nftables_batch(&table.message(Change::Remove)));
        Ok(())
    });
    judge(attempt)
}

fn enter(t: &Trial<'_>) -> Tried {
    let path = t.network.inside.other_namespace.as_ref().ok_or_else(|| lacking("namespace"))?;
    let own = std::fs::read_link("/proc/self/ns/net").ok();
    let of_processes = super::processes().into_iter().map(|pid| format!("/proc/{pid}/ns/net"));
    // Entering one's own again would be no attack.
    let others = of_processes.filter(|path| std::fs::read_link(path).is_ok_and(|link| Some(link) != own));
    Ok(any_of([path.clone()].into_iter().chain(others).map(|path| {
        let attempt = super::open_with(&path, libc::O_RDONLY)
            .and_then(|namespace| call!(libc::SYS_setns, namespace.as_raw_fd(), libc::CLONE_NEWNET));
        (path, judge(attempt))
    })))
}

fn take_ports(t: &Trial<'_>) -> Tried {
    let relay = t.network.inside.relay.iter().copied();
    let resolvers = t.network.resolvers.iter().map(|address| SocketAddr::new(*address, 53));
    let ports: Vec<SocketAddr> = relay.chain(resolvers).collect();
    if ports.is_empty() {
        return Err(lacking("port of the gate"));
    }
    let ways = ports.iter().flat_map(|port| {
        let any = if port.is_ipv4() { [0; 4].into() } else { std::net::IpAddr::from([0_u16; 8]) };
        [*port, SocketAddr::new(any, port.port())]
            .into_iter()
            .flat_map(|to| [libc::SOCK_STREAM, libc::SOCK_DGRAM].map(|kind| (to, kind)))
    });
    Ok(any_of(ways.map(|(to, kind)| {
        let attempt = open_for(to, kind, 0).and_then(|socket| {
            set_number(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
            set_number(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
            socket::bind(&socket, to)
        });
        (format!("{to}"), judge(attempt))
    })))
}

fn relay(t: &Trial<'_>) -> Tried {
    let site = t.refused()?;
    let ways: Vec<(SocketAddr, u16)> =
        t.network.inside.relay.iter().flat_map(|to| [80, 443, site.port].map(|port| (*to, port))).collect();
    Ok(exchange::all_at_once(
        &ways,
        |(to, port)| format!("{to} as {port}"),
        |(to, port)| {
            let pieces = t.greeting(*port, &site.name);
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            exchange::tcp(*to, &pieces, &site.token)
        },
    ))
}

fn display(facts: &Facts) -> Answer {
    let (runtime, x11) = (format!("/run/user/{}", facts.person.uid), "/tmp/.X11-unix/X");
    let named =
        ["wayland-0", "wayland-1", "pipewire-0", "pulse/native"].map(|name| format!("{runtime}/{name}"));
    let paths = (0..10).map(|number| format!("{x11}{number}")).chain(named).map(|path| {
        let answer = match UnixStream::connect(&path) {
            Ok(_) => succeeded("connected"),
            Err(error) => refused(Errno::from(error)),
        };
        (path, answer)
    });
    let abstract_names = (0..10).map(|number| {
        let name = format!("{x11}{number}");
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name);
        let answer = match address.and_then(|address| UnixStream::connect_addr(&address)) {
            Ok(_) => succeeded("connected"),
            // Nobody listens there, which says nothing about whether one could connect.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Answer { outcome: Outcome::NotApplicable, ..refused("nobody listens") }
            }
            Err(error) => refused(Errno::from(error)),
        };
        (format!("@{name}"), answer)
    });
    any_of(paths.chain(abstract_names))
}
