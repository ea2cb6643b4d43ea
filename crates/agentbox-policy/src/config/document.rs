//! A file as a tree in which everything knows its line, whatever the format.
//!
//! TOML and JSON meet here, so that duplicate keys, depth and places are judged once.

use super::ConfigError;
use crate::text::printable;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Most levels of tables and lists.
pub(super) const MAX_DEPTH: usize = 8;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: u32,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Text(String),
    Number(i64),
    Flag(bool),
    /// Something that no key takes, by its name.
    Other(&'static str),
    List(Vec<Node>),
    /// Names, the lines they stand in, and their values. No name twice.
    Table(Vec<(String, u32, Node)>),
}

/// Something wrong at a line.
#[derive(Debug)]
pub(super) struct Misplaced {
    pub(super) line: Option<u32>,
    pub(super) what: String,
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|newline| *newline < offset) + 1).unwrap_or(u32::MAX)
    }
}

pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Node, ConfigError> {
    let refuse = |line: Option<u32>, what: String| ConfigError {
        file: file.to_owned(),
        line: line.map(|line| line as usize),
        key: None,
        what,
        remedy: None,
    };
    let behind = |before: &[u8]| u32::try_from(before.iter().filter(|byte| **byte == b'\n').count() + 1).ok();
    if bytes.len() > super::MAX_FILE_BYTES {
        let what = format!("larger than {} MiB, which end in this line", super::MAX_FILE_BYTES >> 20);
        return Err(refuse(behind(&bytes[..super::MAX_FILE_BYTES]), what));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| refuse(behind(&bytes[..error.valid_up_to()]), "not UTF-8".to_owned()))?;
    let lines = Lines::of(text);
    let json = file.rsplit_once('.').is_some_and(|(_, extension)| extension == "json");
    let tree = if json { from_json(text, &lines) } else { from_toml(text, &lines) };
    tree.map_err(|wrong| refuse(wrong.line, wrong.what))
}

fn too_deep(line: u32) -> Misplaced {
    Misplaced { line: Some(line), what: format!("more than {MAX_DEPTH} levels deep") }
}

fn from_toml(text: &str, lines: &Lines) -> Result<Node, Misplaced> {
    let document = DeTable::parse(text).map_err(|error| Misplaced {
        line: error.span().map(|span| lines.at(span.start)),
        what: error.message().lines().next().unwrap_or("not TOML").to_owned(),
    })?;
    toml_table(document.get_ref(), 1, lines, 0)
}

fn toml_table(table: &DeTable<'_>, line: u32, lines: &Lines, depth: usize) -> Result<Node, Misplaced> {
    let mut entries = Vec::with_capacity(table.len());
    for (name, value) in table {
        let line = lines.at(name.span().start);
        entries.push((name.get_ref().to_string(), line, toml_value(value, line, lines, depth + 1)?));
    }
    // In the order of the file, so that of several faults the first is reported.
    entries.sort_by_key(|(_, line, _)| *line);
    Ok(Node { line, content: Content::Table(entries) })
}

fn toml_value(
    value: &Spanned<DeValue<'_>>,
    key_line: u32,
    lines: &Lines,
    depth: usize,
) -> Result<Node, Misplaced> {
    // A table's span is its header's; a dotted key's table has none of its own.
    let line = lines.at(value.span().start).max(key_line);
    if depth > MAX_DEPTH {
        return Err(too_deep(line));
    }
    let content = match value.get_ref() {
        DeValue::String(text) => Content::Text(text.to_string()),
        DeValue::Integer(number) => Content::Number(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| Misplaced { line: Some(line), what: "a number that is too large".to_owned() })?,
        ),
        DeValue::Boolean(flag) => Content::Flag(*flag),
        DeValue::Float(_) => Content::Other("a number with a fraction"),
        DeValue::Datetime(_) => Content::Other("a date or time"),
        DeValue::Array(items) => Content::List(
            items
                .iter()
                .map(|item| toml_value(item, key_line, lines, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => return toml_table(table, line, lines, depth),
    };
    Ok(Node { line, content })
}

fn from_json(text: &str, lines: &Lines) -> Result<Node, Misplaced> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| json_error(&error, 1))?;
    json_value(whole, text, lines, 0)
}

fn json_error(error: &serde_json::Error, first_line: u32) -> Misplaced {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or("not JSON").to_owned();
    let line = u32::try_from(error.line().max(1) - 1).unwrap_or(0).saturating_add(first_line);
    Misplaced { line: Some(line), what }
}

/// serde_json says where an error is, not where a value is: a raw value is a piece of the text, and its
/// place is the distance of the two.
fn json_value(raw: &RawValue, text: &str, lines: &Lines, depth: usize) -> Result<Node, Misplaced> {
    let piece = raw.get();
    let line = lines.at((piece.as_ptr() as usize).saturating_sub(text.as_ptr() as usize));
    if depth > MAX_DEPTH {
        return Err(too_deep(line));
    }
    let fail = |error: serde_json::Error| json_error(&error, line);
    let content = match piece.as_bytes().first() {
        Some(b'{') => {
            let fields: Fields<'_> = serde_json::from_str(piece).map_err(fail)?;
            let mut entries = Vec::with_capacity(fields.0.len());
            let mut seen = BTreeSet::new();
            for (name, value) in fields.0 {
                let value = json_value(value, text, lines, depth + 1)?;
                if !seen.insert(name.clone()) {
                    let what = format!("duplicate key `{}`", printable(&name));
                    return Err(Misplaced { line: Some(value.line), what });
                }
                entries.push((name, value.line, value));
            }
            Content::Table(entries)
        }
        Some(b'[') => {
            let items: Items<'_> = serde_json::from_str(piece).map_err(fail)?;
            let items = items.0.into_iter().map(|item| json_value(item, text, lines, depth + 1));
            Content::List(items.collect::<Result<_, _>>()?)
        }
        Some(b'"') => Content::Text(serde_json::from_str(piece).map_err(fail)?),
        Some(b't') => Content::Flag(true),
        Some(b'f') => Content::Flag(false),
        Some(b'n') => Content::Other("null"),
        _ => match piece.parse() {
            Ok(number) => Content::Number(number),
            Err(_) => Content::Other("a number with a fraction or one that is too large"),
        },
    };
    Ok(Node { line, content })
}

/// The fields of an object in order, duplicates included.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        input.deserialize_map(Read)
    }
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        input.deserialize_seq(Read)
    }
}

impl Node {
    /// The names of a table, and their lines.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, u32)> {
        let entries: &[(String, u32, Node)] = match &self.content {
            Content::Table(entries) => entries,
            _ => &[],
        };
        entries.iter().map(|(name, line, _)| (name.as_str(), *line))
    }

    /// In which line each key stands, by its name with dots.
    pub(super) fn lines(&self) -> BTreeMap<String, u32> {
        fn walk(node: &Node, prefix: &str, lines: &mut BTreeMap<String, u32>) {
            let Content::Table(entries) = &node.content else { return };
            for (name, line, value) in entries {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                walk(value, &key, lines);
                lines.insert(key, *line);
            }
        }
        let mut lines = BTreeMap::new();
        walk(self, "", &mut lines);
        lines
    }
}
