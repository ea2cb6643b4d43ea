//! Every entry of a place, the shallow ones first, in bounded number and time.

use crate::place::Places;
use agentbox_plan::look::{LookLimits, PlacePath, Spot, Unseen, UnseenWhy};
use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Deepest directory that is looked into.
const MAX_DEPTH: usize = 64;
/// Unseen directories that are named; of the others only the number is told.
pub(crate) const MAX_NAMED: usize = 20;
/// Entries between two looks at the clock.
const CLOCK: u32 = 256;

/// One entry of a directory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: FileType,
    /// Of everything but directories and links.
    pub(crate) stat: Option<Stat>,
}

/// A directory with what is in it.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) spot: Spot,
    /// Sorted by name.
    pub(crate) entries: Vec<Entry>,
}

impl Listing {
    /// Whether it has anything of this name.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// Whether it has a directory of this name, or a link, which may lead to one.
    pub(crate) fn has_directory(&self, name: &[u8]) -> bool {
        self.find(name).is_some_and(|entry| matches!(entry.kind, FileType::Directory | FileType::Symlink))
    }

    /// Whether it has a file of this name, or a link.
    pub(crate) fn has_file(&self, name: &[u8]) -> bool {
        self.find(name).is_some_and(|entry| matches!(entry.kind, FileType::RegularFile | FileType::Symlink))
    }

    fn find(&self, name: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok()?;
        self.entries.get(at)
    }

    /// Where an entry is.
    pub(crate) fn at(&self, entry: &Entry) -> Option<Spot> {
        Some(Spot { place: self.spot.place, path: self.spot.path.join(&entry.name)? })
    }
}

/// What was left out.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) unseen: Vec<Unseen>,
    pub(crate) count: u32,
}

impl Left {
    pub(crate) fn add(&mut self, spot: Spot, why: UnseenWhy) {
        self.count = self.count.saturating_add(1);
        if self.unseen.len() < MAX_NAMED {
            self.unseen.push(Unseen { spot, why });
        }
    }
}

/// Lists every directory of all places; `each` says which of the entries to look into.
pub(crate) fn walk(
    places: &Places,
    limits: LookLimits,
    mut each: impl FnMut(&Listing) -> Vec<Vec<u8>>,
) -> Left {
    let end = Instant::now() + Duration::from_millis(limits.time_ms.into());
    let mut left = Left::default();
    let mut budget = limits.entries;
    let root = |place| Spot { place, path: PlacePath::default() };
    let mut waiting: VecDeque<Spot> = (0..places.count()).map(root).collect();
    let mut stop = None;
    while let Some(spot) = waiting.pop_front() {
        if stop.is_none() && Instant::now() >= end {
            stop = Some(UnseenWhy::TooLong);
        }
        if let Some(why) = stop {
            left.add(spot, why);
            continue;
        }
        if spot.path.names().count() > MAX_DEPTH {
            left.add(spot, UnseenWhy::TooDeep);
            continue;
        }
        let listing = match list(places, &spot, &mut budget, end) {
            Ok((listing, None)) => listing,
            Ok((listing, Some(why))) => {
                stop = Some(why);
                left.add(spot, why);
                listing
            }
            // It went away meanwhile, or became something else.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(Errno::XDEV) => {
                left.add(spot, UnseenWhy::Mounted);
                continue;
            }
            Err(_) => {
                left.add(spot, UnseenWhy::Denied);
                continue;
            }
        };
        for name in each(&listing) {
            match listing.spot.path.join(&name) {
                Some(path) => waiting.push_back(Spot { place: listing.spot.place, path }),
                None => left.add(listing.spot.clone(), UnseenWhy::TooDeep),
            }
        }
    }
    left
}

fn list(
    places: &Places,
    spot: &Spot,
    budget: &mut u32,
    end: Instant,
) -> Result<(Listing, Option<UnseenWhy>), Errno> {
    list_open(&places.directory(spot)?, spot, budget, end)
}

/// The same of a directory that is open.
pub(crate) fn list_open(
    directory: &OwnedFd,
    spot: &Spot,
    budget: &mut u32,
    end: Instant,
) -> Result<(Listing, Option<UnseenWhy>), Errno> {
    let mut entries = Vec::new();
    let mut stop = None;
    for (entry, number) in Dir::read_from(directory)?.zip(0u32..) {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Some(less) = budget.checked_sub(1) else {
            stop = Some(UnseenWhy::TooMany);
            break;
        };
        *budget = less;
        if number % CLOCK == CLOCK - 1 && Instant::now() >= end {
            stop = Some(UnseenWhy::TooLong);
            break;
        }
        let mut kind = entry.file_type();
        let stat = match kind {
            FileType::Directory | FileType::Symlink => None,
            _ => match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    kind = FileType::from_raw_mode(stat.st_mode);
                    Some(stat)
                }
                Err(Errno::NOENT) => continue,
                Err(_) => None,
            },
        };
        entries.push(Entry { name: name.to_bytes().to_vec(), kind, stat });
    }
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok((Listing { spot: spot.clone(), entries }, stop))
}

/// What of these names, which are sorted, a directory has.
pub(crate) fn named(directory: &OwnedFd, spot: &Spot, names: &[&[u8]]) -> Listing {
    let entry = |name: &&[u8]| {
        let stat = statat(directory, *name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        Some(Entry { name: name.to_vec(), kind, stat: Some(stat) })
    };
    Listing { spot: spot.clone(), entries: names.iter().filter_map(entry).collect() }
}

/// Names of all directories of a listing.
pub(crate) fn directories(listing: &Listing) -> Vec<Vec<u8>> {
    let directory = |entry: &&Entry| entry.kind == FileType::Directory;
    listing.entries.iter().filter(directory).map(|entry| entry.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::places;

    #[test]
    fn a_tree_beyond_the_limit_is_named_as_unseen_and_the_rest_was_seen() {
        let dir = tempfile::TempDir::new().unwrap();
        for name in ["a/b", "c/d"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("a/b/file"), "").unwrap();
        let seen = |entries, time_ms| {
            let mut names = Vec::new();
            let left = walk(&places(&[dir.path()]), LookLimits { entries, time_ms }, |listing| {
                names.extend(listing.entries.iter().map(|e| listing.at(e).unwrap().path.to_string()));
                directories(listing)
            });
            (names, left)
        };
        let (names, left) = seen(100, 10_000);
        assert_eq!(names, ["a", "c", "a/b", "c/d", "a/b/file"]);
        assert_eq!(left.count, 0);
        let (names, left) = seen(4, 10_000);
        assert_eq!(names, ["a", "c", "a/b", "c/d"]);
        assert!(left.unseen.iter().all(|unseen| unseen.why == UnseenWhy::TooMany) && left.count > 0);
        let (names, left) = seen(100, 0);
        assert!(names.is_empty());
        assert_eq!(left.unseen[0].why, UnseenWhy::TooLong);
    }
}
