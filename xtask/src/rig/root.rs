//! A root file system made of Debian's packages.

use crate::program;
use crate::workspace::target_directory;
use anyhow::{Context as _, Result};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const SUITE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";
/// Longest time of fetching and unpacking the packages: twenty times what it took.
const LIMIT_SECONDS: &str = "2400";

/// What a root file system is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    /// Name of its directory below `target/rigs`.
    pub(super) name: &'static str,
    /// Its packages, beside the smallest set.
    pub(super) packages: &'static [&'static str],
    /// A script that is run when they are there; its first argument is the root.
    pub(super) hook: Option<&'static str>,
}

impl Root {
    /// Where everything of this rig is kept.
    pub(super) fn directory(&self) -> PathBuf {
        target_directory().join("rigs").join(self.name)
    }

    /// The archive of the root file system, made when it is not there or its list of packages has changed.
    pub(super) fn archive(&self) -> Result<PathBuf> {
        let directory = self.directory();
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        // Two runs make it once.
        let lock = File::create(directory.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).context("cannot wait for another run")?;
        let (archive, inputs) = (directory.join("root.tar"), directory.join("inputs"));
        if !self.is_made(&archive, &inputs) {
            let new = directory.join("new.tar");
            println!(
                "making the root file system of the rig `{}`: {} packages",
                self.name,
                self.packages.len()
            );
            let mut command = Command::new("timeout");
            command.arg(LIMIT_SECONDS).args(["mmdebstrap", "--variant=minbase", "--quiet"]);
            command.args(self.hook.map(|hook| format!("--customize-hook={hook}")));
            command.arg(format!("--include={}", self.packages.join(","))).arg(SUITE).arg(&new).arg(MIRROR);
            program::run(&mut command)?;
            std::fs::rename(&new, &archive)?;
            std::fs::write(&inputs, self.inputs())?;
        }
        Ok(archive)
    }

    fn is_made(&self, archive: &Path, inputs: &Path) -> bool {
        archive.exists() && std::fs::read_to_string(inputs).is_ok_and(|made_of| made_of == self.inputs())
    }

    fn inputs(&self) -> String {
        let hook = self.hook.unwrap_or_default();
        format!("{SUITE} {MIRROR}\n{}\n{hook}\n", self.packages.join("\n")).replace("\n\n", "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_of_packages_is_another_root() {
        let directory = tempfile::tempdir().unwrap();
        let (archive, inputs) = (directory.path().join("root.tar"), directory.path().join("inputs"));
        let root = Root { name: "test", packages: &["a", "b"], hook: None };
        assert!(!root.is_made(&archive, &inputs));
        std::fs::write(&archive, "").unwrap();
        std::fs::write(&inputs, root.inputs()).unwrap();
        assert!(root.is_made(&archive, &inputs));
        assert!(!Root { packages: &["a"], ..root }.is_made(&archive, &inputs));
        assert!(!Root { hook: Some("true"), ..root }.is_made(&archive, &inputs));
    }
}
