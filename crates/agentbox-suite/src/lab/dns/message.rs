//! Just enough of RFC 1035 to answer questions, rightly and wrongly.

use std::net::IpAddr;

/// A type of question, by number.
pub const A: u16 = 1;
/// A name that is another.
pub const CNAME: u16 = 5;
/// Text.
pub const TXT: u16 = 16;
/// An IPv6 address.
pub const AAAA: u16 = 28;

/// Codes of answers.
pub(super) const NO_ERROR: u8 = 0;
pub(super) const SERVER_FAILURE: u8 = 2;
pub(super) const NO_SUCH_NAME: u8 = 3;

/// A question as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: u16,
    pub(super) name: String,
    pub(super) kind: u16,
    /// The question's section, byte for byte: some resolvers mix upper and lower case and compare.
    section: Vec<u8>,
}

impl Asked {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let id = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
        let (mut at, mut labels) = (12, Vec::new());
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        Some(Self { id, name: labels.join("."), kind, section: bytes.get(12..at + 4)?.to_vec() })
    }
}

/// One record of an answer.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// None: the name that was asked for.
    pub(super) owner: Option<String>,
    pub(super) data: Data,
    pub(super) ttl: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    Address(IpAddr),
    Alias(String),
}

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    pub(super) fn new(asked: &Asked, code: u8) -> Self {
        let mut bytes = asked.id.to_be_bytes().to_vec();
        // A response, recursion desired and available.
        bytes.extend([0x81, 0x80 | code]);
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&asked.section);
        Self { bytes }
    }

    pub(super) fn with(asked: &Asked, records: &[Record]) -> Self {
        let mut reply = Self::new(asked, NO_ERROR);
        records.iter().for_each(|record| reply.add(record));
        reply
    }

    pub(super) fn add(&mut self, record: &Record) {
        match &record.owner {
            None => self.bytes.extend([0xc0, 12]),
            Some(name) => self.bytes.extend(encoded(name)),
        }
        let (kind, data) = match &record.data {
            Data::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
            Data::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
            Data::Alias(name) => (CNAME, encoded(name)),
        };
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend([0, 1]);
        self.bytes.extend(record.ttl.to_be_bytes());
        self.bytes.extend((data.len() as u16).to_be_bytes());
        self.bytes.extend(data);
        self.count();
    }

    /// A record whose name points at itself.
    pub(super) fn add_compression_loop(&mut self) {
        let here = self.bytes.len() as u16;
        self.bytes.extend((0xc000 | here).to_be_bytes());
        self.bytes.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 9, 0, 0, 1]);
        self.count();
    }

    fn count(&mut self) {
        let count = u16::from_be_bytes([self.bytes[6], self.bytes[7]]) + 1;
        self.bytes[6..8].copy_from_slice(&count.to_be_bytes());
    }

    pub(super) fn set_id(&mut self, id: u16) {
        self.bytes[..2].copy_from_slice(&id.to_be_bytes());
    }

    /// Says that the rest is to be had by TCP, and leaves the rest out.
    pub(super) fn truncate(asked: &Asked) -> Self {
        let mut reply = Self::new(asked, NO_ERROR);
        reply.bytes[2] |= 0x02;
        reply
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_and_answered() {
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01A\x03orG\x00\x00\x01\x00\x01";
        let asked = Asked::read(question).unwrap();
        assert_eq!((asked.id, asked.name.as_str(), asked.kind), (0x1234, "a.org", A));
        let record = Record { owner: None, data: Data::Address("9.0.0.1".parse().unwrap()), ttl: 1 };
        let reply = Reply::with(&asked, &[record]).bytes();
        assert_eq!(&reply[..12], b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00");
        assert_eq!(&reply[12..23], &question[12..23]);
        assert_eq!(&reply[23..], b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x09\x00\x00\x01");
        for length in 0..question.len() {
            assert_eq!(Asked::read(&question[..length]), None);
        }
    }
}
