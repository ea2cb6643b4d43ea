//! The format of git's configuration (git-config(1), "Syntax"), read and written. No git is run: it would obey it.

use std::fmt::Write as _;

/// Most bytes of a configuration.
pub const MAX_BYTES: usize = 256 << 10;
/// Most entries of one.
const MAX_ENTRIES: usize = 8192;

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Section, in lower case.
    pub section: String,
    /// Its own name, as written.
    pub subsection: Option<Vec<u8>>,
    /// Key, in lower case.
    pub key: String,
    /// Value; none for a key that stands alone and is true.
    pub value: Option<Vec<u8>>,
}

impl Entry {
    /// Whether it is the same variable.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.section == other.section && self.subsection == other.subsection && self.key == other.key
    }

    /// Its name as git writes it, escaped.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.subsection {
            None => format!("{}.{}", self.section, self.key),
            Some(name) => format!("{}.{}.{}", self.section, escaped(name), self.key),
        }
    }
}

/// Bytes that anybody wrote, for a message.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let mut text = String::new();
    for chunk in bytes[..bytes.len().min(MOST)].utf8_chunks() {
        // Writing to a text cannot fail.
        let _ = write!(text, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii());
    }
    if bytes.len() > MOST {
        text.push('…');
    }
    text
}

/// A configuration that git would not read either, or that is larger than any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ConfigError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Reads a configuration.
///
/// # Errors
/// [`ConfigError`] with the line.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, ConfigError> {
    Ok(parse_as_written(bytes)?.into_iter().map(|(entry, _)| entry).collect())
}

/// The same, each with what is written behind its key, up to the end of the line: what two versions of git may not read
/// alike is alike when that is.
///
/// # Errors
/// [`ConfigError`] with the line.
pub fn parse_as_written(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, ConfigError> {
    let mut reader = Reader::new(bytes);
    if reader.bytes.len() > MAX_BYTES || bytes.contains(&0) {
        return Err(reader.error("larger than any configuration, or with a NUL byte"));
    }
    let mut entries = Vec::new();
    while let Some(entry) = reader.entry()? {
        let written = reader.bytes.get(reader.behind_key..reader.at).unwrap_or_default();
        entries.push((entry, written.strip_suffix(b"\n").unwrap_or(written).to_vec()));
        if entries.len() > MAX_ENTRIES {
            return Err(reader.error("too many keys"));
        }
    }
    Ok(entries)
}

/// Reads all of a configuration that can be read, for who looks out for something: what git refuses another version of it
/// may take, so only the line where it begins is passed over.
#[must_use]
pub fn read_all(bytes: &[u8]) -> Vec<Entry> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    loop {
        match reader.entry() {
            Ok(None) => return entries,
            Ok(Some(entry)) => entries.push(entry),
            Err(_) => {
                reader.at = reader.began;
                reader.skip_line();
            }
        }
    }
}

