//! Patterns of paths inside a project.
//!
//! A path is a list of names below the project's root, as bytes: names in a project are whatever an agent
//! made them. Nothing here opens anything.

use crate::wire::{Bytes, Reader, Wire, WireError};
use std::fmt;
use std::str::FromStr;

/// Most names in a pattern.
pub const MAX_NAMES: usize = 8;

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 256;

/// A pattern of paths: names with `/` between them. In a name `*` stands for any bytes, none included; a name
/// that is `**` for one name or more. Without a `/` at its front the pattern holds at every depth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathGlob {
    anchored: bool,
    names: Vec<GlobName>,
}

/// One name of a [`PathGlob`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GlobName {
    /// Exactly this.
    Literal(Vec<u8>),
    /// What stands between the stars, in this order, the first at the front and the last at the end.
    Stars(Vec<Vec<u8>>),
    /// One name or more, whatever they are.
    Deep,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathGlobError {
    /// Nothing in it, or nothing between two `/`.
    #[error("a name in it is empty")]
    EmptyName,
    /// `.` or `..`.
    #[error("`.` and `..` are no names of a pattern")]
    Dots,
    /// A control character.
    #[error("a control character")]
    Control,
    /// Too long.
    #[error("longer than {MAX_PATTERN_BYTES} bytes or {MAX_NAMES} names")]
    TooLong,
    /// `**` beside another `**`.
    #[error("`**` beside `**`")]
    Repeated,
}

impl PathGlob {
    /// Its names.
    #[must_use]
    pub fn names(&self) -> &[GlobName] {
        &self.names
    }

    /// Whether it holds at the project's root only.
    #[must_use]
    pub fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// Whether it is the path of these names below the project's root.
    #[must_use]
    pub fn matches<N: AsRef<[u8]>>(&self, path: &[N]) -> bool {
        self.matches_from(path, path.len())
    }

    /// The same, where no more than so many names of the path stand before what matches.
    #[must_use]
    pub fn matches_from<N: AsRef<[u8]>>(&self, path: &[N], most: usize) -> bool {
        self.begins(path, most, matches_all)
    }

    /// Whether what it asks for holds of what is left of a path behind that many names, or fewer.
    fn begins<N: AsRef<[u8]>>(
        &self,
        path: &[N],
        most: usize,
        holds: impl Fn(&[GlobName], &[N]) -> bool,
    ) -> bool {
        let most = if self.anchored { 0 } else { most };
        (0..path.len()).take_while(|start| *start <= most).any(|start| holds(&self.names, &path[start..]))
    }

    /// Whether the path of these names is a directory of which a match needs the name: `.claude` for
    /// `.claude/settings.json`. As above, no more than so many names stand before.
    #[must_use]
    pub fn is_below<N: AsRef<[u8]>>(&self, path: &[N], most: usize) -> bool {
        self.begins(path, most, is_prefix)
    }

    /// The same, where the last name of the path is one that the pattern asks for: it does not stand where any name
    /// would do.
    #[must_use]
    pub fn is_below_by_name<N: AsRef<[u8]>>(&self, path: &[N], most: usize) -> bool {
        self.begins(path, most, is_named_prefix)
    }

    /// Whether something below the path of these names could match: a directory worth looking into.
    #[must_use]
    pub fn may_match_below<N: AsRef<[u8]>>(&self, path: &[N]) -> bool {
        // What holds at every depth may hold below every directory.
        !self.anchored || is_prefix(&self.names, path)
    }
}

fn matches_all<N: AsRef<[u8]>>(names: &[GlobName], path: &[N]) -> bool {
    match (names, path) {
        ([], rest) => rest.is_empty(),
        (_, []) => false,
        ([GlobName::Deep, names @ ..], [_, path @ ..]) => {
            (0..=path.len()).any(|start| matches_all(names, &path[start..]))
        }
        ([name, names @ ..], [first, path @ ..]) => name.matches(first.as_ref()) && matches_all(names, path),
    }
}

fn is_prefix<N: AsRef<[u8]>>(names: &[GlobName], path: &[N]) -> bool {
    match (names, path) {
        ([], _) => false,
        (_, []) | ([GlobName::Deep, ..], _) => true,
        ([name, names @ ..], [first, path @ ..]) => name.matches(first.as_ref()) && is_prefix(names, path),
    }
}

fn is_named_prefix<N: AsRef<[u8]>>(names: &[GlobName], path: &[N]) -> bool {
    match (names, path) {
        ([], _) | (_, []) => false,
        ([name, rest @ ..], [last]) => !rest.is_empty() && !name.is_any() && name.matches(last.as_ref()),
        ([GlobName::Deep, names @ ..], [_, path @ ..]) => {
            (0..path.len()).any(|start| is_named_prefix(names, &path[start..]))
        }
        ([name, names @ ..], [first, path @ ..]) => {
            name.matches(first.as_ref()) && is_named_prefix(names, path)
        }
    }
}

