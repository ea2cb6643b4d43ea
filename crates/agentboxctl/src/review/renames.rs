//! Which of what was removed is what was added elsewhere.
//!
//! First by the bytes themselves, then by how many lines two texts share. Only an aid for reading: `apply`
//! writes and removes all the same.

use super::change::{Change, Class, RelPath, What};
use super::compare::{Trees, same_bytes};
use super::lines::lines;
use super::tree::{self, Kind};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};

/// Most files on each side that are read to find out whether they are alike.
const MAX_COMPARED: usize = 200;
/// Most bytes of a file that is read for that.
const MAX_BYTES: u64 = 512 * 1024;
/// How many of a hundred lines two texts share at least.
const ENOUGH_PERCENT: usize = 50;

/// Marks what was renamed, and takes out the removals that it explains.
pub(crate) fn find(trees: &Trees, changes: &mut Vec<Change>) {
    let mut pairs = Vec::new();
    exact(trees, changes, &mut pairs);
    alike(trees, changes, &mut pairs);
    let mut explained = Vec::new();
    for (removed, added) in pairs {
        changes[added].renamed_from = Some(changes[removed].path.clone());
        // The conflict of either side is one of both.
        changes[added].conflict |= changes[removed].conflict;
        changes[added].before = changes[removed].before;
        explained.push(removed);
    }
    explained.sort_unstable();
    let mut at = 0;
    changes.retain(|_| {
        at += 1;
        explained.binary_search(&(at - 1)).is_err()
    });
}

fn candidates(changes: &[Change], what: What) -> Vec<usize> {
    let fits = |change: &Change| {
        change.what() == what
            && change.kind() == Kind::File
            && change.class == Class::Ordinary
            && size(change) > 0
    };
    (0..changes.len()).filter(|at| fits(&changes[*at])).collect()
}

fn size(change: &Change) -> u64 {
    change.after.or(change.before).map_or(0, |entry| entry.size)
}

fn open(root: &std::os::fd::OwnedFd, path: &RelPath) -> io::Result<File> {
    let (directory, name) = path.split();
    Ok(tree::read(tree::reach(root, directory)?, &name)?.into())
}

fn exact(trees: &Trees, changes: &[Change], pairs: &mut Vec<(usize, usize)>) {
    let mut by_size: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for removed in candidates(changes, What::Removed) {
        by_size.entry(size(&changes[removed])).or_default().push(removed);
    }
    for added in candidates(changes, What::Added) {
        let Some(same) = by_size.get_mut(&size(&changes[added])) else { continue };
        // The same last name is the likeliest.
        let (_, name) = changes[added].path.split();
        same.sort_by_key(|removed| changes[*removed].path.split().1 != name);
        let found = same.iter().take(MAX_COMPARED).position(|removed| {
            let both =
                (open(&trees.project, &changes[*removed].path), open(&trees.merged, &changes[added].path));
            matches!(both, (Ok(one), Ok(other)) if same_bytes(&one, &other).unwrap_or(false))
        });
        if let Some(at) = found {
            pairs.push((same.remove(at), added));
        }
    }
}

fn alike(trees: &Trees, changes: &[Change], pairs: &mut Vec<(usize, usize)>) {
    let taken =
        |pairs: &[(usize, usize)], at: usize| pairs.iter().any(|(one, other)| *one == at || *other == at);
    let texts = |what: What, root| {
        let left = candidates(changes, what).into_iter().filter(|at| !taken(pairs, *at));
        let small = left.filter(|at| size(&changes[*at]) <= MAX_BYTES).take(MAX_COMPARED);
        small.filter_map(|at| Some((at, text(root, &changes[at].path)?))).collect::<Vec<_>>()
    };
    let removed = texts(What::Removed, &trees.project);
    let added = texts(What::Added, &trees.merged);
    let mut alike = Vec::new();
    for (one, before) in &removed {
        for (other, after) in &added {
            let score = shared_percent(before, after);
            if score >= ENOUGH_PERCENT {
                alike.push((score, *one, *other));
            }
        }
    }
    alike.sort_unstable_by(|a, b| b.cmp(a));
    for (_, one, other) in alike {
        if !taken(pairs, one) && !taken(pairs, other) {
            pairs.push((one, other));
        }
    }
}

fn text(root: &std::os::fd::OwnedFd, path: &RelPath) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open(root, path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    (!super::lines::is_binary(&bytes)).then_some(bytes)
}

/// How many of a hundred lines of the longer text are in the other one, each counted once.
fn shared_percent(one: &[u8], other: &[u8]) -> usize {
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    let (one, other) = (lines(one), lines(other));
    for line in &one {
        *counts.entry(line).or_default() += 1;
    }
    let shared = other.iter().filter(|line| {
        let left = counts.get_mut(**line);
        left.is_some_and(|left| {
            *left > 0 && {
                *left -= 1;
                true
            }
        })
    });
    shared.count() * 100 / one.len().max(other.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_is_in_lines_of_the_longer_text() {
        assert_eq!(shared_percent(b"a\nb\nc\nd\n", b"a\nb\nc\nx\n"), 75);
        assert_eq!(shared_percent(b"a\n", b"a\na\na\na\n"), 25);
        assert_eq!(shared_percent(b"", b""), 0);
        assert_eq!(shared_percent(b"a\nb", b"a\nb"), 100);
    }
}
