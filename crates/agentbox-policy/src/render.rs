//! Files that say how an agent behaves, rendered anew for each session from its preset.

use crate::PolicyError;
use crate::config::{HostPath, VariableName};
use crate::policy::Variable;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A file as a preset has it. One of `json`, `toml` and `text` is its content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    /// Where it appears; `~/` is the home.
    pub(crate) path: HostPath,
    /// Content that is written as JSON.
    #[serde(default)]
    json: Option<Map<String, Value>>,
    /// Content that is written as TOML.
    #[serde(default)]
    toml: Option<Map<String, Value>>,
    /// Content as it is.
    #[serde(default)]
    text: Option<String>,
    /// Variables that are put into its table `env`: the session's value, else this one.
    #[serde(default)]
    env: BTreeMap<VariableName, String>,
    /// Tables, one in the other, in which the project gets an entry: its path and these values.
    #[serde(default)]
    project: Option<ProjectEntry>,
}

/// What is said of the project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectEntry {
    table: String,
    value: Map<String, Value>,
}

/// A file of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// Where it appears.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) content: String,
    /// Whether it is the agent's from then on; else nobody inside can change it.
    pub(crate) seed: bool,
}

impl Written {
    /// The content for a session.
    pub(crate) fn render(
        &self,
        project: &str,
        environment: &BTreeMap<String, Variable>,
    ) -> Result<String, PolicyError> {
        let wrong =
            |what: String| PolicyError::Invalid { what: format!("{} of this build: {what}", self.path) };
        if let Some(text) = &self.text {
            return Ok(text.clone());
        }
        let (mut content, as_toml) = match (&self.json, &self.toml) {
            (Some(json), None) => (json.clone(), false),
            (None, Some(toml)) => (toml.clone(), true),
            _ => return Err(wrong("it has no content, or two".to_owned())),
        };
        if !self.env.is_empty() {
            let env = table(&mut content, "env").ok_or_else(|| wrong("`env` is no table".to_owned()))?;
            for (name, usual) in &self.env {
                let value = environment.get(name.as_str()).map_or(usual, |variable| &variable.value);
                env.insert(name.to_string(), Value::String(value.clone()));
            }
        }
        if let Some(entry) = &self.project {
            let tables = table(&mut content, &entry.table).ok_or_else(|| wrong("no table".to_owned()))?;
            tables.insert(project.to_owned(), Value::Object(entry.value.clone()));
        }
        let text = match as_toml {
            true => toml::to_string(&content).map_err(|error| wrong(error.to_string()))?,
            false => serde_json::to_string_pretty(&content).map_err(|error| wrong(error.to_string()))?,
        };
        Ok(format!("{}\n", text.trim_end()))
    }
}

fn table<'a>(content: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    content.entry(name).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

#[cfg(test)]
mod tests {
    use crate::fixture::World;
    use crate::{PolicyError, State};

    fn rendered(agent: &str, change: impl FnOnce(&mut World)) -> Result<Vec<super::Rendered>, PolicyError> {
        let mut world = World::new().ask(|request| request.agent = Some(agent.into()));
        change(&mut world);
        Ok(world.resolve()?.rendered)
    }

    fn content(agent: &str, path: &str, change: impl FnOnce(&mut World)) -> String {
        let all = rendered(agent, change).unwrap();
        all.into_iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path}")).content
    }

    #[test]
    fn every_agents_settings_are_rendered_and_parse() {
        for agent in ["claude", "codex", "gemini", "opencode"] {
            let files = rendered(agent, |_| {}).unwrap();
            assert!(!files.is_empty(), "{agent}");
            for file in files {
                match file.path.rsplit('.').next() {
                    Some("json") => assert!(serde_json::from_str::<serde_json::Value>(&file.content).is_ok()),
                    Some("toml") => assert!(toml::from_str::<toml::Value>(&file.content).is_ok()),
                    _ => assert!(!file.content.is_empty()),
                }
            }
        }
        assert!(rendered("shell", |_| {}).unwrap().is_empty());
    }

    #[test]
    fn a_project_cannot_say_where_the_agents_service_is() {
        let path = "/etc/claude-code/managed-settings.json";
        let base = |text: &str| {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            value["env"]["ANTHROPIC_BASE_URL"].as_str().unwrap().to_owned()
        };
        assert_eq!(base(&content("claude", path, |_| {})), "https://api.anthropic.com");
        let own = content("claude", path, |world| {
            world.environment.insert("ANTHROPIC_BASE_URL".into(), "https://corp/\"x".into());
        });
        assert_eq!(base(&own), "https://corp/\"x");
    }

    #[test]
    fn the_project_is_one_that_codex_does_not_trust_whatever_its_path() {
        let text = content("codex", "/home/me/.codex/config.toml", |world| {
            world.project.path = "/srv/a\"]\nb".into()
        });
        let value: toml::Value = toml::from_str(&text).unwrap();
        assert_eq!(value["projects"]["/srv/a\"]\nb"]["trust_level"].as_str(), Some("untrusted"));
        assert_eq!(value["sandbox_mode"].as_str(), Some("danger-full-access"));
    }

    #[test]
    fn what_is_rendered_does_not_depend_on_what_is_kept() {
        let keep = |state: State| {
            rendered("claude", |world| {
                world.system = crate::fixture::system("[profile.w]\nagent = \"claude\"");
                world.request.profile = Some("w".into());
                world.request.state = Some(state);
            })
            .unwrap()
        };
        assert_eq!(keep(State::Profile), keep(State::Ephemeral));
    }
}