impl GlobName {
    /// Whether it stands for any name.
    fn is_any(&self) -> bool {
        match self {
            Self::Deep => true,
            Self::Literal(_) => false,
            Self::Stars(parts) => parts.iter().all(Vec::is_empty),
        }
    }

    /// Whether it stands for this name.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => literal == name,
            Self::Deep => true,
            Self::Stars(parts) => {
                let [first, middle @ .., last] = parts.as_slice() else { return false };
                let Some(mut rest) = name.strip_prefix(first.as_slice()) else { return false };
                for part in middle {
                    // The first place that fits leaves most for what follows.
                    let Some(at) = find(rest, part) else { return false };
                    rest = &rest[at + part.len()..];
                }
                rest.ends_with(last)
            }
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    bytes.windows(part.len()).position(|window| window == part)
}

impl FromStr for PathGlob {
    type Err = PathGlobError;

    fn from_str(text: &str) -> Result<Self, PathGlobError> {
        let (anchored, text) = match text.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PathGlobError::TooLong);
        }
        let names = text.split('/').map(name).collect::<Result<Vec<_>, _>>()?;
        if names.len() > MAX_NAMES {
            return Err(PathGlobError::TooLong);
        }
        if names.windows(2).any(|pair| pair == [GlobName::Deep, GlobName::Deep]) {
            return Err(PathGlobError::Repeated);
        }
        Ok(Self { anchored, names })
    }
}

fn name(text: &str) -> Result<GlobName, PathGlobError> {
    match text {
        "" => Err(PathGlobError::EmptyName),
        "." | ".." => Err(PathGlobError::Dots),
        "**" => Ok(GlobName::Deep),
        _ if text.chars().any(char::is_control) => Err(PathGlobError::Control),
        _ if text.contains('*') => {
            Ok(GlobName::Stars(text.split('*').map(|part| part.as_bytes().to_vec()).collect()))
        }
        _ => Ok(GlobName::Literal(text.as_bytes().to_vec())),
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names.iter().enumerate() {
            if at > 0 || self.anchored {
                f.write_str("/")?;
            }
            match name {
                GlobName::Deep => f.write_str("**")?,
                GlobName::Literal(literal) => f.write_str(&String::from_utf8_lossy(literal))?,
                GlobName::Stars(parts) => {
                    let parts: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
                    f.write_str(&parts.join("*"))?;
                }
            }
        }
        Ok(())
    }
}

