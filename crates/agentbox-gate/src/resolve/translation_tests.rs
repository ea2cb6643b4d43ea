//! Networks that translate, in honest and in hostile words.

use super::super::forge::{Forged, is_v6, name_of};
use super::super::lab::{Behaviour, Lab, Server, good, silent};
use super::*;
use crate::runtime::{Fd, block_on, sleep};
use agentbox_plan::Wire as _;
use agentbox_plan::gate::{Answer, MAX_REQUEST_BYTES, Request};
use agentbox_plan::net::{IPV4_ONLY, Rules, Translators};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType};
use std::os::fd::OwnedFd;

/// A supervisor that is connected to a gate, and what the gate knows of the network.
struct Rig {
    translation: Translation,
    link: Link,
    supervisor: Fd<OwnedFd>,
    /// Where the gate listens.
    directory: tempfile::TempDir,
}

impl Rig {
    fn new(servers: &[&Server]) -> Self {
        Self::with(Lab {
            resolvers: servers.iter().map(|server| server.address).collect(),
            refuses: None,
            given: Rc::default(),
        })
    }

    fn with(lab: Lab) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = Self::address(&directory);
        let socket = || rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        let (listener, supervisor) = (socket(), socket());
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 9).unwrap();
        let link = Link::serve(listener, Rules::nothing()).unwrap();
        rustix::net::connect(&supervisor, &address).unwrap();
        let translation = Translation::new(Rc::new(lab), link.clone());
        Self { translation, link, supervisor: Fd::new(supervisor).unwrap(), directory }
    }

    fn address(directory: &tempfile::TempDir) -> SocketAddrUnix {
        SocketAddrUnix::new(directory.path().join("gate")).unwrap()
    }

    fn other_network(&self) {
        let bytes = Answer::OtherNetwork.to_bytes();
        rustix::net::send(self.supervisor.get(), &bytes, SendFlags::empty()).unwrap();
    }

    /// What the supervisor is told next.
    async fn told(&self) -> Request {
        let mut bytes = [0; MAX_REQUEST_BYTES];
        let received =
            self.supervisor.read_with(|fd| Ok(rustix::net::recv(fd, &mut bytes[..], RecvFlags::empty())?));
        let (count, _) = received.await.unwrap();
        Request::from_bytes(&bytes[..count]).unwrap()
    }
}

fn translator(prefix: &str) -> Translator {
    Translator::new(prefix.parse().unwrap()).unwrap()
}

/// One that translates, by two prefixes.
fn translates(question: &[u8]) -> Vec<Vec<u8>> {
    assert!(is_v6(question) && name_of(question) == IPV4_ONLY, "{}", name_of(question));
    let answer = Forged::to(question, 0)
        .address(IPV4_ONLY, "2a0e:b107:64::192.0.0.170", 60)
        .address(IPV4_ONLY, "2a0e:b107:64::192.0.0.171", 60)
        .address(IPV4_ONLY, "2a0e:0:c000:aa::", 60)
        .address("other.example", "2a0f::192.0.0.170", 60);
    vec![answer.0]
}

fn found() -> [Translator; 2] {
    [translator("2a0e:b107:64::/96"), translator("2a0e::/32")]
}

#[test]
fn what_any_resolver_says_is_kept_and_told() {
    block_on(async {
        let (plain, other) = (Server::new(good, silent), Server::new(translates, silent));
        for servers in [[&plain, &other], [&other, &plain]] {
            let rig = Rig::new(&servers);
            assert_eq!(rig.translation.settled().await, Ok(()));
            assert_eq!(rig.link.translators().known(), found());
            assert_eq!(rig.told().await, Request::Ready);
            assert_eq!(rig.told().await, Request::Translates { translators: found().into() });
        }
    })
    .unwrap();
}

#[test]
fn each_network_is_asked_at_once_and_again_after_a_while() {
    block_on(async {
        let server = Server::new(translates, silent);
        let rig = Rig::new(&[&server]);
        sleep(Duration::from_millis(30)).await;
        assert!(server.names().is_empty(), "nobody has come");
        for times in 1..4 {
            rig.other_network();
            sleep(if times == 1 { Duration::from_millis(50) } else { PAUSE }).await;
            assert_eq!(server.names(), vec![IPV4_ONLY; times]);
            // Who needs it now finds it answered.
            assert_eq!(rig.translation.settled().await, Ok(()));
            assert_eq!(server.names().len(), times);
        }
        rig.translation.0.believed.set(rig.translation.0.believed.get().map(|(of, _)| (of, Instant::now())));
        assert_eq!(rig.translation.settled().await, Ok(()));
        assert_eq!(server.names().len(), 4);
        assert_eq!(rig.link.translators().known(), found());
    })
    .unwrap();
}

