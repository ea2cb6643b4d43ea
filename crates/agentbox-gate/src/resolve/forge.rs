//! Answers as resolvers make them, good and bad, for tests.

use super::question::{Asked, Family, wire_name};
use std::net::IpAddr;

/// A question as tests ask it.
pub(super) fn asked(name: &str, family: Family) -> Asked {
    Asked {
        id: 0x1234,
        name: wire_name(&name.parse().unwrap()).unwrap(),
        family,
        aliases: super::lookup::ALIASES,
    }
}

/// The name of a question, written with dots.
pub(crate) fn name_of(question: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let length = usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..at + 1 + length]).into_owned());
        at += 1 + length;
    }
    labels.join(".")
}

/// Whether a question is for IPv6 addresses.
pub(crate) fn is_v6(question: &[u8]) -> bool {
    question[12..].windows(5).any(|bytes| bytes == [0, 0, 28, 0, 1])
}

/// An answer that grows.
#[derive(Debug, Clone)]
pub(crate) struct Forged(pub(crate) Vec<u8>);

impl Forged {
    /// To that question, with that code and no records.
    pub(crate) fn to(question: &[u8], code: u8) -> Self {
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let mut bytes = question[..end].to_vec();
        (bytes[2], bytes[3]) = (0x81, 0x80 | code);
        bytes[6..12].fill(0);
        Self(bytes)
    }

    fn name(&mut self, name: &str) {
        for label in name.split('.').filter(|label| !label.is_empty()) {
            self.0.push(label.len() as u8);
            self.0.extend_from_slice(label.as_bytes());
        }
        self.0.push(0);
    }

    fn record(
        mut self,
        count_at: usize,
        owner: &str,
        rtype: u16,
        ttl: u32,
        data: impl FnOnce(&mut Self),
    ) -> Self {
        self.0[count_at] += 1;
        self.name(owner);
        self.0.extend_from_slice(&rtype.to_be_bytes());
        self.0.extend_from_slice(&[0, 1]);
        self.0.extend_from_slice(&ttl.to_be_bytes());
        let at = self.0.len();
        self.0.extend_from_slice(&[0, 0]);
        data(&mut self);
        let length = (self.0.len() - at - 2) as u16;
        self.0[at..at + 2].copy_from_slice(&length.to_be_bytes());
        self
    }

    /// A record of its own making.
    pub(crate) fn raw(self, owner: &str, rtype: u16, data: &[u8]) -> Self {
        self.record(7, owner, rtype, 60, |forged| forged.0.extend_from_slice(data))
    }

    pub(crate) fn alias(self, owner: &str, target: &str, ttl: u32) -> Self {
        self.record(7, owner, 5, ttl, |forged| forged.name(target))
    }

    pub(crate) fn address(self, owner: &str, address: &str, ttl: u32) -> Self {
        match address.parse().unwrap() {
            IpAddr::V4(address) => {
                self.record(7, owner, 1, ttl, |forged| forged.0.extend_from_slice(&address.octets()))
            }
            IpAddr::V6(address) => {
                self.record(7, owner, 28, ttl, |forged| forged.0.extend_from_slice(&address.octets()))
            }
        }
    }

    /// An authority that says for how long there is nothing. Comes behind answers.
    pub(crate) fn authority(self, owner: &str, ttl: u32, minimum: u32) -> Self {
        self.record(9, owner, 6, ttl, |forged| {
            forged.name("ns");
            forged.name("admin");
            forged.0.extend_from_slice(&[0; 16]);
            forged.0.extend_from_slice(&minimum.to_be_bytes());
        })
    }

    /// A chain of aliases `a0.NAME`, `a1.NAME`, … from the name on, and an address at its end.
    pub(crate) fn chain(mut self, name: &str, length: usize, address: &str) -> Self {
        let link = |at: usize| if at == 0 { name.to_owned() } else { format!("a{at}.{name}") };
        for at in 0..length {
            self = self.alias(&link(at), &link(at + 1), 60);
        }
        self.address(&link(length), address, 60)
    }
}
