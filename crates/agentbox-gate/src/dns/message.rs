//! Reads a question that the session sent.
//!
//! The bytes are an attacker's. What is read is one question and at most the OPT record of EDNS (RFC 6891);
//! all else is malformed. The question is kept byte for byte, because its answer repeats it so.

use agentbox_plan::net::HostName;
use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::name::{ParsedName, ToLabelIter};
use domain::base::opt::Opt;
use domain::base::record::ParsedRecord;
use domain::base::{Message, Question as Asked};
use domain::dep::octseq::Parser;

/// Bytes of the header of a message (RFC 1035, section 4.1.1).
pub const HEADER_BYTES: usize = 12;
/// Most bytes of a question: a name, its type and its class.
const MAX_QUESTION_BYTES: usize = 255 + 4;

/// What the flags of an answer are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Comes back in the answer.
    pub id: u16,
    /// Kind of request; comes back in the answer.
    pub opcode: u8,
    /// Recursion desired; comes back in the answer.
    pub recursion: bool,
    /// Checking disabled; comes back in the answer.
    pub unchecked: bool,
}

/// What EDNS (RFC 6891) of the question says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Most bytes of a datagram that the asker takes.
    pub size: u16,
    /// The version; there is only 0.
    pub version: u8,
    /// DNSSEC wanted; comes back in the answer.
    pub dnssec: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// HTTPS and SVCB: how a service is reached (RFC 9460).
    Service,
    /// Anything else, or another class than the internet.
    Other,
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// For the flags of the answer.
    pub header: Header,
    /// What is asked for.
    pub kind: Kind,
    /// EDNS, when it was there.
    pub edns: Option<Edns>,
    bytes: [u8; MAX_QUESTION_BYTES],
    length: usize,
}

/// Why bytes are no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is no request at all, and gets no answer: an answer to an answer could go round for ever.
    Silence,
    /// Not what a question looks like.
    Malformed(Header),
    /// Another request than a question.
    NotAQuestion(Header),
}

impl Question {
    /// The question as it was sent: name, type, class.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The name, when it is one of a host.
    #[must_use]
    pub fn name(&self) -> Option<HostName> {
        let mut labels = self.bytes();
        let mut text = String::with_capacity(MAX_QUESTION_BYTES);
        // The reader has seen that the labels are there.
        while let Some((length, rest)) = labels.split_first().filter(|(length, _)| **length != 0) {
            let (label, rest) = rest.split_at_checked(usize::from(*length))?;
            // A dot within a label is not one between labels.
            if label.contains(&b'.') {
                return None;
            }
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(std::str::from_utf8(label).ok()?);
            labels = rest;
        }
        text.parse().ok()
    }
}

/// Reads a question.
///
/// # Errors
/// [`Unread`] says what to answer instead.
pub fn read_question(bytes: &[u8]) -> Result<Question, Unread> {
    let message = Message::from_slice(bytes).map_err(|_| Unread::Silence)?;
    let (flags, counts) = (message.header(), message.header_counts());
    if flags.qr() {
        return Err(Unread::Silence);
    }
    let header = Header {
        id: flags.id(),
        opcode: flags.opcode().to_int(),
        recursion: flags.rd(),
        unchecked: flags.cd(),
    };
    if flags.opcode() != Opcode::QUERY {
        return Err(Unread::NotAQuestion(header));
    }
    let malformed = || Unread::Malformed(header);
    if (counts.qdcount(), counts.ancount(), counts.nscount()) != (1, 0, 0) || counts.arcount() > 1 {
        return Err(malformed());
    }
    let mut parser = Parser::from_ref(bytes);
    parser.advance(HEADER_BYTES).map_err(|_| malformed())?;
    let asked = Asked::<ParsedName<&[u8]>>::parse(&mut parser).map_err(|_| malformed())?;
    let question = bytes.get(HEADER_BYTES..parser.pos()).ok_or_else(malformed)?;
    let kind = match (asked.qclass(), asked.qtype()) {
        (Class::IN, Rtype::A) => Kind::A,
        (Class::IN, Rtype::AAAA) => Kind::Aaaa,
        (Class::IN, Rtype::HTTPS | Rtype::SVCB) => Kind::Service,
        _ => Kind::Other,
    };
    let edns = if counts.arcount() == 1 {
        let record = ParsedRecord::parse(&mut parser).map_err(|_| malformed())?;
        Some(read_edns(&record).ok_or_else(malformed)?)
    } else {
        None
    };
    // A name that points elsewhere takes fewer bytes than its labels: nothing is before it to point at.
    let is_plain = usize::from(asked.qname().compose_len()) + 4 == question.len();
    if !is_plain || parser.remaining() != 0 {
        return Err(malformed());
    }
    let mut kept = [0; MAX_QUESTION_BYTES];
    kept.get_mut(..question.len()).ok_or_else(malformed)?.copy_from_slice(question);
    Ok(Question { header, kind, edns, bytes: kept, length: question.len() })
}

