//! Which of what was removed is what was added elsewhere.
//!
//! First by the bytes themselves, then by how many lines two texts share. Only an aid for reading: `apply`
//! writes and removes all the same.

use super::change::{Change, Class, RelPath, What};
use super::compare::{Trees, same_bytes};
use super::lines::lines;
use super::tree::{self, Kind};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};

/// Most files on each side that are read to find out whether they are alike.
const MAX_COMPARED: usize = 200;
/// Most bytes of a file that is read for that.
const MAX_BYTES: u64 = 512 * 1024;
/// How many of a hundred lines two texts share at least.
const ENOUGH_PERCENT: usize = 50;

/// Most work for all of it, in comparisons of two lines: a second or so. A session chooses how much there is to
/// compare; a limit in work and not in time has the same result each time.
const MAX_WORK: u64 = 100_000_000;
/// Bytes that are compared, or read, in the time of one comparison of lines.
const BYTES: u64 = 32;
/// Comparisons of lines in the time that it takes to open two files.
const OPENING: u64 = 1000;
/// The same to count a line; it also bounds how many are held in memory.
const COUNTING: u64 = 16;

/// How much may still be done. What is left when it is used up stays added or removed.
struct Work {
    left: Cell<u64>,
}

impl Work {
    fn new(most: u64) -> Self {
        Self { left: Cell::new(most) }
    }

    /// Whether this much may still be done; it counts as done then.
    fn spend(&self, much: u64) -> bool {
        let left = self.left.get().checked_sub(much);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// A file that is read for as long as there is work to be done.
struct Counted<'a>(File, &'a Work);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        let fits = self.1.spend((read as u64).div_ceil(BYTES));
        if fits { Ok(read) } else { Err(io::ErrorKind::FileTooLarge.into()) }
    }
}

/// Marks what was renamed, and takes out the removals that it explains.
pub(crate) fn find(trees: &Trees, changes: &mut Vec<Change>) {
    find_within(trees, changes, &Work::new(MAX_WORK));
}

fn find_within(trees: &Trees, changes: &mut Vec<Change>, work: &Work) {
    let mut pairs = Vec::new();
    exact(trees, changes, &mut pairs, work);
    alike(trees, changes, &mut pairs, work);
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

fn exact(trees: &Trees, changes: &[Change], pairs: &mut Vec<(usize, usize)>, work: &Work) {
    let mut by_size: BTreeMap<u64, Vec<(CString, usize)>> = BTreeMap::new();
    for removed in candidates(changes, What::Removed) {
        let (_, name) = changes[removed].path.split();
        by_size.entry(size(&changes[removed])).or_default().push((name, removed));
    }
    by_size.values_mut().for_each(|same| same.sort_unstable());
    for added in candidates(changes, What::Added) {
        let Some(same) = by_size.get_mut(&size(&changes[added])) else { continue };
        // The same last name is the likeliest.
        let (_, name) = changes[added].path.split();
        let first = same.partition_point(|(other, _)| *other < name);
        let found = (first..same.len()).chain(0..first).take(MAX_COMPARED).find(|at| {
            if !work.spend(OPENING) {
                return false;
            }
            let (one, other) =
                (open(&trees.project, &changes[same[*at].1].path), open(&trees.merged, &changes[added].path));
            let (Ok(one), Ok(other)) = (one, other) else { return false };
            same_bytes(Counted(one, work), Counted(other, work)).unwrap_or(false)
        });
        // What moves up in the list is work as well.
        if let Some(at) = found.filter(|_| work.spend(same.len() as u64 / BYTES)) {
            pairs.push((same.remove(at).1, added));
        }
    }
}

fn alike(trees: &Trees, changes: &[Change], pairs: &mut Vec<(usize, usize)>, work: &Work) {
    let mut taken = vec![false; changes.len()];
    pairs.iter().for_each(|(one, other)| (taken[*one], taken[*other]) = (true, true));
    let state = RandomState::new();
    let texts = |what: What, root| {
        let left = candidates(changes, what).into_iter().filter(|at| !taken[*at]);
        let small = left.filter(|at| size(&changes[*at]) <= MAX_BYTES).take(MAX_COMPARED);
        small
            .filter_map(|at| Some((at, Counts::of(&text(root, &changes[at].path, work)?, &state, work)?)))
            .collect::<Vec<_>>()
    };
    let removed = texts(What::Removed, &trees.project);
    let added = texts(What::Added, &trees.merged);
    let mut alike = Vec::new();
    for (one, before) in &removed {
        for (other, after) in &added {
            let score = before.shared_percent(after, work);
            if score >= ENOUGH_PERCENT {
                alike.push((score, *one, *other));
            }
        }
    }
    alike.sort_unstable_by(|a, b| b.cmp(a));
    for (_, one, other) in alike {
        if !taken[one] && !taken[other] {
            (taken[one], taken[other]) = (true, true);
            pairs.push((one, other));
        }
    }
}

fn text(root: &std::os::fd::OwnedFd, path: &RelPath, work: &Work) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = work.spend(OPENING).then(|| open(root, path).ok())??;
    Counted(file, work).take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    (!super::lines::is_binary(&bytes)).then_some(bytes)
}

