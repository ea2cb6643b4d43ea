//! A git repository as its files show it. git itself is not run: configuration in a repository makes it
//! execute what somebody else wrote.

use super::Notes;
use super::tree::{open_directory, read_file};
use agentbox_plan::git_config::{self, Entry};
use agentbox_policy::Sign;
use std::os::fd::AsFd;

/// How a person is called where repositories are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names(Vec<String>);

impl Names {
    /// From a login name, an author's name and a mail address.
    pub(crate) fn new(login: Option<&str>, author: Option<&str>, email: Option<&str>) -> Self {
        let local = email.and_then(|email| email.split_once('@')).map(|(local, _)| local);
        // Addresses of forges begin with a number: `1234+ada@users.noreply.github.com`.
        let forge = local.and_then(|local| local.split_once('+')).map(|(_, name)| name);
        let all = [login, author, local, forge].into_iter().flatten().map(squeezed);
        Self(all.filter(|name| name.len() > 1 && name != "root").collect())
    }

    /// More names of the same person.
    pub(crate) fn add(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&squeezed(name))
    }
}

/// Letters and digits only: `Ada Lovelace` is `ada-lovelace`.
fn squeezed(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Hosts at which repositories are mostly public.
const PUBLIC: &[&str] = &[
    "bitbucket.org",
    "codeberg.org",
    "git.kernel.org",
    "git.savannah.gnu.org",
    "git.sr.ht",
    "gitea.com",
    "gitee.com",
    "github.com",
    "gitlab.com",
    "gitlab.freedesktop.org",
    "gitlab.gnome.org",
    "huggingface.co",
    "invent.kde.org",
    "salsa.debian.org",
    "ssh.github.com",
];

/// What is known of a repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// Nothing in it says that the person has a part in it.
    pub(super) stranger: bool,
}

/// Looks at the repository of a directory.
pub(super) fn look(directory: impl AsFd, names: &Names, notes: &mut Notes) -> Repository {
    let Some(git) = open_directory(&directory, b".git") else {
        return Repository::default();
    };
    let mut remotes = Vec::new();
    match read_file(&git, b"config") {
        Ok(Some(bytes)) => remotes = configuration(&bytes, notes),
        Ok(None) => {}
        Err(why) => notes.add(Sign::Unread, ".git/config", why),
    }
    hooks(&git, notes);
    let log = open_directory(&git, b"logs").map(|logs| read_file(&logs, b"HEAD"));
    let log = match log {
        Some(Ok(Some(bytes))) => Log::parse(&bytes),
        // A log of a quarter of a megabyte is one of somebody who works there.
        Some(Err(_)) => Log { cloned: None, commits: 1 },
        _ => Log::default(),
    };
    let mut elsewhere = false;
    let mut own = false;
    for (name, url) in &remotes {
        let Some(remote) = Remote::parse(url) else { continue };
        elsewhere = true;
        let place = format!(".git/config: remote.{name}.url");
        if !PUBLIC.contains(&remote.host.as_str()) {
            notes.add(Sign::PrivateRemote, &*place, format!("`{}`, at `{}`", remote.path, remote.host));
        }
        if remote.owner().is_some_and(|owner| names.has(owner)) {
            own = true;
        } else {
            notes.add(Sign::ForeignRemote, place, format!("`{}`, at `{}`", remote.path, remote.host));
        }
    }
    if let Some(url) = &log.cloned {
        elsewhere |= Remote::parse(url).is_some();
    }
    let stranger = elsewhere && !own && log.commits == 0;
    if stranger {
        let from = remotes.first().map(|(_, url)| url.as_str()).or(log.cloned.as_deref()).unwrap_or_default();
        let remote =
            Remote::parse(from).map(|remote| format!(" from `{}`, at `{}`", remote.path, remote.host));
        let what = format!("it was taken{}, and no commit was made here", remote.unwrap_or_default());
        notes.add(Sign::Stranger, ".git", what);
    }
    Repository { stranger }
}

/// What git's configuration says: remotes, and what makes git execute something.
pub(crate) fn configuration(bytes: &[u8], notes: &mut Notes) -> Vec<(String, String)> {
    let mut remotes = Vec::new();
    for Entry { section, subsection, key, value } in git_config::read_all(bytes) {
        let name = subsection.map(|name| String::from_utf8_lossy(&name).into_owned());
        let value = value.map_or("true".into(), |value| String::from_utf8_lossy(&value).into_owned());
        if executes(&section, &key, &value) {
            let sub = name.as_ref().map(|name| format!(".{name}")).unwrap_or_default();
            notes.add(Sign::Hook, ".git/config", format!("`{section}{sub}.{key}` makes git run `{value}`"));
        }
        if section == "remote" && key == "url" {
            remotes.push((name.unwrap_or_default(), value));
        }
    }
    remotes
}

