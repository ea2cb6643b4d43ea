//! One line of the audit trail: its bytes, its hash, and how both are checked.
//!
//! A line is a JSON object whose last member is `hash`: the SHA-256, in hexadecimal, of the bytes of the
//! line in front of `,"hash":`. One of the members is `prev`, the hash of the line before, so that the hash
//! covers everything before it too. Nothing is serialised again to check it.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Most bytes of a line with its newline. Long values are cut before that, see [`Bounds`].
pub(crate) const MAX_LINE_BYTES: usize = 16 * 1024;
/// What is never cut: what an event is, and by whom it is found.
const KEPT: [&str; 4] = ["event", "session", "owner_uid", "caller_uid"];
/// Most bytes of one of these.
const MAX_KEPT_BYTES: usize = 256;
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
    let mut body = body(head, seq, time_unix_ms, Bounds::USUAL.of(&event));
    // What is written may be an agent's choice, escapes and all. Who it was and what is not.
    for bounds in Bounds::TIGHTER {
        if fits(&body) {
            break;
        }
        body = self::body(head, seq, time_unix_ms, marked(bounds.of(&event)));
    }
    if !fits(&body) {
        body = self::body(head, seq, time_unix_ms, marked(kept(&event)));
    }
    body.pop();
    let hash = Hash::of(body.as_bytes());
    let line = format!("{body},\"hash\":\"{}\"}}\n", hash.as_str());
    (line.into_bytes(), Head { seq, hash })
}

fn fits(body: &str) -> bool {
    body.len() + TAIL_BYTES <= MAX_LINE_BYTES
}

/// Says that the event had more to say.
fn marked(mut event: Value) -> Value {
    if let Value::Object(members) = &mut event {
        members.insert("shortened".into(), true.into());
    }
    event
}

/// What is left of an event of which nothing else fits.
fn kept(event: &Value) -> Value {
    let member = |key: &&str| Some(((*key).to_owned(), event.get(*key)?.clone()));
    let short = |(_, value): &(String, Value)| value.to_string().len() <= MAX_KEPT_BYTES;
    Value::Object(KEPT.iter().filter_map(member).filter(short).collect())
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

/// The first bytes of a text that is longer, no more than `end`, and how many it had.
pub(crate) fn cut_at(text: &str, mut end: usize) -> String {
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes)", &text[..end], text.len())
}

/// How long texts and lists may be: what an agent chose must not fill the disk by being repeated.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Most bytes of one text.
    text: usize,
    /// Most members of a list.
    items: usize,
}

impl Bounds {
    const USUAL: Self = Self { text: 1024, items: 32 };
    /// One after the other, until the line fits: the longest texts first, then the longest lists.
    const TIGHTER: [Self; 8] = [
        Self { text: 512, ..Self::USUAL },
        Self { text: 256, ..Self::USUAL },
        Self { text: 128, ..Self::USUAL },
        Self { text: 64, ..Self::USUAL },
        Self { text: 64, items: 16 },
        Self { text: 64, items: 8 },
        Self { text: 64, items: 4 },
        Self { text: 64, items: 2 },
    ];

    /// The event within them, but for what is never cut.
    fn of(self, event: &Value) -> Value {
        let Value::Object(members) = event else { return self.cut(event) };
        let cut = members.iter().map(|(key, value)| {
            let bounds = if KEPT.contains(&key.as_str()) { Self::USUAL } else { self };
            (key.clone(), bounds.cut(value))
        });
        Value::Object(cut.collect())
    }

    /// JSON escapes the C0 control characters; the C1 ones, which terminals obey too, are spelled out.
    fn cut(self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.contains(|c: char| ('\u{7f}'..='\u{9f}').contains(&c)) => {
                let spell = |c: char| match c {
                    '\u{7f}'..='\u{9f}' => c.escape_unicode().to_string(),
                    _ => c.to_string(),
                };
                self.cut(&Value::String(text.chars().map(spell).collect()))
            }
            Value::String(text) if text.len() > self.text => Value::String(cut_at(text, self.text)),
            Value::Array(items) => {
                let mut kept: Vec<_> = items.iter().take(self.items).map(|item| self.cut(item)).collect();
                if items.len() > self.items {
                    kept.push(format!("… ({} items)", items.len()).into());
                }
                Value::Array(kept)
            }
            Value::Object(map) => {
                Value::Object(map.iter().map(|(key, value)| (key.clone(), self.cut(value))).collect())
            }
            other => other.clone(),
        }
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

    /// Values of many shapes and sizes.
    fn value() -> impl Strategy<Value = Value> {
        let text = (0usize..1500, "[\u{1}\u{9b}éa]");
        let leaf = prop_oneof![
            text.prop_map(|(count, of)| Value::from(of.repeat(count))),
            any::<u64>().prop_map(Value::from)
        ];
        leaf.prop_recursive(2, 20, 10, |inner| {
            let map = prop::collection::btree_map("[a-z\u{1}]{1,99}", inner.clone(), 0..10);
            prop_oneof![
                prop::collection::vec(inner, 0..10).prop_map(Value::from),
                map.prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_event_is_too_long_to_be_found(
            mut event in prop::collection::btree_map("[a-z_]{1,12}", value(), 0..6),
            repeated in 1usize..40,
        ) {
            let repeat = event.values().next().cloned().unwrap_or_default();
            event.insert("command".to_owned(), vec![repeat; repeated].into());
            let kept = json!({ "event": "exec", "session": "abc12345", "owner_uid": 1000, "caller_uid": 0 });
            event.extend(kept.as_object().unwrap().clone());
            let (line, head) = write(&Head::empty(), 1, 2, Value::Object(event.into_iter().collect()));
            prop_assert!(line.len() <= MAX_LINE_BYTES + 1);
            let line = line.strip_suffix(b"\n").unwrap();
            prop_assert_eq!(read(line).unwrap().hash, head.hash);
            let read: Value = serde_json::from_slice(line).unwrap();
            for (key, value) in kept.as_object().unwrap() {
                prop_assert_eq!(&read[key], value);
            }
        }
    }

    #[test]
    fn what_is_too_long_is_shortened_and_the_rest_stays() {
        let texts = vec!["\u{1}".repeat(1000); 20];
        let event = json!({
            "event": "exec", "session": "abc12345", "owner_uid": 7, "command": texts, "timeout_ms": 5, "why": "short",
        });
        let (line, _) = write(&Head::empty(), 1, 2, event);
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&line["event"], &line["session"]), (&"exec".into(), &"abc12345".into()));
        assert_eq!((&line["timeout_ms"], &line["why"]), (&5.into(), &"short".into()));
        assert_eq!((&line["owner_uid"], &line["shortened"]), (&7.into(), &true.into()));
        let command = line["command"].as_array().unwrap();
        assert_eq!(command.len(), 20);
        assert!(command[19].as_str().unwrap().ends_with("\u{1}… (1000 bytes)"), "{command:?}");
        let whole = vec!["a".repeat(500); 20];
        let (line, _) = write(&Head::empty(), 1, 2, json!({ "event": "exec", "command": whole }));
        assert!(!String::from_utf8(line).unwrap().contains("shortened"));
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
