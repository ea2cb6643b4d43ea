//! Which changes of a configuration stay.
//!
//! A key that is not on the list, or that has a value it may not have, is put back as it was before the
//! session. What may change does: git's own commands write it every day.

use agentbox_plan::git_config::{self, Entry, escaped};
use agentbox_plan::look::{KeyRule, Keys, PlacePath, ValueRule};

/// What is to be done about a configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What it has to say instead; none when it may stay as it is.
    pub(crate) restored: Option<Vec<u8>>,
    /// What may not change, in words.
    pub(crate) refused: Vec<String>,
    /// What changed and is told.
    pub(crate) told: Vec<String>,
}

/// Judges what a configuration says now against what it said.
///
/// `git_directory` is where the configuration lies, for values that are relative to it, when it is that of a
/// submodule.
pub(crate) fn judge(
    keys: &Keys,
    before: Option<&[u8]>,
    now: Option<&[u8]>,
    git_directory: Option<&PlacePath>,
) -> Verdict {
    let unchanged = Verdict { restored: None, refused: Vec::new(), told: Vec::new() };
    if before == now {
        return unchanged;
    }
    let old = before.map(git_config::parse_as_written).unwrap_or_else(|| Ok(Vec::new()));
    let Some(now) = now else { return unchanged };
    let whole = |what: String| Verdict {
        restored: Some(before.unwrap_or_default().to_vec()),
        refused: vec![what],
        told: Vec::new(),
    };
    let new = match git_config::parse_as_written(now) {
        Ok(new) => new,
        Err(error) => return whole(format!("it cannot be understood: {error}")),
    };
    let Ok(old) = old else {
        return whole("it could not be understood before, so every change of it is refused".to_owned());
    };
    let (mut refused, mut told, mut restored): (_, _, Vec<&Entry>) = (Vec::new(), Vec::new(), Vec::new());
    for entry in distinct(old.iter().chain(&new).map(|(entry, _)| entry)) {
        let (was, is) = (values(&old, entry), values(&new, entry));
        let rule = keys.find(&entry.section, entry.subsection.is_some(), &entry.key);
        if was == is {
            // Another git may read it otherwise than this does: what may not change may not be written otherwise either.
            if rule.is_none() && !is_written_alike(&old, &new, entry) {
                refused.push(format!("{} is written otherwise than it was", entry.name()));
                restored.push(entry);
            }
            continue;
        }
        let fits =
            |value: &Option<Vec<u8>>| rule.is_some_and(|rule| fits(rule, value.as_deref(), git_directory));
        if is.iter().all(|value| was.contains(value) || fits(value)) && rule.is_some() {
            if rule.is_some_and(|rule| rule.told) {
                told.push(words(entry, &was, &is));
            }
        } else {
            refused.push(words(entry, &was, &is));
            restored.push(entry);
        }
    }
    if refused.is_empty() {
        return Verdict { restored: None, refused, told };
    }
    let is_restored = |entry: &&Entry| restored.iter().any(|other| other.is(entry));
    let entries = |all: &[(Entry, Vec<u8>)], wanted: bool| {
        let all = all.iter().map(|(entry, _)| entry).filter(|entry| is_restored(entry) == wanted);
        all.cloned().collect::<Vec<_>>()
    };
    let all = [entries(&new, false), entries(&old, true)].concat();
    Verdict { restored: Some(git_config::write(&all)), refused, told }
}

fn distinct<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<&'a Entry> {
    let mut all: Vec<&Entry> = entries.collect();
    all.sort_by(|one, other| {
        (&one.section, &one.subsection, &one.key).cmp(&(&other.section, &other.subsection, &other.key))
    });
    all.dedup_by(|one, other| one.is(other));
    all
}

fn values<'a>(entries: &'a [(Entry, Vec<u8>)], wanted: &Entry) -> Vec<&'a Option<Vec<u8>>> {
    entries.iter().filter(|(entry, _)| entry.is(wanted)).map(|(entry, _)| &entry.value).collect()
}

/// Whether every value of a key, which are the same, is written as it was, or as this writes it when it puts it back.
fn is_written_alike(old: &[(Entry, Vec<u8>)], new: &[(Entry, Vec<u8>)], wanted: &Entry) -> bool {
    let of = |(entry, _): &&(Entry, Vec<u8>)| entry.is(wanted);
    let mut both = old.iter().filter(of).zip(new.iter().filter(of));
    both.all(|((_, was), (entry, is))| was == is || *is == git_config::written(entry))
}

fn words(entry: &Entry, was: &[&Option<Vec<u8>>], is: &[&Option<Vec<u8>>]) -> String {
    let list = |values: &[&Option<Vec<u8>>]| {
        let shown =
            values.iter().map(|value| value.as_ref().map_or("true".to_owned(), |value| escaped(value)));
        shown.collect::<Vec<_>>().join(", ")
    };
    match (was, is) {
        ([], is) => format!("{} = {}", entry.name(), list(is)),
        (was, []) => format!("{} removed (was {})", entry.name(), list(was)),
        (was, is) => format!("{} = {} (was {})", entry.name(), list(is), list(was)),
    }
}

