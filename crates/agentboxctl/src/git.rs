//! The author that the owner's git uses, for profiles that name none.
//!
//! git runs in `/`, never in the project: a repository's own configuration can name programs to run.

use crate::child;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest that a person waits for git. It reads one or two files.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 64 * 1024;
/// Most bytes of a file of references. One of a hundred thousand has a tenth of it.
const MOST_REFERENCES: u64 = 64 << 20;

/// `user.name` and `user.email`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Author {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
}

/// The commit that a repository's `HEAD` is at, read without git and without its configuration. `None` where
/// that is not plain: no repository, a detached worktree, references of another format.
pub(crate) fn head(project: impl std::os::fd::AsFd) -> Option<String> {
    let repository = crate::review::tree::reach(project, b".git").ok()?;
    let text = |path: &str| -> Option<String> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = crate::review::tree::reach(&repository, directory.as_bytes()).ok()?;
        let file = crate::review::tree::read(&directory, &std::ffi::CString::new(name).ok()?).ok()?;
        let mut text = String::new();
        std::fs::File::from(file).take(MOST_REFERENCES).read_to_string(&mut text).ok()?;
        Some(text)
    };
    let head = text("HEAD")?;
    let commit = match head.trim_end().strip_prefix("ref: ") {
        None => head.trim_end().to_owned(),
        Some(name) => match text(name) {
            Some(commit) => commit.trim_end().to_owned(),
            None => {
                let packed = text("packed-refs")?;
                let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
                lines.find(|(_, reference)| *reference == name)?.0.to_owned()
            }
        },
    };
    let is_name = matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_name.then(|| commit.to_ascii_lowercase())
}

/// A question to git that is under way.
#[derive(Debug)]
pub(crate) struct Question(Child);

impl Question {
    /// Asks, unless it is plain that there is no answer.
    pub(crate) fn ask(home: &Path, environment: &BTreeMap<String, String>) -> Option<Self> {
        let global = environment.get("GIT_CONFIG_GLOBAL");
        let settings = environment
            .get("XDG_CONFIG_HOME")
            .filter(|directory| !directory.is_empty())
            .map_or_else(|| home.join(".config"), Into::into);
        if global.is_none() && !home.join(".gitconfig").exists() && !settings.join("git/config").exists() {
            return None;
        }
        let mut git = Command::new("git");
        git.args(["config", "--global", "--null", "--get-regexp", r"^user\.(name|email)$"])
            .current_dir("/")
            .env_clear()
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for name in ["PATH", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"] {
            if let Some(value) = environment.get(name) {
                git.env(name, value);
            }
        }
        // No git, no author.
        git.spawn().ok().map(Self)
    }

    /// The answer. Without one, commits inside just have no author yet.
    pub(crate) fn answer(self) -> Author {
        match child::output(self.0, MOST_BYTES, PATIENCE) {
            Ok((true, bytes)) => Author::parse(&bytes),
            _ => Author::default(),
        }
    }
}

impl Author {
    /// Reads `key LF value NUL …`; the last value of a key is the one that counts.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut author = Self::default();
        for entry in bytes.split(|byte| *byte == 0) {
            let Ok(entry) = std::str::from_utf8(entry) else { continue };
            let Some((key, value)) = entry.split_once('\n') else { continue };
            if value.is_empty() || value.chars().any(char::is_control) {
                continue;
            }
            match key {
                "user.name" => author.name = Some(value.to_owned()),
                "user.email" => author.email = Some(value.to_owned()),
                _ => {}
            }
        }
        author
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_value_counts() {
        let table: &[(&[u8], Option<&str>, Option<&str>)] = &[
            (b"", None, None),
            (b"user.name\nA B\0user.email\na@b\0", Some("A B"), Some("a@b")),
            (b"user.name\nA\0user.name\nB\0", Some("B"), None),
            (b"user.name\n\x1b[31m\0user.email\n\xff\0", None, None),
            (b"user.name\0user.email\n\0other\nx\0", None, None),
        ];
        for (bytes, name, email) in table {
            let author = Author::parse(bytes);
            assert_eq!((author.name.as_deref(), author.email.as_deref()), (*name, *email), "{bytes:?}");
        }
    }

    #[test]
    fn git_is_asked_about_the_home_that_is_meant() {
        let home = tempfile::tempdir().unwrap();
        let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
        assert!(Question::ask(home.path(), &environment).is_none(), "nothing there to ask");
        std::fs::write(home.path().join(".gitconfig"), "[user]\n\tname = Ada\n\temail = ada@example.org\n")
            .unwrap();
        let author = Question::ask(home.path(), &environment).unwrap().answer();
        assert_eq!(author, Author { name: Some("Ada".into()), email: Some("ada@example.org".into()) });
    }
}
