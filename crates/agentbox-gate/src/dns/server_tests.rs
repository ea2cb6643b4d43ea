use super::*;
use crate::budget::Budget;
use crate::dns::message::tests::question;
use crate::dns::reply::STREAM;
use crate::dns::{tcp, udp};
use crate::resolve::Counted;
use crate::resolve::forge::{Forged, is_v6, name_of};
use crate::resolve::lab::{Behaviour, Lab, Server as Upstream, good, silent};
use crate::runtime::{Fd, block_on, sleep, spawn, timeout};
use agentbox_plan::gate::{GateLimits, HOST_NAMES, Sent, Transport};
use agentbox_plan::net::{Mode, Rule, Verdict};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

const A: u16 = 1;
const AAAA: u16 = 28;

/// Rules that change, and what was reported.
struct Fake {
    rules: RefCell<Rc<Rules>>,
    refused: RefCell<Vec<(String, Reason, Option<u32>)>>,
}

impl Session for Fake {
    fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules.borrow())
    }

    fn refused(&self, name: HostName, reason: Reason, rule: Option<u32>) {
        self.refused.borrow_mut().push((name.to_string(), reason, rule));
    }
}

struct Test {
    session: Rc<Fake>,
    names: Names,
    server: Rc<Server>,
    /// How many sockets to resolvers were asked for.
    sockets: Rc<Cell<usize>>,
    /// What questions counted as.
    sent: Rc<RefCell<Vec<Sent>>>,
}

fn rules(mode: Mode, allow: &[&str], deny: &[&str]) -> Rules {
    let rule = |verdict| {
        move |target: &&str| Rule {
            verdict,
            target: target.parse().unwrap(),
            internal: false,
            origin: String::new(),
        }
    };
    let denied = deny.iter().map(rule(Verdict::Deny));
    Rules { mode, rules: allow.iter().map(rule(Verdict::Allow)).chain(denied).collect() }
}

fn test_with(rules: Rules, resolvers: Vec<SocketAddr>, ipv6: bool) -> Test {
    test_within(rules, resolvers, ipv6, None)
}

/// The same with a budget.
fn test_within(rules: Rules, resolvers: Vec<SocketAddr>, ipv6: bool, upload_max: Option<u64>) -> Test {
    let session = Rc::new(Fake { rules: RefCell::new(Rc::new(rules)), refused: RefCell::default() });
    let sockets = Rc::new(Cell::new(0));
    let lab = Lab { resolvers, refuses: None, given: Rc::clone(&sockets) };
    let names = Names::new(64).unwrap();
    let limits = GateLimits { upload_max, name_upload_max: None, connections: 1, names: 1 };
    let budget = Rc::new(RefCell::new(Budget::new(&limits, &[], 0)));
    let sent: Rc<RefCell<Vec<Sent>>> = Rc::default();
    let own = Rc::clone(&sent);
    let counted = Counted::new(Rc::new(lab), budget, move |sent| own.borrow_mut().push(sent));
    let server = Server::new(
        Rc::<Fake>::clone(&session) as Rc<dyn Session>,
        names.clone(),
        Resolver::new(Rc::new(counted)),
        ipv6,
    );
    Test { session, names, server, sockets, sent }
}

fn test(rules: Rules) -> Test {
    test_with(rules, vec![], true)
}

impl Test {
    fn step(&self, name: &str, rtype: u16) -> Step {
        self.server.step(&read_question(&question(1, name, rtype)).unwrap())
    }

