//! Groups of hosts for rules, from `presets/groups.toml`, and which hosts serve what strangers wrote.

use crate::PolicyError;
use crate::cover::overlap;
use crate::{places, preset};
use agentbox_plan::net::{Pattern, Target};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A host of a group or a preset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Host {
    pub(crate) target: Target,
    /// Whether it serves what strangers wrote.
    pub(crate) foreign: bool,
}

/// `"a.org"`, or `{ host = "a.org", foreign = true }`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(String),
    Marked(Marked),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Marked {
    host: String,
    foreign: bool,
}

impl TryFrom<Written> for Host {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let (host, foreign) = match written {
            Written::Plain(host) => (host, false),
            Written::Marked(Marked { host, foreign }) => (host, foreign),
        };
        let target = host.parse().map_err(|error| format!("{host}: {error}"))?;
        Ok(Self { target, foreign })
    }
}

type Groups = BTreeMap<String, Vec<Host>>;

/// The groups of this build.
pub(crate) fn load() -> Result<&'static Groups, PolicyError> {
    static ONCE: OnceLock<Result<Groups, String>> = OnceLock::new();
    places::load(&ONCE, "groups.toml", include_str!("../../../presets/groups.toml"))
}

/// Names of the groups, without their `@`. None when the file of this build cannot be read, which
/// [`resolve`](crate::resolve) says.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    load().into_iter().flat_map(|groups| groups.keys().map(String::as_str))
}

/// The hosts of a group; none of one that does not exist.
pub(crate) fn hosts(name: &str) -> &'static [Host] {
    load().ok().and_then(|groups| groups.get(name)).map_or(&[], Vec::as_slice)
}

/// The hosts that are known to serve what strangers wrote.
pub(crate) fn foreign() -> Result<&'static [Pattern], PolicyError> {
    static ONCE: OnceLock<Result<Vec<Pattern>, PolicyError>> = OnceLock::new();
    let collect = || {
        let mut hosts: Vec<Host> = load()?.values().flatten().cloned().collect();
        for name in preset::NAMES {
            hosts.extend(preset::preset(name)?.into_iter().flat_map(|preset| preset.names));
        }
        Ok(hosts.into_iter().filter(|host| host.foreign).map(|host| host.target.pattern).collect())
    };
    ONCE.get_or_init(collect).as_deref().map_err(Clone::clone)
}

/// Whether one of these hosts is among those of a target.
pub(crate) fn is_foreign(foreign: &[Pattern], target: &Target) -> bool {
    foreign.iter().any(|known| overlap(known, &target.pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_names_public_hosts_once() {
        let groups = load().unwrap();
        for expected in [
            "npm",
            "pypi",
            "crates",
            "debian",
            "github",
            "gitlab",
            "golang",
            "nixos",
            "docker",
            "huggingface",
        ] {
            assert!(groups.contains_key(expected), "{expected}");
        }
        for (name, hosts) in groups {
            assert!(crate::Name::new(name.as_str()).is_ok(), "{name}");
            assert!(!hosts.is_empty(), "{name}");
            for (at, host) in hosts.iter().enumerate() {
                let target = &host.target;
                assert!(!hosts[..at].iter().any(|other| other.target == *target), "{name}: {target}");
                // A group that named addresses would grant internal ones.
                assert!(
                    !matches!(target.pattern, Pattern::Network { .. } | Pattern::HostLoopback),
                    "{name}: {target}"
                );
            }
        }
    }

    #[test]
    fn hosts_of_strangers_are_known_in_every_spelling_of_a_rule() {
        let foreign = foreign().unwrap();
        for text in
            ["github.com", "github.com:22", "*.githubusercontent.com", "**.npmjs.org", "huggingface.co"]
        {
            assert!(is_foreign(foreign, &text.parse().unwrap()), "{text}");
        }
        for text in
            ["api.anthropic.com", "example.org", "*.example.org", "10.0.0.1:22", "host:22", "deb.debian.org"]
        {
            assert!(!is_foreign(foreign, &text.parse().unwrap()), "{text}");
        }
    }
}
