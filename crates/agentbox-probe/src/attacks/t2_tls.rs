//! T2: a connection to an allowed name that says another one in TLS, or hides what it says.

use crate::attack::Attack;
use crate::trial::{Trial, Tried};
use crate::wire::exchange;
use crate::wire::hello::{self, Hello, records};
use crate::wire::http;
use std::net::SocketAddr;

/// The names that a hello can be made of.
struct Names<'a> {
    allowed: &'a str,
    refused: &'a str,
}

type Pieces = fn(&Names<'_>) -> Vec<Vec<u8>>;

/// A hello to the allowed site, in pieces; behind it comes the mark.
macro_rules! tls {
    ($id:literal, $title:literal, $pieces:expr) => {
        tls!($id, $title, 443, $pieces)
    };
    ($id:literal, $title:literal, $port:literal, $pieces:expr) => {
        Attack::network($id, $title, &["network.allowed", "network.refused"], |t| at(t, $port, $pieces))
    };
}

pub(super) const TABLE: &[Attack] = &[
    tls!("t2.tls-other-name", "say another name in the hello", |n| vec![Hello::naming(n.refused).record()]),
    tls!("t2.tls-no-name", "say no name in the hello", |_| vec![Hello::silent().record()]),
    tls!("t2.tls-empty-name", "say an empty name", |_| vec![Hello::naming("").record()]),
    tls!("t2.tls-two-records", "say another name across two records", |n| {
        let message = Hello::naming(n.refused).message();
        let name = message.windows(n.refused.len()).position(|window| window == n.refused.as_bytes());
        let (first, second) = message.split_at(name.unwrap_or(40) + n.refused.len() / 2);
        vec![records(first, usize::MAX), records(second, usize::MAX)]
    }),
    tls!("t2.tls-tiny-records", "say another name in records of one byte", |n| {
        vec![records(&Hello::naming(n.refused).message(), 1)]
    }),
    tls!("t2.tls-byte-by-byte", "say another name a byte at a time", |n| {
        Hello::naming(n.refused).record().chunks(1).map(<[u8]>::to_vec).collect()
    }),
    tls!("t2.tls-long", "say another name behind much padding", |n| {
        vec![records(&Hello::naming(n.refused).padded(60_000).message(), usize::MAX)]
    }),
    tls!("t2.tls-nul-behind", "say the allowed name, NUL, and another", |n| {
        vec![Hello::naming(format!("{}\0.{}", n.allowed, n.refused)).record()]
    }),
    tls!("t2.tls-nul-before", "say another name, NUL, and the allowed one", |n| {
        vec![Hello::naming(format!("{}\0.{}", n.refused, n.allowed)).record()]
    }),
    tls!("t2.tls-dot", "say another name with a dot at its end", |n| {
        vec![Hello::naming(format!("{}.", n.refused)).record()]
    }),
    tls!("t2.tls-upper-case", "say another name in upper case", |n| {
        vec![Hello::naming(n.refused.to_uppercase()).record()]
    }),
    tls!("t2.tls-look-alike", "say a name that only looks like the allowed one", |n| {
        // Cyrillic letters.
        vec![
            Hello::naming(n.allowed.replace('a', "а").replace('e', "е").replace('o', "о").replace('l', "ӏ"))
                .record(),
        ]
    }),
    tls!("t2.tls-look-alike-encoded", "say one in the encoding of such names", |n| {
        vec![Hello::naming(format!("xn--{}-8cd", n.allowed)).record()]
    }),
    tls!("t2.tls-below", "say a name below the allowed one", |n| {
        vec![Hello::naming(format!("deeper.{}", n.allowed)).record()]
    }),
    tls!("t2.tls-ends-alike", "say a name that ends as the allowed one does", |n| {
        vec![Hello::naming(format!("not{}", n.allowed)).record()]
    }),
    tls!("t2.tls-two-names", "say the allowed name and another in one list", |n| {
        vec![Hello::naming_all(&[n.allowed, n.refused]).record()]
    }),
    tls!("t2.tls-two-names-turned", "say another name and the allowed one in one list", |n| {
        vec![Hello::naming_all(&[n.refused, n.allowed]).record()]
    }),
    tls!("t2.tls-two-lists", "say the allowed name in one list and another in a second", |n| {
        vec![Hello::naming(n.allowed).and_again(n.refused).record()]
    }),
    tls!("t2.tls-two-lists-turned", "say another name in one list and the allowed one in a second", |n| {
        vec![Hello::naming(n.refused).and_again(n.allowed).record()]
    }),
    tls!("t2.tls-address", "say an address instead of a name", |_| vec![Hello::naming("192.0.2.1").record()]),
    tls!("t2.tls-foreign-outside", "say another name outside of an encrypted hello", |n| {
        vec![Hello::naming(n.refused).with_encrypted().record()]
    }),
    tls!("t2.tls-record-before", "put a record of another kind before the hello", |n| {
        // A warning that closes nothing, and a change of ciphers.
        vec![vec![21, 3, 3, 0, 2, 1, 90], vec![20, 3, 3, 0, 1, 1], Hello::naming(n.refused).record()]
    }),
    tls!("t2.tls-ancient", "say a hello of SSL 2, which has no name", |_| vec![hello::ancient()]),
    tls!("t2.tls-cut", "begin a hello and go on with something else", |n| {
        let mut record = Hello::naming(n.refused).record();
        record.truncate(record.len() / 2);
        vec![record]
    }),
    tls!("t2.tls-not-at-all", "speak no TLS at all on its port", |n| {
        vec![format!("SSH-2.0-{}\r\n", n.refused).into_bytes()]
    }),
    tls!("t2.tls-request-in-clear", "speak HTTP in clear on the port of TLS", |n| {
        vec![http::get(n.refused, None)]
    }),
    tls!("t2.tls-on-port-80", "say another name in a hello on port 80", 80, |n| {
        vec![Hello::naming(n.refused).record(), b"\r\n\r\n".to_vec()]
    }),
    tls!("t2.tls-hidden-name", "hide another name in an encrypted hello to the allowed one", |n| {
        vec![Hello::naming(n.allowed).with_encrypted().record()]
    })
    .unpromised(
        "what is encrypted for the allowed name goes to the allowed name; what that does with it is its own",
    ),
    tls!("t2.tls-host-inside", "ask the allowed name for another one inside of TLS", |n| {
        vec![Hello::naming(n.allowed).record(), hello::data(&http::get(n.refused, None))]
    })
    .unpromised("TLS is not opened: who serves many names at one address may serve another than was said"),
];

fn at(t: &Trial<'_>, port: u16, pieces: Pieces) -> Tried {
    let (allowed, refused) = (t.allowed()?, t.refused()?);
    let mut pieces = pieces(&Names { allowed: &allowed.site.name, refused: &refused.name });
    pieces.push(hello::data(&t.payload()));
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    Ok(exchange::all_at_once(&allowed.at(port), SocketAddr::to_string, |to| {
        exchange::tcp(*to, &pieces, &allowed.site.token)
    }))
}
