//! Opening beneath a place.
//!
//! Every path is resolved by the kernel in one step from the place's own descriptor: no link on the way, not
//! above the place, not into another file system (openat2(2)).

use agentbox_plan::look::{FileState, PlacePath, Spot};
use agentbox_plan::wire::Bytes;
use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Most bytes of a trigger file that are hashed.
const MAX_HASHED_BYTES: u64 = 16 << 20;
/// Most bytes of all of them that one look hashes: what real projects have of such files is a hundredth of it, and it takes a
/// second. Whoever makes thousands of large ones, which cost nothing when they are sparse, does not make a look longer.
const MAX_ALL_HASHED_BYTES: u64 = 256 << 20;

/// The places that are looked at.
#[derive(Debug)]
pub(crate) struct Places {
    all: Vec<(OwnedFd, Vec<u8>)>,
    /// Bytes that may still be hashed.
    hashable: Cell<u64>,
    /// When to come to an end with what is not known yet.
    end: Cell<Option<Instant>>,
}

impl Places {
    /// `names` are their absolute paths.
    pub(crate) fn new(places: Vec<OwnedFd>, names: impl Iterator<Item = Vec<u8>>) -> Result<Self, Errno> {
        let open = |place: OwnedFd| {
            // A descriptor of O_PATH proves no right and lists nothing.
            fs::openat(&place, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        let all = places.into_iter().zip(names).map(|(place, name)| Ok((open(place)?, name)));
        let all = all.collect::<Result<_, Errno>>()?;
        Ok(Self { all, hashable: Cell::new(MAX_ALL_HASHED_BYTES), end: Cell::new(None) })
    }

    /// From now on it counts how long the look takes.
    pub(crate) fn set_end(&self, end: Instant) {
        self.end.set(Some(end));
    }

    /// Whether the time of the look is over.
    pub(crate) fn is_late(&self) -> bool {
        self.end.get().is_some_and(|end| Instant::now() >= end)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u16 {
        u16::try_from(self.all.len()).unwrap_or(u16::MAX)
    }

    /// Absolute path of a place.
    pub(crate) fn name(&self, place: u16) -> &[u8] {
        self.all.get(usize::from(place)).map_or(b"", |(_, name)| name)
    }

    /// Absolute path of something in a place.
    pub(crate) fn absolute(&self, spot: &Spot) -> Vec<u8> {
        let mut path = self.name(spot.place).to_vec();
        if !spot.path.is_place() {
            path.push(b'/');
            path.extend_from_slice(spot.path.as_bytes());
        }
        path
    }

    /// The place that holds an absolute path in its normal form; the innermost of several.
    pub(crate) fn spot(&self, absolute: &[u8]) -> Option<Spot> {
        let within = |name: &[u8]| -> Option<PlacePath> {
            let rest = absolute.strip_prefix(name)?;
            match rest.strip_prefix(b"/") {
                Some(path) => PlacePath::new(path),
                None => rest.is_empty().then(PlacePath::default),
            }
        };
        (0u16..)
            .zip(&self.all)
            .filter_map(|(place, (_, name))| Some((name.len(), Spot { place, path: within(name)? })))
            .max_by_key(|(length, _)| *length)
            .map(|(_, spot)| spot)
    }

    /// Opens something.
    pub(crate) fn open(&self, spot: &Spot, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (place, _) = self.all.get(usize::from(spot.place)).ok_or(Errno::NOENT)?;
        let mut flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if !flags.contains(OFlags::PATH) {
            // openat2(2) refuses what has no meaning for O_PATH.
            flags |= OFlags::NONBLOCK | OFlags::NOCTTY;
        }
        let path = if spot.path.is_place() { b"." } else { spot.path.as_bytes() };
        let how = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        // Somebody may be renaming on the way (openat2(2), EAGAIN).
        for _ in 0..16 {
            match fs::openat2(place, path, flags, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens a directory for listing.
    pub(crate) fn directory(&self, spot: &Spot) -> Result<OwnedFd, Errno> {
        self.open(spot, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Type of what is there, a link not followed; `None` when nothing is, or nothing that can be seen.
    pub(crate) fn kind(&self, spot: &Spot) -> Option<FileType> {
        let (parent, name) = spot.path.split()?;
        let parent = self.open(&Spot { place: spot.place, path: parent }, OFlags::PATH | OFlags::DIRECTORY);
        let stat = fs::statat(parent.ok()?, name, fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(FileType::from_raw_mode(stat.st_mode))
    }

    /// What a regular file of at most so many bytes says; `None` when it is none.
    pub(crate) fn read(&self, spot: &Spot, most: usize) -> Option<Vec<u8>> {
        let file = self.open(spot, OFlags::RDONLY).ok()?;
        let stat = fs::fstat(&file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let mut bytes = Vec::new();
        File::from(file).take(most as u64 + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() <= most).then_some(bytes)
    }

    /// What a link says.
    pub(crate) fn link(&self, spot: &Spot) -> Option<Vec<u8>> {
        let (parent, name) = spot.path.split()?;
        let parent = self.open(&Spot { place: spot.place, path: parent }, OFlags::PATH | OFlags::DIRECTORY);
        Some(fs::readlinkat(parent.ok()?, name, Vec::new()).ok()?.into_bytes())
    }

    /// How a trigger file is; `None` when nothing is there.
    pub(crate) fn state(&self, spot: &Spot) -> Option<FileState> {
        match self.kind(spot)? {
            FileType::Symlink => {
                Some(self.link(spot).map_or(FileState::Other, |to| FileState::Link { to: Bytes(to) }))
            }
            FileType::RegularFile => Some(self.hash(spot).unwrap_or(FileState::Other)),
            _ => Some(FileState::Other),
        }
    }

    /// The same, to be compared with how it was: what was not read then is not read now, and what is new need not be.
    pub(crate) fn state_as(&self, spot: &Spot, was: Option<&FileState>) -> Option<FileState> {
        match (was, self.kind(spot)?) {
            (None | Some(FileState::Unread { .. }), FileType::RegularFile) => {
                Some(self.unread(spot).unwrap_or(FileState::Other))
            }
            _ => self.state(spot),
        }
    }

    fn unread(&self, spot: &Spot) -> Option<FileState> {
        // One that could not be read was something else before as well.
        let file = self.open(spot, OFlags::RDONLY).ok()?;
        let stat = fs::fstat(&file).ok()?;
        let ns = |seconds: i64, ns: i64| {
            u64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(ns)).unwrap_or_default()
        };
        Some(FileState::Unread {
            bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            #[allow(clippy::unnecessary_cast, reason = "other types on other architectures")]
            written_ns: ns(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            #[allow(clippy::unnecessary_cast, reason = "other types on other architectures")]
            changed_ns: ns(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            executable: stat.st_mode & 0o111 != 0,
        })
    }

    fn hash(&self, spot: &Spot) -> Option<FileState> {
        let file = self.open(spot, OFlags::RDONLY).ok()?;
        let stat = fs::fstat(&file).ok()?;
        let wanted = u64::try_from(stat.st_size).unwrap_or_default().min(MAX_HASHED_BYTES);
        if wanted > self.hashable.get() {
            return self.unread(spot);
        }
        let mut hash = Sha256::new();
        // What is larger differs by its size and its beginning; nobody reads it as a configuration.
        hash.update(stat.st_size.to_le_bytes());
        let (mut file, mut left, mut buffer) =
            (File::from(file), MAX_HASHED_BYTES.min(self.hashable.get()), vec![0; 64 << 10]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = file.read(&mut buffer[..most]).ok()?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            left = left.saturating_sub(count as u64);
            self.hashable.set(self.hashable.get().saturating_sub(count as u64));
        }
        let executable = stat.st_mode & 0o111 != 0;
        Some(FileState::File { hash: Bytes(hash.finalize().to_vec()), executable })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    pub(crate) fn places(paths: &[&Path]) -> Places {
        let open = |path: &&Path| OwnedFd::from(File::open(path).unwrap());
        let names = paths.iter().map(|path| path.as_os_str().as_bytes().to_vec());
        Places::new(paths.iter().map(open).collect(), names).unwrap()
    }

    pub(crate) fn spot(path: &str) -> Spot {
        Spot { place: 0, path: PlacePath::new(path).unwrap() }
    }

    #[test]
    fn no_link_leads_anywhere() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::fs::write(dir.path().join("real/file"), "content").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("passwd")).unwrap();
        let places = places(&[dir.path()]);
        assert_eq!(places.read(&spot("real/file"), 7).as_deref(), Some(b"content".as_slice()));
        assert_eq!(places.read(&spot("real/file"), 6), None);
        assert_eq!(places.read(&spot("link/file"), 100), None);
        assert_eq!(places.read(&spot("passwd"), 100_000), None);
        assert_eq!(
            places.state(&spot("passwd")),
            Some(FileState::Link { to: Bytes(b"/etc/passwd".to_vec()) })
        );
        assert_eq!(places.state(&spot("missing")), None);
    }

    #[test]
    fn thousands_of_large_files_are_not_hashed_and_every_change_of_them_is_seen() {
        let dir = tempfile::TempDir::new().unwrap();
        let places = places(&[dir.path()]);
        let large = || File::create(dir.path().join("large")).unwrap().set_len(MAX_HASHED_BYTES).unwrap();
        std::fs::write(dir.path().join("small"), "one").unwrap();
        large();
        places.hashable.set(MAX_HASHED_BYTES + 3);
        let is_read = |state: &Option<FileState>| matches!(state, Some(FileState::File { .. }));
        let (small, first, second) =
            (places.state(&spot("small")), places.state(&spot("large")), places.state(&spot("large")));
        assert!(is_read(&small) && is_read(&first) && !is_read(&second), "{second:?}");
        assert_eq!(places.hashable.get(), 0);
        // The same again, whatever else there is to hash by then; written to the same size it is another.
        places.hashable.set(MAX_ALL_HASHED_BYTES);
        assert_eq!(places.state_as(&spot("large"), second.as_ref()), second);
        assert_eq!(places.state_as(&spot("large"), first.as_ref()), first);
        assert_eq!(places.hashable.get(), MAX_ALL_HASHED_BYTES - MAX_HASHED_BYTES);
        assert!(!is_read(&places.state_as(&spot("small"), None)));
        std::thread::sleep(std::time::Duration::from_millis(20));
        large();
        assert_ne!(places.state_as(&spot("large"), second.as_ref()), second);
    }

    #[test]
    fn a_path_belongs_to_the_innermost_place() {
        let (a, b) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
        let places = places(&[a.path(), b.path()]);
        let inside = places.absolute(&Spot { place: 1, path: PlacePath::new("x/y").unwrap() });
        assert_eq!(places.spot(&inside), Some(Spot { place: 1, path: PlacePath::new("x/y").unwrap() }));
        assert_eq!(places.spot(b"/elsewhere"), None);
    }
}