    /// What the address that is answered stands for.
    fn destination(&self, name: &str, rtype: u16) -> Option<Destination> {
        match self.step(name, rtype) {
            Step::Answer(Outcome::Address(address)) if address.is_ipv6() == (rtype == AAAA) => {
                self.names.destination_of(address)
            }
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The answer, after resolvers were asked if need be.
    async fn outcome(&self, name: &str, rtype: u16) -> Outcome {
        let mut out = Vec::new();
        match self.server.reply(&question(1, name, rtype), &mut out, |_| STREAM) {
            Reply::Later(_, wait) => wait.outcome().await,
            Reply::Written => {
                let Step::Answer(outcome) = self.step(name, rtype) else { panic!("it was answered") };
                outcome
            }
            Reply::Silence => panic!("no answer"),
        }
    }
}

fn to(name: &str) -> Option<Destination> {
    Some(Destination::Name { name: name.parse().unwrap() })
}

#[test]
fn questions_count_as_sent_and_are_not_asked_when_nothing_is_left() {
    const MOST: u64 = 300;
    let upstream = Upstream::new(good, silent);
    let address = upstream.address;
    block_on(async move {
        let rules = rules(Mode::Allowlist, &["*.example.org"], &[]);
        let test = test_within(rules, vec![address], true, Some(MOST));
        let mut outcomes = Vec::new();
        for number in 0..9 {
            outcomes.push(test.outcome(&format!("secret{number}.example.org"), A).await);
        }
        // Each is answered as one that no rule allows is: where it is connected to, it is refused in words.
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Address(_))), "{outcomes:?}");
        let sent = test.sent.borrow();
        let domain = to("example.org").unwrap();
        assert!(sent.iter().all(|sent| sent.destination == domain && sent.sent > 30), "{sent:?}");
        let in_all: u64 = sent.iter().map(|sent| sent.sent).sum();
        assert!((MOST / 2..=MOST).contains(&in_all), "{in_all}");
        let refused = test.session.refused.borrow();
        let last = ("secret8.example.org".to_owned(), Reason::Budget, None);
        assert!(refused.len() >= 5 && refused.last() == Some(&last), "{refused:?}");
    })
    .unwrap();
    assert!(upstream.names().len() <= 8, "{:?}", upstream.names());
}

#[test]
fn a_name_of_a_rule_is_answered_without_asking() {
    let test = test(rules(Mode::Allowlist, &["api.a.org", "git.b.org:22"], &[]));
    for name in ["api.a.org", "API.a.oRG", "git.b.org"] {
        for rtype in [A, AAAA] {
            assert_eq!(test.destination(name, rtype), to(&name.to_lowercase()));
        }
    }
    assert_eq!(test.sockets.get(), 0);
}

#[test]
fn both_families_of_a_name_are_one_place() {
    let test = test(rules(Mode::Allowlist, &["a.org"], &[]));
    let (Step::Answer(Outcome::Address(v4)), Step::Answer(Outcome::Address(v6))) =
        (test.step("a.org", A), test.step("a.org", AAAA))
    else {
        panic!("two addresses")
    };
    assert_eq!(Place::of(v4), Place::of(v6));
}

#[test]
fn a_name_that_is_not_allowed_has_an_address_too_and_is_reported_once() {
    let test = test(rules(Mode::Allowlist, &["a.org", "**.b.org"], &["x.b.org"]));
    for name in ["evil.org", "x.b.org", "b.org", "evil.org"] {
        assert_eq!(test.destination(name, A), to(name));
        assert_eq!(test.destination(name, AAAA), to(name));
    }
    let reported = test.session.refused.borrow();
    assert_eq!(
        *reported,
        [
            ("evil.org".to_owned(), Reason::NotListed, None),
            ("x.b.org".to_owned(), Reason::Denied, Some(2)),
            ("b.org".to_owned(), Reason::NotListed, None),
        ]
    );
}

#[test]
fn names_that_are_made_up_by_the_thousand_are_not_all_reported() {
    let test = test(rules(Mode::Allowlist, &[], &[]));
    for number in 0..10_000 {
        test.destination(&format!("secret{number}.evil.org"), A);
    }
    assert_eq!(test.session.refused.borrow().len(), REPORTS as usize);
}

#[test]
fn names_that_are_refused_take_neither_a_place_nor_memory_without_end() {
    let test = test(rules(Mode::Allowlist, &["a.org"], &[]));
    let Step::Answer(Outcome::Address(address)) = test.step("a.org", A) else { panic!("a.org") };
    for number in 0..STANDINGS + 9 {
        test.step(&format!("{number}.evil.org"), A);
        assert!(test.server.standings.borrow().1.len() <= STANDINGS);
    }
    assert_eq!(test.names.destination_of(address), to("a.org"));
}

