//! Resolvers of every kind, on real sockets.

use super::forge::{Forged, is_v6, name_of};
use super::lab::{Behaviour, Lab, Server, both, found, good, good_bytes, silent};
use super::*;
use crate::runtime::block_on;
use agentbox_plan::gate::Transport;
use std::cell::Cell;
use std::net::UdpSocket;

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn resolver(servers: &[&Server]) -> Resolver {
    let resolvers = servers.iter().map(|server| server.address).collect();
    Resolver::new(Rc::new(Lab { resolvers, refuses: None, given: Rc::default() }))
}

/// What is found, and how long that takes.
fn find(servers: &[&Server], text: &'static str) -> (Finding, Duration) {
    let resolver = resolver(servers);
    let begun = Instant::now();
    let finding = block_on(async move { resolver.find(&name(text)).await }).unwrap();
    (finding, begun.elapsed())
}

const FAILED: Finding = Finding::Failed(Reason::Unresolved);

fn truncated(question: &[u8]) -> Vec<Vec<u8>> {
    let mut answer = Forged::to(question, 0).0;
    answer[2] |= 2;
    vec![answer]
}

#[test]
fn both_families_are_found_in_one_round() {
    let server = Server::new(good, silent);
    let (finding, time) = find(&[&server], "a.org");
    assert_eq!(finding, both());
    assert!(time < Duration::from_secs(1), "{time:?}");
    assert_eq!(server.names(), ["a.org", "a.org"]);
}

#[test]
fn every_question_has_an_id_that_is_hard_to_guess() {
    static IDS: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
    let server = Server::new(
        |question| {
            IDS.lock().unwrap().push(u16::from_be_bytes([question[0], question[1]]));
            good(question)
        },
        silent,
    );
    for name in ["a.org", "b.org", "c.org", "d.org"] {
        assert_eq!(find(&[&server], name).0, both());
    }
    let mut ids = IDS.lock().unwrap().clone();
    ids.sort_unstable();
    ids.dedup();
    // Of eight, two may be the same by chance.
    assert!(ids.len() > 6, "{ids:?}");
}

#[test]
fn what_belongs_to_other_questions_is_passed_over() {
    let server = Server::new(
        |question| {
            let lie = Forged::to(question, 0).address(&name_of(question), "6.6.6.6", 60).0;
            let with = |at: usize, change: u8| {
                let mut lie = lie.clone();
                lie[at] ^= change;
                lie
            };
            let short = lie[..7].to_vec();
            vec![with(0, 1), with(1, 0x80), with(13, 3), with(2, 0x80), vec![], short, good_bytes(question)]
        },
        silent,
    );
    assert_eq!(find(&[&server], "a.org").0, both());
}

#[test]
fn a_silent_resolver_is_followed_by_the_other_one() {
    let (first, second) = (Server::new(silent, silent), Server::new(good, silent));
    let (finding, time) = find(&[&first, &second], "a.org");
    assert_eq!(finding, both());
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&time), "{time:?}");
}

#[test]
fn without_any_answer_it_ends_after_five_seconds() {
    let server = Server::new(silent, silent);
    let (finding, time) = find(&[&server, &server], "a.org");
    assert_eq!(finding, FAILED);
    assert!((Duration::from_secs(4)..Duration::from_secs(6)).contains(&time), "{time:?}");
}

#[test]
fn a_resolver_that_is_not_there_costs_no_time() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Server { address: gone, questions: std::sync::Arc::default() };
    let server = Server::new(good, silent);
    let (finding, time) = find(&[&nobody, &server], "a.org");
    assert_eq!(finding, both());
    assert!(time < Duration::from_secs(1), "{time:?}");
    assert!(find(&[&nobody], "a.org").1 < Duration::from_secs(1));
}

#[test]
fn a_resolver_without_an_answer_is_followed_by_the_other_one_at_once() {
    let second = Server::new(good, silent);
    let failing: [Behaviour; 5] = [
        |question| vec![Forged::to(question, 2).0],
        |question| vec![Forged::to(question, 5).0],
        |question| {
            let mut cut = good_bytes(question);
            cut.truncate(cut.len() - 3);
            vec![cut]
        },
        |question| vec![Forged::to(question, 0).raw(&name_of(question), 5, &[0xc0, 0xff]).0],
        // Only strays: somebody is guessing.
        |question| {
            let mut stray = good_bytes(question);
            stray[0] ^= 1;
            vec![stray; 80]
        },
    ];
    for behaviour in failing {
        let first = Server::new(behaviour, silent);
        let (finding, time) = find(&[&first, &second], "a.org");
        assert_eq!(finding, both());
        assert!(time < Duration::from_secs(1), "{time:?}");
    }
}

