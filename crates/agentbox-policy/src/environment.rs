//! Which variables of the caller's environment pass, by the lists in `data/environment.toml`.

use crate::{PolicyError, places};
use serde::Deserialize;
use std::sync::OnceLock;

/// What git inside is told where the project is changed in place: directories that are held are made by nobody, so
/// no samples of hooks in new repositories, and nothing for dumb transports, which nobody uses over a project's
/// own directory (git(1), git-repack(1)). A profile's own `GIT_CONFIG_COUNT` stays.
pub(crate) const GIT: [(&str, &str); 4] = [
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "repack.updateServerInfo"),
    ("GIT_CONFIG_VALUE_0", "false"),
    ("GIT_TEMPLATE_DIR", ""),
];

/// Variables that agentbox sets itself; nobody else does.
pub(crate) const OURS: &[&str] = &["HOME", "LOGNAME", "PATH", "SHELL", "USER"];

/// Most bytes of `NAME=value` with its NUL: MAX_ARG_STRLEN of execve(2).
pub(crate) const MAX_VARIABLE_BYTES: usize = 131_072;

/// The lists. A pattern may have a `*` at its beginning, its end, or both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// What passes without being asked for.
    pass: Vec<String>,
    /// What passes only when a profile grants exactly that name.
    deny: Vec<String>,
}

impl Rules {
    pub(crate) fn load() -> Result<&'static Self, PolicyError> {
        static ONCE: OnceLock<Result<Rules, String>> = OnceLock::new();
        places::load(&ONCE, "environment.toml", include_str!("../data/environment.toml"))
    }

    /// Whether only an exact grant of a profile passes it.
    pub(crate) fn is_denied(&self, name: &str) -> bool {
        // Names are matched in capitals: `http_proxy` and `npm_config__auth` are as telling.
        let name = name.to_ascii_uppercase();
        self.deny.iter().any(|pattern| matches(pattern, &name))
    }

    /// Whether it passes without being asked for.
    pub(crate) fn passes(&self, name: &str) -> bool {
        !self.is_denied(name) && self.pass.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a name fits a pattern with a `*` at either end.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(rest), Some(_)) => name.contains(rest.trim_end_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

/// What a list of names that may pass says about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It is in the list, letter for letter.
    Exact,
    /// A name with `*` covers it.
    Wildcard,
    /// Neither.
    Absent,
}

/// What `list` says about `name`.
pub(crate) fn grant<'a>(list: impl IntoIterator<Item = &'a str>, name: &str) -> Grant {
    let mut found = Grant::Absent;
    for pattern in list {
        if pattern == name {
            return Grant::Exact;
        }
        if pattern.ends_with('*') && matches(pattern, name) {
            found = Grant::Wildcard;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_or_a_way_in_never_passes_unasked() {
        let rules = Rules::load().unwrap();
        for name in [
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "NPM_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "CLIENT_SECRET",
            "PGPASSWORD",
            "DB_PASSWORD_FILE",
            "MYSQL_PWD",
            "AWS_PROFILE",
            "GH_HOST",
            "GITHUB_ACTIONS",
            "TS_AUTHKEY",
            "DBUS_SESSION_BUS_ADDRESS",
            "SSH_AUTH_SOCK",
            "SSH_AGENT_PID",
            "SSH_CONNECTION",
            "XAUTHORITY",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "XDG_RUNTIME_DIR",
            "GPG_AGENT_INFO",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "NODE_OPTIONS",
            "BASH_ENV",
            "ENV",
            "PYTHONSTARTUP",
            "PYTHONPATH",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "PERL5OPT",
            "RUBYOPT",
            "PROMPT_COMMAND",
            "http_proxy",
            "HTTPS_PROXY",
            "DOCKER_HOST",
            "KUBECONFIG",
            "VAULT_ADDR",
            "LC_MY_TOKEN",
            "BASH_FUNC_x%%",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "DATABASE_URL",
            "SUDO_USER",
        ] {
            assert!(rules.is_denied(name), "{name}");
            assert!(!rules.passes(name), "{name}");
        }
    }

    #[test]
    fn what_a_terminal_and_a_language_need_passes() {
        let rules = Rules::load().unwrap();
        for name in
            ["TERM", "COLORTERM", "LANG", "LC_ALL", "LC_TIME", "TZ", "EDITOR", "VISUAL", "PAGER", "NO_COLOR"]
        {
            assert!(rules.passes(name), "{name}");
        }
        for name in ["COLUMNS", "PWD", "OLDPWD", "MY_VARIABLE", "term", "TMPDIR", "XDG_DATA_DIRS"] {
            assert!(!rules.passes(name), "{name}");
        }
    }

    #[test]
    fn a_wildcard_is_told_from_a_name() {
        assert_eq!(grant(["A_*", "A_KEY"], "A_KEY"), Grant::Exact);
        assert_eq!(grant(["A_*"], "A_KEY"), Grant::Wildcard);
        assert_eq!(grant(["A_*", "B"], "C"), Grant::Absent);
        assert_eq!(grant(["A_*"], "A_*"), Grant::Exact);
    }
}