fn fits(rule: &KeyRule, value: Option<&[u8]>, git_directory: Option<&PlacePath>) -> bool {
    let Some(value) = value else { return rule.value == ValueRule::Flag };
    if value.iter().any(u8::is_ascii_control) || value.len() > 4096 {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    match &rule.value {
        ValueRule::Flag => {
            matches!(
                lower.as_slice(),
                b"true" | b"false" | b"yes" | b"no" | b"on" | b"off" | b"0" | b"1" | b""
            )
        }
        ValueRule::Number => !value.is_empty() && value.len() < 10 && value.iter().all(u8::is_ascii_digit),
        ValueRule::OneOf { words } => words.iter().any(|word| word.as_bytes() == lower),
        ValueRule::Text => true,
        ValueRule::Name => is_name(value),
        ValueRule::Refspec => {
            let allowed =
                |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/+:^*@".contains(byte) || *byte >= 0x80;
            !value.is_empty() && !value.starts_with(b"-") && value.iter().all(allowed)
        }
        ValueRule::Repository => is_repository(value),
        ValueRule::Worktree => git_directory.is_some_and(|directory| is_in_project(directory, value)),
    }
}

fn is_name(value: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/@+#".contains(byte) || *byte >= 0x80;
    !value.is_empty() && !value.starts_with(b"-") && value.iter().all(allowed)
}

/// An address of which git runs none of its helpers but those for the usual transports.
fn is_repository(value: &[u8]) -> bool {
    let has = |needle: &[u8]| value.windows(needle.len()).any(|window| window == needle);
    // `ext::sh -c …`, `fd::…`, and an option in place of an address (gitremote-helpers(7)).
    if value.is_empty() || value.starts_with(b"-") || has(b"::") || has(b" ") {
        return false;
    }
    let Some(at) = value.windows(3).position(|window| window == b"://") else {
        // A path, or `host:path` as ssh takes it; a host that begins with `-` is an option to ssh.
        let host = value.split(|byte| *byte == b'@').next_back().unwrap_or_default();
        return !host.starts_with(b"-");
    };
    let (scheme, rest) = (value[..at].to_ascii_lowercase(), &value[at + 3..]);
    let host = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
    let host = host.split(|byte| *byte == b'@').next_back().unwrap_or_default();
    matches!(scheme.as_slice(), b"https" | b"http" | b"ssh" | b"git" | b"file" | b"git+ssh")
        && !host.starts_with(b"-")
        && !rest.starts_with(b"-")
}

/// Where a submodule's files are: a directory of the project and none of git's.
fn is_in_project(git_directory: &PlacePath, value: &[u8]) -> bool {
    let mut path: Vec<&[u8]> = git_directory.names().collect();
    for name in value.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                if path.pop().is_none() {
                    return false;
                }
            }
            name => path.push(name),
        }
    }
    !value.starts_with(b"/")
        && !path.is_empty()
        && !path.iter().any(|name| name.eq_ignore_ascii_case(b".git"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::look::Subsection;

    fn keys() -> Keys {
        let rule = |section: &str, subsection, key: &str, value, told| KeyRule {
            section: section.to_owned(),
            subsection,
            key: key.to_owned(),
            value,
            told,
        };
        Keys {
            rules: vec![
                rule("core", Subsection::Absent, "bare", ValueRule::Flag, false),
                rule("core", Subsection::Absent, "worktree", ValueRule::Worktree, false),
                rule("remote", Subsection::Any, "url", ValueRule::Repository, true),
                rule("remote", Subsection::Any, "fetch", ValueRule::Refspec, false),
                rule("branch", Subsection::Any, "remote", ValueRule::Name, false),
            ],
        }
    }

    fn verdict(before: &str, now: &str) -> Verdict {
        judge(&keys(), Some(before.as_bytes()), Some(now.as_bytes()), None)
    }

    const BEFORE: &str = "[core]\n\tbare = false\n[user]\n\tname = Me # mine\n[alias]\n\tst = status\n";

    #[test]
    fn what_git_writes_every_day_stays_byte_for_byte() {
        let now = format!(
            "{BEFORE}[remote \"origin\"]\n\turl = https://example.org/x.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
             [branch \"main\"]\n\tremote = origin\n"
        );
        let verdict = verdict(BEFORE, &now);
        assert_eq!((verdict.restored, verdict.refused.len()), (None, 0));
        assert_eq!(verdict.told, ["remote.origin.url = https://example.org/x.git"]);
    }

    #[test]
    fn a_key_that_is_not_on_the_list_is_put_back_and_the_rest_stays() {
        for (evil, name) in [
            ("[core]\n\tfsmonitor = touch x\n", "core.fsmonitor = touch x"),
            ("[core]\n\thooksPath = .\n", "core.hookspath = ."),
            ("[CORE]\n\tsshCommand = x", "core.sshcommand = x"),
            ("[include]\n\tpath = ../x\n", "include.path = ../x"),
            ("[filter \"a\"]\n\tclean = x\n", "filter.a.clean = x"),
            ("[alias]\n\tco = !x\n", "alias.co = !x"),
            ("[alias]\n\tst = !x\n", "alias.st = status, !x (was status)"),
            ("[remote \"o\"]\n\tuploadpack = x\n", "remote.o.uploadpack = x"),
            ("[remote \"o\"]\n\turl = ext::sh -c x\n", "remote.o.url = ext::sh -c x"),
            ("[remote \"o\"]\n\turl = -x\n", "remote.o.url = -x"),
            ("[remote \"o\"]\n\turl = ssh://-oProxyCommand=x/y\n", "remote.o.url = ssh://-oProxyCommand=x/y"),
            ("[remote \"o\"]\n\turl = -oProxyCommand=x:y\n", "remote.o.url = -oProxyCommand=x:y"),
            ("[branch \"m\"]\n\tremote = ext::x\n", "branch.m.remote = ext::x"),
            ("[core]\n\tworktree = /\n", "core.worktree = /"),
            ("[core \"bare\"]\n\tbare = true\n", "core.bare.bare = true"),
        ] {
            let now = format!("{BEFORE}{evil}\n[core]\n\tbare = true\n");
            let verdict = verdict(BEFORE, &now);
            assert_eq!(verdict.refused, [name], "{evil}");
            let restored = git_config::parse(&verdict.restored.unwrap()).unwrap();
            let mut expected =
                git_config::parse(format!("{BEFORE}[core]\n\tbare = true\n").as_bytes()).unwrap();
            let sorted = |entries: &mut Vec<Entry>| entries.sort_by_key(|e| (e.name(), e.value.clone()));
            let mut restored = restored;
            sorted(&mut restored);
            sorted(&mut expected);
            assert_eq!(restored, expected, "{evil}");
        }
    }

    #[test]
    fn what_another_git_may_read_otherwise_is_put_back_however_it_is_written() {
        let before = "[core]\n\thooksPath=.githooks ; mine\n\tbare = true\n";
        for evil in [".githooks \\\n", ".githooks\x0c", ".githooks\x0b ", "\".githooks\" ", " .githooks #"] {
            let now = format!("[core]\n\thooksPath={evil}\n\tbare = true\n");
            assert_eq!(verdict(before, &now).refused.len(), 1, "{evil:?}");
        }
        // What was put back stays so; other lines may be about it, and a key that may change may be written in any way.
        let verdict = verdict(before, "[core]\n\tbare=true\n\thooksPath = .githooks\n# x\n");
        assert_eq!((verdict.restored, verdict.refused.len()), (None, 0));
    }

    #[test]
    fn what_was_removed_comes_back() {
        let verdict = verdict(BEFORE, "[core]\n\tbare = false\n");
        assert_eq!(verdict.refused.len(), 2);
        let restored = git_config::parse(&verdict.restored.unwrap()).unwrap();
        assert_eq!(restored, git_config::parse(BEFORE.as_bytes()).unwrap());
    }

    #[test]
    fn what_cannot_be_understood_is_put_back_whole() {
        let verdict = verdict(BEFORE, "[core\n");
        assert_eq!(verdict.restored.as_deref(), Some(BEFORE.as_bytes()));
        let verdict = judge(&keys(), Some(b"[x"), Some(b"[core]\n\tbare=true\n"), None);
        assert_eq!(verdict.restored.as_deref(), Some(b"[x".as_slice()));
    }

    #[test]
    fn a_submodule_has_its_files_in_the_project_and_not_in_gits() {
        let directory = PlacePath::new(".git/modules/lib").unwrap();
        for (value, fits) in [
            ("../../../lib", true),
            ("../../../a/b", true),
            ("../../..", false),
            ("../../../../x", false),
            ("/home/me", false),
            ("../../../.git/hooks", false),
            ("../../hooks", false),
        ] {
            assert_eq!(is_in_project(&directory, value.as_bytes()), fits, "{value}");
        }
    }

    #[test]
    fn addresses_of_everyday_are_repositories() {
        for good in [
            "https://u@h/x",
            "git@github.com:a/b.git",
            "ssh://git@h:22/x",
            "../other",
            "/srv/x.git",
            "file:///x",
        ] {
            assert!(is_repository(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "fd::3", "https://-x/", "foo://h/x", "u@-x:y", "ssh://a@-x/y"] {
            assert!(!is_repository(bad.as_bytes()), "{bad}");
        }
    }
}
