//! Git's configuration (git-config(1), "Syntax"), as git reads it.
//!
//! Where git would refuse the file the rest of a line is passed over: another version may take it.

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Section, in lower case.
    pub(crate) section: String,
    /// Its own name.
    pub(crate) name: Option<Vec<u8>>,
    /// Key, in lower case.
    pub(crate) key: String,
    /// Value; none for a key that stands alone and is true.
    pub(crate) value: Option<Vec<u8>>,
}

/// The variables of a file, in its order.
pub(crate) fn variables(bytes: &[u8]) -> Vec<Variable> {
    let mut reader = Reader { rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) };
    let mut found = Vec::new();
    let mut header = (String::new(), None);
    while let Some(byte) = reader.next() {
        match byte {
            b'[' => match reader.header() {
                Some(read) => header = read,
                None => reader.skip_line(),
            },
            byte if byte.is_ascii_alphabetic() => match reader.variable(byte) {
                Some((key, value)) => {
                    let (section, name) = header.clone();
                    found.push(Variable { section, name, key, value });
                }
                None => reader.skip_line(),
            },
            byte if byte.is_ascii_whitespace() || byte == 0x0b => {}
            // A comment, which no backslash makes longer, or what git refuses.
            _ => reader.skip_line(),
        }
    }
    found
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// The next byte; a carriage return before a newline is none, as for git.
    fn next(&mut self) -> Option<u8> {
        self.rest = match self.rest {
            [b'\r', b'\n', ..] => &self.rest[1..],
            rest => rest,
        };
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// The next byte of this line.
    fn in_line(&mut self) -> Option<u8> {
        if matches!(self.rest, [b'\n', ..] | [b'\r', b'\n', ..]) { None } else { self.next() }
    }

    fn skip_line(&mut self) {
        while self.in_line().is_some() {}
    }

    fn word(&mut self, more: &[u8]) -> String {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || more.contains(byte);
        let end = self.rest.iter().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        String::from_utf8_lossy(word).to_ascii_lowercase()
    }

    fn header(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        let word = self.word(b"-.");
        // The old way to write a name: in lower case, behind a dot.
        let (section, dotted) = match word.split_once('.') {
            Some((section, dotted)) => (section.to_owned(), Some(dotted.as_bytes().to_vec())),
            None => (word, None),
        };
        let mut byte = self.in_line()?;
        if byte == b']' {
            return Some((section, dotted));
        }
        while matches!(byte, b' ' | b'\t') {
            byte = self.in_line()?;
        }
        let mut name = dotted.map(|dotted| [&dotted[..], b"."].concat()).unwrap_or_default();
        if byte != b'"' {
            return None;
        }
        loop {
            match self.in_line()? {
                b'"' => break,
                b'\\' => name.push(self.in_line()?),
                byte => name.push(byte),
            }
        }
        (self.in_line()? == b']').then_some((section, Some(name)))
    }

    fn variable(&mut self, first: u8) -> Option<(String, Option<Vec<u8>>)> {
        let key = format!("{}{}", char::from(first.to_ascii_lowercase()), self.word(b"-"));
        loop {
            match self.in_line() {
                Some(b' ' | b'\t') => {}
                Some(b'=') => return Some((key, Some(self.value()))),
                None => return Some((key, None)),
                Some(_) => return None,
            }
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        // How much of it stays when what follows is a comment or the end.
        let mut kept = 0;
        let mut quoted = false;
        while let Some(byte) = self.in_line() {
            match byte {
                b'#' | b';' if !quoted => {
                    self.skip_line();
                    break;
                }
                b'"' => quoted = !quoted,
                b'\\' => {
                    match self.next() {
                        None => break,
                        Some(b'\n') => continue,
                        Some(b'n') => value.push(b'\n'),
                        Some(b't') => value.push(b'\t'),
                        Some(b'b') => value.push(0x08),
                        Some(byte) => value.push(byte),
                    }
                    kept = value.len();
                }
                byte if !quoted && byte.is_ascii_whitespace() => {
                    if !value.is_empty() {
                        value.push(byte);
                    }
                }
                byte => {
                    value.push(byte);
                    kept = value.len();
                }
            }
            if quoted {
                kept = value.len();
            }
        }
        value.truncate(kept);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let name = |variable: Variable| {
            let name = variable.name.map(|name| format!(".{}", String::from_utf8_lossy(&name)));
            let value = variable.value.map(|value| format!("={}", String::from_utf8_lossy(&value)));
            let or = Option::unwrap_or_default;
            format!("{}{}.{}{}", variable.section, or(name), variable.key, or(value))
        };
        variables(text.as_bytes()).into_iter().map(name).collect()
    }

    #[test]
    fn nothing_that_git_reads_is_hidden() {
        for (text, found) in [
            ("[core] # \\\nhooksPath = x", "core.hookspath=x"),
            ("[core]\n; \\\nhooksPath = x", "core.hookspath=x"),
            ("[core]\na = b\\\\\nhooksPath = x", "core.hookspath=x"),
            ("\u{feff}[core]\nhooksPath = x", "core.hookspath=x"),
            ("[filter \"a]\"] clean = x", "filter.a].clean=x"),
            ("[Filter \"a\\\"]\"]\r\nclean = x ; y\r\n", "filter.a\"].clean=x"),
            ("[alias]\nx = \\\n  \"!sh -c ';'\" # z", "alias.x=!sh -c ';'"),
            ("[include]path=a", "include.path=a"),
            ("[core\n[core]\n1 = 2\nfsmonitor", "core.fsmonitor"),
        ] {
            assert_eq!(names(text).last().map(String::as_str), Some(found), "{text:?}");
        }
    }
}