impl Wire for PathGlob {
    fn put(&self, out: &mut Vec<u8>) {
        Bytes(self.to_string().into_bytes()).put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let Bytes(text) = Wire::get(input)?;
        let text = String::from_utf8(text).map_err(|_| input.invalid("pattern"))?;
        text.parse().map_err(|_| input.invalid("pattern"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(text: &str) -> PathGlob {
        text.parse().unwrap()
    }

    fn matches(pattern: &str, path: &str) -> bool {
        glob(pattern).matches(&path.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_holds_at_every_depth_unless_it_begins_at_the_root() {
        for path in [".envrc", "a/.envrc", "a/b/.envrc"] {
            assert!(matches(".envrc", path), "{path}");
            assert_eq!(matches("/.envrc", path), path == ".envrc", "{path}");
        }
        for path in [".envrc2", "x.envrc", ".envrc/a", ".ENVRC"] {
            assert!(!matches(".envrc", path), "{path}");
        }
    }

    #[test]
    fn names_before_a_match_can_be_bounded() {
        let path = ["a", "b", ".envrc"];
        assert!(glob(".envrc").matches_from(&path, 2) && !glob(".envrc").matches_from(&path, 1));
        assert!(glob("b/.envrc").matches_from(&path, 1) && glob("/a/**").matches_from(&path, 0));
    }

    #[test]
    fn a_directory_is_known_by_the_names_that_a_match_needs() {
        let settings = glob(".claude/settings.json");
        assert!(settings.is_below(&["a", ".claude"], 1) && !settings.is_below(&["a", ".claude"], 0));
        assert!(!settings.is_below(&[".claude", "settings.json"], 2) && !settings.is_below(&["a"], 1));
        assert!(
            glob(".git/hooks/**").is_below(&[".git", "hooks", "x"], 0) && glob("/a/b").is_below(&["a"], 1)
        );
        assert!(!glob("/a/b").is_below(&["x", "a"], 2));
    }

    #[test]
    fn a_directory_is_asked_for_by_its_name_or_by_any() {
        for (pattern, path, by_name) in [
            (".claude/settings.json", "a/.claude", true),
            (".git/modules/**/hooks/**", ".git", true),
            (".git/modules/**/hooks/**", ".git/modules", true),
            (".git/modules/**/hooks/**", ".git/modules/a", false),
            (".git/modules/**/hooks/**", ".git/modules/a/b", false),
            (".git/modules/**/hooks/**", ".git/modules/a/hooks", true),
            (".git/modules/**/hooks/**", ".git/modules/hooks", false),
            (".git/worktrees/*/hooks/**", ".git/worktrees/a", false),
            ("a*/b", "ax", true),
            ("a/b", "a/b", false),
            ("/a/b", "x/a", false),
        ] {
            let path: Vec<&str> = path.split('/').collect();
            assert_eq!(glob(pattern).is_below_by_name(&path, path.len()), by_name, "{pattern} {path:?}");
        }
    }

    #[test]
    fn two_stars_are_one_name_or_more() {
        for (path, expected) in [
            (".git/hooks", false),
            (".git/hooks/x", true),
            (".git/hooks/x/y", true),
            ("sub/.git/hooks/x", true),
            ("hooks/x", false),
        ] {
            assert_eq!(matches(".git/hooks/**", path), expected, "{path}");
        }
        for (path, expected) in [
            (".git/modules/a/hooks/x", true),
            (".git/modules/a/b/hooks/x", true),
            (".git/modules/hooks/x", false),
            (".git/modules/a/hooks", false),
        ] {
            assert_eq!(matches(".git/modules/**/hooks/**", path), expected, "{path}");
        }
    }

    #[test]
    fn a_star_is_any_bytes_of_one_name() {
        for (pattern, name, expected) in [
            (".env*", ".env", true),
            (".env*", ".env.local", true),
            (".env*", "a.env", false),
            ("*.pem", ".pem", true),
            ("*.pem", "key.pem", true),
            ("*.pem", "key.pem.txt", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "x", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches("*", "") || "".split('/').count() == 1);
    }

    #[test]
    fn what_cannot_be_a_pattern_is_refused() {
        for (text, error) in [
            ("", PathGlobError::EmptyName),
            ("a//b", PathGlobError::EmptyName),
            ("a/", PathGlobError::EmptyName),
            ("../a", PathGlobError::Dots),
            ("a/./b", PathGlobError::Dots),
            ("a\nb", PathGlobError::Control),
            ("**/**", PathGlobError::Repeated),
            ("a/b/c/d/e/f/g/h/i", PathGlobError::TooLong),
        ] {
            assert_eq!(text.parse::<PathGlob>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn directories_that_cannot_lead_to_a_match_are_told() {
        let anchored = glob("/secrets/**");
        assert!(anchored.may_match_below(&["secrets"]));
        assert!(anchored.may_match_below(&["secrets", "deep"]));
        assert!(!anchored.may_match_below(&["src"]));
        assert!(glob("secrets/**").may_match_below(&["src"]));
    }

    proptest! {
        /// What another name in the same directory is as well is no reason to hold a link to that.
        #[test]
        fn what_no_name_is_asked_for_is_matched_below_every_other_name(
            text in "/?(a|\\*|\\*\\*)(/(b|\\*|\\*\\*)){0,3}",
            path in proptest::collection::vec("[ab]", 1..4),
            rest in proptest::collection::vec("[ab]", 1..4),
        ) {
            let Ok(pattern) = text.parse::<PathGlob>() else { return Ok(()) };
            let below = |last: &str| {
                let (_, front) = path.split_last().unwrap();
                let names = front.iter().map(String::as_str).chain([last]);
                names.chain(rest.iter().map(String::as_str)).map(str::to_owned).collect::<Vec<_>>()
            };
            if !pattern.is_below_by_name(&path, path.len()) && !pattern.matches(&path) {
                let here = pattern.matches(&below(path.last().unwrap()));
                prop_assert!(!here || pattern.matches(&below("c")), "{pattern} {path:?} {rest:?}");
            }
        }

        #[test]
        fn text_and_encoding_give_the_same_pattern(text in "/?[a.*]{1,6}(/[ab*]{1,3}){0,3}") {
            if let Ok(pattern) = text.parse::<PathGlob>() {
                prop_assert_eq!(pattern.to_string(), text);
                prop_assert_eq!(PathGlob::from_bytes(&pattern.to_bytes()), Ok(pattern));
            }
        }

        #[test]
        fn what_matches_is_found_on_the_way_down(
            text in "/?[ab*]{1,2}(/[ab*]{1,2}){0,3}",
            path in proptest::collection::vec("[ab]{1,2}", 1..5),
        ) {
            let Ok(pattern) = text.parse::<PathGlob>() else { return Ok(()) };
            if pattern.matches(&path) {
                for depth in 0..path.len() {
                    prop_assert!(pattern.may_match_below(&path[..depth]));
                }
            }
        }
    }
}
