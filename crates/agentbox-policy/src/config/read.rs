//! From the tree of a file to typed configuration, with the place of what is wrong.

use super::document::{Content, Node};
use super::{Config, ConfigError};
use crate::text::{printable, suggestion};
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use std::fmt;

/// Most entries of a list. Each one of a path becomes an open descriptor of the supervisor.
pub(super) const MAX_LIST: usize = 128;
/// Most entries of a table.
pub(super) const MAX_TABLE: usize = 1024;

pub(super) fn read(file: &str, tree: &Node) -> Result<Config, ConfigError> {
    Config::deserialize(tree).map_err(|fault| {
        let mut key = String::new();
        for (at, part) in fault.path.iter().rev().enumerate() {
            if at > 0 && !part.starts_with('[') {
                key.push('.');
            }
            key.push_str(part);
        }
        ConfigError {
            file: file.to_owned(),
            line: Some(fault.line.unwrap_or(tree.line) as usize),
            key: (!key.is_empty()).then_some(key),
            what: fault.what,
            remedy: fault.remedy,
        }
    })
}

/// What is wrong; place and path are filled in on the way out.
#[derive(Debug)]
pub(super) struct Fault {
    what: String,
    remedy: Option<String>,
    line: Option<u32>,
    /// Innermost first.
    path: Vec<String>,
}

impl Fault {
    fn new(what: String, remedy: Option<String>) -> Self {
        Self { what, remedy, line: None, path: Vec::new() }
    }

    fn at(mut self, line: u32, part: String) -> Self {
        self.line.get_or_insert(line);
        self.path.push(part);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::new(what.to_string(), None)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // Type names of serde are those of Rust; these are a person's.
        let found = match found {
            Unexpected::Str(_) => "a text",
            Unexpected::Signed(_) | Unexpected::Unsigned(_) => "a number",
            Unexpected::Bool(_) => "true or false",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a table",
            Unexpected::Other(name) => name,
            _ => "something else",
        };
        let expected = expected.to_string();
        let expected = match expected.as_str() {
            "a string" => "a text",
            "a sequence" => "a list",
            "a boolean" => "true or false",
            "a map" => "a table",
            "i64" | "u32" => "a whole number",
            other if other.starts_with("struct ") => "a table",
            other => other,
        };
        Self::new(format!("expected {expected}, found {found}"), None)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let expected = if expected == "u32" { "a whole number from 0 to 4294967295" } else { &expected };
        Self::new(format!("expected {expected}"), None)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new("unknown key".to_owned(), Some(suggestion(field, expected.iter().copied())))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let what = format!("unknown value `{}`", printable(variant));
        Self::new(what, Some(suggestion(variant, expected.iter().copied())))
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.content {
            Content::Text(text) => visitor.visit_str(text),
            Content::Number(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Content::Flag(flag) => visitor.visit_bool(*flag),
            Content::Other(name) => Err(Fault::invalid_type(Unexpected::Other(name), &visitor)),
            Content::List(items) if items.len() > MAX_LIST => {
                Err(Fault::new(format!("{} entries; a list has at most {MAX_LIST}", items.len()), None))
            }
            Content::List(items) => visitor.visit_seq(Items { items: items.iter(), at: 0 }),
            Content::Table(entries) if entries.len() > MAX_TABLE => {
                Err(Fault::new(format!("{} entries; a table has at most {MAX_TABLE}", entries.len()), None))
            }
            Content::Table(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Content::Text(text) = &self.content else {
            return Err(Fault::new("expected a text".to_owned(), None));
        };
        let text: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
        visitor.visit_enum(text)
    }

    /// Only a table is a struct: serde would also take a list of its values in order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.content {
            Content::List(_) => Err(Fault::invalid_type(Unexpected::Seq, &"a map")),
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let at = self.at;
        self.at += 1;
        seed.deserialize(item).map(Some).map_err(|fault| fault.at(item.line, format!("[{at}]")))
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, (String, u32, Node)>,
    value: Option<&'a (String, u32, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Fault> = entry.0.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(entry.1, printable(&entry.0)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((name, line, value)) = self.value.take() else {
            return Err(Fault::new("a value without a key".to_owned(), None));
        };
        seed.deserialize(value).map_err(|fault| fault.at(*line, printable(name)))
    }
}
