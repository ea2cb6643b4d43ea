//! The files of the repository. Of Rust files also the code alone: comments, strings and characters
//! blanked out, so that a word in a message is not mistaken for code.

use anyhow::{Context as _, Result};
use std::path::Path;

/// Every text file that people write.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) files: Vec<Source>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    /// Path from the root of the repository, with slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// Of a Rust file: the same lines without comments, strings and characters.
    pub(super) code: String,
}

const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".sh", ".json", "/run"];

impl Sources {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut sources = Self::default();
        sources.add(root, "")?;
        sources.files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(sources)
    }

    fn add(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        let entries =
            std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && !["target", ".git"].contains(&name.as_str()) {
                self.add(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() && ENDINGS.iter().any(|ending| path.ends_with(ending)) {
                let text = std::fs::read_to_string(entry.path())
                    .with_context(|| format!("cannot read {path} as text"))?;
                self.files.push(Source::new(path, text));
            }
        }
        Ok(())
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    pub(super) fn get(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl Source {
    pub(super) fn new(path: String, text: String) -> Self {
        let code = if path.ends_with(".rs") { code_of(&text) } else { String::new() };
        Self { path, text, code }
    }

    /// The code up to the unit tests, which house style puts at the end of a file.
    pub(super) fn code_without_tests(&self) -> &str {
        self.code.split("#[cfg(test)]\nmod ").next().unwrap_or(&self.code)
    }
}

/// Whether the code holds this word, not as a part of a longer one.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(is_part)
            && !code[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

/// Blanks out comments, strings and characters; lines stay where they are.
fn code_of(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let after_word = at > 0 && (characters[at - 1].is_alphanumeric() || characters[at - 1] == '_');
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['\'', ..] => character(rest),
            ['r' | 'b' | 'c', ..] if !after_word => prefixed(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(characters[at]);
            at += 1;
        } else {
            out.extend(rest[..length].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at += length;
        }
    }
    out
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character, or nothing where the quote begins a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail.iter().position(|c| *c == '\'').map_or(0, |end| 4 + end),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

/// `r"…"`, `r#"…"#`, `b"…"`, `b'…'`, `br"…"`, `c"…"`, `cr"…"`; nothing where it is an ordinary word.
fn prefixed(rest: &[char]) -> usize {
    let letters = rest.iter().take(2).take_while(|c| ['r', 'b', 'c'].contains(c)).count();
    let tail = &rest[letters..];
    let raw = rest[..letters].contains(&'r');
    let hashes = if raw { tail.iter().take_while(|c| **c == '#').count() } else { 0 };
    match tail.get(hashes) {
        Some('"') if raw => {
            let mut at = letters + hashes + 1;
            while at < rest.len() {
                if rest[at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
                    return at + 1 + hashes;
                }
                at += 1;
            }
            rest.len()
        }
        Some('"') if !raw => letters + string(tail),
        Some('\'') if !raw && rest[0] == 'b' => letters + character(tail),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_strings_are_not_code() {
        for hidden in [
            "// unsafe",
            "/* a /* unsafe */ unsafe */",
            r#""unsafe""#,
            r#""\" unsafe""#,
            r##"r#"" unsafe"#"##,
            r#"b"unsafe""#,
            r#"c"unsafe""#,
            r#"br"unsafe""#,
            "'\"' // unsafe \"",
            r"'\'' /* unsafe */",
            "fn unsafe_thing() {}",
            "#![forbid(unsafe_code)]",
        ] {
            assert!(!has_word(&code_of(hidden), "unsafe"), "{hidden}: {}", code_of(hidden));
        }
    }

    #[test]
    fn code_behind_them_is_code() {
        for shown in [
            "/* */ unsafe {}",
            "let a = '\"'; unsafe {}",
            "fn f<'a>(x: &'a str) { unsafe {} } // '",
            r##"let a = r#"""#; unsafe {}"##,
            "\"a\nb\" unsafe",
            r"let a = '\u{1b}'; unsafe {}",
            r"let a = b'\''; unsafe {}",
            "let bar = 1; unsafe {}",
        ] {
            assert!(has_word(&code_of(shown), "unsafe"), "{shown}: {}", code_of(shown));
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        assert_eq!(code_of("\"a\nb\"\n// c\nd"), "  \n  \n    \nd");
    }
}
