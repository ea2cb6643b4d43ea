//! A path inside a session.

use crate::wire::{Reader, Wire, WireError};
use std::ffi::{CStr, CString};
use std::fmt;

/// An absolute path as the session sees it, without `.`, `..`, doubled or trailing slashes.
///
/// It says where something appears, never where on the host it comes from: that is a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InnerPath(CString);

/// The bytes are not a path inside a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an absolute path without '.', '..', '//' or a trailing slash")]
pub struct InnerPathError;

impl InnerPath {
    /// Takes a path that is already in its normal form.
    ///
    /// # Errors
    /// [`InnerPathError`] when it is not, holds a NUL byte or is longer than 4095 bytes (PATH_MAX).
    pub fn new(path: impl Into<Vec<u8>>) -> Result<Self, InnerPathError> {
        let path = CString::new(path).map_err(|_| InnerPathError)?;
        let bytes = path.as_bytes();
        let Some(rest) = bytes.strip_prefix(b"/") else { return Err(InnerPathError) };
        let normal = rest.is_empty()
            || rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."));
        if normal && bytes.len() < 4096 { Ok(Self(path)) } else { Err(InnerPathError) }
    }

    /// The whole path.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// The whole path, without its NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.as_bytes() == b"/"
    }

    /// Names of the path from the top; none for `/`.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }

    /// Whether `self` is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let mut mine = self.parts();
        other.parts().all(|part| mine.next() == Some(part))
    }

    /// The path below this one; `name` may have several parts.
    ///
    /// # Errors
    /// [`InnerPathError`] when the result is not in normal form.
    pub fn join(&self, name: &str) -> Result<Self, InnerPathError> {
        let mut path = if self.is_root() { Vec::new() } else { self.as_bytes().to_vec() };
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        Self::new(path)
    }
}

impl fmt::Display for InnerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl Wire for InnerPath {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::new(CString::get(input)?.into_bytes()).map_err(|_| input.invalid("path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_absolute_paths_pass() {
        for good in ["/", "/a", "/a/b.c", "/...", "/a b\n"] {
            assert!(InnerPath::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a", "/a/", "//", "/a//b", "/.", "/a/..", "/../a", "/a\0b"] {
            assert!(InnerPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_counts_whole_names() {
        let path = |text: &str| InnerPath::new(text).unwrap();
        assert!(path("/home/me/x").is_within(&path("/home/me")));
        assert!(path("/home/me").is_within(&path("/")));
        assert!(!path("/home/mean").is_within(&path("/home/me")));
        assert!(!path("/home").is_within(&path("/home/me")));
    }
}
