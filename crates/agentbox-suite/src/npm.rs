//! Real agents, as npm brings them.

use crate::run::run;
use anyhow::{Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
/// Smaller than every agent that is one program, larger than every script that starts one.
const LARGE_BYTES: u64 = 10 << 20;

/// A package in a directory of its own, which everybody can read; removed when dropped.
#[derive(Debug)]
pub struct Npm {
    directory: tempfile::TempDir,
}

impl Npm {
    /// Installs it. Nothing of the package itself is run.
    ///
    /// # Errors
    /// When npm cannot.
    pub fn install(package: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("agentbox-suite-npm-").tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--global", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        npm.arg("--prefix").arg(directory.path()).arg(package);
        run(&mut npm, b"", LIMIT)?.success()?;
        Ok(Self { directory })
    }

    /// Where it is.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        self.directory.path()
    }

    /// The first file of this name that is a program and no script; else what the package calls so.
    ///
    /// # Errors
    /// When there is none.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let mut waiting = vec![self.prefix().join("lib/node_modules")];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                if path.is_symlink() {
                    continue;
                }
                if path.is_dir() {
                    waiting.push(path);
                } else if path.file_name().is_some_and(|file| file == name)
                    && path.metadata()?.len() > LARGE_BYTES
                {
                    return Ok(path);
                }
            }
        }
        let script = self.prefix().join("bin").join(name);
        if !script.exists() {
            bail!("npm brought no program {name}");
        }
        Ok(script)
    }
}
