//! A configuration of git written anew: whole beside the old one, synced, and renamed over it. A crash leaves
//! the one or the other.

use crate::place::Places;
use agentbox_plan::look::{PlacePath, Spot};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::cell::Cell;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What the new one is called until it is whole.
const NEW: &[u8] = b"config.agentbox-new";
/// What one is called that could not be replaced.
const ASIDE: &[u8] = b"config.agentbox-refused";

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restored {
    /// It says what it should.
    Written,
    /// The same, but who has git's lock may put another over it.
    WrittenUnlocked,
    /// There was no room: git has no configuration there now, and the refused one lies beside.
    MovedAside,
}

/// How long locks of git's are waited for, all of a look. A live one is there for milliseconds; those that stay were left by a
/// process that ended, or made so that this waits.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// How long a look still waits for locks.
#[derive(Debug)]
pub(crate) struct Patience(Cell<Duration>);

impl Patience {
    /// While a session runs: its own git writes, and goes on when that was waited for.
    pub(crate) fn of_a_running_session() -> Self {
        Self(Cell::new(LOCK_PATIENCE))
    }

    /// After its end nothing of it runs, and what is refused stays in force for nobody's lock.
    pub(crate) fn none() -> Self {
        Self(Cell::default())
    }

    /// Waits a moment; not when it is used up.
    fn wait(&self) -> bool {
        let Some(rest) = self.0.get().checked_sub(BETWEEN_TRIES) else { return false };
        self.0.set(rest);
        std::thread::sleep(BETWEEN_TRIES);
        true
    }
}

/// Waits until none of these configurations has a lock, as long as a look waits for locks.
pub(crate) fn wait_for_locks(places: &Places, configs: &[Spot]) {
    let is_locked = |config: &Spot| {
        let lock = Spot { place: config.place, path: lock_of(config)? };
        places.kind(&lock)
    };
    let patience = Patience::of_a_running_session();
    while configs.iter().any(|config| is_locked(config).is_some()) && patience.wait() {}
}

fn lock_of(config: &Spot) -> Option<PlacePath> {
    let (parent, name) = config.path.split()?;
    parent.join(&lock_name(name))
}

/// What git's lock of a file is called.
fn lock_name(file: &[u8]) -> Vec<u8> {
    [file, b".lock"].concat()
}

/// Puts what `content` makes of a configuration in its place. It is asked while nobody who keeps to git's lock
/// writes; nothing to write when it has none any more.
pub(crate) fn restore(
    places: &Places,
    config: &Spot,
    patience: &Patience,
    content: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<Restored, Errno> {
    let (parent, name) = config.path.split().ok_or(Errno::INVAL)?;
    let directory = places.directory(&Spot { place: config.place, path: parent })?;
    let lock = Lock::take(&directory, name, patience);
    let Some(content) = content() else { return Ok(Restored::Written) };
    let mode = match fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat.st_mode & 0o666,
        // A directory cannot be replaced by a rename; anything else can.
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            move_aside(&directory, name)?;
            0o644
        }
        Ok(_) | Err(_) => 0o644,
    };
    let written = write(&directory, &content, mode).and_then(|new| {
        fs::renameat(&directory, &new, &directory, name).inspect_err(|_| remove(&directory, &new))
    });
    let restored = match written {
        Ok(()) => {
            fs::fsync(&directory)?;
            if lock.ours { Restored::Written } else { Restored::WrittenUnlocked }
        }
        Err(_) => {
            // What may not be in force is not in force, whatever else.
            move_aside(&directory, name)?;
            let _ = fs::fsync(&directory);
            Restored::MovedAside
        }
    };
    drop(lock);
    Ok(restored)
}

/// `config.lock`, which keeps git from writing (gitglossary(7), "lock file").
struct Lock<'a> {
    directory: &'a OwnedFd,
    name: Vec<u8>,
    ours: bool,
}

impl<'a> Lock<'a> {
    fn take(directory: &'a OwnedFd, config: &[u8], patience: &Patience) -> Self {
        let name = lock_name(config);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            match fs::openat(directory, &name, flags, Mode::from_raw_mode(0o644)) {
                Ok(_) => return Self { directory, name, ours: true },
                Err(Errno::EXIST) if patience.wait() => {}
                // Without it a change of git's may be lost; with what is refused in force, more would be.
                Err(_) => return Self { directory, name, ours: false },
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::unlinkat(self.directory, &self.name, AtFlags::empty());
        }
    }
}

/// Where there is a directory of that name, which an agent can make, another name is taken that nobody foresees.
fn move_aside(directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    fs::renameat(directory, name, directory, ASIDE)
        .or_else(|_| fs::renameat(directory, name, directory, unforeseen(ASIDE)))
        .or_else(|_| fs::unlinkat(directory, name, AtFlags::empty()))
}

