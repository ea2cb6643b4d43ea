//! Questions to upstream resolvers.

use agentbox_plan::net::HostName;
use domain::base::Name;
use domain::base::iana::{Class, Rtype};

/// Most bytes of a datagram that is asked for: one that is not cut in pieces on its way (RFC 9715).
const DATAGRAM: u16 = 1232;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    pub(super) fn rtype(self) -> Rtype {
        match self {
            Self::V4 => Rtype::A,
            Self::V6 => Rtype::AAAA,
        }
    }
}

/// A name as it travels: not only names of hosts are what aliases lead to.
pub type WireName = Name<Vec<u8>>;

/// A question for the addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Of the message. Chosen at random, so that an answer cannot be made up without having seen it.
    pub id: u16,
    /// The name.
    pub name: WireName,
    /// Which addresses.
    pub family: Family,
    /// How many aliases may still be followed.
    pub aliases: u8,
}

impl Asked {
    /// The message, with EDNS (RFC 6891) or without.
    #[must_use]
    pub fn to_bytes(&self, edns: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(300);
        bytes.extend_from_slice(&self.id.to_be_bytes());
        // Recursion desired; one question.
        bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        bytes.extend_from_slice(self.name.as_slice());
        bytes.extend_from_slice(&self.family.rtype().to_int().to_be_bytes());
        bytes.extend_from_slice(&Class::IN.to_int().to_be_bytes());
        if edns {
            bytes.push(0);
            bytes.extend_from_slice(&Rtype::OPT.to_int().to_be_bytes());
            bytes.extend_from_slice(&DATAGRAM.to_be_bytes());
            bytes.extend_from_slice(&[0; 6]);
        }
        bytes
    }
}

/// A host name as it travels; none when it is too long for that.
#[must_use]
pub fn wire_name(name: &HostName) -> Option<WireName> {
    WireName::vec_from_str(name.as_str()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_written_byte_for_byte() {
        let name = wire_name(&"a.org".parse().unwrap()).unwrap();
        let asked = Asked { id: 0x1234, name, family: Family::V6, aliases: 8 };
        let plain = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x03org\0\0\x1c\0\x01";
        assert_eq!(asked.to_bytes(false), plain);
        let mut expected = plain.to_vec();
        expected[11] = 1;
        expected.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
        assert_eq!(asked.to_bytes(true), expected);
    }

    #[test]
    fn a_name_of_the_greatest_length_travels() {
        let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        assert_eq!(wire_name(&name.parse().unwrap()).unwrap().len(), 255);
    }
}