fn read_edns(record: &ParsedRecord<'_, [u8]>) -> Option<Edns> {
    if record.rtype() != Rtype::OPT || !record.owner().is_root() {
        return None;
    }
    // Options are looked at only for whether they are any.
    record.to_record::<Opt<&[u8]>>().ok()??;
    let [_code, version, high, _low] = record.ttl().as_secs().to_be_bytes();
    Some(Edns { size: record.class().to_int(), version, dnssec: high & 0x80 != 0 })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A question for a name written with dots.
    pub(in crate::dns) fn question(id: u16, name: &str, rtype: u16) -> Vec<u8> {
        let mut bytes = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&rtype.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    /// The same with an OPT record.
    pub(in crate::dns) fn with_edns(mut bytes: Vec<u8>, size: u16, version: u8, options: &[u8]) -> Vec<u8> {
        bytes[11] = 1;
        bytes.extend_from_slice(&[0, 0, 41]);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&[0, version, 0x80, 0]);
        bytes.extend_from_slice(&(options.len() as u16).to_be_bytes());
        bytes.extend_from_slice(options);
        bytes
    }

    fn is_malformed(bytes: &[u8]) -> bool {
        matches!(read_question(bytes), Err(Unread::Malformed(_)))
    }

    #[test]
    fn a_question_is_kept_as_it_was_asked() {
        let bytes = question(0x1234, "aPi.ExAmple.com", 28);
        let read = read_question(&bytes).unwrap();
        assert_eq!((read.header.id, read.kind, read.edns), (0x1234, Kind::Aaaa, None));
        assert!(read.header.recursion);
        assert_eq!(read.bytes(), b"\x03aPi\x07ExAmple\x03com\0\0\x1c\0\x01");
        assert_eq!(read.name().unwrap().as_str(), "api.example.com");
    }

    #[test]
    fn edns_is_read_and_its_options_are_tolerated() {
        let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        let read = read_question(&with_edns(question(1, "a.org", 1), 1232, 0, &cookie)).unwrap();
        assert_eq!(read.edns, Some(Edns { size: 1232, version: 0, dnssec: true }));
        assert!(is_malformed(&with_edns(question(1, "a.org", 1), 1232, 0, &cookie[..11])));
        let mut with_owner = with_edns(question(1, "a.org", 1), 1232, 0, &[]);
        let at = question(1, "a.org", 1).len();
        with_owner.splice(at..at, *b"\x01a");
        assert!(is_malformed(&with_owner), "it is about the whole message");
    }

    #[test]
    fn what_is_no_single_plain_question_is_malformed() {
        let good = question(1, "a.org", 1);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        assert!(read_question(&good).is_ok());
        for (at, byte, what) in [
            (5, 0, "no question"),
            (5, 2, "two questions"),
            (7, 1, "an answer"),
            (9, 1, "an authority"),
            (11, 1, "a record that is not there"),
            (11, 2, "two records that are not there"),
            (12, 0x41, "a label of an unknown kind"),
            (12, 0xc0, "a pointer"),
            (12, 63, "a label that ends behind the message"),
        ] {
            assert!(is_malformed(&with(at, byte)), "{what}");
        }
        for length in HEADER_BYTES..good.len() {
            assert!(is_malformed(&good[..length]), "{length} bytes");
        }
        assert!(is_malformed(&[&good[..], b"x"].concat()), "bytes behind");
        // The header has zeros that would do as a name.
        let pointer = [&good[..12], &[0xc0, 6, 0, 1, 0, 1]].concat();
        assert!(is_malformed(&pointer), "a name within the header");
        let half = [&good[..12], &[1, b'a', 0xc0, 6, 0, 1, 0, 1]].concat();
        assert!(is_malformed(&half), "a name that ends within the header");
        assert!(is_malformed(&question(1, &["abcdefg"; 32].join("."), 1)), "256 bytes of name");
    }

    #[test]
    fn what_is_no_request_gets_no_answer() {
        let mut bytes = question(1, "a.org", 1);
        assert!(matches!(read_question(&bytes[..11]), Err(Unread::Silence)));
        bytes[2] |= 0x80;
        assert!(matches!(read_question(&bytes), Err(Unread::Silence)));
        bytes[2] = 0x28;
        let Err(Unread::NotAQuestion(header)) = read_question(&bytes) else { panic!("an update") };
        assert_eq!(header.opcode, 5);
    }

    #[test]
    fn a_name_that_only_looks_like_one_of_a_host_is_none() {
        let name = |labels: &[u8]| {
            let mut bytes = question(1, "", 1);
            bytes.splice(12..13, labels.iter().copied());
            read_question(&bytes).unwrap().name()
        };
        assert_eq!(name(b"\x03a.b\x03org\0"), None, "a dot within a label");
        assert_eq!(name(b"\x02a\0\x03org\0"), None);
        assert_eq!(name(b"\x02\xc3\xa9\x03org\0"), None);
        assert_eq!(name(b"\x01a\x011\0"), None);
        assert_eq!(name(b"\0"), None);
        assert_eq!(name(b"\x01A\x03oRg\0").unwrap().as_str(), "a.org");
    }

    #[test]
    fn a_name_of_the_greatest_length_is_read() {
        let name =
            [&["a".repeat(63), "b".repeat(63), "c".repeat(63)].join("."), "d".repeat(61).as_str()].join(".");
        assert_eq!(name.len(), 253);
        let read = read_question(&question(1, &name, 1)).unwrap();
        assert_eq!(read.name().unwrap().as_str(), name);
        assert_eq!(read.bytes().len(), MAX_QUESTION_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_question_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read_question(&bytes).map(|question| question.name());
        }

        #[test]
        fn a_changed_question_is_one_or_none(
            name in "[a-zA-Z0-9.-]{1,60}",
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            prop_assume!(name.split('.').all(|label| label.len() < 64));
            let mut bytes = with_edns(question(7, &name, 1), 1232, 0, &[0, 10, 0, 1, 9]);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(question) = read_question(&bytes) {
                prop_assert_eq!(question.bytes(), &bytes[12..12 + question.bytes().len()]);
                let _ = question.name();
            }
        }
    }
}
