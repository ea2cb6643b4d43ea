//! A control group of a container's own: systemd-nspawn(1) makes the container's groups below the one that it runs in, and
//! two managers that have the same would remove each other's.

use agentbox_kernel::cgroup::Hierarchy;
use anyhow::{Context as _, Result};
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Enters the group whose list of processes is the first argument, and becomes the rest.
const ENTER: &str = "echo $$ > \"$0\" && exec \"$@\"";

/// Removed with everything below it when dropped.
#[derive(Debug)]
pub(super) struct Group(PathBuf);

impl Group {
    /// Makes one below the group that this program runs in.
    pub(super) fn make(name: &str) -> Result<Self> {
        let own = Hierarchy::find()?.own_group()?;
        let own = std::fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd()))?;
        let path = own.join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A command that runs in it.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ENTER]).arg(self.0.join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            eprintln!("{error:#}");
        }
    }
}

/// Only the directories: the files in them are the kernel's.
fn remove(group: &Path) -> Result<()> {
    for entry in std::fs::read_dir(group).with_context(|| format!("cannot list {}", group.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    match std::fs::remove_dir(group) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", group.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_in_a_group_is_in_no_other_and_nothing_of_it_is_left() {
        let name = format!("agentbox-rig-test-{}", std::process::id());
        let group = Group::make(&name).unwrap();
        let output = group.command("cat").arg("/proc/self/cgroup").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().any(|line| line.starts_with("0::") && line.ends_with(&name)), "{text}");
        std::fs::create_dir_all(group.0.join("payload/system.slice")).unwrap();
        let path = group.0.clone();
        drop(group);
        assert!(!path.exists());
    }
}
