//! What each agent program needs, from the data files in `presets/`.

use crate::PolicyError;
use crate::config::{Environment, HostPath};
use crate::groups::Host;
use crate::render::Written;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Names of the presets.
pub(crate) const NAMES: &[&str] = &["claude", "codex", "gemini", "opencode", "shell"];

/// The agent of a session for which nothing names one.
pub(crate) const DEFAULT: &str = "shell";

/// What an agent program needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preset {
    /// Program and arguments; empty is the person's shell.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// Directories below the home that it keeps its own files in.
    #[serde(default)]
    pub(crate) state: Vec<String>,
    /// Paths that it is read from, where they exist.
    #[serde(default)]
    pub(crate) read: Vec<HostPath>,
    /// Hosts that it cannot work without.
    #[serde(default)]
    pub(crate) names: Vec<Host>,
    /// Environment variables.
    #[serde(default)]
    pub(crate) env: Environment,
    /// Where it looks for what a profile puts into a session.
    #[serde(default)]
    pub(crate) inputs: Inputs,
    /// Program and arguments that make a login.
    #[serde(default)]
    pub(crate) login: Vec<String>,
    /// Files that say how it behaves, made for each session and read-only in it.
    #[serde(default)]
    pub(crate) settings: Vec<Written>,
    /// Files that it begins with, made for each session and its own from then on.
    #[serde(default)]
    pub(crate) seed: Vec<Written>,
    /// What of its own files can outlive a session, by name.
    #[serde(default)]
    pub(crate) keep: BTreeMap<String, Keep>,
}

/// Where an agent looks for what a profile puts into a session; `~/` is the home.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Inputs {
    /// A directory, in which each skill has its own.
    pub(crate) skills: Option<HostPath>,
    pub(crate) mcp: Option<HostPath>,
    pub(crate) instructions: Option<HostPath>,
    pub(crate) settings: Option<HostPath>,
}

/// Something that can outlive a session: a file, which is kept for the profile, or a directory, which is kept
/// for the project. Both are below the home.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, untagged)]
pub(crate) enum Keep {
    /// JSON in one file.
    File { file: String },
    /// Files with these ends of their names.
    Directory { directory: String, suffixes: Vec<String> },
}

impl Keep {
    /// Its path below the home.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::File { file } => file,
            Self::Directory { directory, .. } => directory,
        }
    }
}

/// Everything that can be kept, as `AGENT:WHAT`.
pub(crate) fn kept_names() -> &'static [String] {
    static ONCE: OnceLock<Vec<String>> = OnceLock::new();
    ONCE.get_or_init(|| {
        let all = NAMES.iter().filter_map(|name| Some((*name, preset(name).ok()??)));
        all.flat_map(|(name, preset)| preset.keep.into_keys().map(move |item| format!("{name}:{item}")))
            .collect()
    })
}

/// The preset of that name.
pub(crate) fn preset(name: &str) -> Result<Option<Preset>, PolicyError> {
    let text = match name {
        "claude" => include_str!("../../../presets/claude.toml"),
        "codex" => include_str!("../../../presets/codex.toml"),
        "gemini" => include_str!("../../../presets/gemini.toml"),
        "opencode" => include_str!("../../../presets/opencode.toml"),
        "shell" => include_str!("../../../presets/shell.toml"),
        _ => return Ok(None),
    };
    toml::from_str(text).map(Some).map_err(|error| PolicyError::Invalid {
        what: format!("preset {name} of this build: {}", error.message()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cover;
    use crate::environment::Rules;
    use crate::groups;
    use crate::paths::{is_normal, overlap};
    use agentbox_plan::net::Pattern;

    #[test]
    fn every_preset_is_read_and_keeps_to_the_rules() {
        let rules = Rules::load().unwrap();
        for name in NAMES {
            let preset = preset(name).unwrap().unwrap();
            for directory in &preset.state {
                assert!(is_normal(&format!("/{directory}")), "{name}: {directory}");
                let others = preset.state.iter().filter(|other| *other != directory);
                for other in others {
                    assert!(!overlap(&format!("/{directory}"), &format!("/{other}")), "{name}: {other}");
                }
                // A volume's directory may not look like the continuation of a project's key.
                assert!(!directory.starts_with('+'), "{name}: {directory}");
            }
            for path in &preset.read {
                assert!(path.as_str().starts_with("~/"), "{name}: {path}");
            }
            // No wildcard, no other port, no address: what an agent needs is known by name.
            for host in &preset.names {
                let exact = matches!(host.target.pattern, Pattern::Name { .. }) && host.target.port.is_none();
                assert!(exact, "{name}: {}", host.target);
                let reports = groups::hosts("telemetry");
                assert!(
                    !reports.iter().any(|other| cover::overlap(&other.target.pattern, &host.target.pattern))
                );
            }
            for variable in preset.env.pass.iter().flatten() {
                assert!(!rules.is_denied(variable.as_str()), "{name}: {variable}");
            }
            for variable in preset.env.set.keys() {
                assert!(!rules.is_denied(variable.as_str()), "{name}: {variable}");
            }
            let within = |path: &str| preset.state.iter().any(|own| crate::paths::is_below(path, own));
            for keep in preset.keep.values() {
                assert!(within(keep.path()), "{name}: {}", keep.path());
            }
            for written in preset.settings.iter().chain(&preset.seed) {
                let path = written.path.as_str();
                assert!(path.strip_prefix("~/").map_or(path.starts_with("/etc/"), within), "{name}: {path}");
                // Nothing that is kept may be what says how an agent behaves.
                let kept = |keep: &Keep| overlap(&format!("~/{}", keep.path()), path);
                assert!(!preset.keep.values().any(kept), "{name}: {path}");
            }
        }
    }
}
