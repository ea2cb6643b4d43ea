//! Streams of any kind: nothing is lost, and ends are passed on as they are.

use super::*;

async fn rig() -> (Rig, TcpListener, SocketAddr) {
    let (listener, places) = server();
    let mut rig = Rig::new(allow(&["a.org:22"]), places).await;
    rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
    let [address] = rig.serve(["198.18.0.9:22"]);
    (rig, listener, address)
}

/// Bytes of which no two pieces are alike.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_server_may_speak_first() {
    run(async {
        let (rig, listener, address) = rig().await;
        let server = thread(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-server\r\n").unwrap();
            let mut said = [0; 16];
            stream.read_exact(&mut said).unwrap();
            said
        });
        let said = thread(move || {
            let mut stream = client(address);
            let mut banner = [0; 16];
            stream.read_exact(&mut banner).unwrap();
            stream.write_all(b"SSH-2.0-client\r\n").unwrap();
            banner
        });
        assert_eq!(&done(said).await, b"SSH-2.0-server\r\n");
        assert_eq!(&done(server).await, b"SSH-2.0-client\r\n");
        assert_eq!(rig.decided().await, [("a.org".into(), None)]);
    });
}

#[test]
fn what_only_begins_like_tls_goes_on() {
    for said in [&[22][..], &[22, 4, 22, 3], b"x"] {
        run(async move {
            let (_rig, listener, address) = rig().await;
            let server = thread(move || {
                let mut all = vec![0; 1 + said.len()];
                listener.accept().unwrap().0.read_exact(&mut all[..said.len().max(2)]).map(|()| all)
            });
            let sent = thread(move || {
                let mut stream = client(address);
                stream.write_all(said).unwrap();
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(&[7]).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            });
            done(sent).await;
            assert!(done(server).await.unwrap().starts_with(said));
        });
    }
}

#[test]
fn every_byte_arrives_both_ways_and_is_counted() {
    run(async {
        let (rig, listener, address) = rig().await;
        let (up, down) = (noise(7 << 20), noise(11 << 20));
        let (expected_up, expected_down) = (up.clone(), down.clone());
        let exchange = |mut stream: TcpStream, out: Vec<u8>, slowly: bool| {
            let mut reading = stream.try_clone().unwrap();
            let writer = thread(move || {
                stream.write_all(&out).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut all = Vec::new();
            let mut piece = vec![0; 70_000];
            loop {
                match reading.read(&mut piece).unwrap() {
                    0 => break,
                    count => all.extend_from_slice(&piece[..count]),
                }
                if slowly && all.len() % 7 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            writer.join().unwrap();
            all
        };
        let server = thread(move || exchange(listener.accept().unwrap().0, down, false));
        let ours = thread(move || exchange(client(address), up, true));
        assert!(done(ours).await == expected_down);
        assert!(done(server).await == expected_up);
        sleep(Duration::from_millis(50)).await;
        let seen = rig.seen.borrow();
        let sum = |count: fn(&Sent) -> u64| seen.used.iter().map(count).sum::<u64>();
        assert_eq!((sum(|used| used.sent), sum(|used| used.received)), (7 << 20, 11 << 20));
    });
}

#[test]
fn one_way_ends_while_the_other_goes_on() {
    run(async {
        let (_rig, listener, address) = rig().await;
        let server = thread(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = Vec::new();
            stream.read_to_end(&mut question).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(&question).unwrap();
        });
        let asked = thread(move || {
            let mut stream = client(address);
            stream.write_all(b"question").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        });
        assert_eq!(done(asked).await, b"question");
        done(server).await;
    });
}

#[test]
fn a_reset_is_a_reset_on_the_other_side() {
    for (client_resets, after_its_end) in [(true, false), (true, true), (false, false), (false, true)] {
        run(async move {
            let (_rig, listener, address) = rig().await;
            let ours = thread(move || client(address));
            let theirs = thread(move || listener.accept().unwrap().0);
            let (ours, theirs) = (done(ours).await, done(theirs).await);
            let (first, mut second) = if client_resets { (ours, theirs) } else { (theirs, ours) };
            sleep(Duration::from_millis(30)).await;
            if after_its_end {
                first.shutdown(std::net::Shutdown::Write).unwrap();
                sleep(Duration::from_millis(30)).await;
            }
            drop_with_reset_now(first);
            sleep(Duration::from_millis(30)).await;
            let seen = thread(move || {
                second.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let read = second.read(&mut [0; 9])?;
                // An end that came before is seen first; the reset by who writes.
                for _ in 0..100 {
                    second.write_all(b"x")?;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(read)
            });
            let seen = done(seen).await;
            assert!(
                is_over(&seen),
                "client resets: {client_resets}, after its end: {after_its_end}: {seen:?}"
            );
        });
    }
}

fn drop_with_reset_now(stream: TcpStream) {
    super::socket::drop_with_reset(stream.into());
}

#[test]
fn a_server_that_hangs_up_without_a_word_is_a_reset() {
    run(async {
        let (_rig, listener, address) = rig().await;
        let server = thread(move || listener.accept().unwrap().0.read_exact(&mut [0; 10]).unwrap());
        let said = thread(move || {
            let mut stream = client(address);
            let mut reading = stream.try_clone().unwrap();
            let answer = thread(move || reading.read(&mut [0; 9]));
            let written = loop {
                if let Err(error) = stream.write(&[0; 65_536]) {
                    break error;
                }
            };
            (written, answer.join().unwrap())
        });
        // One of both directions takes the reset from the kernel, the other sees what is left.
        let (written, read) = done(said).await;
        assert!(is_reset(&read) || written.kind() == io::ErrorKind::ConnectionReset, "{written:?} {read:?}");
        done(server).await;
    });
}

#[test]
fn what_a_server_said_before_it_hung_up_is_read() {
    run(async {
        let (_rig, listener, address) = rig().await;
        let server = thread(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Closes with unread bytes, which is RST.
            stream.read_exact(&mut [0; 10]).unwrap();
            stream.write_all(b"too large").unwrap();
        });
        let said = thread(move || {
            let mut stream = client(address);
            let mut reading = stream.try_clone().unwrap();
            let answer = thread(move || {
                let mut answer = vec![0; 9];
                reading.read_exact(&mut answer).map(|()| answer)
            });
            let mut sent = 0;
            while sent < 50 << 20 {
                match stream.write(&[0; 65_536]) {
                    Ok(count) => sent += count,
                    Err(_) => break,
                }
            }
            answer.join().unwrap()
        });
        assert_eq!(done(said).await.unwrap(), b"too large");
        done(server).await;
    });
}

#[test]
fn a_silent_connection_holds_no_pipe() {
    run(async {
        let (rig, listener, address) = rig().await;
        let ours = done(thread(move || (0..20).map(|_| client(address)).collect::<Vec<_>>())).await;
        let theirs =
            done(thread(move || (0..20).map(|_| listener.accept().unwrap().0).collect::<Vec<_>>())).await;
        for (mut ours, mut theirs) in ours.iter().zip(&theirs) {
            ours.write_all(b"x").unwrap();
            theirs.write_all(b"x").unwrap();
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(rig.pipes.in_use(), 0);
        // One that does not read has the pipe in which its bytes wait.
        let mut busy = ours[0].try_clone().unwrap();
        busy.set_nonblocking(true).unwrap();
        while busy.write(&[0; 65_536]).is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(rig.pipes.in_use(), 1);
    });
}

#[test]
fn a_dead_address_does_not_delay_a_living_one() {
    run(async {
        // A listener with a full queue drops what comes: a connection to it is never made.
        let full = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&full, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        rustix::net::listen(&full, 0).unwrap();
        let dead = SocketAddr::try_from(rustix::net::getsockname(&full).unwrap()).unwrap();
        let _fills: Vec<_> = (0..2)
            .map(|_| {
                let flags = SocketFlags::NONBLOCK;
                let fill =
                    rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
                let _ = rustix::net::connect(&fill, &dead);
                fill
            })
            .collect();
        let (listener, mut places) = server();
        let v6: IpAddr = "2620:fe::fe".parse().unwrap();
        places.insert(v6, dead);
        let mut rig = Rig::new(allow(&["a.org:22"]), places).await;
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address(), v6]));
        let [address] = rig.serve(["198.18.0.9:22"]);
        let begun = Instant::now();
        let server = thread(move || listener.accept().unwrap().0.write_all(b"x").unwrap());
        let answer = done(thread(move || say(address, b""))).await;
        assert_eq!(answer.unwrap(), b"x");
        assert!(since(begun, 250, 5000), "{:?}", begun.elapsed());
        done(server).await;
        assert_eq!(rig.seen.borrow().dialled, [v6, public_address()]);
    });
}

