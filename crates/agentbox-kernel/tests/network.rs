//! Namespaces, tables, grants and flows against the real kernel. Everything happens in network namespaces
//! that the tests make; the machine's own is never changed.

#![allow(clippy::unwrap_used, reason = "a test")]

use agentbox_kernel::firewall::{self, Grant, Grants, Watcher};
use agentbox_kernel::lease::Range;
use agentbox_kernel::reach::Reach;
use agentbox_kernel::{dial, netns};
use agentbox_plan::net::Reason;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const RANGE: Range = Range { first: 2_090_000_000, count: 400 };
const UID: u32 = 2_090_000_002;

fn grant(uid: u32, to: SocketAddr, datagrams: bool) -> Grant {
    Grant { uid, to, datagrams }
}

/// Runs something on a thread inside of a namespace.
fn inside<T: Send>(namespace: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        scope.spawn(run).join().unwrap()
    })
}

fn accepted(listener: &OwnedFd) -> (OwnedFd, SocketAddr) {
    let stream = rustix::net::accept(listener).unwrap();
    let v4 = sockopt::ip_original_dst(&stream).map(SocketAddr::V4);
    let original = v4.or_else(|_| sockopt::ipv6_original_dst(&stream).map(SocketAddr::V6)).unwrap();
    (stream, original)
}

#[test]
fn every_connection_leads_to_the_gate_and_says_where_it_wanted_to() {
    let prepared = netns::prepare().unwrap();
    let sockets = netns::sockets(prepared.namespace.as_fd(), prepared.ipv6).unwrap();
    assert!(prepared.ipv6, "this machine has no IPv6");
    for (to, listener) in [
        ("9.9.9.9:443", &sockets.relay_v4),
        ("198.18.0.77:22", &sockets.relay_v4),
        ("10.0.0.1:1", &sockets.relay_v4),
        ("169.254.169.254:80", &sockets.relay_v4),
        ("[2606:4700::1111]:443", sockets.relay_v6.as_ref().unwrap()),
        ("[fd00::1]:80", sockets.relay_v6.as_ref().unwrap()),
        ("[fdab:6f78:6167::5]:80", sockets.relay_v6.as_ref().unwrap()),
    ] {
        let to: SocketAddr = to.parse().unwrap();
        let client = inside(&prepared.namespace, || TcpStream::connect_timeout(&to, Duration::from_secs(5)));
        let mut client = client.unwrap_or_else(|error| panic!("{to}: {error}"));
        let (gate, original) = accepted(listener);
        assert_eq!(original, to);
        client.write_all(b"hello").unwrap();
        let mut bytes = [0; 5];
        std::fs::File::from(gate).read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
    }
}

