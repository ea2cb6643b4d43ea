//! Between types and `a{sv}`.
//!
//! A type is written as serde writes it into JSON, and that tree as variants: tables are `a{sv}`, lists
//! `av`, integers `t` or `x` (when negative), an absent option has no key. Reading accepts narrower
//! integers and lists of one type as well, because other D-Bus clients write those. Descriptors, object
//! paths and structures are refused, as is what the type does not know (`deny_unknown_fields`).

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use zbus::{OwnedVariant, Str, Variant};

/// A table on the wire.
pub type Dict = HashMap<String, OwnedVariant>;

/// Most tables and lists within each other, the outermost counted. Ten more than any type here needs,
/// and few enough for the recursion and for D-Bus, which counts three containers a level and stops at 64.
pub const MAX_DEPTH: usize = 16;
/// Most values in a tree. An environment has hundreds, a configuration thousands.
pub const MAX_VALUES: usize = 1 << 16;
/// Most bytes of all texts and keys: three files of [`agentbox_policy::MAX_FILE_BYTES`] and an environment.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// A value does not fit through the wire, or is not of the type that was expected.
#[derive(Debug, thiserror::Error)]
pub enum DictionaryError {
    /// Tables within tables within tables.
    #[error("values are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More than the limits allow.
    #[error("more than {MAX_VALUES} values or {MAX_TEXT_BYTES} bytes of text")]
    TooLarge,
    /// Something that has no place in a request.
    #[error("`{key}` is {what}")]
    Unexpected {
        /// Nearest key above the value.
        key: String,
        /// What it is.
        what: &'static str,
    },
    /// The tree is not one of the type.
    #[error("{0}")]
    Type(#[from] serde_json::Error),
    /// The value could not be put into a variant.
    #[error(transparent)]
    Wire(#[from] zbus::Error),
}

/// Writes a value as a table.
///
/// # Errors
/// [`DictionaryError`] when it is not a table, is beyond the limits or holds a number that is no integer.
pub fn to_dict<T: Serialize>(value: &T) -> Result<Dict, DictionaryError> {
    let Value::Object(map) = serde_json::to_value(value)? else {
        return Err(DictionaryError::Unexpected { key: String::new(), what: "not a table" });
    };
    Budget::new().write_map(map, 1)
}

/// Reads a value from a table.
///
/// # Errors
/// [`DictionaryError`] when the table is beyond the limits or not one of `T`.
pub fn from_dict<T: DeserializeOwned>(dict: Dict) -> Result<T, DictionaryError> {
    let mut budget = Budget::new();
    let mut map = Map::new();
    for (key, value) in dict {
        budget.text(&key)?;
        let value = budget.read(&key, &value, 1)?;
        map.insert(key, value);
    }
    Ok(serde_json::from_value(Value::Object(map))?)
}

/// What may still be written or read.
struct Budget {
    values: usize,
    text_bytes: usize,
}

impl Budget {
    fn new() -> Self {
        Self { values: MAX_VALUES, text_bytes: MAX_TEXT_BYTES }
    }

    fn value(&mut self) -> Result<(), DictionaryError> {
        self.values = self.values.checked_sub(1).ok_or(DictionaryError::TooLarge)?;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), DictionaryError> {
        self.text_bytes = self.text_bytes.checked_sub(text.len()).ok_or(DictionaryError::TooLarge)?;
        Ok(())
    }

    fn write_map(&mut self, map: Map<String, Value>, depth: usize) -> Result<Dict, DictionaryError> {
        let mut dict = Dict::with_capacity(map.len());
        for (key, value) in map {
            self.text(&key)?;
            refuse_nul(&key, &key)?;
            if let Some(value) = self.write(&key, value, depth)? {
                dict.insert(key, OwnedVariant::try_from(value)?);
            }
        }
        Ok(dict)
    }

    fn write(
        &mut self,
        key: &str,
        value: Value,
        depth: usize,
    ) -> Result<Option<Variant<'static>>, DictionaryError> {
        self.value()?;
        Ok(Some(match value {
            Value::Null => return Ok(None),
            Value::Bool(flag) => Variant::Bool(flag),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => Variant::U64(number),
                (None, Some(number)) => Variant::I64(number),
                (None, None) => return Err(unexpected(key, "a number that is no integer")),
            },
            Value::String(text) => {
                self.text(&text)?;
                refuse_nul(key, &text)?;
                Variant::Str(Str::from(text))
            }
            Value::Array(items) => {
                deeper(depth)?;
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.push(
                        self.write(key, item, depth + 1)?
                            .ok_or_else(|| unexpected(key, "a list with a gap"))?,
                    );
                }
                Variant::Array(list.into())
            }
            Value::Object(map) => {
                deeper(depth)?;
                Variant::from(self.write_map(map, depth + 1)?)
            }
        }))
    }

    fn read(&mut self, key: &str, value: &Variant<'_>, depth: usize) -> Result<Value, DictionaryError> {
        self.value()?;
        Ok(match value {
            Variant::Bool(flag) => Value::Bool(*flag),
            Variant::U8(number) => Number::from(*number).into(),
            Variant::U16(number) => Number::from(*number).into(),
            Variant::U32(number) => Number::from(*number).into(),
            Variant::U64(number) => Number::from(*number).into(),
            Variant::I16(number) => Number::from(*number).into(),
            Variant::I32(number) => Number::from(*number).into(),
            Variant::I64(number) => Number::from(*number).into(),
            Variant::Str(text) => {
                self.text(text)?;
                Value::String(text.as_str().to_owned())
            }
            Variant::Variant(inner) => {
                // A variant in a variant is a level too: nothing else bounds this recursion.
                deeper(depth)?;
                self.read(key, inner, depth + 1)?
            }
            Variant::Array(array) => {
                deeper(depth)?;
                let items = array.inner().iter().map(|item| self.read(key, element(item), depth + 1));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Variant::Dict(dict) => {
                deeper(depth)?;
                let mut map = Map::new();
                for (name, item) in dict.iter() {
                    let Variant::Str(name) = name else {
                        return Err(unexpected(key, "a table whose keys are no text"));
                    };
                    self.text(name)?;
                    let item = self.read(name, element(item), depth + 1)?;
                    map.insert(name.as_str().to_owned(), item);
                }
                Value::Object(map)
            }
            Variant::F64(_) => return Err(unexpected(key, "a number that is no integer")),
            Variant::Fd(_) => return Err(unexpected(key, "a descriptor")),
            _ => return Err(unexpected(key, "neither text, number, flag, list nor table")),
        })
    }
}

/// The items of `av` and the values of `a{sv}` are one variant inside another, which is no level.
fn element<'a>(item: &'a Variant<'a>) -> &'a Variant<'a> {
    if let Variant::Variant(inner) = item { inner } else { item }
}

fn deeper(depth: usize) -> Result<(), DictionaryError> {
    if depth < MAX_DEPTH { Ok(()) } else { Err(DictionaryError::TooDeep) }
}

fn unexpected(key: &str, what: &'static str) -> DictionaryError {
    // Keys come from the other side; they are quoted in messages, so they are cut and escaped here.
    let key = key.escape_debug().take(64).collect();
    DictionaryError::Unexpected { key, what }
}

/// D-Bus strings end at a NUL byte, so one inside would silently shorten the text.
fn refuse_nul(key: &str, text: &str) -> Result<(), DictionaryError> {
    if text.contains('\0') { Err(unexpected(key, "text with a NUL byte")) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