/// A resolver that has changed its mind by the time of the second question.
fn forgets(question: &[u8]) -> Vec<Vec<u8>> {
    static ASKED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let is_first = !ASKED.swap(true, std::sync::atomic::Ordering::Relaxed);
    if is_first { translates(question) } else { vec![Forged::to(question, 3).0] }
}

#[test]
fn what_was_heard_of_is_not_taken_back() {
    block_on(async {
        let server = Server::new(forgets, silent);
        let rig = Rig::new(&[&server]);
        for _ in 0..2 {
            assert_eq!(rig.translation.settled().await, Ok(()));
            assert_eq!(rig.link.translators().known(), found());
            rig.translation.0.believed.set(None);
        }
        assert_eq!(server.names().len(), 2);
    })
    .unwrap();
}

#[test]
fn a_resolver_without_an_answer_is_not_waited_for_and_names_nothing() {
    block_on(async {
        let failing: [Behaviour; 4] = [
            silent,
            |question| vec![Forged::to(question, 2).0],
            |question| vec![Forged::to(question, 0).raw(IPV4_ONLY, 28, &[0xc0]).0],
            // To somebody else's question.
            |question| {
                let mut stray = translates(question).remove(0);
                stray[0] ^= 1;
                vec![stray; 80]
            },
        ];
        for behaviour in failing {
            let server = Server::new(behaviour, silent);
            let (rig, begun) = (Rig::new(&[&server]), Instant::now());
            assert_eq!(rig.translation.settled().await, Ok(()));
            assert!(begun.elapsed() < TRY + Duration::from_millis(500), "{:?}", begun.elapsed());
            assert_eq!(rig.link.translators().known(), []);
        }
        assert_eq!(Rig::new(&[]).translation.settled().await, Ok(()));
    })
    .unwrap();
}

#[test]
fn who_cannot_ask_knows_nothing_of_the_network() {
    block_on(async {
        for reason in [Reason::TooMany, Reason::SupervisorAway] {
            let rig = Rig::with(Lab { resolvers: vec![], refuses: Some(reason), given: Rc::default() });
            assert_eq!(rig.translation.settled().await, Err(reason));
        }
    })
    .unwrap();
}

/// Another prefix in every record of every answer.
fn floods(question: &[u8]) -> Vec<Vec<u8>> {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let mut answer = Forged::to(question, 0);
    for _ in 0..16 {
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        answer = answer.address(IPV4_ONLY, &format!("2a0e:{number:x}::192.0.0.170"), 60);
    }
    vec![answer.0]
}

#[test]
fn a_resolver_that_goes_on_with_it_closes_ipv6_and_costs_no_memory() {
    block_on(async {
        let server = Server::new(floods, silent);
        let rig = Rig::new(&[&server]);
        let mut again = Translators::none();
        assert_eq!(rig.told().await, Request::Ready);
        for _ in 0..8 {
            assert_eq!(rig.translation.settled().await, Ok(()));
            rig.translation.0.believed.set(None);
        }
        let all = rig.link.translators();
        assert_eq!(all.known().len(), Translators::MOST + 1);
        let outside = "2606:4700::1111".parse().unwrap();
        assert_eq!(all.behind(outside).count(), 1);
        // The supervisor comes to the same.
        while again != *all {
            let Request::Translates { translators } = rig.told().await else { unreachable!() };
            assert!(translators.into_iter().all(|translator| again.add(translator)));
        }
    })
    .unwrap();
}

#[test]
fn another_supervisor_is_told_what_is_known() {
    block_on(async {
        let server = Server::new(translates, silent);
        let rig = Rig::new(&[&server]);
        assert_eq!(rig.translation.settled().await, Ok(()));
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        rustix::net::connect(&socket, &Rig::address(&rig.directory)).unwrap();
        let rig = Rig { supervisor: Fd::new(socket).unwrap(), ..rig };
        assert_eq!(rig.told().await, Request::Ready);
        assert_eq!(rig.told().await, Request::Translates { translators: found().into() });
    })
    .unwrap();
}