#[test]
fn what_is_no_connection_is_refused_at_once() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        let begun = Instant::now();
        for to in ["9.9.9.9:443", "9.9.9.9:53", "[2606:4700::1111]:443", "198.18.0.9:53"] {
            let to: SocketAddr = to.parse().unwrap();
            let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            socket.connect(to).unwrap();
            let refused = socket.send(b"x").and_then(|_| socket.recv(&mut [0; 9])).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{to}: {refused}");
        }
        assert!(begun.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn datagrams_leave_no_trace_in_the_kernels_memory() {
    let prepared = netns::prepare().unwrap();
    let sockets = netns::sockets(prepared.namespace.as_fd(), prepared.ipv6).unwrap();
    inside(&prepared.namespace, || {
        let tracked = || {
            let text = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap();
            text.trim().parse::<u32>().unwrap()
        };
        for any in ["0.0.0.0:0", "[::]:0"] {
            let socket = UdpSocket::bind(any).unwrap();
            for last in 1..100 {
                let to = if any.starts_with('0') {
                    format!("9.9.9.{last}:9")
                } else {
                    format!("[2606::{last}]:9")
                };
                // An error is that of the one before.
                let _ = socket.send_to(b"x", to);
            }
        }
        assert_eq!(tracked(), 0);
        // A connection is tracked: it is redirected.
        let _client =
            TcpStream::connect_timeout(&"9.9.9.9:443".parse().unwrap(), Duration::from_secs(5)).unwrap();
        assert_eq!(tracked(), 1);
        // The gate is asked by datagrams, and answers.
        for (gate, any) in
            [(&sockets.dns_udp_v4, "0.0.0.0:0"), (sockets.dns_udp_v6.as_ref().unwrap(), "[::]:0")]
        {
            let gate = UdpSocket::from(gate.try_clone().unwrap());
            let client = UdpSocket::bind(any).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.connect(gate.local_addr().unwrap()).unwrap();
            client.send(b"asked").unwrap();
            let (count, from) = gate.recv_from(&mut [0; 9]).unwrap();
            gate.send_to(b"answered", from).unwrap();
            assert_eq!((count, client.recv(&mut [0; 9]).unwrap()), (5, 8));
        }
        assert_eq!(tracked(), 1);
    });
}

#[test]
fn what_listens_inside_on_the_loopback_is_reached_inside() {
    let prepared = netns::prepare().unwrap();
    let listener = inside(&prepared.namespace, || TcpListener::bind("127.0.0.1:3000").unwrap());
    assert!(inside(&prepared.namespace, || TcpStream::connect("127.0.0.1:3000").is_ok()));
    assert!(netns::connect_inside(prepared.namespace.as_fd(), 3000).is_ok());
    assert!(netns::connect_inside(prepared.namespace.as_fd(), 3001).is_err());
    drop(listener);
    let v6 = inside(&prepared.namespace, || TcpListener::bind("[::1]:3002").unwrap());
    assert!(netns::connect_inside(prepared.namespace.as_fd(), 3002).is_ok());
    drop(v6);
}

#[test]
fn a_server_inside_that_does_not_accept_holds_up_nobody_who_connects() {
    let prepared = netns::prepare().unwrap();
    let server = inside(&prepared.namespace, || {
        let server = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&server, &"127.0.0.1:3000".parse::<SocketAddr>().unwrap()).unwrap();
        rustix::net::listen(&server, 0).unwrap();
        server
    });
    let begun = Instant::now();
    let connect = || netns::connect_inside(prepared.namespace.as_fd(), 3000).unwrap();
    let waiting: Vec<_> = std::iter::repeat_with(connect).take(5).collect();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let is_there = |socket: &OwnedFd| rustix::net::getpeername(socket).is_ok();
    assert!(is_there(&waiting[0]) && !is_there(&waiting[4]), "its queue is not full");
    drop(server);
}

/// A TCP socket of the gate's id to a listener on the loopback: whether the table lets it through.
fn reaches(grants: &mut Grants, to: SocketAddr, granted: bool) -> Result<OwnedFd, Errno> {
    if granted {
        grants.add(grant(UID, to, false)).unwrap();
    }
    let socket = dial::tcp(UID, to).unwrap();
    let mut fds = [rustix::event::PollFd::new(&socket, rustix::event::PollFlags::OUT)];
    let limit = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&limit)).unwrap(), 1, "it hangs");
    sockopt::socket_error(&socket).unwrap().map(|()| socket)
}

#[test]
fn an_id_of_a_session_reaches_what_was_granted_and_nothing_else() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        firewall::install(RANGE, &[]).unwrap();
        let mut grants = Grants::open(RANGE).unwrap();
        for address in ["127.0.0.1", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            let listeners = [0, 0].map(|port| TcpListener::bind((address, port)).unwrap());
            let [granted, other] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
            assert_eq!(reaches(&mut grants, granted, false).unwrap_err(), Errno::CONNREFUSED, "{granted}");
            assert!(reaches(&mut grants, granted, true).is_ok(), "{granted}");
            assert!(reaches(&mut grants, other, false).is_err(), "{other}");
            // Everybody else goes on as before.
            assert!(TcpStream::connect(other).is_ok());
            // Without the table it is reached: it was the table that refused.
            firewall::remove(RANGE).unwrap();
            assert!(reaches(&mut grants, other, false).is_ok());
            firewall::install(RANGE, &[]).unwrap();
        }
        // The same for datagrams.
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let refused = dial::udp(UID, to).unwrap();
        assert!(rustix::net::send(&refused, b"x", rustix::net::SendFlags::empty()).is_err());
        grants.add(grant(UID, to, true)).unwrap();
        let allowed = dial::udp(UID, to).unwrap();
        rustix::net::send(&allowed, b"x", rustix::net::SendFlags::empty()).unwrap();
    });
}

