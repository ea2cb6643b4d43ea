//! What each agent program needs, from the data files in `presets/`.

use crate::PolicyError;
use crate::config::{Environment, HostPath};
use crate::groups::Host;
use serde::Deserialize;

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
        }
    }
}