fn unforeseen(name: &[u8]) -> Vec<u8> {
    // The keys of a hash map's hasher are the kernel's random numbers.
    let random = RandomState::new().build_hasher().finish();
    [name, format!("-{random:016x}").as_bytes()].concat()
}

fn remove(directory: &OwnedFd, name: &[u8]) {
    let _ = fs::unlinkat(directory, name, AtFlags::empty());
}

/// Writes the new one, and tells its name.
fn write(directory: &OwnedFd, content: &[u8], mode: u32) -> Result<Vec<u8>, Errno> {
    // What an agent put under this name is not written through; a directory is left there.
    let name = match fs::unlinkat(directory, NEW, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => NEW.to_vec(),
        Err(_) => unforeseen(NEW),
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(directory, &name, flags, Mode::from_raw_mode(mode))?;
    let mut file = File::from(file);
    match file.write_all(content).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(name),
        Err(error) => {
            remove(directory, &name);
            Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::tests::{places, spot};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::Instant;

    #[test]
    fn the_new_one_is_whole_has_the_old_mode_and_no_link_is_written_through() {
        let dir = tempfile::TempDir::new().unwrap();
        let outside = dir.path().join("outside");
        std::fs::write(&outside, "mine").unwrap();
        std::fs::create_dir(dir.path().join("git")).unwrap();
        let config = dir.path().join("git/config");
        std::fs::write(&config, "evil").unwrap();
        std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&outside, dir.path().join("git/config.agentbox-new")).unwrap();
        let places = places(&[dir.path()]);
        assert_eq!(
            restore(&places, &spot("git/config"), &Patience::none(), || Some(b"good".to_vec())),
            Ok(Restored::Written)
        );
        assert_eq!(std::fs::read(&config).unwrap(), b"good");
        assert_eq!(std::fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read(&outside).unwrap(), b"mine");
        // A link in its place is replaced, not followed.
        std::fs::remove_file(&config).unwrap();
        symlink(&outside, &config).unwrap();
        assert_eq!(
            restore(&places, &spot("git/config"), &Patience::none(), || Some(b"good".to_vec())),
            Ok(Restored::Written)
        );
        assert_eq!(
            (std::fs::read(&outside).unwrap(), std::fs::read(&config).unwrap()),
            (b"mine".to_vec(), b"good".to_vec())
        );
        // And a directory gives way.
        std::fs::remove_file(&config).unwrap();
        std::fs::create_dir(&config).unwrap();
        assert_eq!(
            restore(&places, &spot("git/config"), &Patience::none(), || Some(b"good".to_vec())),
            Ok(Restored::Written)
        );
        assert_eq!(std::fs::read(&config).unwrap(), b"good");
    }

    #[test]
    fn a_lock_that_stays_does_not_keep_what_is_refused_in_force() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("config"), "evil").unwrap();
        let places = places(&[dir.path()]);
        assert_eq!(
            restore(&places, &spot("config"), &Patience::none(), || Some(b"good".to_vec())),
            Ok(Restored::Written)
        );
        assert!(!dir.path().join("config.lock").exists());
        std::fs::write(dir.path().join("config"), "evil").unwrap();
        std::fs::write(dir.path().join("config.lock"), "stale").unwrap();
        let (began, patience) = (Instant::now(), Patience::of_a_running_session());
        for _ in 0..50 {
            let restored = restore(&places, &spot("config"), &patience, || Some(b"good".to_vec()));
            assert_eq!(restored, Ok(Restored::WrittenUnlocked));
        }
        assert!((LOCK_PATIENCE..LOCK_PATIENCE * 5).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!(std::fs::read(dir.path().join("config")).unwrap(), b"good");
        assert!(dir.path().join("config.lock").exists());
    }

    #[test]
    fn directories_under_the_names_that_are_used_keep_nothing_in_force() {
        let dir = tempfile::TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["config.agentbox-new/x", "config.agentbox-refused/x"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::fs::write(at("config"), "evil").unwrap();
        let places = places(&[dir.path()]);
        assert_eq!(
            restore(&places, &spot("config"), &Patience::none(), || Some(b"good".to_vec())),
            Ok(Restored::Written)
        );
        assert_eq!(std::fs::read(at("config")).unwrap(), b"good");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        // What cannot be replaced goes, under whatever name.
        let directory = OwnedFd::from(File::open(dir.path()).unwrap());
        move_aside(&directory, b"config").unwrap();
        assert!(!at("config").exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        std::fs::remove_dir(at("config.agentbox-refused/x")).unwrap();
        std::fs::remove_dir(at("config.agentbox-refused")).unwrap();
        std::fs::write(at("config"), "evil").unwrap();
        move_aside(&directory, b"config").unwrap();
        assert_eq!(std::fs::read(at("config.agentbox-refused")).unwrap(), b"evil");
    }
}
