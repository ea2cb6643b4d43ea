//! One line of the audit trail: its bytes, its hash, and how both are checked.
//!
//! A line is a JSON object whose last member is `hash`: the SHA-256, in hexadecimal, of the bytes of the
//! line in front of `,"hash":`. One of the members is `prev`, the hash of the line before, so that the hash
//! covers everything before it too. Nothing is serialised again to check it.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Most bytes of a line with its newline. Long values are cut before that, see [`bounded`].
pub(crate) const MAX_LINE_BYTES: usize = 16 * 1024;
/// Most bytes of one text in an event.
const MAX_TEXT_BYTES: usize = 1024;
/// Most members of a list in an event.
const MAX_ITEMS: usize = 32;
/// `,"hash":"` … `"}`
const TAIL_BYTES: usize = 9 + 64 + 2;

/// Hash of a line; that of the line before the first is all zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hash(String);

impl Hash {
    /// What the first line follows.
    pub(crate) fn zero() -> Self {
        Self("0".repeat(64))
    }

    /// 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Where a trail ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the last line; 0 when there is none.
    pub(crate) seq: u64,
    /// Its hash.
    pub(crate) hash: Hash,
}

impl Head {
    /// Of an empty trail.
    pub(crate) fn empty() -> Self {
        Self { seq: 0, hash: Hash::zero() }
    }

    /// As [`Self::text`] writes it, with or without what fills it up.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        Some(Self { seq: value.get("seq")?.as_u64()?, hash: Hash::parse(value.get("hash")?.as_str()?)? })
    }

    /// As it is kept.
    pub(crate) fn text(&self) -> String {
        json!({ "seq": self.seq, "hash": self.hash.as_str() }).to_string()
    }
}

/// A line that was read and whose own hash is right.
#[derive(Debug)]
pub(crate) struct Link {
    /// Its number.
    pub(crate) seq: u64,
    /// Hash of the line before, as it says.
    pub(crate) prev: Hash,
    /// Its own.
    pub(crate) hash: Hash,
}

/// Makes the line of an event, newline included, and the head behind it.
///
/// `event` must be an object; it cannot set `seq`, `time_unix_ms` and `prev`. Members that are null are left out.
pub(crate) fn write(head: &Head, seq: u64, time_unix_ms: u64, event: Value) -> (Vec<u8>, Head) {
    let mut body = body(head, seq, time_unix_ms, bounded(event));
    if body.len() + TAIL_BYTES > MAX_LINE_BYTES {
        body = self::body(head, seq, time_unix_ms, json!({ "event": "oversized", "bytes": body.len() }));
    }
    body.pop();
    let hash = Hash::of(body.as_bytes());
    let line = format!("{body},\"hash\":\"{}\"}}\n", hash.as_str());
    (line.into_bytes(), Head { seq, hash })
}

fn body(head: &Head, seq: u64, time_unix_ms: u64, event: Value) -> String {
    let mut members = Map::new();
    members.insert("seq".into(), seq.into());
    members.insert("time_unix_ms".into(), time_unix_ms.into());
    members.insert("prev".into(), head.hash.as_str().into());
    if let Value::Object(event) = event {
        for (key, value) in event.into_iter().filter(|(_, value)| !value.is_null()) {
            members.entry(key).or_insert(value);
        }
    }
    Value::Object(members).to_string()
}

/// Reads a line without its newline; `None` when it is not one or its hash is not that of its bytes.
pub(crate) fn read(line: &[u8]) -> Option<Link> {
    let body = line.get(..line.len().checked_sub(TAIL_BYTES)?)?;
    let tail = std::str::from_utf8(&line[body.len()..]).ok()?;
    let hash = Hash::parse(tail.strip_prefix(",\"hash\":\"")?.strip_suffix("\"}")?)?;
    if hash != Hash::of(body) {
        return None;
    }
    let mut whole = body.to_vec();
    whole.push(b'}');
    let members: Map<String, Value> = serde_json::from_slice(&whole).ok()?;
    let seq = members.get("seq")?.as_u64()?;
    let prev = Hash::parse(members.get("prev")?.as_str()?)?;
    Some(Link { seq, prev, hash })
}

/// Cuts texts and lists that are too long: what an agent chose must not fill the disk by being repeated.
/// JSON escapes the C0 control characters; the C1 ones, which terminals obey too, are spelled out.
fn bounded(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains(|c: char| ('\u{7f}'..='\u{9f}').contains(&c)) => {
            let spell = |c: char| match c {
                '\u{7f}'..='\u{9f}' => c.escape_unicode().to_string(),
                _ => c.to_string(),
            };
            bounded(Value::String(text.chars().map(spell).collect()))
        }
        Value::String(text) if text.len() > MAX_TEXT_BYTES => {
            let mut end = MAX_TEXT_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Value::String(format!("{}… ({} bytes)", &text[..end], text.len()))
        }
        Value::Array(items) => {
            let count = items.len();
            let mut kept: Vec<_> = items.into_iter().take(MAX_ITEMS).map(bounded).collect();
            if count > MAX_ITEMS {
                kept.push(format!("… ({count} items)").into());
            }
            Value::Array(kept)
        }
        Value::Object(map) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, bounded(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_is_read_back_and_holds_no_control_byte(text in any::<String>(), seq in 1u64.., time in any::<u64>()) {
            let (line, head) = write(&Head::empty(), seq, time, json!({ "event": "x", "command": [text.clone()] }));
            let (newline, line) = line.split_last().unwrap();
            prop_assert_eq!(*newline, b'\n');
            prop_assert!(!std::str::from_utf8(line).unwrap().contains(char::is_control));
            let link = read(line).unwrap();
            prop_assert_eq!((link.seq, &link.hash), (seq, &head.hash));
            prop_assert_eq!(link.prev, Hash::zero());
        }

        #[test]
        fn every_changed_byte_is_seen(at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let (mut line, head) = write(&Head::empty(), 1, 2, json!({ "event": "x", "who": "me" }));
            line.pop();
            let at = at.index(line.len());
            line[at] ^= 1 << bit;
            prop_assert!(read(&line).is_none_or(|link| link.hash != head.hash));
        }
    }

    #[test]
    fn lines_are_bounded() {
        let texts: Vec<_> = (0..100).map(|_| "\u{1}".repeat(5000)).collect();
        let (line, head) = write(&Head::empty(), 1, 2, json!({ "event": "x", "command": texts }));
        assert!(line.len() <= MAX_LINE_BYTES + 1);
        assert_eq!(read(&line[..line.len() - 1]).unwrap().hash, head.hash);
    }

    #[test]
    fn an_event_cannot_choose_its_place() {
        let (line, _) = write(&Head::empty(), 7, 2, json!({ "event": "x", "seq": 1, "prev": "a" }));
        assert_eq!(read(&line[..line.len() - 1]).unwrap().seq, 7);
    }
}
