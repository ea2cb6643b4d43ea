//! What is looked for in a project, from `data/git-config.toml` and `data/secrets.toml`.

use crate::{PolicyError, places};
use agentbox_plan::glob::PathGlob;
use agentbox_plan::look::{KeyRule, Keys, Subsection, ValueRule};
use serde::Deserialize;
use std::sync::OnceLock;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    keys: Vec<KeyGroup>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyGroup {
    value: Takes,
    #[serde(default)]
    tell: bool,
    names: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Takes {
    Flag,
    Number,
    Text,
    Name,
    Refspec,
    Repository,
    Worktree,
    #[serde(untagged)]
    OneOf {
        words: Vec<String>,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretFile {
    hidden: Vec<String>,
    shown: Vec<String>,
}

/// Patterns of secrets that are built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// What is hidden.
    pub hidden: Vec<PathGlob>,
    /// What of it is not.
    pub shown: Vec<PathGlob>,
}

/// Keys of git's configuration that may change.
///
/// # Errors
/// [`PolicyError::Invalid`] when the list of this build cannot be read.
pub fn built_in_keys() -> Result<&'static Keys, PolicyError> {
    static ONCE: OnceLock<Result<Keys, PolicyError>> = OnceLock::new();
    ONCE.get_or_init(|| {
        static FILE: OnceLock<Result<KeyFile, String>> = OnceLock::new();
        let file = places::load(&FILE, "git-config.toml", include_str!("../data/git-config.toml"))?;
        let rules = file.keys.iter().flat_map(|group| group.names.iter().map(|name| rule(group, name)));
        Ok(Keys { rules: rules.collect::<Result<_, _>>()? })
    })
    .as_ref()
    .map_err(Clone::clone)
}

fn rule(group: &KeyGroup, name: &str) -> Result<KeyRule, PolicyError> {
    let (section, subsection, key) = match name.split('.').collect::<Vec<_>>().as_slice() {
        [section, key] => (*section, Subsection::Absent, *key),
        [section, "*", key] => (*section, Subsection::Any, *key),
        _ => {
            return Err(PolicyError::Invalid { what: format!("git-config.toml of this build: {name}") });
        }
    };
    let value = match &group.value {
        Takes::Flag => ValueRule::Flag,
        Takes::Number => ValueRule::Number,
        Takes::Text => ValueRule::Text,
        Takes::Name => ValueRule::Name,
        Takes::Refspec => ValueRule::Refspec,
        Takes::Repository => ValueRule::Repository,
        Takes::Worktree => ValueRule::Worktree,
        Takes::OneOf { words } => ValueRule::OneOf { words: words.clone() },
    };
    Ok(KeyRule { section: section.to_owned(), subsection, key: key.to_owned(), value, told: group.tell })
}

/// Patterns of secrets.
///
/// # Errors
/// [`PolicyError::Invalid`] when the list of this build cannot be read.
pub fn built_in_secrets() -> Result<&'static Secrets, PolicyError> {
    static ONCE: OnceLock<Result<Secrets, PolicyError>> = OnceLock::new();
    ONCE.get_or_init(|| {
        static FILE: OnceLock<Result<SecretFile, String>> = OnceLock::new();
        let file = places::load(&FILE, "secrets.toml", include_str!("../data/secrets.toml"))?;
        let globs = |list: &[String]| -> Result<Vec<PathGlob>, PolicyError> {
            let glob = |text: &String| {
                text.parse().map_err(|error| PolicyError::Invalid { what: format!("{text}: {error}") })
            };
            list.iter().map(glob).collect()
        };
        Ok(Secrets { hidden: globs(&file.hidden)?, shown: globs(&file.shown)? })
    })
    .as_ref()
    .map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_that_names_a_program_may_change() {
        let keys = built_in_keys().unwrap();
        for (section, own, key) in [
            ("core", false, "sshcommand"),
            ("core", false, "fsmonitor"),
            ("core", false, "hookspath"),
            ("core", false, "editor"),
            ("core", false, "pager"),
            ("core", false, "askpass"),
            ("core", false, "gitproxy"),
            ("core", false, "attributesfile"),
            ("core", false, "alternaterefscommand"),
            ("alias", false, "st"),
            ("include", false, "path"),
            ("includeif", true, "path"),
            ("filter", true, "clean"),
            ("diff", true, "textconv"),
            ("diff", false, "external"),
            ("merge", true, "driver"),
            ("credential", false, "helper"),
            ("gpg", false, "program"),
            ("gpg", true, "program"),
            ("remote", true, "uploadpack"),
            ("remote", true, "receivepack"),
            ("remote", true, "vcs"),
            ("remote", true, "proxy"),
            ("branch", true, "mergeoptions"),
            ("url", true, "insteadof"),
            ("uploadpack", false, "packobjectshook"),
            ("gc", false, "recentobjectshook"),
            ("sequence", false, "editor"),
            ("pager", false, "log"),
            ("interactive", false, "difffilter"),
            ("man", true, "cmd"),
            ("browser", true, "cmd"),
            ("trailer", true, "command"),
            ("protocol", true, "allow"),
            ("safe", false, "directory"),
            ("lfs", false, "url"),
            ("http", false, "proxy"),
            ("init", false, "templatedir"),
            ("commit", false, "template"),
            ("tar", true, "command"),
            ("sendemail", false, "smtpserver"),
        ] {
            assert_eq!(keys.find(section, own, key), None, "{section}.{key}");
        }
    }

    #[test]
    fn keys_are_in_lower_case_and_stand_once() {
        let keys = built_in_keys().unwrap();
        for (at, rule) in keys.rules.iter().enumerate() {
            assert_eq!(rule.key, rule.key.to_ascii_lowercase());
            assert_eq!(rule.section, rule.section.to_ascii_lowercase());
            let same = |other: &KeyRule| {
                (&other.section, other.subsection, &other.key) == (&rule.section, rule.subsection, &rule.key)
            };
            assert!(!keys.rules[..at].iter().any(same), "{}.{}", rule.section, rule.key);
        }
    }

    #[test]
    fn secrets_are_hidden_and_examples_are_not() {
        let secrets = built_in_secrets().unwrap();
        let hidden = |path: &str| {
            let names: Vec<&str> = path.split('/').collect();
            let hit = |list: &[PathGlob]| list.iter().any(|pattern| pattern.matches(&names));
            hit(&secrets.hidden) && !hit(&secrets.shown)
        };
        for path in
            [".env", "app/.env.production", "certs/site.pem", "id_ed25519", "secrets/x/y", "a.tfstate"]
        {
            assert!(hidden(path), "{path}");
        }
        for path in [
            ".env.example",
            ".env.sample",
            "site.template",
            "src/environment.rs",
            "id_ed25519.pub",
            "keys.rs",
        ] {
            assert!(!hidden(path), "{path}");
        }
    }
}
