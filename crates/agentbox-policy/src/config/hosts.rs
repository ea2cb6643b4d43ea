//! What lists of hosts hold: rules as they are written, and groups of them.

use crate::groups;
use crate::text::{printable, suggestion};
use agentbox_plan::net::{Pattern, Rule, Target, Verdict};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// An entry of a list of hosts: `github.com`, `*.example.org:8443`, `10.0.0.5:22`, `host:5432`, or `@npm`,
/// a group that is built in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostRule {
    /// Hosts and a port.
    Target(Target),
    /// Name of a group, without its `@`. There is one of that name.
    Group(String),
}

impl HostRule {
    /// What it is about: one target, or those of a group.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        match self {
            Self::Target(target) => vec![target.clone()],
            Self::Group(name) => groups::hosts(name).iter().map(|host| host.target.clone()).collect(),
        }
    }

    /// The rules that it states, with the origin of each.
    #[must_use]
    pub fn rules(&self, verdict: Verdict, origin: &str) -> Vec<Rule> {
        let origin = self.origin(origin);
        let rule = |target| Rule { verdict, target, internal: false, origin: origin.clone() };
        self.targets().into_iter().map(rule).collect()
    }

    /// `FILE: KEY`, or `group @npm, FILE: KEY`.
    pub(crate) fn origin(&self, origin: &str) -> String {
        match self {
            Self::Target(_) => printable(origin),
            Self::Group(_) => printable(&format!("group {self}, {origin}")),
        }
    }
}

impl FromStr for HostRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(name) = text.strip_prefix('@') else {
            return text.parse().map(Self::Target).map_err(|error: agentbox_plan::net::TargetError| {
                format!("`{}` is no host: {error}", printable(text))
            });
        };
        if groups::names().any(|known| known == name) {
            return Ok(Self::Group(name.to_owned()));
        }
        let known: Vec<_> = groups::names().map(|known| format!("@{known}")).collect();
        let near = suggestion(text, known.iter().map(String::as_str));
        Err(format!("there is no group `{}` ({near})", printable(text)))
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(target) => target.fmt(f),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

/// An entry of a list of names whose addresses may be internal: `git.corp.example`, `*.corp.example:8443`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InternalName(Target);

impl InternalName {
    /// The name and its port.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0
    }
}

impl FromStr for InternalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<HostRule>()? {
            HostRule::Group(_) => Err(format!("`{}` is a group, whose hosts are public", printable(text))),
            HostRule::Target(Target { pattern: Pattern::Network { .. } | Pattern::HostLoopback, .. }) => Err(
                format!("`{}` is no name; addresses and ports of `host` stand in `allow`", printable(text)),
            ),
            HostRule::Target(target) => Ok(Self(target)),
        }
    }
}

impl fmt::Display for InternalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! written_as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
                output.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                String::deserialize(input)?.parse().map_err(D::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[@*0-9A-Za-z_\\[:]" })
            }
        }
    )*};
}
written_as_text!(HostRule InternalName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_written_as_they_are_read() {
        for text in ["github.com", "*.example.org:8443", "10.1.0.0/24:443", "host:5432", "::1", "@npm"] {
            assert_eq!(text.parse::<HostRule>().map(|rule| rule.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(
            "@nmp".parse::<HostRule>(),
            Err("there is no group `@nmp` (did you mean `@npm`?)".to_owned())
        );
        assert_eq!(
            "https://a.org".parse::<HostRule>(),
            Err("`https://a.org` is no host: write the host only: github.com or github.com:443, without https:// and path".to_owned())
        );
    }

    #[test]
    fn a_group_states_a_rule_for_each_of_its_hosts() {
        let group: HostRule = "@crates".parse().unwrap();
        let rules = group.rules(Verdict::Allow, "a.toml: allow");
        assert!(rules.len() > 1);
        assert!(rules.iter().all(|rule| rule.origin == "group @crates, a.toml: allow" && !rule.internal));
    }

    #[test]
    fn only_names_are_granted_internal_addresses() {
        assert!("git.corp.example:8443".parse::<InternalName>().is_ok());
        assert!("**.corp.example".parse::<InternalName>().is_ok());
        for bad in ["10.0.0.5", "10.0.0.0/8:22", "host:80", "@npm", "host"] {
            assert!(bad.parse::<InternalName>().is_err(), "{bad}");
        }
    }
}
