//! Where git on the host finds hooks besides `.git/hooks`: in the project, when its configuration says so.

use super::tree;
use agentbox_plan::git_config;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;

/// The directory below the project's root, which is the empty path, that `core.hooksPath` names. `path` is the
/// project's own.
pub(crate) fn directory(project: impl AsFd, path: &[u8]) -> Option<Vec<u8>> {
    let git = tree::enter(project, c".git").ok()?;
    let mut bytes = Vec::new();
    File::from(tree::read(&git, c"config").ok()?)
        .take(git_config::MAX_BYTES as u64)
        .read_to_end(&mut bytes)
        .ok()?;
    let of_hooks = |entry: &git_config::Entry| {
        entry.section == "core" && entry.subsection.is_none() && entry.key == "hookspath"
    };
    let value = git_config::read_all(&bytes).into_iter().rfind(of_hooks)?.value?;
    below(&value, path)
}

/// What a path is below the project's root, where git runs hooks (githooks(5)).
fn below(value: &[u8], project: &[u8]) -> Option<Vec<u8>> {
    fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
        path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
    }
    let root: Vec<&[u8]> = names(project).collect();
    let mut found = if value.starts_with(b"/") { Vec::new() } else { root.clone() };
    for name in names(value) {
        match name {
            b".." => drop(found.pop()),
            name => found.push(name),
        }
    }
    found.strip_prefix(root.as_slice()).map(|names| names.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_configuration_counts_from_the_projects_root() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        let project = File::open(dir.path()).unwrap();
        for (value, expected) in [
            ("tools/./hooks/", Some("tools/hooks")),
            ("../p/x", Some("x")),
            ("/home/p/y", Some("y")),
            (".", Some("")),
            ("/home/pp/y", None),
            ("..", None),
            ("/etc", None),
        ] {
            let text = format!(
                "[core]\nhooksPath = old\n[CORE]\nHooksPath = {value}\n[core \"x\"]\nhooksPath = z\n"
            );
            std::fs::write(dir.path().join(".git/config"), text).unwrap();
            let found = directory(&project, b"/home/p");
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        }
        std::fs::write(dir.path().join(".git/config"), "[core]\nbare = false\n").unwrap();
        assert_eq!(directory(&project, b"/home/p"), None);
    }
}