#[test]
fn a_flow_that_is_forgotten_is_judged_anew() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        firewall::install(RANGE, &[]).unwrap();
        let mut grants = Grants::open(RANGE).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let socket = reaches(&mut grants, to, true).unwrap();
        let flow = dial::flow(&socket, to, false).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut client = TcpStream::from(socket);
        client.write_all(b"one").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        // The table is written anew: its grants are gone, and what conntrack knows goes on.
        firewall::install(RANGE, &[]).unwrap();
        client.write_all(b"two").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        assert!(firewall::forget(flow).unwrap());
        assert!(!firewall::forget(flow).unwrap(), "it is known no more");
        server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let _ = client.write_all(b"three");
        assert!(!matches!(server.read(&mut [0; 9]), Ok(1..)), "it went through");
    });
}

/// What the other side reads of what is sent now; nothing when it does not come through.
fn arrives(client: &mut TcpStream, server: &mut TcpStream, text: &[u8]) -> bool {
    server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let _ = client.write_all(text);
    matches!(server.read(&mut [0; 9]), Ok(1..))
}

#[test]
fn a_grant_that_is_taken_back_is_none() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        firewall::install(RANGE, &[]).unwrap();
        let mut grants = Grants::open(RANGE).unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listeners = [(); 2].map(|()| TcpListener::bind(address).unwrap());
            let [to, other] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
            assert!(reaches(&mut grants, to, true).is_ok() && reaches(&mut grants, to, false).is_ok());
            assert!(reaches(&mut grants, other, true).is_ok());
            // More than there are in a message, most of which were never granted.
            let never =
                (1..2000).map(|port| grant(UID, SocketAddr::new("9.9.9.9".parse().unwrap(), port), false));
            let all: Vec<_> = never.chain([grant(UID, to, false)]).collect();
            for _ in 0..2 {
                grants.take_back(&all).unwrap();
                assert!(reaches(&mut grants, to, false).is_err(), "{to}");
                assert!(reaches(&mut grants, other, false).is_ok(), "{other}");
            }
            assert!(reaches(&mut grants, to, true).is_ok(), "{to}");
        }
    });
}

#[test]
fn a_flow_that_is_forgotten_does_not_go_on_with_a_grant() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        // As on a machine: a connection that is not known is taken up in its middle.
        std::fs::write("/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "1").unwrap();
        firewall::install(RANGE, &[]).unwrap();
        let mut grants = Grants::open(RANGE).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let mut flows = [(); 2].map(|()| {
            let socket = reaches(&mut grants, to, true).unwrap();
            let flow = dial::flow(&socket, to, false).unwrap();
            (flow, TcpStream::from(socket), listener.accept().unwrap().0)
        });
        for (_, client, server) in &mut flows {
            assert!(arrives(client, server, b"before"));
        }
        // The grant is there, as that of another connection to the same place may be.
        let [(flow, client, server), (_, other_client, other_server)] = &mut flows;
        assert!(firewall::forget(*flow).unwrap());
        assert!(!arrives(client, server, b"behind"), "it went on");
        // The other one, which is known, does not need the grant.
        grants.take_back(&[grant(UID, to, false)]).unwrap();
        assert!(arrives(other_client, other_server, b"behind"));
    });
}

#[test]
fn the_table_has_the_same_size_for_a_thousand_sessions() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        let range = Range { first: 2_090_000_000, count: 4000 };
        firewall::install(range, &[]).unwrap();
        let before = firewall::rules(range).unwrap();
        let mut grants = Grants::open(range).unwrap();
        for session in 0..1000 {
            grants.add(grant(range.first + 4 * session + 2, "9.9.9.9:443".parse().unwrap(), false)).unwrap();
        }
        assert_eq!((firewall::rules(range).unwrap(), before > 4), (before, true));
    });
}