/// The lines of a text: how many there are, and how often there is each.
struct Counts {
    lines: usize,
    /// Hashes of lines, in order.
    each: Vec<(u64, usize)>,
}

impl Counts {
    fn of(text: &[u8], state: &RandomState, work: &Work) -> Option<Self> {
        let lines = lines(text);
        if !work.spend(lines.len() as u64 * COUNTING) {
            return None;
        }
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for line in &lines {
            *counts.entry(state.hash_one(line)).or_default() += 1;
        }
        let mut each: Vec<_> = counts.into_iter().collect();
        each.sort_unstable();
        Some(Self { lines: lines.len(), each })
    }

    /// How many of a hundred lines of the longer text are in the other one, each counted once. 0 where that
    /// cannot be enough, and when there was work enough.
    fn shared_percent(&self, other: &Self, work: &Work) -> usize {
        let longer = self.lines.max(other.lines).max(1);
        if self.lines.min(other.lines) * 100 / longer < ENOUGH_PERCENT
            || !work.spend((self.each.len() + other.each.len()) as u64 + 1)
        {
            return 0;
        }
        let (mut shared, mut at) = (0, 0);
        for (line, count) in &self.each {
            while other.each.get(at).is_some_and(|(hash, _)| hash < line) {
                at += 1;
            }
            if let Some((_, count_there)) = other.each.get(at).filter(|(hash, _)| hash == line) {
                shared += count.min(count_there);
            }
        }
        shared * 100 / longer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::change::Judge;
    use crate::review::compare::compare;
    use crate::review::remember::Remembered;
    use std::os::fd::OwnedFd;

    #[test]
    fn likeness_is_in_lines_of_the_longer_text() {
        let (state, work) = (RandomState::new(), Work::new(1_000_000));
        let percent = |one: &[u8], other: &[u8]| {
            let counts = |text| Counts::of(text, &state, &work).unwrap();
            counts(one).shared_percent(&counts(other), &work)
        };
        assert_eq!(percent(b"a\nb\nc\nd\n", b"a\nb\nc\nx\n"), 75);
        assert_eq!(percent(b"a\na\n", b"a\nb\nb\na\n"), 50);
        assert_eq!(percent(b"a\n", b"a\na\na\na\n"), 0);
        assert_eq!(percent(b"", b""), 0);
        assert_eq!(percent(b"a\nb", b"a\nb"), 100);
    }

    /// How many renames are found among files with these contents, and how much work is left of `most`.
    fn renames(
        count: usize,
        before: impl Fn(usize) -> String,
        after: impl Fn(usize) -> String,
        most: u64,
    ) -> (usize, u64) {
        let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let below = |name: &str| place.path().join(name);
        for name in ["project", "merged", "review"] {
            std::fs::create_dir(below(name)).unwrap();
        }
        for number in 0..count {
            std::fs::write(below("project").join(format!("old{number}")), before(number)).unwrap();
            std::fs::write(below("merged").join(format!("new{number}")), after(number)).unwrap();
        }
        let open = |name: &str| OwnedFd::from(File::open(below(name)).unwrap());
        let trees = Trees { project: open("project"), merged: open("merged"), upper: open("merged") };
        let judge = Judge::new(agentbox_policy::built_in_triggers().unwrap().clone());
        let remembered = Remembered::read(open("review"), (i64::MAX, 0)).unwrap();
        let mut changes = compare(&trees, &judge, &remembered).unwrap().changes;
        let work = Work::new(most);
        find_within(&trees, &mut changes, &work);
        (changes.iter().filter(|change| change.renamed_from.is_some()).count(), work.left.get())
    }

    #[test]
    fn how_much_is_compared_has_a_limit_that_does_not_grow_with_the_files() {
        let short = |number: usize| format!("{number}\n");
        let newlines = |lines: usize| "\n".repeat(lines);
        // Texts that are too long for each other are not compared, and each is counted once.
        let (found, left) = renames(100, short, |number| newlines(5000 + number), MAX_WORK);
        assert_eq!(found, 0);
        assert!(MAX_WORK - left < 100 * (5100 * COUNTING + 4 * OPENING), "{left}");
        // Of the same size and the same but for their end, so that each is read with each.
        let begin = "x".repeat(3000);
        let (before, after) =
            (|number| format!("{begin}\na{number:03}"), |number| format!("{begin}\nb{number:03}"));
        let (found, left) = renames(60, before, after, 100_000);
        assert_eq!((found, left), (0, 0));
        // What there is work for is found, the same each time.
        let few = renames(60, short, short, 20 * OPENING);
        assert!((10..=20).contains(&few.0), "{few:?}");
        assert_eq!(few, renames(60, short, short, 20 * OPENING));
        assert_eq!(renames(60, short, short, MAX_WORK).0, 60);
    }
}
