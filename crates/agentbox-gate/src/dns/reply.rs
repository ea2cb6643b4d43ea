//! Writes answers to questions.

use super::message::{Edns, HEADER_BYTES, Header, Kind, Question, Unread};
use std::net::IpAddr;

/// Most bytes of a datagram that every asker takes (RFC 1035, section 4.2.1).
pub const PLAIN_DATAGRAM: usize = 512;
/// Most bytes of a datagram that is not cut in pieces on its way (RFC 9715).
pub const DATAGRAM: usize = 1232;
/// Most bytes of a message over TCP.
pub const STREAM: usize = u16::MAX as usize;
/// For how many seconds an asker may keep an address.
const TTL: u32 = 30;
/// Type of the record of EDNS.
const OPT: u16 = 41;

/// What a question is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// This address.
    Address(IpAddr),
    /// The name has nothing of that kind.
    NoData,
    /// There is no such name.
    NoName,
    /// It is not answered.
    Refused,
    /// It cannot be answered now.
    Failed,
}

impl Outcome {
    fn code(self) -> u8 {
        match self {
            Self::Address(_) | Self::NoData => 0,
            Self::Failed => 2,
            Self::NoName => 3,
            Self::Refused => 5,
        }
    }
}

/// Most bytes of the answer to a question that came as a datagram.
#[must_use]
pub fn datagram_limit(question: &Question) -> usize {
    question.edns.map_or(PLAIN_DATAGRAM, |edns| usize::from(edns.size).clamp(PLAIN_DATAGRAM, DATAGRAM))
}

fn start(out: &mut Vec<u8>, header: Header, truncated: bool, code: u8, counts: [u16; 3]) {
    out.clear();
    out.extend_from_slice(&header.id.to_be_bytes());
    out.push(0x80 | header.opcode << 3 | u8::from(truncated) << 1 | u8::from(header.recursion));
    out.push(0x80 | u8::from(header.unchecked) << 4 | code);
    let [questions, answers, additional] = counts;
    for count in [questions, answers, 0, additional] {
        out.extend_from_slice(&count.to_be_bytes());
    }
}

fn put_edns(out: &mut Vec<u8>, edns: Edns, extended_code: u8) {
    out.push(0);
    out.extend_from_slice(&OPT.to_be_bytes());
    out.extend_from_slice(&(DATAGRAM as u16).to_be_bytes());
    out.extend_from_slice(&[extended_code, 0, u8::from(edns.dnssec) << 7, 0, 0, 0]);
}

/// Writes the answer to a question, of at most `limit` bytes, over what is in `out`.
pub fn answer(out: &mut Vec<u8>, question: &Question, outcome: Outcome, limit: usize) {
    let additional = u16::from(question.edns.is_some());
    let address = match outcome {
        Outcome::Address(address) if fits_kind(question.kind, address) => Some(address),
        _ => None,
    };
    // BADVERS, 16, has its upper bits in the record of EDNS (RFC 6891, section 6.1.3).
    let bad_version = question.edns.is_some_and(|edns| edns.version != 0);
    let (code, extended, address) = if bad_version { (0, 1, None) } else { (outcome.code(), 0, address) };
    start(out, question.header, false, code, [1, u16::from(address.is_some()), additional]);
    out.extend_from_slice(question.bytes());
    if let Some(address) = address {
        put_address(out, question, address);
    }
    if let Some(edns) = question.edns {
        put_edns(out, edns, extended);
    }
    if out.len() <= limit {
        return;
    }
    start(out, question.header, true, code, [1, 0, 0]);
    out.extend_from_slice(question.bytes());
    if out.len() > limit {
        start(out, question.header, true, code, [0; 3]);
        out.truncate(limit);
    }
}

fn fits_kind(kind: Kind, address: IpAddr) -> bool {
    matches!((kind, address), (Kind::A, IpAddr::V4(_)) | (Kind::Aaaa, IpAddr::V6(_)))
}

fn put_address(out: &mut Vec<u8>, question: &Question, address: IpAddr) {
    // The name is that of the question, which is behind the header.
    out.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
    // Its type and class are the question's.
    let [.., a, b, c, d] = question.bytes() else { return };
    out.extend_from_slice(&[*a, *b, *c, *d]);
    out.extend_from_slice(&TTL.to_be_bytes());
    match address {
        IpAddr::V4(address) => {
            out.extend_from_slice(&[0, 4]);
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out.extend_from_slice(&[0, 16]);
            out.extend_from_slice(&address.octets());
        }
    }
}

