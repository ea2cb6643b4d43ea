//! What earlier reviews of a session did, and when its layer was made: how it is known whether the project
//! has changed since.
//!
//! The rule errs to one side. A file of the project counts as unchanged when the file system has not stamped
//! it since the layer was made, or when it is the very file that `apply` put there. Everything else counts
//! as changed, even where only its mode was set; what counts as changed is never overwritten unasked.

use super::change::RelPath;
use super::tree::Entry;
use crate::errors::Failure;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

const NAME: &str = "remembered.json";
/// Most bytes of a file in the directory of reviews.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// What is remembered of a session's earlier reviews.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// When the layer was made.
    began: (i64, u32),
    written: Written,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    /// What `apply` put into the project.
    applied: Vec<(RelPath, Entry)>,
    /// What of the session's the person does not want.
    declined: Vec<(RelPath, Entry)>,
}

impl Written {
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut written: Self = serde_json::from_slice(bytes)?;
        written.applied.sort_by(|one, other| one.0.cmp(&other.0));
        written.declined.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(written)
    }
}

impl Remembered {
    /// Reads it from the directory of reviews.
    pub(crate) fn read(review: impl AsFd, began: (i64, u32)) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::system("cannot read what was applied before", error);
        let written = match read(review, NAME).map_err(failed)? {
            Some(bytes) => Written::parse(&bytes).map_err(failed)?,
            None => Written::default(),
        };
        Ok(Self { began, written })
    }

    /// Whether the project has changed at a path, where it has `now`.
    pub(crate) fn has_moved_on(&self, path: &RelPath, now: &Entry) -> bool {
        now.changed >= self.began && find(&self.written.applied, path) != Some(now)
    }

    /// Whether the person does not want what the session left at a path.
    pub(crate) fn is_declined(&self, path: &RelPath, left: &Entry) -> bool {
        find(&self.written.declined, path) == Some(left)
    }

    /// Adds what was done, and writes it through to the disk.
    pub(crate) fn add(
        &mut self,
        review: impl AsFd,
        applied: Vec<(RelPath, Entry)>,
        declined: Vec<(RelPath, Entry)>,
    ) -> io::Result<()> {
        for (list, more) in [(&mut self.written.applied, applied), (&mut self.written.declined, declined)] {
            if more.is_empty() {
                continue;
            }
            let mut merged: std::collections::BTreeMap<_, _> = list.drain(..).collect();
            merged.extend(more);
            *list = merged.into_iter().collect();
        }
        let bytes = serde_json::to_vec(&self.written)?;
        write(review, NAME, &bytes)
    }
}

fn find<'a>(list: &'a [(RelPath, Entry)], path: &RelPath) -> Option<&'a Entry> {
    let at = list.binary_search_by(|(other, _)| other.cmp(path)).ok()?;
    Some(&list[at].1)
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// A file in the directory of reviews; `None` when there is none.
pub(super) fn read(review: impl AsFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat2(review, name, flags, Mode::empty(), BENEATH) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut bytes = Vec::new();
    File::from(file).take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a whole file into the directory of reviews, or none: written, synced, renamed, synced.
pub(super) fn write(review: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = format!("{name}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(&review, &*new, flags, Mode::from_raw_mode(0o600), BENEATH)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.sync_all()?;
    rustix::fs::renameat(&review, &*new, &review, name)?;
    Ok(rustix::fs::fsync(&review)?)
}

/// Removes a file from the directory of reviews. None there is fine.
pub(super) fn remove(review: impl AsFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(&review, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(rustix::fs::fsync(&review)?),
        Err(errno) => Err(errno.into()),
    }
}

/// Keeps other reviews of the same session away as long as the descriptor is open.
pub(crate) fn lock(review: impl AsFd) -> Result<OwnedFd, Failure> {
    let failed = |errno: Errno| Failure::system("cannot lock the session's changes", errno);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file =
        rustix::fs::openat2(review, "lock", flags, Mode::from_raw_mode(0o600), BENEATH).map_err(failed)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            Err(Failure::new("another `apply` of this session is at work\nwait until it has ended"))
        }
        Err(errno) => Err(failed(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::tree::Kind;

    fn entry(changed: i64) -> Entry {
        Entry { kind: Kind::File, mode: 0o644, size: 1, inode: 7, changed: (changed, 0), modified: (1, 0) }
    }

    #[test]
    fn only_what_was_not_stamped_since_or_was_applied_counts_as_unchanged() {
        let place = tempfile::tempdir().unwrap();
        let review = File::open(place.path()).unwrap();
        let path = RelPath::new(b"a").unwrap();
        let mut remembered = Remembered::read(&review, (100, 5)).unwrap();
        assert!(!remembered.has_moved_on(&path, &entry(99)));
        assert!(remembered.has_moved_on(&path, &entry(101)));
        let exactly = Entry { changed: (100, 5), ..entry(0) };
        assert!(remembered.has_moved_on(&path, &exactly));
        remembered.add(&review, vec![(path.clone(), entry(200))], vec![(path.clone(), entry(7))]).unwrap();
        let again = Remembered::read(&review, (100, 5)).unwrap();
        assert!(!again.has_moved_on(&path, &entry(200)) && again.has_moved_on(&path, &entry(201)));
        assert!(again.has_moved_on(&RelPath::new(b"b").unwrap(), &entry(200)));
        assert!(again.is_declined(&path, &entry(7)) && !again.is_declined(&path, &entry(8)));
    }

    #[test]
    fn one_review_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let review = File::open(place.path()).unwrap();
        let held = lock(&review).unwrap();
        assert!(lock(&review).is_err());
        drop(held);
        assert!(lock(&review).is_ok());
    }
}
