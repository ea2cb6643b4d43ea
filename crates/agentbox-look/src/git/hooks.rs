//! Where git finds hooks besides `hooks` of its own directory: where a configuration says so (`core.hooksPath`).
//!
//! Such a directory is the project's, with other files in it: only those count that git runs by themselves. The
//! configurations are those from before the session, since a change of the key is put back.

use super::pointers::{Named, below, named};
use crate::place::Places;
use agentbox_plan::git_config;
use agentbox_plan::look::{ConfigBefore, PlacePath, Spot};
use agentbox_plan::trigger::{HOOKS, is_hook};
use rustix::fs::FileType;
use std::collections::BTreeSet;

/// Directories of the places in which git finds hooks.
pub(crate) fn directories(places: &Places, configs: &[ConfigBefore]) -> BTreeSet<Spot> {
    let mut all = BTreeSet::new();
    for config in configs {
        let Some(content) = &config.content else { continue };
        let entries = git_config::parse(&content.0).unwrap_or_default();
        let value = |key: &str| {
            let is_it = |entry: &&git_config::Entry| {
                entry.section == "core" && entry.subsection.is_none() && entry.key == key
            };
            entries.iter().rev().find(is_it).and_then(|entry| entry.value.as_deref())
        };
        let Some(path) = value("hookspath") else { continue };
        let Some(root) = root(places, &config.spot, value("worktree")) else { continue };
        if let Named::Inside(spot) = named(places, &root, path) {
            all.insert(spot);
        }
    }
    all
}

/// The directory in which git runs the hooks of a configuration, from which a relative path counts (githooks(5)).
fn root(places: &Places, config: &Spot, worktree: Option<&[u8]>) -> Option<Spot> {
    let (directory, name) = config.path.split()?;
    let git = Spot { place: config.place, path: directory };
    let is_own = matches!(name, b"config" | b"config.worktree");
    match git.path.split() {
        // One that another includes, or a repository beside the project, whose worktree this is.
        _ if !is_own => Some(Spot::default()),
        None if git.place > 0 => Some(Spot::default()),
        Some((parent, b".git")) => Some(Spot { place: git.place, path: parent }),
        _ => match worktree.map(|path| named(places, &git, path)) {
            None => Some(git),
            Some(Named::Inside(spot)) => Some(spot),
            Some(Named::Outside(_) | Named::Nothing) => None,
        },
    }
}

/// Whether git runs what is there as a hook, or finds its hooks by it when it is a link.
pub(crate) fn is_one(directories: &BTreeSet<Spot>, spot: &Spot, is_link: bool) -> bool {
    let Some((parent, name)) = spot.path.split() else { return false };
    let is_above = |other: &Spot| other.place == spot.place && other.path.is_within(&spot.path);
    is_hook(name) && directories.contains(&Spot { place: spot.place, path: parent })
        || is_link && directories.iter().any(is_above)
}

/// All that is there of that.
pub(crate) fn there(places: &Places, directories: &BTreeSet<Spot>) -> BTreeSet<Spot> {
    let mut all = BTreeSet::new();
    for directory in directories {
        let mut way = PlacePath::default();
        for name in directory.path.names() {
            let Some(next) = way.join(name) else { break };
            way = next;
            let spot = Spot { place: directory.place, path: way.clone() };
            if places.kind(&spot) == Some(FileType::Symlink) {
                all.insert(spot);
            }
        }
        let is_file = |spot: &Spot| places.kind(spot).is_some_and(|kind| kind != FileType::Directory);
        all.extend(HOOKS.iter().filter_map(|name| below(directory, name.as_bytes())).filter(is_file));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::{places, spot};
    use agentbox_plan::wire::Bytes;

    fn config(spot: Spot, text: &str) -> ConfigBefore {
        ConfigBefore { spot, content: Some(Bytes(text.as_bytes().to_vec())) }
    }

    #[test]
    fn a_path_counts_from_where_git_runs_the_hooks() {
        let (dir, beside) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        let places = places(&[dir.path(), beside.path()]);
        let other = |path: &str| Spot { place: 1, ..spot(path) };
        let text = |path: &str| format!("[core]\n\thooksPath = nowhere\n[Core]\n\tHOOKSPATH = {path}\n");
        for (at, text, expected) in [
            (spot(".git/config"), text(".githooks"), Some(spot(".githooks"))),
            (spot("a/.git/config.worktree"), text("../x/./y"), Some(spot("x/y"))),
            (spot(".git/config"), text("."), Some(spot(""))),
            (spot(".git/config"), text(&format!("{}/z", dir.path().display())), Some(spot("z"))),
            (spot(".git/config"), text("/etc/hooks"), None),
            (spot(".git/config"), "[core \"x\"]\n\thooksPath = y\n".to_owned(), None),
            (
                spot(".git/modules/m/config"),
                text("h") + "\tworktree = ../../../deep/m\n",
                Some(spot("deep/m/h")),
            ),
            (spot("store.git/config"), text("h"), Some(spot("store.git/h"))),
            (spot("shared.inc"), text("h"), Some(spot("h"))),
            (other("config"), text("h"), Some(spot("h"))),
        ] {
            let found = directories(&places, &[config(at.clone(), &text)]);
            assert_eq!(found.into_iter().next(), expected, "{at:?} {text}");
        }
    }

    #[test]
    fn what_git_runs_is_a_hook_and_what_lies_beside_is_not() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::create_dir_all(dir.path().join("real/update")).unwrap();
        for name in ["pre-commit", "helper", "update/x"] {
            std::fs::write(dir.path().join("real").join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let places = places(&[dir.path()]);
        let all = |path: &str| BTreeSet::from([spot(path)]);
        assert_eq!(there(&places, &all("real")), BTreeSet::from([spot("real/pre-commit")]));
        assert_eq!(there(&places, &all("link/deep")), BTreeSet::from([spot("link")]));
        let hooks = all("a/b");
        for (path, is_link, is_it) in [
            ("a/b/pre-push", false, true),
            ("a/b/pre-push.sample", false, false),
            ("a/b/c/pre-push", false, false),
            ("a/pre-push", false, false),
            ("a/b", false, false),
            ("a/b", true, true),
            ("a", true, true),
            ("b", true, false),
        ] {
            assert_eq!(is_one(&hooks, &spot(path), is_link), is_it, "{path}");
        }
    }
}