/// Writes the answer to what is no question; false when there is none.
pub fn answer_unread(out: &mut Vec<u8>, unread: Unread) -> bool {
    match unread {
        Unread::Silence => return false,
        Unread::Malformed(header) => start(out, header, false, 1, [0; 3]),
        Unread::NotAQuestion(header) => start(out, header, false, 4, [0; 3]),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{question, with_edns};
    use super::super::message::{Kind, read_question};
    use super::*;
    use proptest::prelude::*;

    fn answered(bytes: &[u8], outcome: Outcome) -> Vec<u8> {
        let question = read_question(bytes).unwrap();
        let mut out = b"left over".to_vec();
        answer(&mut out, &question, outcome, datagram_limit(&question));
        out
    }

    const V4: Outcome = Outcome::Address(IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 0, 16)));

    #[test]
    fn an_address_is_answered_byte_for_byte() {
        let expected = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\
            \x01A\x03oRg\0\0\x01\0\x01\
            \xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\xc6\x12\0\x10";
        assert_eq!(answered(&question(0x1234, "A.oRg", 1), V4), expected);
        let v6 = Outcome::Address("fdab:6f78:6167::10".parse().unwrap());
        let expected = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\x01\
            \x01A\x03oRg\0\0\x1c\0\x01\
            \xc0\x0c\0\x1c\0\x01\0\0\0\x1e\0\x10\xfd\xab\x6f\x78\x61\x67\0\0\0\0\0\0\0\0\0\x10\
            \0\0\x29\x04\xd0\0\0\x80\0\0\0";
        assert_eq!(answered(&with_edns(question(0x1234, "A.oRg", 28), 4096, 0, &[]), v6), expected);
    }

    #[test]
    fn each_outcome_has_its_code() {
        for (outcome, code) in
            [(Outcome::NoData, 0), (Outcome::NoName, 3), (Outcome::Refused, 5), (Outcome::Failed, 2)]
        {
            let mut expected = b"\0\x01\x81\x80\0\x01\0\0\0\0\0\0\x01a\x03org\0\0\x01\0\x01".to_vec();
            expected[3] |= code;
            assert_eq!(answered(&question(1, "a.org", 1), outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn another_version_of_edns_is_refused_by_its_own_code() {
        let bytes = with_edns(question(1, "a.org", 1), 1232, 1, &[]);
        let expected = b"\0\x01\x81\x80\0\x01\0\0\0\0\0\x01\x01a\x03org\0\0\x01\0\x01\
            \0\0\x29\x04\xd0\x01\0\x80\0\0\0";
        assert_eq!(answered(&bytes, V4), expected);
    }

    #[test]
    fn an_address_of_the_other_family_is_no_answer() {
        assert_eq!(
            answered(&question(1, "a.org", 28), V4),
            answered(&question(1, "a.org", 28), Outcome::NoData)
        );
    }

    #[test]
    fn what_is_no_question_is_answered_without_one() {
        let mut out = Vec::new();
        let mut bytes = question(0x0102, "a.org", 1);
        bytes[5] = 2;
        assert!(answer_unread(&mut out, read_question(&bytes).unwrap_err()));
        assert_eq!(out, b"\x01\x02\x81\x81\0\0\0\0\0\0\0\0");
        bytes[2] = 0x21;
        assert!(answer_unread(&mut out, read_question(&bytes).unwrap_err()));
        assert_eq!(out, b"\x01\x02\xa1\x84\0\0\0\0\0\0\0\0");
        bytes[2] = 0x80;
        assert!(!answer_unread(&mut out, read_question(&bytes).unwrap_err()));
    }

    #[test]
    fn what_does_not_fit_is_cut_and_says_so() {
        let question = read_question(&question(1, "a.org", 1)).unwrap();
        let mut out = Vec::new();
        answer(&mut out, &question, V4, 30);
        assert_eq!(out, b"\0\x01\x83\x80\0\x01\0\0\0\0\0\0\x01a\x03org\0\0\x01\0\x01");
        answer(&mut out, &question, V4, 12);
        assert_eq!(out, b"\0\x01\x83\x80\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn the_longest_answer_fits_into_the_smallest_datagram() {
        let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let v6 = Outcome::Address("::1".parse().unwrap());
        let out = answered(&with_edns(question(1, &name, 28), 0, 0, &[]), v6);
        assert!(out.len() <= PLAIN_DATAGRAM && out[2] & 2 == 0);
    }

    proptest! {
        /// Never a panic, never more than allowed, and what is answered is what was asked.
        #[test]
        fn any_bytes_are_answered_within_the_limit_or_not_at_all(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..600),
                (any::<u16>(), "[a-z]{1,9}(\\.[a-zA-Z]{1,20}){0,9}", prop_oneof![Just(1u16), Just(28), any::<u16>()])
                    .prop_map(|(id, name, rtype)| question(id, &name, rtype)),
            ],
            address in any::<IpAddr>(),
            which in 0..5usize,
            limit in 12..700usize,
        ) {
            let outcome =
                [Outcome::Address(address), Outcome::NoData, Outcome::NoName, Outcome::Refused, Outcome::Failed][which];
            let mut out = Vec::new();
            match read_question(&bytes) {
                Ok(question) => {
                    answer(&mut out, &question, outcome, limit);
                    prop_assert!(out.len() <= limit);
                    if out[5] == 1 {
                        prop_assert_eq!(&out[12..12 + question.bytes().len()], question.bytes());
                    }
                    if out[7] == 1 {
                        prop_assert!(matches!(question.kind, Kind::A | Kind::Aaaa));
                    }
                }
                Err(unread) => {
                    if answer_unread(&mut out, unread) {
                        prop_assert_eq!(out.len(), 12);
                    }
                }
            }
            if !out.is_empty() {
                prop_assert_eq!(&out[..2], &bytes[..2]);
                prop_assert!(out[2] & 0x80 != 0);
                // It reads as a message with as many records as it says.
                let message = domain::base::Message::from_slice(&out).unwrap();
                let (_, answers, _, additional) = message.sections().unwrap();
                prop_assert!(answers.chain(additional).all(|record| record.is_ok()));
            }
        }
    }
}
