//! What ended sessions may not leave on the host.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a machine's sessions could leave something.
#[derive(Debug, Clone)]
pub struct Leftovers {
    /// The supervisor's runtime directory.
    pub runtime: PathBuf,
    /// First id of the machine's range.
    pub first_id: u32,
    /// How many ids it has.
    pub ids: u32,
}

impl Leftovers {
    /// A line for each thing that is left: processes, mounts, control groups, directories, namespaces.
    #[must_use]
    pub fn find(&self, session_ids: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        for pid in processes_of(self.first_id, self.first_id + (self.ids - 1)) {
            found.push(format!("process {pid} ({}) under a leased id", name_of(pid)));
        }
        let sessions = fs::read_dir(self.runtime.join("sessions")).into_iter().flatten().flatten();
        found.extend(sessions.map(|entry| format!("directory {}", entry.path().display())));
        let runtime = self.runtime.to_string_lossy();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines() {
            if line.contains(&*runtime)
                || session_ids.iter().any(|id| line.contains(&format!("/agentbox/{id}")))
            {
                found.push(format!("mount {line}"));
            }
        }
        for root in cgroup_roots() {
            for id in session_ids {
                for path in [format!("agentbox/{id}"), format!("agentbox.slice/agentbox-{id}.scope")] {
                    let path = root.join(path);
                    if path.exists() {
                        found.push(format!("control group {}", path.display()));
                    }
                }
            }
        }
        found
    }
}

/// Where control groups of version 2 are mounted.
pub(crate) fn cgroup_roots() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = agentbox_probe::MountLine::parse_all(&text).into_iter();
    mounts.filter(|mount| mount.kind == "cgroup2").map(|mount| PathBuf::from(mount.target)).collect()
}

/// Processes whose real uid lies in this range, its ends included.
pub(crate) fn processes_of(first: u32, last: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let uid = uid.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u32>().ok());
        // What has ended and waits for its parent is not running.
        let zombie = status.lines().any(|line| line.starts_with("State:") && line.contains('Z'));
        !zombie && uid.is_some_and(|uid| (first..=last).contains(&uid))
    })
    .collect()
}

/// Whether a process has ended, also where its parent has not looked yet.
#[must_use]
pub fn is_gone(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}

fn name_of(pid: u32) -> String {
    let arguments = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&arguments).replace('\0', " ").trim().chars().take(80).collect()
}
