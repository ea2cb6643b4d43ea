//! Rules, budgets and numbers: what is not allowed any more ends at once.

use super::*;

async fn rig(limits: impl FnOnce(&mut Rig)) -> (Rig, TcpListener, [SocketAddr; 2]) {
    let (listener, places) = server();
    let mut rig = Rig::new(allow(&["a.org:22", "b.org:22"]), places).await;
    limits(&mut rig);
    rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
    rig.name("198.18.0.10", "b.org", Ok(vec![public_address()]));
    let addresses = rig.serve(["198.18.0.9:22", "198.18.0.10:22"]);
    (rig, listener, addresses)
}

#[test]
fn another_port_and_a_literal_address_are_reset_at_once() {
    run(async {
        let (mut rig, _listener, _) = rig(|_| {}).await;
        rig.names.stands_for.insert("198.18.0.7".parse().unwrap(), Destination::HostLoopback);
        let addresses =
            rig.serve(["198.18.0.9:23", "9.9.9.9:22", "10.0.0.1:22", "127.0.0.1:2", "198.18.0.7:5432"]);
        for address in addresses {
            let begun = Instant::now();
            let answer = done(thread(move || say(address, b"x"))).await;
            assert!(is_reset(&answer) && since(begun, 0, 5000), "{answer:?}");
        }
        let reasons: Vec<_> =
            rig.decided().await.into_iter().map(|(to, reason)| (to, reason.unwrap())).collect();
        let expected = [
            ("a.org".into(), Reason::PortNotListed),
            ("9.9.9.9".into(), Reason::NotListed),
            ("10.0.0.1".into(), Reason::NotListed),
            ("127.0.0.1".into(), Reason::Internal),
            ("host".into(), Reason::NotListed),
        ];
        assert_eq!(reasons, expected);
    });
}

/// An address of IPv6, and behind which prefix of the network it leads to 10.0.0.1.
const TRANSLATED: [&str; 2] = ["2a0e:b107:64::a00:1", "2a0e:b107:64::192.0.0.170"];

#[test]
fn while_nobody_says_what_is_behind_ipv6_the_other_family_is_used() {
    run(async {
        let (_listener, places) = server();
        let mut rig = Rig::new(allow(&["a.org:22"]), places).await;
        let v6 = TRANSLATED[0].parse().unwrap();
        rig.name("198.18.0.9", "a.org", Ok(vec![v6, public_address()]));
        rig.names.is_silent = true;
        let [address] = rig.serve(["198.18.0.9:22"]);
        let _client = done(thread(move || client(address))).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!(rig.seen.borrow().dialled, [public_address()]);
    });
}

#[test]
fn a_connection_is_cut_when_it_leads_inside_as_the_network_says_now() {
    run(async {
        let v6: IpAddr = TRANSLATED[0].parse().unwrap();
        let (listener, mut places) = server();
        places.insert(v6, listener.local_addr().unwrap());
        let mut rig = Rig::new(allow(&["a.org:22"]), places).await;
        rig.name("198.18.0.9", "a.org", Ok(vec![v6]));
        let [address] = rig.serve(["198.18.0.9:22"]);
        let mut client = done(thread(move || client(address))).await;
        let _server = done(thread(move || listener.accept().unwrap().0)).await;
        sleep(Duration::from_millis(50)).await;
        rig.link.translates(agentbox_plan::net::Translator::shown_by(TRANSLATED[1].parse().unwrap()));
        let cut = done(thread(move || client.read(&mut [0; 9]))).await;
        assert!(is_reset(&cut), "{cut:?}");
        assert_eq!(rig.decided().await.last(), Some(&("a.org".into(), Some(Reason::Internal))));
    });
}

#[test]
fn a_connection_is_cut_when_the_rules_no_longer_allow_it() {
    run(async {
        let (rig, listener, [a, b]) = rig(|_| {}).await;
        let clients = done(thread(move || [client(a), client(b)])).await;
        let _servers =
            done(thread(move || [listener.accept().unwrap().0, listener.accept().unwrap().0])).await;
        sleep(Duration::from_millis(50)).await;
        rig.change(allow(&["b.org:22"]));
        let [mut first, mut second] = clients;
        let begun = Instant::now();
        let cut = done(thread(move || first.read(&mut [0; 9]))).await;
        assert!(is_reset(&cut) && since(begun, 0, 5000), "{cut:?}");
        second.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let lives = done(thread(move || second.read(&mut [0; 9]))).await;
        assert_eq!(lives.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let decided = rig.decided().await;
        assert_eq!(decided.iter().filter(|(_, reason)| reason.is_none()).count(), 2);
        assert_eq!(decided.last(), Some(&("a.org".into(), Some(Reason::NotListed))));
        assert_eq!(decided.len(), 3);
    });
}

#[test]
fn rules_that_change_while_a_connection_is_made_hold_for_it() {
    run(async {
        let (rig, _listener, [address, _]) = rig(|_| {}).await;
        rig.seen.borrow_mut().before_socket = Some(allow(&["b.org:22"]));
        let begun = Instant::now();
        let answer = done(thread(move || say(address, b"x"))).await;
        assert!(is_reset(&answer) && since(begun, 0, 5000), "{answer:?}");
        assert_eq!(rig.decided().await, [("a.org".into(), Some(Reason::NotListed))]);
    });
}

#[test]
fn what_an_address_stands_for_is_kept_while_a_connection_lives() {
    run(async {
        let (rig, listener, [address, _]) = rig(|_| {}).await;
        let before = Rc::strong_count(&rig.names.held);
        let stream = done(thread(move || client(address))).await;
        let server = done(thread(move || listener.accept().unwrap().0)).await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(Rc::strong_count(&rig.names.held), before + 1);
        drop((stream, server));
        sleep(Duration::from_millis(50)).await;
        assert_eq!(Rc::strong_count(&rig.names.held), before);
    });
}

/// Sends to a connection until it ends; gives what arrived.
async fn arrives(listener: TcpListener, address: SocketAddr) -> usize {
    let server = thread(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut count, mut piece) = (0, vec![0; 100_000]);
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            count += read;
        }
        count
    });
    let sent = thread(move || {
        let mut stream = client(address);
        // A pause in between: so that all that is allowed arrives before the reset.
        stream.write_all(&vec![1; 300_000]).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        stream.write_all(&vec![1; 300_000]).and_then(|()| stream.read(&mut [0; 9]))
    });
    assert!(done(sent).await.is_err());
    done(server).await
}

