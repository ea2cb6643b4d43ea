//! A root file system for one run: unpacked, with what is installed there, and removed afterwards.
//!
//! A run that was interrupted leaves its directory; the next one finds that nobody holds the lock beside
//! it and removes both.

use super::root::Root;
use crate::{install, program};
use anyhow::{Context as _, Result};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of the directories of runs.
const PREFIX: &str = "run-";

/// A root file system of one run.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl Place {
    /// Unpacks the root and installs agentbox into it.
    pub(super) fn make(root: &Root, programs: &Path) -> Result<Self> {
        let archive = root.archive()?;
        let parent = root.directory();
        remove_abandoned(&parent)?;
        let directory = parent.join(format!("{PREFIX}{}", std::process::id()));
        let lock = parent.join(format!("{PREFIX}{}.lock", std::process::id()));
        let locked = File::create(&lock).context("cannot make a lock")?;
        rustix::fs::flock(&locked, FlockOperation::NonBlockingLockExclusive).context("cannot lock")?;
        std::fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let place = Self { directory, lock, _locked: locked };
        let mut unpack = Command::new("tar");
        unpack.arg("-C").arg(place.path()).args(["--numeric-owner", "-xpf"]).arg(&archive);
        program::run(&mut unpack)?;
        install::into(programs, place.path())?;
        Ok(place)
    }

    /// Its root.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Copies programs to a directory inside, where everybody may run them.
    pub(super) fn copy_programs<'a>(
        &self,
        to: &str,
        programs: impl IntoIterator<Item = &'a Path>,
    ) -> Result<()> {
        let to = self.inside(to);
        std::fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
        for program in programs {
            let name = program.file_name().context("a program without a name")?;
            let copy = to.join(name);
            std::fs::copy(program, &copy).with_context(|| format!("cannot copy {}", program.display()))?;
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// A path inside, as this program sees it.
    pub(super) fn inside(&self, path: &str) -> PathBuf {
        self.directory.join(path.trim_start_matches('/'))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.directory).and_then(|()| Ok(std::fs::remove_file(&self.lock)?)) {
            eprintln!("{error:#}");
        }
    }
}

fn remove_abandoned(parent: &Path) -> Result<()> {
    for entry in std::fs::read_dir(parent)?.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || !name.ends_with(".lock") {
            continue;
        }
        let Ok(file) = File::open(&path) else { continue };
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(&path.with_extension(""))?;
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a directory below target/rigs, which is the builder's")]
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
