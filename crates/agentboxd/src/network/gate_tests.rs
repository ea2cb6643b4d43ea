//! What a gate is granted, whatever it asks for and however the rules change meanwhile.

use super::*;
use agentbox_plan::net::{Mode, Rule, Translator, Verdict, canonical, internal_range, reached};
use proptest::prelude::*;

/// The one internal place that a rule may name.
const GRANTED: &str = "10.0.0.5:22";

#[derive(Debug, Clone)]
enum Event {
    /// The rules are others from now on.
    Rules(Rules),
    /// A gate says that it wants to connect to an address on behalf of something.
    Asked(Destination, IpAddr, u16),
    /// A gate says that the network translates by a prefix.
    Heard(Translator),
}

fn rule(verdict: Verdict, target: &str) -> Rule {
    Rule { verdict, target: target.parse().unwrap(), internal: false, origin: "test".into() }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    const TARGETS: &[&str] = &["a.org", "a.org:22", "**.a.org", "8.8.8.0/24", "0.0.0.0/0", "::/0", GRANTED];
    let rule = (proptest::sample::select(TARGETS), any::<bool>())
        .prop_map(|(target, allow)| rule(if allow { Verdict::Allow } else { Verdict::Deny }, target));
    (any::<bool>(), proptest::collection::vec(rule, 0..6)).prop_map(|(public, rules)| Rules {
        mode: if public { Mode::Public } else { Mode::Allowlist },
        rules,
    })
}

/// Internal and public ones, in every way to write them, and any.
fn any_address() -> impl Strategy<Value = IpAddr> {
    const KNOWN: &[&str] = &[
        "10.0.0.5",
        "::ffff:10.0.0.5",
        "10.255.255.255",
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "100.64.0.1",
        "192.168.1.1",
        "::ffff:192.168.1.1",
        "64:ff9b::a00:5",
        "2002:a00:5::1",
        "fd00::1",
        "fe80::1",
        "8.8.8.8",
        "9.9.9.9",
        "2a00::1",
        "2a00::2",
        "2a0e:b107:64::a00:5",
        "2a0e:b107:64::909:909",
        "2a0e:b107:64::808:808",
        "2a00:0:a00:5::",
        "2a00:0:808:808::",
    ];
    let known = proptest::sample::select(KNOWN).prop_map(|text| text.parse().unwrap());
    prop_oneof![4 => known, 1 => any::<IpAddr>()]
}

fn any_event() -> impl Strategy<Value = Event> {
    let name = proptest::sample::select(&["a.org", "b.org", "c.net"][..])
        .prop_map(|name| Destination::Name { name: name.parse().unwrap() });
    let destination = prop_oneof![
        3 => name,
        1 => any_address().prop_map(|address| Destination::Address { address }),
        1 => Just(Destination::HostLoopback),
    ];
    let port = proptest::sample::select(&[22_u16, 80, 443][..]);
    let prefix =
        proptest::sample::select(&["2a0e:b107:64::/96", "2a00::/32", "2a00:0:a00:5::/64", "fd00::/96"][..])
            .prop_map(|prefix| Event::Heard(Translator::new(prefix.parse().unwrap()).unwrap()));
    prop_oneof![
        1 => any_rules().prop_map(Event::Rules),
        1 => prefix,
        4 => (destination, any_address(), port).prop_map(|(to, address, port)| Event::Asked(to, address, port)),
    ]
}

/// 2a00::1 is this machine's own, 9.9.9.9 lies next to it.
fn what_is(address: IpAddr) -> Option<Reason> {
    match canonical(address).to_string().as_str() {
        "2a00::1" => Some(Reason::OwnAddress),
        "9.9.9.9" => Some(Reason::OnLink),
        _ => None,
    }
}