#[test]
fn only_addresses_are_answered() {
    let test = test(rules(Mode::Public, &["a.org"], &[]));
    for rtype in [64, 65] {
        assert_eq!(test.step("a.org", rtype), Step::Answer(Outcome::NoData), "{rtype}");
    }
    for rtype in [2, 5, 6, 10, 12, 15, 16, 33, 252, 255] {
        assert_eq!(test.step("a.org", rtype), Step::Answer(Outcome::Refused), "{rtype}");
    }
    let mut chaos = question(1, "a.org", A);
    *chaos.last_mut().unwrap() = 3;
    let step = test.server.step(&read_question(&chaos).unwrap());
    assert_eq!(step, Step::Answer(Outcome::Refused));
}

#[test]
fn a_session_without_ipv6_has_no_ipv6_addresses() {
    let test = test_with(rules(Mode::Public, &["a.org"], &[]), vec![], false);
    for name in ["a.org", "other.org", "localhost", "host"] {
        assert_eq!(test.step(name, AAAA), Step::Answer(Outcome::NoData), "{name}");
    }
    assert_eq!(test.destination("a.org", A), to("a.org"));
}

#[test]
fn special_names_are_never_asked_for() {
    let test = test(rules(Mode::Public, &["*.a.onion"], &[]));
    let loopback = |text: &str| Step::Answer(Outcome::Address(text.parse().unwrap()));
    for name in ["localhost", "LocalHost", "a.localhost"] {
        assert_eq!(test.step(name, A), loopback("127.0.0.1"));
        assert_eq!(test.step(name, AAAA), loopback("::1"));
        assert_eq!(test.step(name, 65), Step::Answer(Outcome::NoData));
    }
    for name in HOST_NAMES {
        assert_eq!(test.destination(name, A), Some(Destination::HostLoopback));
        assert_eq!(test.destination(name, AAAA), Some(Destination::HostLoopback));
    }
    for name in ["nas", "printer.local", "db.internal", "nas.home.arpa", "a.onion", "x.a.onion"] {
        for rtype in [A, AAAA, 65] {
            assert_eq!(test.step(name, rtype), Step::Answer(Outcome::NoName), "{name}");
        }
    }
    for name in ["", "1.2.3.4", "a b.org"] {
        for rtype in [A, AAAA, 65] {
            assert_eq!(test.step(name, rtype), Step::Answer(Outcome::Refused), "{name}");
        }
    }
    assert_eq!(test.sockets.get(), 0);
}

#[test]
fn a_rule_makes_names_of_the_own_network_names() {
    let test = test(rules(Mode::Allowlist, &["nas:445", "printer.local", "**.corp.internal"], &[]));
    assert_eq!(test.destination("nas", A), to("nas"));
    assert_eq!(test.destination("printer.local", AAAA), to("printer.local"));
    assert_eq!(test.step("git.corp.internal", A), Step::Ask("git.corp.internal".parse().unwrap()));
    assert_eq!(test.step("other", A), Step::Answer(Outcome::NoName));
}

#[test]
fn other_rules_hold_at_once() {
    let test = test(rules(Mode::Allowlist, &[], &[]));
    let before = test.step("a.org", A);
    assert!(matches!(test.step("b.a.org", A), Step::Answer(Outcome::Address(_))));
    test.session.rules.replace(Rc::new(rules(Mode::Allowlist, &["a.org", "*.a.org"], &[])));
    assert_eq!(test.step("a.org", A), before, "the address stays");
    assert!(matches!(test.step("b.a.org", A), Step::Ask(_)));
    test.session.rules.replace(Rc::new(rules(Mode::Allowlist, &["a.org"], &["a.org"])));
    assert_eq!(test.step("a.org", A), before);
    assert_eq!(test.session.refused.borrow().len(), 3);
}

/// By name: there, without addresses, not there, not to be said, and internal.
fn telling(question: &[u8]) -> Vec<Vec<u8>> {
    let owner = name_of(question);
    let answer = Forged::to(question, 0);
    vec![match owner.split('.').next().unwrap() {
        "there" if is_v6(question) => answer.authority("org", 9, 9).0,
        "there" => answer.address(&owner, "9.9.9.9", 60).0,
        "empty" => answer.authority("org", 9, 9).0,
        "internal" => answer.address(&owner, if is_v6(question) { "::1" } else { "10.0.0.1" }, 60).0,
        "failing" => Forged::to(question, 2).0,
        _ => Forged::to(question, 3).0,
    }]
}

