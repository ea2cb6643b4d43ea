//! Names of hosts as rules and questions hold them: lower case, without a dot at the end.

use crate::wire::{Reader, Wire, WireError};
use std::fmt;
use std::str::FromStr;

/// Most bytes of a name without its last dot (RFC 1035, section 2.3.4).
const MAX_BYTES: usize = 253;
/// Most bytes of a label (RFC 1035, section 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// A host name: labels of letters, digits, `-` and `_`, in lower case, without a dot at the end.
///
/// Names in other scripts are written as they travel, `xn--…` (RFC 5890): what looks alike does not
/// compare equal here. A name of digits and dots is an address, and no name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// Why a text is no host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// Empty, or longer than 253 bytes.
    #[error("a host name has 1 to 253 characters")]
    Length,
    /// A label is empty or longer than 63 bytes.
    #[error("each part of a host name between dots has 1 to 63 characters")]
    Label,
    /// A character that no host name has.
    #[error("a host name has letters, digits, `-` and `_`; other scripts are written as xn--…")]
    Character,
    /// The last label is a number.
    #[error("a host name does not end in a number; is this an address?")]
    Number,
}

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is `parent` with exactly one more label.
    #[must_use]
    pub fn is_child_of(&self, parent: &Self) -> bool {
        self.labels_above(parent).is_some_and(|above| !above.contains('.'))
    }

    /// Whether this name is `parent` with one or more labels.
    #[must_use]
    pub fn is_below(&self, parent: &Self) -> bool {
        self.labels_above(parent).is_some()
    }

    fn labels_above(&self, parent: &Self) -> Option<&str> {
        self.0.strip_suffix(parent.as_str())?.strip_suffix('.')
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    /// A dot at the end is accepted and dropped.
    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(HostNameError::Length);
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL_BYTES {
                return Err(HostNameError::Label);
            }
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return Err(HostNameError::Character);
            }
        }
        // inet_aton(3) takes 0x7f000001, 127.1 and 0177.1 for addresses: none of these is ever a name.
        let last = text.rsplit('.').next().unwrap_or_default();
        let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if is_number {
            return Err(HostNameError::Number);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for HostName {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let text = String::get(input)?;
        let name: Self = text.parse().map_err(|_| input.invalid("host name"))?;
        // One name has one encoding.
        if name.0 == text { Ok(name) } else { Err(input.invalid("host name")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn case_and_the_last_dot_do_not_matter() {
        assert_eq!(name("Api.Example.COM."), name("api.example.com"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a.b..",
            "a b",
            "a\0b",
            "a/b",
            "1.2.3.4",
            "127.1",
            "0x7f000001",
            "a.0x1",
            "é.com",
            "[::1]",
            "a:b",
        ] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
        assert!(format!("{}.com", "a".repeat(64)).parse::<HostName>().is_err());
        assert!(["ab"; 85].join(".").parse::<HostName>().is_err());
    }

    #[test]
    fn below_needs_a_dot_between() {
        let parent = name("example.org");
        assert!(name("a.example.org").is_child_of(&parent));
        assert!(!name("a.b.example.org").is_child_of(&parent));
        assert!(name("a.b.example.org").is_below(&parent));
        for other in ["example.org", "badexample.org", "example.org.evil.com"] {
            assert!(!name(other).is_below(&parent), "{other}");
        }
    }
}
