//! Which directories are git's.

use super::pointers::{self, below};
use crate::place::Places;
use crate::walk::Listing;
use agentbox_plan::look::{HeldPlace, Hiding, PlacePath, Spot};
use std::collections::BTreeSet;

/// A git directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Repository {
    pub(crate) spot: Spot,
    /// Whether nothing around it says that it is one: a bare repository.
    pub(crate) bare: bool,
    /// Which of its directories are there to be held.
    pub(crate) hooks: bool,
    pub(crate) info: bool,
    /// Whether it is the git directory of a linked worktree, which shares everything else.
    pub(crate) linked: bool,
}

/// The names by which that is told, sorted, and those of files beside them that have to be known then.
pub(crate) const NAMES: [&[u8]; 8] =
    [b"HEAD", b"commondir", b"config", b"config.worktree", b"hooks", b"info", b"objects", b"refs"];

/// The repository that a directory is, by what is in it: whatever git would take for one.
pub(crate) fn of(places: &Places, listing: &Listing) -> Option<Repository> {
    let last = listing.spot.path.names().next_back().unwrap_or_default();
    let called = last == b".git" || (listing.spot.path.is_place() && listing.spot.place > 0);
    // For git these need no more than the right to execute, which a file can have as well.
    let parts = listing.has(b"objects") && listing.has(b"refs");
    let shares = listing.has_file(b"commondir") && listing.has_file(b"HEAD");
    if !called && !parts && !shares {
        return None;
    }
    let own = [b"HEAD".as_slice(), b"config", b"hooks"];
    if !called && !shares && !own.iter().any(|name| listing.has(name)) {
        // Two directories with these names and nothing else of git's.
        return None;
    }
    let is_module = listing.spot.path.names().any(|name| name == b"modules" || name == b"worktrees");
    Some(Repository {
        spot: listing.spot.clone(),
        bare: !called && !is_module,
        hooks: listing.has_directory(b"hooks"),
        info: listing.has_directory(b"info"),
        // One that says it shares another's parts has its own in force when that other is itself, or a store.
        linked: shares && !called && pointers::is_linked(places, &listing.spot),
    })
}

impl Repository {
    /// Its configurations.
    pub(crate) fn configs(&self) -> Vec<Spot> {
        let names: &[&[u8]] =
            if self.linked { &[b"config.worktree"] } else { &[b"config", b"config.worktree"] };
        names.iter().filter_map(|name| below(&self.spot, name)).collect()
    }

    /// What of it is held, and all that it lies in.
    pub(crate) fn held(&self, all: &mut BTreeSet<HeldPlace>) {
        // Git makes and removes these as it likes; what makes them dangerous is elsewhere.
        if self.linked {
            return;
        }
        let mut path = PlacePath::default();
        for name in self.spot.path.names() {
            let Some(next) = path.join(name) else { return };
            path = next;
            all.insert(HeldPlace::new(self.spot.place, path.clone(), Hiding::Pinned));
        }
        for (there, name) in [(self.hooks, b"hooks".as_slice()), (self.info, b"info")] {
            if let (true, Some(path)) = (there, self.spot.path.join(name)) {
                all.insert(HeldPlace::new(self.spot.place, path, Hiding::ReadOnly));
            }
        }
    }

    /// Names by which a path is looked up among the trigger files, when it lies in this directory.
    pub(crate) fn names<'a>(&self, spot: &'a Spot) -> Option<Vec<&'a [u8]>> {
        // A linked worktree's is known by its place in that of its repository.
        if self.linked || spot.place != self.spot.place || !spot.path.is_within(&self.spot.path) {
            return None;
        }
        let depth = self.spot.path.names().count();
        Some(std::iter::once(b".git".as_slice()).chain(spot.path.names().skip(depth)).collect())
    }
}