#[test]
fn whether_a_name_is_there_is_said_truthfully() {
    let upstream = Upstream::new(telling, silent);
    for (rules, parent) in [
        (rules(Mode::Public, &[], &[]), "a.org"),
        (rules(Mode::Allowlist, &["*.b.org"], &[]), "b.org"),
        (rules(Mode::Allowlist, &["**.c.org:22"], &[]), "c.org"),
    ] {
        let test = test_with(rules, vec![upstream.address], true);
        block_on(async move {
            for rtype in [A, AAAA] {
                for (label, expected) in
                    [("empty", Outcome::NoData), ("missing", Outcome::NoName), ("failing", Outcome::Failed)]
                {
                    assert_eq!(test.outcome(&format!("{label}.{parent}"), rtype).await, expected);
                }
                // One family is enough for both: the address is only a stand-in.
                for label in ["there", "internal"] {
                    let name = format!("{label}.{parent}");
                    let Outcome::Address(address) = test.outcome(&name, rtype).await else {
                        panic!("{name}")
                    };
                    assert_eq!(address.is_ipv6(), rtype == AAAA);
                    assert_eq!(test.names.destination_of(address), to(&name));
                }
            }
        })
        .unwrap();
    }
    // Once for each family, and the second time it was known; the failing one was asked for twice a family.
    let count = |name: &str| upstream.names().iter().filter(|asked| *asked == name).count();
    assert_eq!((count("there.a.org"), count("missing.b.org")), (2, 2));
}

#[test]
fn without_a_supervisor_the_answer_is_that_it_failed() {
    let test = test(rules(Mode::Public, &[], &[]));
    block_on(async move {
        assert_eq!(test.outcome("a.org", A).await, Outcome::Failed);
    })
    .unwrap();
}

#[test]
fn only_so_many_questions_wait_for_resolvers() {
    let upstream = Upstream::new(silent, silent);
    let test = test_with(rules(Mode::Public, &[], &[]), vec![upstream.address], true);
    let mut out = Vec::new();
    let waiting: Vec<_> = (0..WAITING)
        .map(|number| test.server.reply(&question(1, &format!("n{number}.org"), A), &mut out, |_| STREAM))
        .collect();
    assert!(waiting.iter().all(|reply| matches!(reply, Reply::Later(..))));
    assert!(matches!(test.server.reply(&question(1, "a.org", A), &mut out, |_| STREAM), Reply::Written));
    assert_eq!(out[3] & 15, 2);
    drop(waiting);
    assert!(matches!(test.server.reply(&question(1, "a.org", A), &mut out, |_| STREAM), Reply::Later(..)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Whatever is in the labels, whatever is asked for: no socket to a resolver, so no byte leaves.
    #[test]
    fn nothing_of_a_name_that_is_not_allowed_is_sent(
        labels in proptest::collection::vec("[a-zA-Z0-9_-]{1,40}", 1..5),
        parent in prop_oneof![Just("a.org"), Just("x.b.org"), Just("evil.com"), Just("local"), Just("onion")],
        rtype in prop_oneof![3 => Just(A), 3 => Just(AAAA), 1 => any::<u16>()],
    ) {
        let test = test(rules(Mode::Allowlist, &["a.org", "*.b.org", "evil.com:22"], &["evil.com", "x.b.org"]));
        let name = format!("{}.{parent}", labels.join("."));
        prop_assume!(name.len() < 250);
        let mut out = Vec::new();
        let bytes = question(7, &name, rtype);
        let reply = test.server.reply(&bytes, &mut out, |_| STREAM);
        prop_assert!(matches!(reply, Reply::Written));
        prop_assert_eq!(&out[12..bytes.len()], &bytes[12..]);
        prop_assert_eq!(test.sockets.get(), 0);
    }
}

/// Serves on sockets of loopback while `with` runs.
fn served<T: 'static>(test: Test, with: impl AsyncFnOnce(SocketAddr, SocketAddr) -> T + 'static) -> T {
    block_on(async move {
        let (datagrams, stream) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = (datagrams.local_addr().unwrap(), stream.local_addr().unwrap());
        let (one, other) = (Rc::clone(&test.server), test.server);
        spawn(async move { udp::serve(one, datagrams).await.unwrap() });
        spawn(async move { tcp::serve(other, stream).await.unwrap() });
        with(addresses.0, addresses.1).await
    })
    .unwrap()
}

fn address_in(answer: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 4] = answer.last_chunk().copied()?;
    (answer[7] == 1).then(|| octets.into())
}

