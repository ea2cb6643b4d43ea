//! Files of git that name other places: `.git` as a file, `commondir`, `gitdir`, `alternates`.
//!
//! Anybody may have written them, so a name is only compared, never opened as it stands.

use crate::place::Places;
use agentbox_plan::git_config;
use agentbox_plan::look::{PlaceVerdict, Spot};
use std::collections::BTreeSet;

/// Most bytes of such a file.
const MAX_BYTES: usize = 16 << 10;
/// Most lines of a list of alternates that count.
const MAX_ALTERNATES: usize = 16;

/// What a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Something in one of the places.
    Inside(Spot),
    /// Something elsewhere: an absolute path in its normal form.
    Outside(Vec<u8>),
    /// Nothing that is a path.
    Nothing,
}

/// What a text names that stands in a directory.
pub(crate) fn named(places: &Places, directory: &Spot, text: &[u8]) -> Named {
    if text.is_empty() || text.contains(&0) {
        return Named::Nothing;
    }
    let mut path = if text.starts_with(b"/") { Vec::new() } else { places.absolute(directory) };
    path.push(b'/');
    path.extend_from_slice(text);
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let mut normal = Vec::new();
    for name in names {
        normal.push(b'/');
        normal.extend_from_slice(name);
    }
    match places.spot(&normal) {
        Some(spot) => Named::Inside(spot),
        None if normal.len() < 4096 && !normal.is_empty() => Named::Outside(normal),
        None => Named::Nothing,
    }
}

/// The git directory that a `.git` file names.
pub(crate) fn git_file(places: &Places, file: &Spot) -> Option<Named> {
    let text = places.read(file, MAX_BYTES)?;
    let (parent, _) = file.path.split()?;
    Some(named(places, &Spot { place: file.place, path: parent }, git_file_text(&text)?))
}

/// What stands in a `.git` file.
pub(crate) fn git_file_text(text: &[u8]) -> Option<&[u8]> {
    Some(text.strip_prefix(b"gitdir:")?.trim_ascii())
}

/// The git directory whose parts a directory shares, by its `commondir`.
pub(crate) fn common(places: &Places, git_directory: &Spot) -> Option<Named> {
    let text = line(places, git_directory, b"commondir")?;
    Some(named(places, git_directory, &text))
}

/// Whether a directory is the git directory of a linked worktree, which takes its configuration and hooks from the
/// repository that it lies in. Only by what git itself writes (git-worktree(1)): any other text may lead by links. Git
/// refuses an empty one, which is what is seen of one that is being written.
pub(crate) fn is_linked(places: &Places, directory: &Spot) -> bool {
    let names: Vec<&[u8]> = directory.path.names().collect();
    matches!(names.as_slice(), [.., b"worktrees", _])
        && line(places, directory, b"commondir").is_some_and(|text| matches!(text.as_slice(), b"" | b"../.."))
}

/// Where the files of a linked worktree are: the `.git` file that its `gitdir` names.
pub(crate) fn worktree(places: &Places, git_directory: &Spot) -> Option<Named> {
    let text = line(places, git_directory, b"gitdir")?;
    Some(named(places, git_directory, &text))
}

/// Object stores that a repository borrows from.
pub(crate) fn alternates(places: &Places, git_directory: &Spot) -> Vec<Named> {
    let Some(objects) = below(git_directory, b"objects") else { return Vec::new() };
    let Some(file) = below(git_directory, b"objects/info/alternates") else { return Vec::new() };
    let Some(text) = places.read(&file, MAX_BYTES) else { return Vec::new() };
    alternate_lines(&text).map(|line| named(places, &objects, line)).collect()
}

/// What stands in a list of alternates.
pub(crate) fn alternate_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).take(MAX_ALTERNATES)
}

fn line(places: &Places, directory: &Spot, name: &[u8]) -> Option<Vec<u8>> {
    let text = places.read(&below(directory, name)?, MAX_BYTES)?;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    Some(text.to_vec())
}

/// Something below a spot.
pub(crate) fn below(spot: &Spot, path: &[u8]) -> Option<Spot> {
    Some(Spot { place: spot.place, path: spot.path.join(path)? })
}

