//! HTTP without encryption.

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Answers so many requests, and gives all that it read until the end.
fn serve(listener: TcpListener, mut answers: Vec<&'static [u8]>) -> JoinHandle<Vec<u8>> {
    thread(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return all,
                Ok(count) => all.extend_from_slice(&piece[..count]),
            }
            if !answers.is_empty() {
                stream.write_all(answers.remove(0)).unwrap();
            }
        }
    })
}

async fn rig(rules: Rules) -> (Rig, TcpListener, SocketAddr) {
    let (listener, places) = server();
    let mut rig = Rig::new(rules, places).await;
    rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
    let [address] = rig.serve(["198.18.0.9:80"]);
    (rig, listener, address)
}

fn read_answer(stream: &mut TcpStream, length: usize) -> String {
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_slow_request_is_not_waited_for() {
    run(async {
        let (listener, places) = server();
        let mut rig = Rig::new(allow(&["a.org"]), places).await;
        rig.patience.words = Duration::from_millis(200);
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        let [address] = rig.serve(["198.18.0.9:80"]);
        let begun = Instant::now();
        let refusal = done(thread(move || {
            let mut stream = client(address);
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
            let mut refusal = String::new();
            stream.read_to_string(&mut refusal).map(|_| refusal)
        }));
        let refusal = refusal.await.unwrap();
        assert!(refusal.starts_with("HTTP/1.1 400 ") && since(begun, 200, 4000), "{refusal}");
        drop(listener);
        assert_eq!(rig.decided().await, [("a.org".into(), Some(Reason::Malformed))]);
    });
}

#[test]
fn a_request_of_more_bytes_than_are_left_is_not_sent_and_the_budget_is_named() {
    for (session, name, reason) in [(Some(40), None, Reason::Budget), (None, Some(40), Reason::NameBudget)] {
        run(async move {
            let (listener, places) = server();
            let mut rig = Rig::new(allow(&["a.org"]), places).await;
            (rig.limits.upload_max, rig.limits.name_upload_max) = (session, name);
            rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
            let [address] = rig.serve(["198.18.0.9:80"]);
            let server = serve(listener, vec![]);
            let long = get("a.org").replace("\r\n\r\n", "\r\nX: 01234567890123456789\r\n\r\n");
            let _ = done(thread(move || say(address, long.as_bytes()))).await;
            assert!(done(server).await.is_empty());
            assert_eq!(rig.decided().await.last(), Some(&("a.org".into(), Some(reason))));
        });
    }
}

#[test]
fn a_name_at_an_address_is_cut_when_it_is_no_longer_allowed() {
    run(async {
        let (listener, places) = server();
        let rig = Rig::new(allow(&["9.9.9.9:80", "a.org:80"]), places).await;
        let [address] = rig.serve(["9.9.9.9:80"]);
        let server = serve(listener, vec![OK]);
        let stream = done(thread(move || {
            let mut stream = client(address);
            stream.write_all(get("a.org").as_bytes()).unwrap();
            assert_eq!(read_answer(&mut stream, OK.len()).as_bytes(), OK);
            stream
        }));
        let mut stream = stream.await;
        rig.change(allow(&["9.9.9.9:80"]));
        let begun = Instant::now();
        let cut = done(thread(move || stream.read(&mut [0; 9]))).await;
        assert!(is_reset(&cut) && since(begun, 0, 5000), "{cut:?}");
        done(server).await;
    });
}

#[test]
fn requests_go_on_until_one_is_for_another_host() {
    run(async {
        let (rig, listener, address) = rig(allow(&["a.org"])).await;
        let server = serve(listener, vec![OK, OK]);
        let said = thread(move || {
            let mut stream = client(address);
            for _ in 0..2 {
                stream.write_all(get("a.org").as_bytes()).unwrap();
                assert_eq!(read_answer(&mut stream, OK.len()).as_bytes(), OK);
            }
            stream.write_all(get("evil.com").as_bytes()).unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            rest
        });
        let refusal = done(said).await;
        assert!(
            refusal.starts_with("HTTP/1.1 403 Forbidden\r\n") && refusal.contains("evil.com"),
            "{refusal}"
        );
        assert_eq!(done(server).await, [get("a.org"), get("a.org")].concat().into_bytes());
        let expected = [("a.org".into(), None), ("a.org".into(), Some(Reason::NameMismatch))];
        assert_eq!(rig.decided().await, expected);
    });
}

#[test]
fn answers_to_pipelined_requests_come_before_the_refusal_of_the_last() {
    run(async {
        let (_rig, listener, address) = rig(allow(&["a.org"])).await;
        let server = serve(listener, vec![OK]);
        let both = [get("a.org"), get("evil.com")].concat();
        let answer = done(thread(move || say(address, both.as_bytes()))).await.unwrap();
        assert!(answer.starts_with(&[OK, b"HTTP/1.1 403 "].concat()), "{}", answer.escape_ascii());
        assert_eq!(done(server).await, get("a.org").as_bytes());
    });
}

#[test]
fn a_refusal_is_read_by_a_client_that_still_sends() {
    run(async {
        let (rig, _listener, address) = rig(allow(&["b.org:80"])).await;
        let post = format!(
            "POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 1000000\r\n\r\n{}",
            "x".repeat(200_000)
        );
        let answer = done(thread(move || say(address, post.as_bytes()))).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 403 ") && answer.contains("agentboxctl allow abc a.org\n"),
            "{answer}"
        );
        assert_eq!(rig.decided().await, [("a.org".into(), Some(Reason::NotListed))]);
    });
}