#[test]
fn datagrams_are_answered_and_slow_ones_hold_up_nothing() {
    let slow: Behaviour = |question| {
        if name_of(question).starts_with("slow") {
            std::thread::sleep(Duration::from_millis(100));
        }
        good(question)
    };
    let upstream = Upstream::new(slow, silent);
    let test = test_with(rules(Mode::Public, &["fast.org"], &[]), vec![upstream.address], true);
    let order = served(test, async |datagrams, _| {
        let client = Fd::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        client.get().connect(datagrams).unwrap();
        // What is no question does no harm.
        for bytes in [&[][..], &[0; 5], &[0xff; 700]] {
            client.get().send(bytes).unwrap();
        }
        for (id, name) in [(1, "slow.org"), (2, "fast.org"), (3, "a.org")] {
            client.get().send(&question(id, name, A)).unwrap();
        }
        let mut order = Vec::new();
        let mut bytes = [0; 512];
        while order.len() < 3 {
            let count = client.read_with(|socket| socket.recv(&mut bytes)).await.unwrap();
            assert!(address_in(&bytes[..count]).is_some());
            order.push(bytes[1]);
        }
        order
    });
    assert_eq!(order[0], 2);
    assert_eq!(upstream.count(Transport::Udp), 4);
}

#[test]
fn several_questions_are_answered_on_a_stream() {
    let upstream = Upstream::new(good, silent);
    let test = test_with(rules(Mode::Public, &["a.org"], &[]), vec![upstream.address], true);
    served(test, async |_, stream| {
        let mut client = TcpStream::connect(stream).unwrap();
        let frame = |id: u16, name: &str| {
            let bytes = question(id, name, A);
            [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat()
        };
        client.write_all(&[frame(1, "a.org"), frame(2, "b.org"), frame(3, "a.org")].concat()).unwrap();
        let client = Fd::new(client).unwrap();
        for id in 1..=3 {
            let answer = crate::dns::frame::read_frame(&client, STREAM).await.unwrap().unwrap();
            assert_eq!(answer[1], id);
            assert!(address_in(&answer).is_some());
        }
        // One that is longer than any question ends it.
        client.get().write_all(&[0xff; 9]).unwrap();
        assert!(!matches!(crate::dns::frame::read_frame(&client, STREAM).await, Ok(Some(_))));
    });
}

#[test]
fn a_stream_is_let_go_when_there_are_too_many_or_when_it_says_nothing() {
    let test = test(rules(Mode::Public, &[], &[]));
    served(test, async |_, stream| {
        let begun = Instant::now();
        let mut clients = Vec::new();
        for _ in 0..65 {
            clients.push(Fd::new(TcpStream::connect(stream).unwrap()).unwrap());
        }
        // Bytes that come one by one do not prolong it.
        clients[0].get().write_all(&[0]).unwrap();
        sleep(Duration::from_secs(5)).await;
        let ended = async |client: &Fd<TcpStream>, limit| {
            let read = client.read_with(|mut stream| stream.read(&mut [0; 9]));
            timeout(limit, read).await.map(|read| read.unwrap_or(0))
        };
        assert_eq!(ended(&clients[64], Duration::from_secs(1)).await, Ok(0));
        assert!(ended(&clients[63], Duration::from_millis(1)).await.is_err());
        clients[0].get().write_all(&[20]).unwrap();
        for client in &clients {
            assert_eq!(ended(client, Duration::from_secs(9)).await, Ok(0));
        }
        let time = begun.elapsed();
        assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&time), "{time:?}");
        // There is room again.
        let next = Fd::new(TcpStream::connect(stream).unwrap()).unwrap();
        assert!(ended(&next, Duration::from_millis(300)).await.is_err());
    });
}
