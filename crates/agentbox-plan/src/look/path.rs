//! Paths in a place that is looked at.

use crate::wire::{Bytes, Reader, Wire, WireError, wire_struct};
use std::fmt;

/// A path below a place: names with `/` between them, none of them empty, `.` or `..`. The place itself is
/// the empty path. The names are whatever an agent made them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PlacePath(Vec<u8>);

impl PlacePath {
    /// Takes a path in its normal form; `None` when it is not, or longer than 4095 bytes (PATH_MAX).
    #[must_use]
    pub fn new(path: impl Into<Vec<u8>>) -> Option<Self> {
        let path = path.into();
        let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
        let normal = path.is_empty() || path.split(|byte| *byte == b'/').all(is_name);
        (normal && path.len() < 4096 && !path.contains(&0)).then_some(Self(path))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its names from the top.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// Whether it is the place itself.
    #[must_use]
    pub fn is_place(&self) -> bool {
        self.0.is_empty()
    }

    /// A path below this one; `None` when the result is none.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Option<Self> {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self::new(path)
    }

    /// The directory that holds it and its last name; `None` for the place itself.
    #[must_use]
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(at) => Some((Self(self.0[..at].to_vec()), &self.0[at + 1..])),
            None => Some((Self::default(), &self.0)),
        }
    }

    /// Whether it is the other or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let mut mine = self.names();
        other.names().all(|name| mine.next() == Some(name))
    }
}

impl fmt::Display for PlacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            write!(f, "{}", chunk.valid().escape_debug())?;
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

impl Wire for PlacePath {
    fn put(&self, out: &mut Vec<u8>) {
        Bytes(self.0.clone()).put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::new(Bytes::get(input)?.0).ok_or_else(|| input.invalid("path below a place"))
    }
}

wire_struct! {
    /// Something in a place.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
    pub struct Spot {
        /// Which place, by its position.
        pub place: u16,
        /// Where in it.
        pub path: PlacePath,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_relative_paths_pass() {
        for good in ["", "a", "a/b", "...", "a\n"] {
            assert!(PlacePath::new(good).is_some(), "{good:?}");
        }
        for bad in ["/a", "a/", "a//b", ".", "a/..", "../a", "a\0"] {
            assert!(PlacePath::new(bad).is_none(), "{bad:?}");
            assert!(PlacePath::from_bytes(&Bytes(bad.as_bytes().to_vec()).to_bytes()).is_err(), "{bad:?}");
        }
        assert!(PlacePath::new("x").unwrap().join(b"..").is_none());
    }

    #[test]
    fn it_is_shown_in_one_harmless_line() {
        let path = PlacePath::new(b"a\x1b[2J\n\xff\xe4".to_vec()).unwrap();
        assert_eq!(path.to_string(), "a\\u{1b}[2J\\n\\xff\\xe4");
    }

    #[test]
    fn within_counts_whole_names() {
        let path = |text: &str| PlacePath::new(text).unwrap();
        assert!(path("a/b").is_within(&path("a")) && path("a").is_within(&path("")));
        assert!(!path("ab").is_within(&path("a")));
        assert_eq!(path("a/b/c").split(), Some((path("a/b"), b"c".as_slice())));
        assert_eq!(path("c").split(), Some((path(""), b"c".as_slice())));
        assert_eq!(path("").split(), None);
    }
}