/// White space as git has it, which is less than others have.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// A section and its own name.
type Header = (String, Option<Vec<u8>>);

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    header: Option<Header>,
    /// Where what is being read began.
    began: usize,
    /// Where the last key ended.
    behind_key: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Self { bytes, at: 0, line: 1, header: None, began: 0, behind_key: 0 }
    }

    /// The next entry; none at the end.
    fn entry(&mut self) -> Result<Option<Entry>, ConfigError> {
        loop {
            self.began = self.at;
            let Some(byte) = self.next() else { return Ok(None) };
            match byte {
                byte if is_space(byte) => {}
                b'#' | b';' => self.skip_line(),
                b'[' => self.header = Some(self.header()?),
                byte if byte.is_ascii_alphabetic() => {
                    let Some((section, subsection)) = self.header.clone() else {
                        return Err(self.error("a key without a section"));
                    };
                    let (key, value) = self.variable(byte)?;
                    return Ok(Some(Entry { section, subsection, key, value }));
                }
                _ => return Err(self.error("neither a section nor a key")),
            }
        }
    }

    fn error(&self, what: &'static str) -> ConfigError {
        ConfigError { line: self.line, what }
    }

    /// The next byte; a carriage return before a newline is no byte, as for git.
    fn next(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.get(self.at)?;
        self.at += 1;
        if byte == b'\r' && self.bytes.get(self.at) == Some(&b'\n') {
            self.at += 1;
            byte = b'\n';
        }
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_line(&mut self) {
        while let Some(byte) = self.next() {
            if byte == b'\n' {
                return;
            }
        }
    }

    fn header(&mut self) -> Result<(String, Option<Vec<u8>>), ConfigError> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some(b']') if !name.is_empty() => break,
                Some(byte) if is_space(byte) && !name.is_empty() => return self.named(name, byte),
                // Written anew it would have no name at all.
                Some(b'.') if name.is_empty() => return Err(self.error("a section without a name")),
                Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') => {
                    name.push(char::from(byte.to_ascii_lowercase()));
                }
                _ => return Err(self.error("a section without an end")),
            }
        }
        // The old way to write a name: in lower case, behind a dot.
        Ok(match name.split_once('.') {
            Some((section, own)) => (section.to_owned(), Some(own.as_bytes().to_vec())),
            None => (name, None),
        })
    }

    fn named(&mut self, mut section: String, mut byte: u8) -> Result<(String, Option<Vec<u8>>), ConfigError> {
        while is_space(byte) {
            if byte == b'\n' {
                return Err(self.error("a section over two lines"));
            }
            byte = self.next().ok_or_else(|| self.error("a section without an end"))?;
        }
        if byte != b'"' {
            return Err(self.error("a section whose name is not quoted"));
        }
        let mut own = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => match self.next() {
                    None | Some(b'\n') => return Err(self.error("a section over two lines")),
                    Some(byte) => own.push(byte),
                },
                None | Some(b'\n') => return Err(self.error("a section over two lines")),
                Some(byte) => own.push(byte),
            }
        }
        if self.next() != Some(b']') {
            return Err(self.error("a section without an end"));
        }
        if let Some((first, rest)) = section.clone().split_once('.') {
            // Both ways at once: one name with a dot between.
            own = [rest.as_bytes(), b".", &own].concat();
            section = first.to_owned();
        }
        Ok((section, Some(own)))
    }

    fn variable(&mut self, first: u8) -> Result<(String, Option<Vec<u8>>), ConfigError> {
        let mut key = String::from(char::from(first.to_ascii_lowercase()));
        while let Some(byte) = self.peek().filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            key.push(char::from(byte.to_ascii_lowercase()));
            self.at += 1;
        }
        self.behind_key = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        match self.next() {
            None | Some(b'\n') => Ok((key, None)),
            Some(b'=') => Ok((key, Some(self.value()?))),
            _ => Err(self.error("a key that is followed by something else than `=`")),
        }
    }

    fn value(&mut self) -> Result<Vec<u8>, ConfigError> {
        let mut value = Vec::new();
        // How much of it stays when what follows is a comment or the end.
        let mut kept = 0;
        let (mut quoted, mut comment) = (false, false);
        loop {
            match self.next() {
                None | Some(b'\n') => {
                    if quoted {
                        return Err(self.error("a quote without an end"));
                    }
                    value.truncate(kept);
                    return Ok(value);
                }
                Some(_) if comment => {}
                Some(b'#' | b';') if !quoted => comment = true,
                Some(b'"') => quoted = !quoted,
                Some(b'\\') => {
                    match self.next() {
                        // What stood before it is not the end of the value any more; the end of the file is one of a line.
                        None | Some(b'\n') => {}
                        Some(b'n') => value.push(b'\n'),
                        Some(b't') => value.push(b'\t'),
                        Some(b'b') => value.push(0x08),
                        Some(byte @ (b'"' | b'\\')) => value.push(byte),
                        _ => return Err(self.error("an unknown escape")),
                    }
                    kept = value.len();
                }
                Some(byte) if !quoted && is_space(byte) => {
                    if !value.is_empty() {
                        value.push(byte);
                    }
                }
                Some(byte) => {
                    value.push(byte);
                    kept = value.len();
                }
            }
            if quoted {
                kept = value.len();
            }
        }
    }
}

/// Writes a configuration that [`parse`] reads back as the same entries.
#[must_use]
pub fn write(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut open: Option<(&String, &Option<Vec<u8>>)> = None;
    for entry in entries {
        if open != Some((&entry.section, &entry.subsection)) {
            out.push(b'[');
            out.extend_from_slice(entry.section.as_bytes());
            if let Some(name) = &entry.subsection {
                out.extend_from_slice(b" \"");
                for byte in name {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(*byte);
                }
                out.push(b'"');
            }
            out.extend_from_slice(b"]\n");
            open = Some((&entry.section, &entry.subsection));
        }
        out.push(b'\t');
        out.extend_from_slice(entry.key.as_bytes());
        out.extend_from_slice(&written(entry));
        out.push(b'\n');
    }
    out
}

/// What [`write()`] writes behind the key of an entry.
#[must_use]
pub fn written(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(value) = &entry.value {
        out.extend_from_slice(b" = ");
        put_value(value, &mut out);
    }
    out
}