/// Whether a key makes git run something, or read configuration from elsewhere.
fn executes(section: &str, key: &str, value: &str) -> bool {
    match section {
        "core" => match key {
            "fsmonitor" => !matches!(value, "true" | "false"),
            "hookspath"
            | "sshcommand"
            | "editor"
            | "pager"
            | "askpass"
            | "gitproxy"
            | "alternaterefscommand" => true,
            _ => false,
        },
        "include" | "includeif" => key == "path",
        "filter" => matches!(key, "clean" | "smudge" | "process"),
        "diff" => matches!(key, "command" | "textconv" | "external"),
        "merge" => key == "driver",
        "mergetool" | "difftool" => key == "cmd",
        "alias" => value.starts_with('!'),
        "credential" => key == "helper",
        "gpg" => key == "program",
        "submodule" => key == "update" && value.starts_with('!'),
        "sequence" => key == "editor",
        "uploadpack" => key == "packobjectshook",
        "remote" => matches!(key, "uploadpack" | "receivepack" | "vcs"),
        _ => false,
    }
}

/// Programs that git runs by itself.
fn hooks(git: impl AsFd, notes: &mut Notes) {
    let Some(hooks) = open_directory(git, b"hooks") else { return };
    let Ok(listing) = rustix::fs::Dir::read_from(&hooks) else { return };
    let mut names: Vec<String> = listing
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !name.ends_with(".sample"))
        .take(32)
        .collect();
    names.sort();
    for name in names {
        notes.add(Sign::Hook, format!(".git/hooks/{name}"), "git runs it by itself");
    }
}

/// What the log of HEAD says about who worked here.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) cloned: Option<String>,
    pub(crate) commits: usize,
}

impl Log {
    /// Lines are `old new Name <mail> time zone TAB what`.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut log = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let Some((_, what)) = line.split_once('\t') else { continue };
            if let Some(url) = what.strip_prefix("clone: from ") {
                log.cloned = Some(url.trim().to_owned());
            }
            log.commits += usize::from(what.starts_with("commit"));
        }
        log
    }
}

/// A repository elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Remote {
    /// `scheme://[user[:password]@]host[:port]/path` or `[user@]host:path`; none for a place on this machine.
    /// What stands before the `@` may be a secret, and is dropped.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (place, path) = match url.split_once("://") {
            Some(("file", _)) => return None,
            Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
            None => {
                let (place, path) = url.split_once(':')?;
                if place.contains('/') {
                    return None;
                }
                (place, path)
            }
        };
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(rest),
            None => host.split(':').next().unwrap_or(host),
        };
        let path = path.trim_matches('/').split(['?', '#']).next().unwrap_or_default();
        let path = path.strip_suffix(".git").unwrap_or(path);
        Some(Self { host: host.to_ascii_lowercase(), path: path.trim_start_matches('~').to_owned() })
    }

    /// Whose it is: the first part of the path.
    fn owner(&self) -> Option<&str> {
        self.path.split('/').find(|part| !part.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read_in_every_spelling_and_without_what_may_be_a_secret() {
        for url in [
            "https://github.com/ada/engine.git",
            "https://ada:ghp_secret@github.com/ada/engine",
            "git@github.com:ada/engine.git",
            "ssh://git@GitHub.com:22/ada/engine.git",
            "git://github.com/ada/engine/",
        ] {
            let remote = Remote::parse(url).unwrap();
            assert_eq!((remote.host.as_str(), remote.path.as_str()), ("github.com", "ada/engine"), "{url}");
        }
        for url in ["/srv/git/x.git", "../x", "file:///srv/x", "./a:b"] {
            assert_eq!(Remote::parse(url), None, "{url}");
        }
    }

    #[test]
    fn a_person_has_several_names() {
        let names =
            Names::new(Some("ada"), Some("Ada Lovelace"), Some("12+countess@users.noreply.github.com"));
        for name in ["ada", "Ada-Lovelace", "countess"] {
            assert!(names.has(name), "{name}");
        }
        assert!(!names.has("grace") && !Names::new(Some("root"), None, None).has("root"));
    }

    #[test]
    fn what_makes_git_execute_something_is_told() {
        let mut notes = Notes::default();
        let text = "[core]\n\tfsmonitor = true\n[core] hooksPath = /x\n[filter \"lfs\"]\nclean = git-lfs clean\n\
            [alias]\nx = !sh\ny = log\n[remote \"origin\"]\n url = \\\nhttps://a.org/b\n; [include]\n";
        let remotes = configuration(text.as_bytes(), &mut notes);
        assert_eq!(remotes, [("origin".to_owned(), "https://a.org/b".to_owned())]);
        let told: Vec<_> = notes.findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("core.hookspath") && told[1].contains("filter.lfs.clean"), "{told:?}");
    }
}