#[test]
fn not_one_byte_more_than_the_budget_is_sent() {
    for (session, name, reason) in
        [(Some(300_000), None, Reason::Budget), (None, Some(300_000), Reason::NameBudget)]
    {
        run(async move {
            let (rig, listener, [a, b]) = rig(|rig| {
                rig.limits.upload_max = session;
                rig.limits.name_upload_max = name;
            })
            .await;
            let others = listener.try_clone().unwrap();
            assert_eq!(arrives(listener, a).await, 300_000);
            // The next one is refused before anything is dialled, for the same reason.
            let before = rig.seen.borrow().dialled.len();
            let again = done(thread(move || say(a, b"x"))).await;
            assert!(is_reset(&again), "{again:?}");
            assert_eq!(rig.seen.borrow().dialled.len(), before);
            let expected =
                [("a.org".into(), None), ("a.org".into(), Some(reason)), ("a.org".into(), Some(reason))];
            assert_eq!(rig.decided().await, expected);
            if name.is_some() {
                // Another name has bytes of its own.
                let server = thread(move || others.accept().unwrap().0.read(&mut [0; 9]).unwrap());
                let other = thread(move || client(b).write_all(b"x"));
                done(other).await.unwrap();
                assert_eq!(done(server).await, 1);
            }
        });
    }
}

#[test]
fn a_piece_that_is_larger_than_what_is_left_is_moved_as_far_as_that() {
    run(async {
        let (rig, listener, [a, _]) = rig(|rig| rig.limits.upload_max = Some(200_001)).await;
        arrives(listener, a).await;
        rig.decided().await;
        sleep(Duration::from_millis(1100)).await;
        assert_eq!(rig.seen.borrow().used.iter().map(|used| used.sent).sum::<u64>(), 200_001);
    });
}

#[test]
fn a_name_that_is_refused_is_not_looked_up_and_an_address_of_none_is_not_reached() {
    run(async {
        let mut rig =
            Rig::new(Rules { mode: Mode::Public, rules: vec![rule(Verdict::Deny, "a.org")] }, Places::new())
                .await;
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        for (address, to, reason) in
            [("198.18.0.9:22", "a.org", Reason::Denied), ("198.18.0.77:22", "198.18.0.77", Reason::NotFound)]
        {
            let [address] = rig.serve([address]);
            let answer = done(thread(move || say(address, b"x"))).await;
            assert!(is_reset(&answer), "{answer:?}");
            assert_eq!(rig.decided().await.last(), Some(&(to.into(), Some(reason))));
        }
        assert_eq!(rig.names.asked.get(), 0);
    });
}

#[test]
fn one_connection_too_many_is_reset_and_there_is_room_again_later() {
    run(async {
        let (rig, listener, [a, _]) = rig(|rig| rig.limits.connections = 2).await;
        let held = done(thread(move || [client(a), client(a)])).await;
        let servers = done(thread(move || {
            let two = [listener.accept().unwrap().0, listener.accept().unwrap().0];
            (two, listener)
        }))
        .await;
        let begun = Instant::now();
        let refused = done(thread(move || say(a, b""))).await;
        assert!(is_reset(&refused) && since(begun, 0, 5000), "{refused:?}");
        assert_eq!(rig.decided().await.last(), Some(&("a.org".into(), Some(Reason::TooMany))));
        let (two, listener) = servers;
        drop((held, two));
        sleep(Duration::from_millis(50)).await;
        let server = thread(move || listener.accept().unwrap().0.write_all(b"x").unwrap());
        assert_eq!(done(thread(move || say(a, b""))).await.unwrap(), b"x");
        done(server).await;
    });
}