#[test]
fn a_refused_address_is_followed_by_the_next_at_once() {
    run(async {
        let (listener, mut places) = server();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let v6: IpAddr = "2620:fe::fe".parse().unwrap();
        places.insert(v6, closed);
        let mut rig = Rig::new(allow(&["a.org:22"]), places).await;
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address(), [10, 0, 0, 1].into(), v6]));
        rig.name("198.18.0.10", "b.org", Ok(vec![v6]));
        let [address, other] = rig.serve(["198.18.0.9:22", "198.18.0.10:22"]);
        let begun = Instant::now();
        let server = thread(move || listener.accept().unwrap().0.write_all(b"x").unwrap());
        assert_eq!(done(thread(move || say(address, b""))).await.unwrap(), b"x");
        assert!(since(begun, 0, 245), "{:?}", begun.elapsed());
        done(server).await;
        // The internal address was never asked for.
        assert_eq!(rig.seen.borrow().dialled, [v6, public_address()]);
        let refused = done(thread(move || say(other, b""))).await;
        assert!(is_reset(&refused), "{refused:?}");
    });
}

#[test]
fn a_published_port_reaches_the_session() {
    run(async {
        let (listener, places) = server();
        let port = listener.local_addr().unwrap().port();
        let rig = Rig::new(Rules::nothing(), places).await;
        let published = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = published.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed_address = closed.local_addr().unwrap();
        let places = super::super::Places::new(&rig.limits, u64::MAX);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        crate::publish::serve(
            published.into(),
            port,
            rig.link.clone(),
            places.clone(),
            Rc::clone(&rig.pipes),
        )
        .unwrap();
        crate::publish::serve(closed.into(), nobody, rig.link.clone(), places, Rc::clone(&rig.pipes))
            .unwrap();
        let server = thread(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let sent = noise(3 << 20);
        let expected = sent.clone();
        let echo = thread(move || {
            let mut stream = client(address);
            stream.write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        assert!(done(echo).await == expected);
        done(server).await;
        let refused = done(thread(move || say(closed_address, b""))).await;
        assert!(is_reset(&refused), "{refused:?}");
        assert!(rig.decided().await.is_empty());
    });
}