#[test]
fn what_the_network_fails_at_is_a_bad_gateway() {
    run(async {
        let mut rig = Rig::new(allow(&["missing.org", "b.org"]), Places::new()).await;
        rig.name("198.18.0.9", "missing.org", Err(Reason::NotFound));
        rig.name("198.18.0.10", "b.org", Ok(vec![public_address()]));
        let [missing, on_link] = rig.serve(["198.18.0.9:80", "198.18.0.10:80"]);
        let answer = done(thread(move || say(missing, get("missing.org").as_bytes()))).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 502 "), "{}", answer.escape_ascii());
        // The supervisor has the last word.
        let answer = done(thread(move || say(on_link, get("b.org").as_bytes()))).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", answer.escape_ascii());
        let expected =
            [("missing.org".into(), Some(Reason::NotFound)), ("b.org".into(), Some(Reason::OnLink))];
        assert_eq!(rig.decided().await, expected);
        let malformed = done(thread(move || say(missing, b"PRI * HTTP/2.0\r\n\r\n"))).await.unwrap();
        assert!(malformed.starts_with(b"HTTP/1.1 400 "));
    });
}

#[test]
fn a_large_body_goes_through_and_the_next_request_is_judged() {
    run(async {
        let (_rig, listener, address) = rig(allow(&["a.org"])).await;
        let server = thread(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        let chunk = format!("{:x}\r\n{}\r\n", 3 << 20, "y".repeat(3 << 20));
        let body = "x".repeat(5 << 20);
        let good = format!(
            "PUT / HTTP/1.1\r\nHost: a.org\r\nContent-Length: {}\r\n\r\n{body}\
             PUT / HTTP/1.1\r\nHost: a.org\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n",
            body.len()
        );
        let all = good.clone() + &get("evil.com");
        let answer = done(thread(move || say(address, all.as_bytes()))).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 403 "));
        assert!(done(server).await == good.as_bytes());
    });
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: a.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_websocket_is_opaque_once_the_server_agrees() {
    run(async {
        let (_rig, listener, address) = rig(allow(&["a.org"])).await;
        let server = serve(listener, vec![SWITCH, b"\x82\x01z"]);
        let said = thread(move || {
            let mut stream = client(address);
            stream.write_all(ASK.as_bytes()).unwrap();
            assert_eq!(read_answer(&mut stream, SWITCH.len()).as_bytes(), SWITCH);
            stream.write_all(b"\x81\x05hello").unwrap();
            let mut frame = [0; 3];
            stream.read_exact(&mut frame).unwrap();
            frame
        });
        assert_eq!(&done(said).await, b"\x82\x01z");
        assert_eq!(done(server).await, [ASK.as_bytes(), b"\x81\x05hello"].concat());
    });
}

#[test]
fn what_follows_an_upgrade_that_was_declined_is_judged() {
    run(async {
        let (rig, listener, address) = rig(allow(&["a.org"])).await;
        let server = serve(listener, vec![OK]);
        let both = [ASK.to_owned(), get("evil.com")].concat();
        let answer = done(thread(move || say(address, both.as_bytes()))).await.unwrap();
        assert!(answer.starts_with(&[OK, b"HTTP/1.1 403 "].concat()), "{}", answer.escape_ascii());
        assert_eq!(done(server).await, ASK.as_bytes());
        assert_eq!(rig.decided().await.last().unwrap().1, Some(Reason::NameMismatch));
    });
}

#[test]
fn http2_is_not_switched_to() {
    run(async {
        let (rig, listener, address) = rig(allow(&["a.org"])).await;
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
        let server = serve(listener, vec![switch]);
        let ask = ASK.replace("websocket", "h2c");
        let answer = done(thread(move || say(address, ask.as_bytes()))).await;
        assert!(is_reset(&answer), "{answer:?}");
        done(server).await;
        assert_eq!(rig.decided().await.last().unwrap().1, Some(Reason::Malformed));
    });
}

/// Takes a request for another protocol, answers it after a while, and gives all that came behind it.
fn late(listener: TcpListener, answer: &'static [u8]) -> JoinHandle<Vec<u8>> {
    thread(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(read_answer(&mut stream, ASK.len()), ASK);
        std::thread::sleep(Duration::from_millis(200));
        stream.write_all(answer).unwrap();
        let mut behind = Vec::new();
        stream.read_to_end(&mut behind).unwrap();
        let _ = stream.write_all(b"bye");
        behind
    })
}

/// Asks for another protocol, and says this before the answer comes, in pieces, and then that nothing more comes.
fn early(address: SocketAddr, said: Vec<u8>) -> JoinHandle<io::Result<Vec<u8>>> {
    thread(move || {
        let mut stream = client(address);
        stream.write_all(ASK.as_bytes())?;
        for piece in said.chunks(100_000) {
            std::thread::sleep(Duration::from_millis(20));
            stream.write_all(piece)?;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer)
    })
}

#[test]
fn what_is_said_before_another_protocol_is_agreed_on_arrives_behind_it_in_order() {
    for length in [0usize, 5, 300, 1_000_000] {
        run(async move {
            let (listener, places) = server();
            let mut rig = Rig::new(allow(&["a.org"]), places).await;
            rig.heard = Heard::of(300_000, 0);
            rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
            let [address] = rig.serve(["198.18.0.9:80"]);
            let said: Vec<u8> = (0..length).map(|at| (at / 251) as u8 ^ at as u8).collect();
            let (server, client) = (late(listener, SWITCH), early(address, said.clone()));
            assert!(done(server).await == said, "{length}");
            assert_eq!(done(client).await.unwrap(), [SWITCH, b"bye"].concat());
            assert_eq!(rig.decided().await, [("a.org".into(), None)]);
        });
    }
}

#[test]
fn what_is_said_before_another_protocol_is_declined_is_judged() {
    run(async {
        let (rig, listener, address) = rig(allow(&["a.org"])).await;
        let said = [get("a.org"), get("evil.com")].concat().into_bytes();
        let (server, client) = (late(listener, OK), early(address, said));
        assert_eq!(done(server).await, get("a.org").as_bytes());
        let answer = done(client).await.unwrap();
        assert!(answer.starts_with(&[OK, b"byeHTTP/1.1 403 "].concat()), "{}", answer.escape_ascii());
        assert_eq!(rig.decided().await.last().unwrap().1, Some(Reason::NameMismatch));
    });
}

#[test]
fn who_leaves_before_another_protocol_is_agreed_on_is_noticed() {
    for (said, ends_before) in [("", false), ("early", false), ("early", true)] {
        run(async move {
            let (rig, listener, address) = rig(allow(&["a.org"])).await;
            let server = thread(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                assert_eq!(read_answer(&mut stream, ASK.len()), ASK);
                stream.read(&mut [0; 9])
            });
            let before = Rc::strong_count(&rig.names.held);
            let left = thread(move || {
                let mut stream = client(address);
                stream.write_all(ASK.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
                stream.write_all(said.as_bytes()).unwrap();
                if ends_before {
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                }
                std::thread::sleep(Duration::from_millis(50));
                socket::drop_with_reset(stream.into());
            });
            done(left).await;
            let heard = done(server).await;
            assert!(is_reset(&heard), "{said} {ends_before}: {heard:?}");
            sleep(Duration::from_millis(50)).await;
            assert_eq!(Rc::strong_count(&rig.names.held), before);
        });
    }
}

#[test]
fn what_is_said_before_another_protocol_is_agreed_on_takes_no_more_memory_than_there_may_be() {
    run(async {
        let (listener, places) = server();
        let mut rig = Rig::new(allow(&["a.org"]), places).await;
        rig.heard = Heard::of(10_000, 0);
        rig.name("198.18.0.9", "a.org", Ok(vec![public_address()]));
        let [address] = rig.serve(["198.18.0.9:80"]);
        let (server, client) = (late(listener, SWITCH), early(address, vec![1; 40_000]));
        let _ = done(client).await;
        assert!(done(server).await.is_empty());
        assert_eq!(rig.decided().await.last().unwrap().1, Some(Reason::TooMany));
    });
}
