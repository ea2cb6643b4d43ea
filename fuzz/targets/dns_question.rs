//! A session's questions for names, and the answers that are written to them.
#![no_main]

use agentbox_gate::dns::message::read_question;
use agentbox_gate::dns::reply::{Outcome, answer, answer_unread, datagram_limit};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_BYTES: usize = 12;

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    let question = match read_question(bytes) {
        Ok(question) => question,
        Err(unread) => {
            if answer_unread(&mut out, unread) {
                assert!(out.len() >= HEADER_BYTES && out[2] & 0x80 != 0);
            }
            return;
        }
    };
    // Letter for letter what was asked, and a name that is written is read as itself.
    assert_eq!(&bytes[HEADER_BYTES..HEADER_BYTES + question.bytes().len()], question.bytes());
    if let Some(name) = question.name() {
        assert_eq!(name.as_str().parse().as_ref(), Ok(&name));
    }
    let limit = datagram_limit(&question);
    for outcome in [
        Outcome::Address(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2))),
        Outcome::Address(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        Outcome::NoData,
        Outcome::NoName,
        Outcome::Refused,
        Outcome::Failed,
    ] {
        answer(&mut out, &question, outcome, limit);
        assert!(out.len() >= HEADER_BYTES && out.len() <= limit);
        // An answer is never taken for a question, or two gates could talk for ever.
        assert!(read_question(&out).is_err());
    }
});