#[test]
fn a_table_that_is_written_anew_knows_the_grants_it_is_given() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        let mut grants = Grants::open(RANGE).unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let to = listener.local_addr().unwrap();
            firewall::install(RANGE, &[]).unwrap();
            assert!(reaches(&mut grants, to, false).is_err());
            firewall::install(RANGE, &[grant(UID, to, false), grant(UID, to, true)]).unwrap();
            assert!(reaches(&mut grants, to, false).is_ok());
        }
    });
}

#[test]
fn whoever_flushes_the_rules_is_noticed() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        firewall::install(RANGE, &[]).unwrap();
        let mut watcher = Watcher::open().unwrap();
        assert!(!watcher.drain());
        let mut grants = Grants::open(RANGE).unwrap();
        grants.add(grant(UID, "9.9.9.9:443".parse().unwrap(), false)).unwrap();
        assert!(!watcher.drain(), "a grant is no removal");
        let rules = firewall::rules(RANGE).unwrap();
        for command in
            ["flush ruleset", "delete table inet agentbox_2090000000", "flush table inet agentbox_2090000000"]
        {
            let status = Command::new("nft").args(command.split(' ')).status().unwrap();
            assert!(status.success());
            assert!(watcher.drain() && firewall::rules(RANGE).unwrap() == 0, "{command}");
            firewall::install(RANGE, &[]).unwrap();
            assert_eq!(firewall::rules(RANGE).unwrap(), rules);
            watcher.drain();
        }
    });
}

#[test]
fn own_addresses_and_networks_next_door_are_known_and_followed() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        let mut reach = Reach::open().unwrap();
        let what = |reach: &Reach, text: &str| reach.what_is(text.parse().unwrap());
        assert_eq!(what(&reach, "127.0.0.1"), Some(Reason::OwnAddress));
        assert_eq!(what(&reach, "9.1.2.3"), None);
        for command in [
            "link add ab-test type veth peer name ab-peer",
            "link set ab-test up",
            "link set ab-peer up",
            "address add 9.1.2.3/24 dev ab-test",
            "address add 2a0e::5/64 dev ab-test nodad",
            "route add 8.8.8.0/24 via 9.1.2.1",
            "route add 7.7.0.0/16 dev ab-test",
            "route add 0.0.0.0/1 dev ab-test",
        ] {
            assert!(Command::new("ip").args(command.split(' ')).status().unwrap().success(), "{command}");
        }
        reach.refresh().unwrap();
        for (address, is) in [
            ("9.1.2.3", Some(Reason::OwnAddress)),
            ("9.1.2.4", Some(Reason::OnLink)),
            ("9.1.3.4", None),
            ("8.8.8.8", None),
            ("7.7.1.1", Some(Reason::OnLink)),
            ("2a0e::5", Some(Reason::OwnAddress)),
            ("2a0e::6", Some(Reason::OnLink)),
            ("2a0e:0:0:1::6", None),
        ] {
            assert_eq!(what(&reach, address), is, "{address}");
        }
        assert!(Command::new("ip").args(["link", "del", "ab-test"]).status().unwrap().success());
        reach.refresh().unwrap();
        assert_eq!(what(&reach, "9.1.2.4"), None);
    });
}

#[test]
fn nobody_inside_has_a_right_over_the_namespace() {
    let prepared = netns::prepare().unwrap();
    inside(&prepared.namespace, || {
        let flush = |uid: Option<&str>| {
            let mut command = Command::new("setpriv");
            if let Some(uid) = uid {
                command.args(["--reuid", uid, "--regid", uid, "--clear-groups", "--inh-caps=-all"]);
            }
            command.args(["nft", "flush", "ruleset"]).output().unwrap().status.success()
        };
        assert!(!flush(Some("2090000000")));
        assert!(flush(None));
    });
}
