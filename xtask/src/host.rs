//! What agentbox has on this host at a moment: control groups, processes, mounts, users, directories.
//!
//! The tests and the demonstration look before and after: what is new afterwards was left over.

use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Users that tests and the demonstration make begin with this.
pub(crate) const PERSON_PREFIX: &str = "agentbox-";
/// The default range of leased ids.
const LEASED: std::ops::Range<u32> = 2_001_000_000..2_101_000_000;

/// Everything of agentbox on this host, one line each.
pub(crate) fn snapshot() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    for line in mounts.lines().filter(|line| line.contains("agentbox")) {
        // proc_pid_mountinfo(5): the fifth field is where it is mounted.
        found.insert(format!("mount {}", line.split(' ').nth(4).unwrap_or(line)));
    }
    if let Some(groups) = cgroup2(&mounts) {
        found.extend(directories(&groups.join("agentbox")).map(|path| format!("control group {path}")));
    }
    found.extend(directories(Path::new("/run/agentbox/sessions")).map(|path| format!("session {path}")));
    let users = std::fs::read_to_string("/etc/passwd").context("cannot read the users")?;
    found.extend(
        users
            .lines()
            .filter_map(|line| line.split(':').next())
            .filter(|name| name.starts_with(PERSON_PREFIX))
            .map(|name| format!("user {name}")),
    );
    for entry in std::fs::read_dir("/proc").context("cannot read the processes")?.flatten() {
        found.extend(process(&entry.path()));
    }
    Ok(found)
}

/// Where the version 2 hierarchy is mounted: not at /sys/fs/cgroup on a hybrid host.
fn cgroup2(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        source.starts_with("cgroup2 ").then_some(())?;
        mount.split(' ').nth(4).map(PathBuf::from)
    })
}

fn directories(parent: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.path().display().to_string())
}

/// A process that runs one of the programs or has a leased uid. One that ends meanwhile is none.
fn process(directory: &Path) -> Option<String> {
    let pid: u32 = directory.file_name()?.to_str()?.parse().ok()?;
    let status = std::fs::read_to_string(directory.join("status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("State:")?.starts_with('Z') {
        // Whoever is its parent now reaps it; it holds nothing any more.
        return None;
    }
    let uid: u32 = field("Uid:")?.split_whitespace().next()?.parse().ok()?;
    let name = field("Name:")?;
    let path = std::fs::read_link(directory.join("exe")).ok();
    let program = path.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let is_ours = |name: &str| {
        ["agentboxd", "agentboxctl", "agentbox-gate", "agentbox-launch", "agentbox-look", "agentbox-probe"]
            .iter()
            .any(|ours| name == *ours || name.strip_suffix(" (deleted)") == Some(ours))
    };
    (LEASED.contains(&uid) || is_ours(name) || program.is_some_and(is_ours))
        .then(|| format!("process {pid} {name} of uid {uid}, {}", path.unwrap_or_default().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_on_a_hybrid_host() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup2("1 1 0:1 / / rw - ext4 /dev/cgroup2 rw\n"), None);
    }

    #[test]
    fn this_process_is_not_of_agentbox() {
        assert_eq!(process(Path::new("/proc/self")), None);
        assert_eq!(process(&PathBuf::from(format!("/proc/{}", std::process::id()))), None);
    }
}