fn put_value(value: &[u8], out: &mut Vec<u8>) {
    let plain =
        |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b';' | b'"' | b'\\') || *byte >= 0x80;
    let inner = value.iter().all(|byte| plain(byte) || *byte == b' ');
    let bare = inner && !value.starts_with(b" ") && !value.ends_with(b" ");
    if bare {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for byte in value {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
#[path = "git_config/tests/against_git.rs"]
mod against_git;
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(text: &str) -> Vec<(String, Option<String>)> {
        let text_of =
            |value: &Option<Vec<u8>>| value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
        parse(text.as_bytes()).unwrap().iter().map(|entry| (entry.name(), text_of(&entry.value))).collect()
    }

    #[test]
    fn what_git_reads_is_read() {
        let some = |text: &str| Some(text.to_owned());
        for (text, name, value) in [
            ("[core]\n\tbare = false\n", "core.bare", some("false")),
            ("[Core] FileMode", "core.filemode", None),
            ("[remote \"or\\\"ig in\"]\nurl=a b  ; x\n", "remote.or\\\"ig in.url", some("a b")),
            ("[Branch.Main]\nmerge = refs/heads/x", "branch.main.merge", some("refs/heads/x")),
            ("[alias]\nx = \"!sh -c 'a;b' # no\" # yes\n", "alias.x", some("!sh -c 'a;b' # no")),
            ("[a]\nb = one \\\n  two\n", "a.b", some("one   two")),
            ("[a]\r\nb = \"x\\n\\t\\\\\"\r\n", "a.b", some("x\n\t\\")),
            ("\u{feff}# c\n[a] b=\n", "a.b", some("")),
            ("[a]b=c[d]\n", "a.b", some("c[d]")),
        ] {
            assert_eq!(entries(text), [(name.to_owned(), value)], "{text:?}");
        }
    }

    #[test]
    fn what_git_refuses_is_refused_with_its_line() {
        for (text, line) in [
            ("key = 1\n", 1),
            ("[a\n", 2),
            ("[a]\n\n1 = 2\n", 3),
            ("[a]\nb = \"c\n", 3),
            ("[a]\nb = \\x\n", 2),
            ("[a \"b\n\"]\n", 2),
            ("[a b]\n", 1),
            ("[a]\nb c\n", 2),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().line, line, "{text:?}");
        }
        assert!(parse(b"[a]\0").is_err());
        // git takes it, and what is written of it is refused by this.
        assert!(parse(b"[.a]\nb").is_err() && parse(b"[.a \"c\"]\nb").is_err());
        assert!(parse(&vec![b'\n'; MAX_BYTES + 1]).is_err());
    }

    #[test]
    fn nothing_that_git_reads_is_hidden() {
        for (text, found) in [
            ("[core] # \\\nhooksPath = x", "core.hookspath=x"),
            ("[core]\n; \\\nhooksPath = x", "core.hookspath=x"),
            ("[core]\na = b\\\\\nhooksPath = x", "core.hookspath=x"),
            ("\u{feff}[core]\nhooksPath = x", "core.hookspath=x"),
            ("[filter \"a]\"] clean = x", "filter.a].clean=x"),
            ("[Filter \"a\\\"]\"]\r\nclean = x ; y\r\n", "filter.a\\\"].clean=x"),
            ("[alias]\nx = \\\n  \"!sh -c ';'\" # z", "alias.x=!sh -c ';'"),
            ("[include]path=a", "include.path=a"),
            ("[core\n[core]\n1 = 2\nfsmonitor", "core.fsmonitor"),
            ("[core]\na = \\x\nb = \"\nfsmonitor = x\n", "core.fsmonitor=x"),
            ("a = 1\n[core]\na = \\\n\\x\nfsmonitor = x\n", "core.fsmonitor=x"),
        ] {
            let entries = read_all(text.as_bytes());
            let entry = entries.last().unwrap();
            let value = entry.value.as_ref().map(|value| format!("={}", String::from_utf8_lossy(value)));
            assert_eq!(entry.name() + &value.unwrap_or_default(), found, "{text:?}");
        }
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let bytes = || proptest::collection::vec(1u8..=255, 0..12);
        let own = bytes().prop_map(|name| name.into_iter().filter(|b| *b != b'\n' && *b != b'\r').collect());
        let value = bytes().prop_map(|value| value.into_iter().filter(|b| *b != b'\r').collect());
        ("[a-z][a-z0-9-]{0,5}", proptest::option::of(own), "[a-z][a-z0-9-]{0,5}", proptest::option::of(value))
            .prop_map(|(section, subsection, key, value)| Entry { section, subsection, key, value })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(entries in proptest::collection::vec(entry(), 0..12)) {
            prop_assert_eq!(parse(&write(&entries)).unwrap(), entries);
        }

        #[test]
        fn any_bytes_are_entries_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let all = read_all(&bytes);
            if let Ok(entries) = parse(&bytes) {
                prop_assert_eq!(&all, &entries);
                prop_assert_eq!(parse(&write(&entries)).unwrap(), entries);
            }
        }
    }
}