#[test]
fn without_a_supervisor_nothing_is_connected_and_what_is_there_goes_on() {
    run(async {
        let (rig, listener, [a, b]) = rig(|_| {}).await;
        let mut ours = done(thread(move || client(a))).await;
        let mut theirs = done(thread(move || listener.accept().unwrap().0)).await;
        sleep(Duration::from_millis(30)).await;
        rustix::net::shutdown(rig.connection.get(), rustix::net::Shutdown::Both).unwrap();
        sleep(Duration::from_millis(30)).await;
        let refused = done(thread(move || say(b, b""))).await;
        assert!(is_reset(&refused), "{refused:?}");
        ours.write_all(b"x").unwrap();
        let arrived = done(thread(move || theirs.read(&mut [0; 9]))).await;
        assert_eq!(arrived.unwrap(), 1);
    });
}

#[test]
fn there_are_no_more_connections_than_open_files_allow() {
    let limits = GateLimits { upload_max: None, name_upload_max: None, connections: 64, names: 1 };
    for (files, most) in [(1 << 20, 64), (OTHER_FILES + 7, 3), (9, 0)] {
        let places = crate::relay::Places::new(&limits, files);
        let taken: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(taken.len(), most, "{files}");
    }
}

#[test]
fn much_of_what_a_budget_has_left_is_reported_at_once() {
    run(async {
        let (rig, listener, [a, _]) = rig(|rig| rig.limits.upload_max = Some(1 << 20)).await;
        let mut ours = done(thread(move || client(a))).await;
        let mut theirs = done(thread(move || listener.accept().unwrap().0)).await;
        let sink = thread(move || io::copy(&mut theirs, &mut io::sink()));
        // By time alone all is told once a second: more often is at once, however slow the machine is.
        let begun = Instant::now();
        for sent in (1..=6).map(|round| round * 130_000) {
            ours = done(thread(move || ours.write_all(&[1; 130_000]).map(|()| ours))).await.unwrap();
            let seen = || rig.seen.borrow().used.iter().map(|used| used.sent).sum::<u64>();
            while seen() + (64 << 10) <= sent {
                assert!(begun.elapsed() < Duration::from_secs(30), "{} of {sent}", seen());
                sleep(Duration::from_millis(1)).await;
            }
        }
        let (told, seconds) = (rig.seen.borrow().used.len(), begun.elapsed().as_secs());
        assert!(told as u64 > seconds + 1, "{told} times in {seconds} s");
        drop(ours);
        done(sink).await.unwrap();
    });
}

#[test]
fn what_moves_is_reported_while_it_moves() {
    run(async {
        let (rig, listener, [a, _]) = rig(|_| {}).await;
        let mut ours = done(thread(move || client(a))).await;
        let _theirs = done(thread(move || listener.accept().unwrap().0)).await;
        for _ in 0..3 {
            ours.write_all(b"four").unwrap();
            sleep(Duration::from_millis(600)).await;
        }
        let seen: Vec<_> = rig.seen.borrow().used.iter().map(|used| used.sent).collect();
        assert!(!seen.is_empty() && seen.iter().sum::<u64>() >= 4, "{seen:?}");
        drop(ours);
        sleep(Duration::from_millis(1200)).await;
        assert_eq!(rig.seen.borrow().used.iter().map(|used| used.sent).sum::<u64>(), 12);
    });
}

/// Connections whose ClientHello has begun and does not end, and how many of them are there after a moment.
async fn unfinished(address: SocketAddr, count: usize) -> usize {
    let begun = done(thread(move || {
        let begin = |_| {
            let mut stream = client(address);
            let mut hello = vec![22, 3, 1, 0x40, 0, 1, 0, 0x7f, 0];
            hello.extend([0; 10_000]);
            stream.write_all(&hello).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            stream
        };
        (0..count).map(begin).collect::<Vec<_>>()
    }));
    let begun = begun.await;
    sleep(Duration::from_millis(200)).await;
    let is_there = |stream: &&TcpStream| {
        stream.set_nonblocking(true).unwrap();
        stream.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    begun.iter().filter(is_there).count()
}

#[test]
fn first_words_of_all_connections_take_no_more_memory_than_there_may_be() {
    run(async {
        let (_listener, places) = server();
        let mut rig = Rig::new(allow(&["a.org"]), places).await;
        rig.heard = Heard::of(50_000, 0);
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        let [address] = rig.serve(["198.18.0.9:443"]);
        assert_eq!(unfinished(address, 8).await, 4);
        assert_eq!(rig.decided().await, vec![("a.org".to_owned(), Some(Reason::TooMany)); 4]);
        // Those are gone, and their memory with them.
        assert_eq!(unfinished(address, 1).await, 1);
    });
}

#[test]
fn nothing_is_kept_of_what_a_refused_client_says() {
    run(async {
        let (_listener, places) = server();
        let mut rig = Rig::new(allow(&[]), places).await;
        rig.heard = Heard::of(0, 0);
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        let [address] = rig.serve(["198.18.0.9:443"]);
        assert_eq!(unfinished(address, 8).await, 8);
        assert_eq!(rig.decided().await, vec![("a.org".to_owned(), Some(Reason::NotListed)); 8]);
    });
}
