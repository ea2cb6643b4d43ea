//! Where the programs under test are.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// A directory with `agentboxctl`, `agentboxd`, `agentbox-launch` and `agentbox-probe`.
#[derive(Debug, Clone)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// The programs as a person gets them.
    ///
    /// # Errors
    /// When `AGENTBOX_BIN_DIR` does not name them, or this is not root.
    pub fn real() -> Result<Self> {
        Self::from_variable("AGENTBOX_BIN_DIR")
    }

    /// The programs with failpoints and with steps that can be switched off.
    ///
    /// # Errors
    /// When `AGENTBOX_TESTING_BIN_DIR` does not name them, or this is not root.
    pub fn testing() -> Result<Self> {
        Self::from_variable("AGENTBOX_TESTING_BIN_DIR")
    }

    /// The programs of an installed package; `agentboxd` and what it starts lie apart from what people call.
    ///
    /// # Errors
    /// When they are not there.
    pub fn installed() -> Result<Self> {
        let programs = Self { directory: PathBuf::from("/usr/libexec/agentbox") };
        std::fs::metadata(programs.path("agentboxd")).context("agentbox is not installed")?;
        Ok(programs)
    }

    fn from_variable(variable: &str) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "these tests make accounts, namespaces and control groups: run them as root (cargo xtask test)"
        );
        let Some(directory) = std::env::var_os(variable) else {
            bail!(
                "{variable} does not say where the programs are: `cargo xtask test` builds them and sets it"
            );
        };
        let programs = Self { directory: PathBuf::from(directory) };
        for name in ["agentboxctl", "agentboxd", "agentbox-launch", "agentbox-probe"] {
            let path = programs.path(name);
            std::fs::metadata(&path).with_context(|| format!("{variable}: no {}", path.display()))?;
        }
        Ok(programs)
    }

    /// Path of a program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        if path.exists() { path } else { Path::new("/usr/bin").join(name) }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
