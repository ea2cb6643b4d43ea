//! The name of a session.

use crate::wire::{Reader, Wire, WireError};
use std::fmt;
use std::str::FromStr;

/// Opaque id of a session: one to sixteen characters of `[a-z0-9]`, the first a letter.
///
/// It names directories, control groups and units, so nothing else fits in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(String);

/// The text is not a session id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a session id: 1 to 16 characters of a-z and 0-9, the first a letter")]
pub struct SessionIdError;

impl SessionId {
    /// Longest id, in bytes.
    pub const MAX_BYTES: usize = 16;

    /// Makes an eight-character id from random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 8]) -> Self {
        const LETTERS: &[u8; 16] = b"bcdfghjkmnpqrstv";
        const ALL: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let text = random.iter().enumerate().map(|(at, byte)| {
            let byte = usize::from(*byte);
            char::from(if at == 0 { LETTERS[byte % 16] } else { ALL[byte % 32] })
        });
        Self(text.collect())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if fits { Ok(Self(text.to_owned())) } else { Err(SessionIdError) }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wire for SessionId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        String::get(input)?.parse().map_err(|_| input.invalid("session id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_files_safely() {
        for good in ["a", "b0", "abcdefghijklmnop"] {
            assert!(good.parse::<SessionId>().is_ok(), "{good}");
        }
        for bad in ["", "0a", "A", "a-b", "a/b", "..", "a\n", "abcdefghijklmnopq", "ä"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn random_ids_are_ids() {
        for byte in 0..=255 {
            let id = SessionId::from_random([byte; 8]);
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
        }
    }
}
