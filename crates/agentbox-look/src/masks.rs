//! Secrets: which of them are hidden.

use crate::git::index::{self, Tracked};
use crate::git::pointers::{self, Named, below};
use crate::place::Places;
use crate::walk::{Entry, Listing};
use agentbox_plan::glob::{GlobName, PathGlob};
use agentbox_plan::look::{HeldPlace, Hiding, Masks, Spot};
use rustix::fs::FileType;
use std::collections::{BTreeMap, BTreeSet};

/// Most secrets that are hidden one by one.
const MAX_SECRETS: usize = 512;

/// What matched, before it is known what git tracks.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    found: BTreeMap<Spot, Candidate>,
    /// Whether there were more than are hidden.
    pub(crate) more: bool,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    is_directory: bool,
    /// Hidden also when it is tracked.
    always: bool,
}

impl Candidates {
    /// Notes what of a listing matches. Answers whether an entry is a directory that is hidden as a whole.
    pub(crate) fn note(&mut self, masks: &Masks, listing: &Listing, entry: &Entry) {
        let (Some(spot), 0) = (listing.at(entry), listing.spot.place) else { return };
        let is_directory = match entry.kind {
            FileType::Directory => true,
            FileType::RegularFile => false,
            // A link's own target is looked at where it lies; others have nothing to read.
            _ => return,
        };
        let names: Vec<&[u8]> = spot.path.names().collect();
        let hit =
            |patterns: &[PathGlob]| patterns.iter().any(|pattern| matches(pattern, &names, is_directory));
        let always = hit(&masks.always);
        if !always && (!hit(&masks.patterns) || masks.except.iter().any(|pattern| pattern.matches(&names))) {
            return;
        }
        if self.found.len() >= MAX_SECRETS {
            self.more = true;
            return;
        }
        self.found.insert(spot, Candidate { is_directory, always });
    }

    /// What is hidden of it: not what git tracks, unless somebody says so; and which of it are files.
    pub(crate) fn hide(self, places: &Places, worktrees: &BTreeSet<Spot>) -> (Vec<HeldPlace>, Vec<Spot>) {
        let tracked = tracked(places, worktrees, self.found.keys());
        let mut hidden: Vec<HeldPlace> = Vec::new();
        let mut files = Vec::new();
        for (spot, candidate) in self.found {
            if !candidate.always && tracked.contains(&spot) {
                continue;
            }
            // Parents come before children, and hide them.
            let covered =
                |held: &HeldPlace| held.spot.place == spot.place && spot.path.is_within(&held.spot.path);
            if hidden.iter().any(covered) {
                continue;
            }
            if !candidate.is_directory {
                files.push(spot.clone());
            }
            hidden.push(HeldPlace { spot, hiding: Hiding::Hidden });
        }
        (hidden, files)
    }
}

/// Whether a pattern hides this: for a directory, whether it holds for all that could be in it.
fn matches(pattern: &PathGlob, names: &[&[u8]], is_directory: bool) -> bool {
    if !is_directory {
        return pattern.matches(names);
    }
    let whole = pattern.names().last() == Some(&GlobName::Deep);
    whole
        && pattern.matches(&[names, &[b"any".as_slice()]].concat())
        && !pattern.matches(&[&names[..names.len() - 1], &[b"any".as_slice()]].concat())
}

/// Which of these git tracks.
pub(crate) fn tracked<'a>(
    places: &Places,
    worktrees: &BTreeSet<Spot>,
    found: impl IntoIterator<Item = &'a Spot>,
) -> BTreeSet<Spot> {
    let mut by_worktree: BTreeMap<&Spot, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for spot in found {
        let around =
            worktrees.iter().filter(|tree| tree.place == spot.place && spot.path.is_within(&tree.path));
        let Some(tree) = around.max_by_key(|tree| tree.path.as_bytes().len()) else { continue };
        by_worktree.entry(tree).or_default().insert(relative(tree, spot));
    }
    let mut all = BTreeSet::new();
    for (tree, wanted) in by_worktree {
        let Some(git) = git_directory(places, tree) else { continue };
        let Some(names) = read(places, &git, &wanted) else { continue };
        all.extend(names.into_iter().filter_map(|name| below(tree, &name)));
    }
    all
}

fn relative(tree: &Spot, spot: &Spot) -> Vec<u8> {
    let skip = tree.path.names().count();
    spot.path.names().skip(skip).collect::<Vec<_>>().join(&b'/')
}

fn git_directory(places: &Places, tree: &Spot) -> Option<Spot> {
    let git = below(tree, b".git")?;
    match places.kind(&git)? {
        FileType::Directory => Some(git),
        FileType::RegularFile => match pointers::git_file(places, &git)? {
            Named::Inside(spot) => Some(spot),
            Named::Outside(_) | Named::Nothing => None,
        },
        _ => None,
    }
}

/// `None` when the index cannot be understood: then nothing counts as tracked, since a secret that is shown
/// is worse than a file that cannot be read.
fn read(places: &Places, git: &Spot, wanted: &BTreeSet<Vec<u8>>) -> Option<BTreeSet<Vec<u8>>> {
    let bytes = places.read(&below(git, b"index")?, index::MAX_BYTES)?;
    // What the hash is only the configuration says; with the wrong one an index makes no sense.
    let (hash, Tracked { mut found, shared }) =
        [20, 32].into_iter().find_map(|hash| Some((hash, index::look(&bytes, hash, wanted).ok()?)))?;
    if let Some(name) = shared
        && let Some(bytes) = places.read(&below(git, name.as_bytes())?, index::MAX_BYTES)
        && let Ok(more) = index::look(&bytes, hash, wanted)
    {
        found.extend(more.found);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_hidden_where_its_pattern_begins() {
        let hides = |pattern: &str, path: &str, directory: bool| {
            let names: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
            matches(&pattern.parse().unwrap(), &names, directory)
        };
        assert!(hides("secrets/**", "secrets", true) && hides("secrets/**", "a/secrets", true));
        assert!(hides("secrets/**", "secrets/x", false) && !hides("secrets/**", "secrets", false));
        assert!(!hides("secrets/**", "src", true) && !hides(".env*", ".env.d", true));
        assert!(
            hides("/config/keys/**", "config/keys", true) && !hides("/config/keys/**", "x/config/keys", true)
        );
    }
}
