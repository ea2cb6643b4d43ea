//! What this process is: `agentbox-probe self`, and what the attacks ask about themselves.

use crate::errno::Errno;
use crate::sys::{self, Ended, call, owned};
use agentbox_probe::{Capabilities, Descriptor, Limits, MountLine, State};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::Duration;

/// Most Landlock domains that the kernel stacks (landlock(7)).
pub(crate) const LANDLOCK_LAYERS: u32 = 16;

static INHERITED: OnceLock<Vec<Descriptor>> = OnceLock::new();

/// Open descriptors but the one that lists them.
pub(crate) fn descriptors() -> Vec<Descriptor> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(path) = fs::read_link(entry.path()) else { continue };
        found.push(Descriptor { number, path: path.to_string_lossy().into_owned() });
    }
    let listing = format!("/proc/{}/fd", std::process::id());
    found.retain(|one| one.path != listing);
    found.sort_by_key(|one| one.number);
    found
}

/// Remembers what was open when the program began.
pub(crate) fn remember_inherited(descriptors: Vec<Descriptor>) {
    let _ = INHERITED.set(descriptors);
}

/// What was open when the program began.
pub(crate) fn inherited() -> &'static [Descriptor] {
    INHERITED.get().map_or(&[], Vec::as_slice)
}

/// Inode of each namespace of this process.
pub(crate) fn namespaces() -> BTreeMap<String, u64> {
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let inode =
        |name: &str| Some((name.to_owned(), fs::metadata(format!("/proc/self/ns/{name}")).ok()?.ino()));
    names.iter().filter_map(|name| inode(name)).collect()
}

/// How many Landlock domains can still be put on top of each other, counted in a child.
pub(crate) fn landlock_left() -> Result<u32, String> {
    const ACCESS_FS_READ_FILE: u64 = 1 << 2;
    let count = || -> Result<u32, Errno> {
        call!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
        let attributes = ACCESS_FS_READ_FILE.to_ne_bytes();
        let rules =
            owned(call!(libc::SYS_landlock_create_ruleset, attributes.as_slice(), attributes.len(), 0))?;
        for layer in 0..LANDLOCK_LAYERS {
            match call!(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) {
                Ok(_) => {}
                Err(Errno(libc::E2BIG)) => return Ok(layer),
                Err(error) => return Err(error),
            }
        }
        Ok(LANDLOCK_LAYERS)
    };
    // After the first layer nothing can be opened any more, so the answer is all that the child says.
    let answer = sys::in_child(Duration::from_secs(30), || match count() {
        Ok(left) => format!("ok {left}").into_bytes(),
        Err(error) => error.to_string().into_bytes(),
    });
    match answer {
        Ok(Ended::Said(said)) => {
            let said = String::from_utf8_lossy(&said).into_owned();
            said.strip_prefix("ok ").and_then(|left| left.parse().ok()).ok_or(said)
        }
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// All of it.
pub(crate) fn read() -> State {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let ids = |name: &str| field(name).split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect();
    let set = |name: &str| u64::from_str_radix(&field(name), 16).unwrap_or(u64::MAX);
    let number = |name: &str| field(name).parse().unwrap_or_default();
    State {
        pid: std::process::id(),
        ppid: number("PPid"),
        uids: ids("Uid"),
        gids: ids("Gid"),
        groups: ids("Groups"),
        capabilities: Capabilities {
            inheritable: set("CapInh"),
            permitted: set("CapPrm"),
            effective: set("CapEff"),
            bounding: set("CapBnd"),
            ambient: set("CapAmb"),
        },
        no_new_privs: field("NoNewPrivs") == "1",
        seccomp_mode: number("Seccomp"),
        seccomp_filters: number("Seccomp_filters"),
        umask: u32::from_str_radix(&field("Umask"), 8).unwrap_or_default(),
        limits: limits(&fs::read_to_string("/proc/self/limits").unwrap_or_default()),
        oom_score_adj: oom_score_adj(),
        session_keyring: call!(
            libc::SYS_keyctl,
            libc::KEYCTL_GET_KEYRING_ID,
            libc::KEY_SPEC_SESSION_KEYRING,
            0
        )
        .map_err(|error| error.to_string()),
        environment: {
            let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        },
        descriptors: inherited().to_vec(),
        landlock_left: landlock_left(),
        mounts: MountLine::parse_all(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()),
        namespaces: namespaces(),
        cgroup: fs::read_to_string("/proc/self/cgroup")
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect(),
        directory: std::env::current_dir()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

fn oom_score_adj() -> i32 {
    let text = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// `/proc/self/limits`: a name of several words, two values, a unit.
fn limits(text: &str) -> BTreeMap<String, Limits> {
    let mut found = BTreeMap::new();
    for line in text.lines().skip(1) {
        let (Some(name), Some(rest)) = (line.get(..26), line.get(26..)) else { continue };
        let mut values = rest.split_ascii_whitespace().map(|value| value.parse().ok());
        if let (Some(soft), Some(hard)) = (values.next(), values.next()) {
            found.insert(name.trim().to_owned(), Limits { soft, hard });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_their_names() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max core file size        0                    unlimited            bytes     \n\
                    Max nice priority         0                    0                    \n";
        let limits = limits(text);
        assert_eq!(limits["Max core file size"], Limits { soft: Some(0), hard: None });
        assert_eq!(limits["Max nice priority"], Limits { soft: Some(0), hard: Some(0) });
    }

    #[test]
    fn this_process_is_described() {
        let state = read();
        assert_eq!(state.pid, std::process::id());
        assert!(!state.mounts.is_empty() && state.namespaces.contains_key("pid"));
        assert_eq!(state.uids.len(), 4);
    }
}
