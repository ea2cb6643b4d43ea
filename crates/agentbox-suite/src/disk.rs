//! A small file system of its own.

use crate::run::run;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Mounted for as long as it lives.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// A file system in memory of this size (mount(8), tmpfs) over a directory that is there, for this user and group.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(path: &Path, size: &str, (uid, gid): (u32, u32)) -> Result<Self> {
        let options = format!("size={size},mode=0755,uid={uid},gid={gid}");
        let mut mount = Command::new("mount");
        run(mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path), b"", LIMIT)?.success()?;
        Ok(Self(path.to_owned()))
    }

    /// Takes over what is mounted over a directory.
    #[must_use]
    pub fn mounted(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = run(Command::new("umount").arg("--lazy").arg(&self.0), b"", LIMIT);
    }
}
