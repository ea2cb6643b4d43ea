//! Questions for names (RFC 1035), built by hand: the attacks need messages that no resolver would send.

use super::PATIENCE;
use super::exchange::{connect, exchange_datagram};
use crate::attack::Answer;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const NULL: u16 = 10;
pub(crate) const PTR: u16 = 12;
pub(crate) const MX: u16 = 15;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const SVCB: u16 = 64;
pub(crate) const HTTPS: u16 = 65;
pub(crate) const AXFR: u16 = 252;
pub(crate) const ANY: u16 = 255;
/// The Internet, and two classes that nobody uses.
pub(crate) const CLASS_IN: u16 = 1;
pub(crate) const CLASS_CH: u16 = 3;
pub(crate) const CLASS_HS: u16 = 4;

/// A number by which an answer is known.
const NUMBER: u16 = 0x6162;
/// Longest label; what is longer is cut.
const LABEL_BYTES: usize = 63;

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Question, notification, update and so on: 0 to 15.
    pub operation: u8,
    /// Name, type and class of each question.
    pub questions: Vec<(String, u16, u16)>,
    /// Code and content of each option (EDNS, RFC 6891).
    pub options: Vec<(u16, Vec<u8>)>,
    /// Name and content of further records, of type TXT.
    pub additional: Vec<(String, Vec<u8>)>,
    /// What follows behind the end.
    pub tail: Vec<u8>,
}

impl Message {
    pub(crate) fn question(name: &str, kind: u16) -> Self {
        Self {
            operation: 0,
            questions: vec![(name.to_owned(), kind, CLASS_IN)],
            options: Vec::new(),
            additional: Vec::new(),
            tail: Vec::new(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let additional = self.additional.len() + usize::from(!self.options.is_empty());
        // Recursion is desired.
        let flags = u16::from(self.operation & 15) << 11 | 0x0100;
        let mut out = Vec::new();
        for word in [NUMBER, flags, self.questions.len() as u16, 0, 0, additional as u16] {
            out.extend(word.to_be_bytes());
        }
        for (name, kind, class) in &self.questions {
            put_name(&mut out, name);
            out.extend(kind.to_be_bytes());
            out.extend(class.to_be_bytes());
        }
        for (name, content) in &self.additional {
            put_name(&mut out, name);
            let content = &content[..content.len().min(255)];
            let length = content.len() as u16 + 1;
            out.extend([TXT, CLASS_IN, 0, 0, length].iter().flat_map(|word| word.to_be_bytes()));
            out.push(content.len() as u8);
            out.extend(content);
        }
        if !self.options.is_empty() {
            let options: Vec<u8> = self
                .options
                .iter()
                .flat_map(|(code, content)| {
                    let head = [*code, content.len() as u16].into_iter().flat_map(u16::to_be_bytes);
                    head.chain(content.iter().copied()).collect::<Vec<_>>()
                })
                .collect();
            // The root, type OPT, size of a datagram, no flags.
            out.push(0);
            out.extend(
                [41, 1232, 0, 0, options.len() as u16].iter().flat_map(|word: &u16| word.to_be_bytes()),
            );
            out.extend(options);
        }
        out.extend(&self.tail);
        out
    }
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(LABEL_BYTES)];
        out.push(label.len() as u8);
        out.extend(label);
    }
    out.push(0);
}

/// An answer, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// NOERROR is 0, REFUSED 5.
    pub code: u8,
    /// Addresses in it.
    pub addresses: Vec<IpAddr>,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// Reads an answer to one of our questions; none when it is no such thing.
pub(crate) fn read(bytes: &[u8]) -> Option<Said> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    if word(0)? != NUMBER || word(2)? & 0x8000 == 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..word(4)? {
        at = skip_name(bytes, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..word(6)? {
        at = skip_name(bytes, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        let content = bytes.get(at + 10..at + 10 + length)?;
        match kind {
            A => addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(content).ok()?).into()),
            AAAA => addresses.push(Ipv6Addr::from(<[u8; 16]>::try_from(content).ok()?).into()),
            _ => {}
        }
        at += 10 + length;
    }
    Some(Said { code: (word(2)? & 15) as u8, addresses, bytes: bytes.to_vec() })
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// Asks over UDP.
pub(crate) fn ask(resolver: IpAddr, message: &[u8]) -> Result<Said, Answer> {
    let mut said = None;
    let answer = exchange_datagram(
        SocketAddr::new(resolver, 53),
        message,
        |bytes| {
            said = read(bytes);
            said.is_some()
        },
        false,
    );
    said.ok_or(answer)
}

/// Asks over TCP (RFC 7766).
pub(crate) fn ask_stream(resolver: SocketAddr, message: &[u8]) -> Result<Said, Answer> {
    let mut stream = connect(resolver)?;
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    let failed = |e: std::io::Error| super::exchange::error(&e);
    stream.write_all(&framed).map_err(failed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).map_err(failed)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).map_err(failed)?;
    read(&bytes).ok_or_else(|| crate::attack::refused("not an answer"))
}

/// Both kinds of addresses of a name, from the first resolver that has any.
pub(crate) fn addresses(resolvers: &[IpAddr], name: &str) -> Vec<IpAddr> {
    let until = std::time::Instant::now() + PATIENCE * 2;
    for resolver in resolvers {
        let found: Vec<IpAddr> = [A, AAAA]
            .into_iter()
            .filter_map(|kind| ask(*resolver, &Message::question(name, kind).bytes()).ok())
            .flat_map(|said| said.addresses)
            .collect();
        if !found.is_empty() || std::time::Instant::now() > until {
            return found;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_as_the_standard_says() {
        let bytes = Message::question("a.example", TXT).bytes();
        assert_eq!(&bytes[..12], [0x61, 0x62, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[12..], b"\x01a\x07example\x00\x00\x10\x00\x01");
    }

    #[test]
    fn an_option_and_a_further_record_are_counted() {
        let mut message = Message::question("a.b", A);
        message.options.push((65001, b"mark".to_vec()));
        message.additional.push(("c".to_owned(), b"text".to_vec()));
        message.tail = b"tail".to_vec();
        let bytes = message.bytes();
        assert_eq!(&bytes[10..12], [0, 2]);
        let behind = &bytes[12 + 5 + 4..];
        assert_eq!(
            behind,
            b"\x01c\0\0\x10\0\x01\0\0\0\0\0\x05\x04text\0\0\x29\x04\xd0\0\0\0\0\0\x08\xfd\xe9\0\x04marktail"
        );
    }

    #[test]
    fn a_label_is_never_longer_than_it_may_be() {
        let bytes = Message::question(&"a".repeat(100), A).bytes();
        assert_eq!(bytes[12], 63);
        assert_eq!(bytes.len(), 12 + 64 + 1 + 4);
    }

    #[test]
    fn addresses_are_read_behind_a_compressed_name() {
        let mut bytes = Message::question("a.b", A).bytes();
        bytes[2] |= 0x80;
        bytes[7] = 2;
        bytes.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\0\0\x02\xc0\x0c");
        bytes.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04");
        let said = read(&bytes).unwrap();
        assert_eq!((said.code, said.addresses), (0, vec![IpAddr::from([1, 2, 3, 4])]));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_none(), "{length} bytes");
        }
        assert!(read(&Message::question("a.b", A).bytes()).is_none(), "a question is no answer");
    }
}
