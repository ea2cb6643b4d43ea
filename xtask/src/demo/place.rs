//! Directories of an own supervisor: runtime, state, logs, configuration and programs.
//!
//! They are removed when the [`Place`] is dropped. A run that was interrupted leaves them and its user;
//! the next run finds that nobody holds their lock and removes both.

use crate::host::PERSON_PREFIX;
use crate::program;
use anyhow::{Context as _, Result, bail};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The variables of systemd.exec(5) and the directory that each names here.
const DIRECTORIES: [(&str, &str); 4] = [
    ("RUNTIME_DIRECTORY", "run"),
    ("STATE_DIRECTORY", "state"),
    ("LOGS_DIRECTORY", "log"),
    ("CONFIGURATION_DIRECTORY", "config"),
];

/// What holds the place. It says which users go with it, one a line, or [`KEPT`].
const LOCK: &str = "lock-of-xtask";

/// Content of the lock of a place that somebody wants to look at.
const KEPT: &str = "kept";

/// Longest wait for a supervisor that has nothing left to do to end.
const END: Duration = Duration::from_secs(15);

const PARENT: &str = "/var/tmp";

/// Directories of a supervisor that lives as long as this.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    programs: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes them, and a copy of the probe where sessions may read it.
    pub(crate) fn make(purpose: &str, programs: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PERSON_PREFIX}{purpose}-"))
            .tempdir_in(PARENT)
            .context("cannot make a directory for the supervisor")?;
        let lock = File::create(directory.path().join(LOCK)).context("cannot make a lock")?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).context("cannot lock")?;
        let place = Self { directory, programs: programs.to_owned(), _lock: lock };
        for (_, name) in DIRECTORIES {
            place.make_directory(name, 0o700)?;
        }
        // Sessions read the probe with the person's rights, so the way there is open to all.
        std::fs::set_permissions(place.directory(), std::fs::Permissions::from_mode(0o755))?;
        place.make_directory("bin", 0o755)?;
        std::fs::copy(programs.join("agentbox-probe"), place.probe()).context("cannot copy the probe")?;
        Ok(place)
    }

    fn make_directory(&self, name: &str, mode: u32) -> Result<()> {
        let path = self.directory().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What sessions may read: the probe and the facts for it.
    pub(crate) fn shared(&self) -> PathBuf {
        self.directory().join("bin")
    }

    pub(crate) fn probe(&self) -> PathBuf {
        self.shared().join("agentbox-probe")
    }

    /// A program as it was built.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A directory of the supervisor, by its variable.
    pub(crate) fn of(&self, variable: &str) -> PathBuf {
        let name = DIRECTORIES.iter().find(|(known, _)| *known == variable).map_or("", |(_, name)| *name);
        self.directory().join(name)
    }

    /// Writes the administrator's configuration.
    pub(crate) fn configure(&self, toml: &str) -> Result<()> {
        let path = self.of("CONFIGURATION_DIRECTORY").join("agentbox.toml");
        std::fs::write(&path, toml).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Tells a program of agentbox to use these directories.
    pub(crate) fn apply(&self, command: &mut Command) {
        apply(self.directory(), command);
    }

    /// Notes whom the next run removes when this one is interrupted.
    pub(crate) fn belongs_to(&self, user: &str) -> Result<()> {
        let mut lock = File::options().append(true).open(self.directory().join(LOCK))?;
        writeln!(lock, "{user}").context("cannot note the user")
    }

    /// Leaves everything when this is dropped.
    pub(crate) fn keep(&mut self) -> Result<()> {
        self.directory.disable_cleanup(true);
        std::fs::write(self.directory().join(LOCK), KEPT).context("cannot note what is kept")
    }
}

/// Removes what an interrupted run left: its sessions, its directories, and its user with the home.
pub(crate) fn remove_abandoned(programs: &Path) -> Result<()> {
    for entry in std::fs::read_dir(PARENT).context("cannot list /var/tmp")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let lock = entry.path().join(LOCK);
        if !name.starts_with(PERSON_PREFIX) {
            continue;
        }
        // Only root makes this file: /var/tmp is everybody's, and what is removed is named by it.
        let Ok(file) = File::open(&lock) else { continue };
        let is_ours = rustix::fs::fstat(&file).is_ok_and(|status| status.st_uid == 0);
        let is_free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        let users = std::fs::read_to_string(&lock).unwrap_or_default();
        if is_ours && is_free && users != KEPT {
            println!("removing what an interrupted run left: {}", entry.path().display());
            end_sessions(&entry.path(), programs)?;
            for user in users.lines().filter(|user| user.starts_with(PERSON_PREFIX)) {
                println!("removing user {user}");
                super::person::remove(user)?;
            }
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

fn apply(directory: &Path, command: &mut Command) {
    for (variable, name) in DIRECTORIES {
        command.env(variable, directory.join(name));
    }
}

/// Stops every session of a supervisor that has these directories, and waits until it has ended by itself.
fn end_sessions(directory: &Path, programs: &Path) -> Result<()> {
    let socket = directory.join("run/bus");
    if !socket.exists() {
        return Ok(());
    }
    let mut stop = Command::new(programs.join("agentboxctl"));
    apply(directory, &mut stop);
    program::capture(stop.args(["--embedded", "stop", "--all"]))?;
    wait_for_end(&socket)
}

/// Waits until a supervisor that has no session left has ended by itself.
pub(super) fn wait_for_end(socket: &Path) -> Result<()> {
    let begun = Instant::now();
    while socket.exists() {
        if begun.elapsed() > END {
            bail!("the supervisor still runs {} s after its last session", END.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a directory of root's in which nobody else can write")]
fn remove_tree(path: &Path) -> Result<()> {
    std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_in_use_or_kept_is_not_removed() {
        let programs = tempfile::tempdir().unwrap();
        std::fs::write(programs.path().join("agentbox-probe"), "").unwrap();
        let mut place = Place::make("unit", programs.path()).unwrap();
        let directory = place.directory().to_owned();
        remove_abandoned(programs.path()).unwrap();
        assert!(directory.exists());
        place.keep().unwrap();
        drop(place);
        remove_abandoned(programs.path()).unwrap();
        assert!(directory.exists());
        std::fs::write(directory.join(LOCK), "").unwrap();
        // A process that another test started holds every lock of this one until it executes its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while directory.exists() {
            assert!(std::time::Instant::now() < deadline, "it is still there");
            remove_abandoned(programs.path()).unwrap();
        }
    }
}