/// What the places beside the project are. One counts only when it names the project back.
pub(crate) fn judge(places: &Places, stores: &BTreeSet<Spot>) -> Vec<PlaceVerdict> {
    (0..places.count())
        .map(|place| if place == 0 { PlaceVerdict::Project } else { place_beside(places, place, stores) })
        .collect()
}

fn place_beside(places: &Places, place: u16, stores: &BTreeSet<Spot>) -> PlaceVerdict {
    let stranger = |why: &str| PlaceVerdict::Stranger { why: why.to_owned() };
    let here = Spot { place, ..Spot::default() };
    let project = Spot::default();
    if stores.contains(&here) {
        return PlaceVerdict::Objects;
    }
    if places.name(place).ends_with(b"/objects") {
        return stranger("no repository of the project borrows from it");
    }
    let Some(file) = below(&project, b".git") else { return stranger("the project has no .git") };
    let Some(Named::Inside(git_directory)) = git_file(places, &file) else {
        return stranger("the .git of the project does not lead there");
    };
    if git_directory.place != place {
        return stranger("the .git of the project does not lead there");
    }
    let back = if git_directory.path.is_place() {
        // A submodule: its configuration says where its files are.
        let Some(config) = below(&here, b"config") else { return stranger("it has no configuration") };
        let entries = places.read(&config, git_config::MAX_BYTES);
        let entries = entries.and_then(|bytes| git_config::parse(&bytes).ok()).unwrap_or_default();
        let is_worktree = |entry: &&git_config::Entry| {
            entry.section == "core" && entry.subsection.is_none() && entry.key == "worktree"
        };
        let value = entries.iter().rev().find(is_worktree).and_then(|entry| entry.value.clone());
        value.map(|value| named(places, &here, &value) == Named::Inside(project.clone()))
    } else {
        // A linked worktree: git's own way to it and back, and the rest beside it.
        let is_linked = git_directory.path.as_bytes().starts_with(b"worktrees/")
            && git_directory.path.names().count() == 2
            && common(places, &git_directory) == Some(Named::Inside(here.clone()));
        worktree(places, &git_directory).map(|back| is_linked && back == Named::Inside(file))
    };
    match back {
        Some(true) => PlaceVerdict::Repository,
        Some(false) | None => stranger("it does not name the project as its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::{places, spot};
    use std::fs;

    #[test]
    fn names_are_brought_into_their_normal_form_and_never_opened() {
        let dir = tempfile::TempDir::new().unwrap();
        let places = places(&[dir.path()]);
        let root = spot("");
        assert_eq!(named(&places, &spot("a/b"), b"../c/./d"), Named::Inside(spot("a/c/d")));
        assert_eq!(named(&places, &root, b"x"), Named::Inside(spot("x")));
        assert_eq!(named(&places, &root, b"/etc//x/../y"), Named::Outside(b"/etc/y".to_vec()));
        assert_eq!(named(&places, &root, b""), Named::Nothing);
    }

    #[test]
    fn a_linked_worktree_counts_only_with_its_way_back() {
        let (main, tree) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        let git = main.path().join(".git");
        fs::create_dir_all(git.join("worktrees/tree")).unwrap();
        fs::write(git.join("worktrees/tree/commondir"), "../..\n").unwrap();
        let back = git.join("worktrees/tree/gitdir");
        fs::write(&back, format!("{}/.git\n", tree.path().display())).unwrap();
        let file = tree.path().join(".git");
        fs::write(&file, format!("gitdir: {}/worktrees/tree\n", git.display())).unwrap();
        let verdict = || judge(&places(&[tree.path(), &git]), &BTreeSet::new())[1].clone();
        assert_eq!(verdict(), PlaceVerdict::Repository);
        fs::write(&back, "/elsewhere/.git\n").unwrap();
        assert!(matches!(verdict(), PlaceVerdict::Stranger { .. }));
        fs::write(&back, format!("{}/.git\n", tree.path().display())).unwrap();
        fs::write(git.join("worktrees/tree/commondir"), "../../../x\n").unwrap();
        assert!(matches!(verdict(), PlaceVerdict::Stranger { .. }));
        fs::write(&file, "gitdir: /elsewhere\n").unwrap();
        assert!(matches!(verdict(), PlaceVerdict::Stranger { .. }));
    }
}