#[test]
fn what_does_not_fit_into_a_datagram_is_asked_for_by_a_stream() {
    let many: Behaviour = |question| {
        let owner = name_of(question);
        let mut answer = Forged::to(question, 0);
        for last in 0..200 {
            let address = if is_v6(question) { format!("2001:db8::{last}") } else { format!("9.9.9.{last}") };
            answer = answer.address(&owner, &address, 60);
        }
        vec![answer.0]
    };
    // Said so, and more than we read.
    for by_datagrams in [truncated as Behaviour, many] {
        let server = Server::new(by_datagrams, many);
        let (Finding::Found(addresses), _) = find(&[&server], "a.org") else { panic!("addresses") };
        assert_eq!((addresses.len(), server.count(Transport::Tcp)), (32, 2));
    }
}

#[test]
fn a_stream_that_ends_lies_or_stays_silent_is_no_answer() {
    let second = Server::new(good, silent);
    let streams: [Behaviour; 5] = [
        |question| {
            let mut stray = good_bytes(question);
            stray[1] ^= 1;
            vec![stray; 9]
        },
        truncated,
        |_| vec![vec![0; 65_535]; 8],
        |_| vec![vec![]; 8],
        |question| vec![Forged::to(question, 0).alias("a.org", "a.org", 5).0],
    ];
    for (at, behaviour) in streams.into_iter().enumerate() {
        let first = Server::new(truncated, behaviour);
        let (finding, time) = find(&[&first, &second], "a.org");
        // A circle of aliases is an answer, and the other resolver is not asked.
        assert_eq!(finding, if at == 4 { FAILED } else { both() });
        assert!(time < Duration::from_secs(1), "{time:?}");
    }
    let first = Server::new(truncated, silent);
    let (finding, time) = find(&[&first, &second], "a.org");
    assert_eq!(finding, both());
    assert!(time < Duration::from_secs(3), "{time:?}");
}

#[test]
fn aliases_are_followed_over_several_answers_up_to_sixteen() {
    // `16.a.org` leads to `0.a.org`, two aliases an answer, which alone has addresses.
    let by_two: Behaviour = |question| {
        let owner = name_of(question);
        let depth = owner.split('.').next().unwrap().parse::<usize>().unwrap();
        let link = |at: usize| format!("{at}.a.org");
        let answer = Forged::to(question, 0);
        vec![match depth {
            0 => answer.address(&owner, if is_v6(question) { "2001:db8::1" } else { "9.9.9.9" }, 60).0,
            1 => answer.alias(&owner, &link(0), 60).0,
            _ => answer.alias(&owner, &link(depth - 1), 60).alias(&link(depth - 1), &link(depth - 2), 60).0,
        }]
    };
    let server = Server::new(by_two, silent);
    assert_eq!(find(&[&server], "16.a.org").0, both());
    assert_eq!(server.count(Transport::Udp), 18);
    assert_eq!(find(&[&server], "17.a.org").0, FAILED);
    for length in [16, 17] {
        let chain: Behaviour = match length {
            16 => |question| vec![Forged::to(question, 0).chain("a.org", 16, "9.9.9.9").0],
            _ => |question| vec![Forged::to(question, 0).chain("a.org", 17, "9.9.9.9").0],
        };
        let server = Server::new(chain, silent);
        let expected = if length == 16 { found(&["9.9.9.9"]) } else { FAILED };
        // At the end of the chain it is asked once more for the other family.
        assert_eq!(find(&[&server], "a.org").0, expected);
    }
}