proptest! {
    #[test]
    fn no_sequence_of_requests_is_granted_an_internal_address(
        events in proptest::collection::vec(any_event(), 1..60),
    ) {
        let mut rules = Rules { mode: Mode::Public, rules: Vec::new() };
        let mut translators = Translators::none();
        for event in events {
            match event {
                Event::Rules(others) => rules = others,
                Event::Heard(translator) => drop(translators.add(translator)),
                Event::Asked(destination, address, port) => {
                    let made = judge(&rules, &translators, what_is, &destination, address, port);
                    let granted: IpAddr = [10, 0, 0, 5].into();
                    // Behind the well-known prefix of translators it is the same host.
                    let is_named = reached(address) == granted
                        && port == 22
                        && rules.rules.contains(&rule(Verdict::Allow, GRANTED));
                    let all = || translators.behind(address).chain([address]);
                    if all().any(|one| internal_range(one).or(what_is(one).map(Reason::as_str)).is_some()) {
                        prop_assert!(made.is_err() || is_named, "{:?} at {} {}", destination, address, port);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_public_and_what_a_rule_names_is_granted() {
    let to = |name: &str| Destination::Name { name: name.parse().unwrap() };
    let mut rules = Rules { mode: Mode::Public, rules: Vec::new() };
    let mut translators = Translators::none();
    assert_eq!(judge(&rules, &translators, what_is, &to("a.org"), [8, 8, 8, 8].into(), 443), Ok(()));
    assert_eq!(
        judge(&rules, &translators, what_is, &to("a.org"), [9, 9, 9, 9].into(), 443),
        Err(Reason::OnLink)
    );
    assert_eq!(
        judge(&rules, &translators, what_is, &to("a.org"), [10, 0, 0, 5].into(), 22),
        Err(Reason::Internal)
    );
    rules.rules.push(rule(Verdict::Allow, GRANTED));
    assert_eq!(judge(&rules, &translators, what_is, &to("a.org"), [10, 0, 0, 5].into(), 22), Ok(()));
    let behind = |last: &str| format!("2a0e:b107:64::{last}").parse().unwrap();
    for last in ["808:808", "909:909", "a00:6"] {
        assert_eq!(judge(&rules, &translators, what_is, &to("a.org"), behind(last), 443), Ok(()), "{last}");
    }
    translators.add(Translator::new("2a0e:b107:64::/96".parse().unwrap()).unwrap());
    for (last, made) in
        [("808:808", Ok(())), ("909:909", Err(Reason::OnLink)), ("a00:6", Err(Reason::Internal))]
    {
        assert_eq!(judge(&rules, &translators, what_is, &to("a.org"), behind(last), 443), made, "{last}");
    }
}

fn pair() -> (OwnedFd, OwnedFd) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_does_not_read_is_given_up() {
    let (ours, theirs) = pair();
    rustix::io::ioctl_fionbio(&ours, true).unwrap();
    let ours = descriptor::watch(ours, Interest::READABLE | Interest::WRITABLE).unwrap();
    let answer = Answer::Refused { number: 1, reason: Reason::Denied };
    let mut said = 0;
    let lost = loop {
        let begun = tokio::time::Instant::now();
        match say(&ours, &answer, None).await {
            Ok(()) => said += 1,
            Err(error) => break (error, begun.elapsed()),
        }
    };
    assert!(
        matches!(lost, (GateError::DoesNotRead, time) if time.as_secs() == SAY_LIMIT.as_secs()),
        "{lost:?}"
    );
    // One that reads again is told again.
    for _ in 0..said {
        assert!(rustix::net::recv(&theirs, &mut [0; 99][..], rustix::net::RecvFlags::empty()).unwrap().0 > 0);
    }
    assert!(say(&ours, &answer, None).await.is_ok());
}

/// Has a gate say these, while its session is being started or runs; what the start was told, and the trail.
async fn said(starts: bool, requests: &[Request]) -> (Option<Result<(), String>>, String) {
    let place = tempfile::tempdir().unwrap();
    let file = || std::fs::File::open(place.path()).unwrap().into();
    let (tell, told) = oneshot::channel();
    let mut network = super::super::session::tests::network();
    network.fixed.on_loss = OnLoss::Stop;
    let conversation = Conversation {
        supervisor: Arc::new(Supervisor::in_directory(place.path())),
        host: Arc::new(HostNetwork::without_table()),
        network: Arc::new(network),
        parts: Parts { namespace: file(), directory: file(), group: file(), published: vec![] },
        ready: starts.then_some(tell),
    };
    let (ours, theirs) = pair();
    for request in requests {
        rustix::net::send(&theirs, &request.to_bytes(), rustix::net::SendFlags::empty()).unwrap();
    }
    // It is there as long as it is talked to.
    let _ = tokio::time::timeout(GONE_LIMIT, conversation.run(None, Some(ours))).await;
    drop(theirs);
    (told.await.ok(), std::fs::read_to_string(place.path().join("logs/audit.jsonl")).unwrap_or_default())
}

#[tokio::test]
async fn a_gate_that_fails_says_so_once() {
    let failed = Request::Failed { step: "seccomp".into(), detail: "no".into() };
    for starts in [true, false] {
        let (told, trail) = said(starts, &vec![failed.clone(); 50]).await;
        assert_eq!(told, starts.then(|| Err("seccomp: no".to_owned())));
        assert_eq!(trail.matches("\"failed\"").count(), usize::from(starts), "{trail}");
        assert_eq!(trail.matches("\"gate-lost\"").count(), usize::from(!starts), "{trail}");
    }
}

#[tokio::test]
async fn a_gate_that_tells_of_more_than_it_can_have_reached_is_given_up() {
    let place = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::in_directory(place.path());
    let network = super::super::session::tests::network();
    let decided = |number: u32, reason| Decided {
        destination: Destination::Address { address: IpAddr::from(number.to_be_bytes()) },
        port: 443,
        reason,
        rule: None,
        other: None,
    };
    let told = (0..20_000).take_while(|number| network.decided(&supervisor, decided(*number, None)));
    let told = u32::try_from(told.count()).unwrap();
    assert!((16_096..17_000).contains(&told), "{told}");
    assert!(network.decided(&supervisor, decided(0, Some(Reason::NotListed))));
    // An honest one was stopped long before that; where the last ones went is counted already.
    let to = |number| decided(number, None).destination;
    assert_eq!(network.may_reach(&to(told + 1), 443), Err(Reason::ManyDestinations));
    assert_eq!(network.may_reach(&to(told - 1), 443), Ok(()));
    assert_eq!(network.may_reach(&to(told - 1), 80), Err(Reason::ManyDestinations));
}
