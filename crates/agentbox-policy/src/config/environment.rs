//! Environment variables as they are written: those that pass, those that are set, and secrets by their names.

use super::{HostPath, PassName, VariableName};
use agentbox_plan::net::HostName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Environment variables of a session: `{ pass = […], set = { … }, NAME = { file = "…" } }`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// Variables of the caller that pass. A name that ends in `*` never passes what may be a secret.
    pub pass: Option<Vec<PassName>>,
    /// Variables with fixed values. A value that begins with `~/` begins with the home inside.
    pub set: BTreeMap<VariableName, String>,
    /// Secrets that are read from files at each start.
    pub secrets: BTreeMap<VariableName, Secret>,
}

/// A secret in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Where it is: read as root when the system's file says it, as the person when theirs does.
    pub file: HostPath,
    /// How a session gets it.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub how: Option<SecretAs>,
    /// The host that git logs in to with it over https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitHost>,
}

/// How a session gets a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretAs {
    /// As a variable.
    Env,
    /// As a file, whose path the variable says.
    File,
}

/// Name of a host that git logs in to: `github.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct GitHost(String);

impl GitHost {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for GitHost {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let name: HostName = text.parse().map_err(|error| D::Error::custom(format!("{error}")))?;
        Ok(Self(name.to_string()))
    }
}

impl JsonSchema for GitHost {
    fn schema_name() -> Cow<'static, str> {
        "GitHost".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,253}$" })
    }
}

impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let mut map = output.serialize_map(None)?;
        if let Some(pass) = &self.pass {
            map.serialize_entry("pass", pass)?;
        }
        if !self.set.is_empty() {
            map.serialize_entry("set", &self.set)?;
        }
        for (name, secret) in &self.secrets {
            map.serialize_entry(name, secret)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Environment;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Environment, A::Error> {
                let mut environment = Environment::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "pass" => environment.pass = Some(map.next_value()?),
                        "set" => environment.set = map.next_value()?,
                        // A secret is named as variables are; everything else is a slip.
                        name if name.chars().any(|character| character.is_ascii_lowercase()) => {
                            return Err(A::Error::unknown_field(name, &["pass", "set"]));
                        }
                        name => {
                            let name = VariableName::new(name).map_err(A::Error::custom)?;
                            environment.secrets.insert(name, map.next_value()?);
                        }
                    }
                }
                Ok(environment)
            }
        }
        input.deserialize_map(Read)
    }
}

impl JsonSchema for Environment {
    fn schema_name() -> Cow<'static, str> {
        "Environment".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let pass = generator.subschema_for::<Option<Vec<PassName>>>();
        let set = generator.subschema_for::<BTreeMap<VariableName, String>>();
        let secret = generator.subschema_for::<Secret>();
        json_schema!({
            "type": "object",
            "description": "Environment variables of a session.",
            "properties": {
                "pass": pass,
                "set": set,
            },
            "patternProperties": { "^[A-Z_][A-Z0-9_]{0,127}$": secret },
            "additionalProperties": false,
        })
    }
}