#[test]
fn an_alias_of_itself_ends_at_once() {
    let circles: [Behaviour; 2] = [
        |question| vec![Forged::to(question, 0).alias(&name_of(question), &name_of(question), 60).0],
        // One alias an answer, to and fro.
        |question| {
            let owner = name_of(question);
            let other = if owner == "a.org" { "b.org" } else { "a.org" };
            vec![Forged::to(question, 0).alias(&owner, other, 60).0]
        },
    ];
    for behaviour in circles {
        let server = Server::new(behaviour, silent);
        let (finding, time) = find(&[&server], "a.org");
        assert_eq!(finding, FAILED);
        assert!(time < Duration::from_secs(1), "{time:?}");
        assert!(server.names().len() <= 34);
    }
}

#[test]
fn a_resolver_that_does_not_know_edns_is_asked_without() {
    let old: Behaviour = |question| match question[11] {
        0 => good(question),
        _ => {
            let mut bare = Forged::to(question, 1).0;
            bare.truncate(12);
            bare[5] = 0;
            vec![bare]
        }
    };
    let server = Server::new(old, silent);
    assert_eq!(find(&[&server, &server], "a.org").0, both());
}

#[test]
fn one_family_is_enough_when_the_other_stays_silent() {
    let half: Behaviour = |question| if is_v6(question) { vec![] } else { good(question) };
    let server = Server::new(half, silent);
    let (finding, time) = find(&[&server], "a.org");
    assert_eq!(finding, found(&["9.9.9.9"]));
    assert!(time < Duration::from_secs(1), "{time:?}");
}

#[test]
fn a_name_that_is_not_there_is_told_from_one_without_addresses() {
    let none = Server::new(|question| vec![Forged::to(question, 3).authority("org", 9, 9).0], silent);
    assert_eq!(find(&[&none], "a.org").0, Finding::NotFound);
    let nothing = Server::new(|question| vec![Forged::to(question, 0).authority("org", 9, 9).0], silent);
    assert_eq!(find(&[&nothing], "a.org").0, Finding::NoData);
}

#[test]
fn a_name_is_asked_for_once_however_many_want_it() {
    let server = Server::new(good, silent);
    let resolver = resolver(&[&server]);
    block_on(async move {
        let answers = Rc::new(Cell::new(0));
        for _ in 0..100 {
            let (resolver, answers) = (resolver.clone(), Rc::clone(&answers));
            spawn(async move {
                assert_eq!(resolver.find(&name("a.org")).await, both());
                answers.set(answers.get() + 1);
            });
        }
        assert_eq!(resolver.addresses(&name("A.org")).await.unwrap().len(), 2);
        crate::runtime::sleep(Duration::from_millis(50)).await;
        assert_eq!(resolver.known(&name("a.org")), Some(both()));
        assert_eq!(resolver.find(&name("a.org")).await, both());
        assert_eq!(answers.get(), 100);
    })
    .unwrap();
    assert_eq!(server.names().len(), 2);
}

#[test]
fn only_so_many_questions_wait_at_once_and_the_others_behind_them() {
    let server = Server::new(silent, silent);
    let given = Rc::new(Cell::new(0));
    let lab = Lab { resolvers: vec![server.address], refuses: None, given: Rc::clone(&given) };
    let resolver = Resolver::new(Rc::new(lab));
    block_on(async move {
        let refused = Rc::new(Cell::new(0));
        for number in 0..NAMES + 10 {
            let (resolver, refused) = (resolver.clone(), Rc::clone(&refused));
            spawn(async move {
                let finding = resolver.find(&name(&format!("n{number}.org"))).await;
                if finding == Finding::Failed(Reason::TooMany) {
                    refused.set(refused.get() + 1);
                }
            });
        }
        crate::runtime::sleep(Duration::from_millis(300)).await;
        assert_eq!(refused.get(), 10);
    })
    .unwrap();
    assert_eq!(given.get(), QUESTIONS);
}

#[test]
fn without_a_supervisor_nothing_is_asked_and_nothing_remembered() {
    let given = Rc::new(Cell::new(0));
    let lab = Lab { resolvers: vec![], refuses: Some(Reason::SupervisorAway), given: Rc::clone(&given) };
    let resolver = Resolver::new(Rc::new(lab));
    block_on(async move {
        for _ in 0..2 {
            assert_eq!(resolver.addresses(&name("a.org")).await, Err(Reason::SupervisorAway));
        }
    })
    .unwrap();
    assert_eq!(given.get(), 4);
}
