//! What a process says about itself: `agentbox-probe self`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A process's own view of how it is held.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Process id in its own namespace.
    pub pid: u32,
    /// Parent, in its own namespace.
    pub ppid: u32,
    /// Real, effective, saved and file system user ids.
    pub uids: Vec<u32>,
    /// Real, effective, saved and file system group ids.
    pub gids: Vec<u32>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The five capability sets.
    pub capabilities: Capabilities,
    /// The bit of PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// 0 off, 1 strict, 2 filter.
    pub seccomp_mode: u32,
    /// Number of filters.
    pub seccomp_filters: u32,
    /// File mode creation mask.
    pub umask: u32,
    /// Resource limits by their name in `/proc/self/limits`; absent is unlimited.
    pub limits: BTreeMap<String, Limits>,
    /// Preference of the out-of-memory killer.
    pub oom_score_adj: i32,
    /// Serial number of the session keyring, or the error's name.
    pub session_keyring: Result<i64, String>,
    /// Names in the environment, sorted.
    pub environment: Vec<String>,
    /// Open descriptors but the one that lists them.
    pub descriptors: Vec<Descriptor>,
    /// How many more Landlock domains can be stacked; 16 where there is none yet.
    pub landlock_left: Result<u32, String>,
    /// `/proc/self/mountinfo`, reduced.
    pub mounts: Vec<MountLine>,
    /// Inode of each namespace.
    pub namespaces: BTreeMap<String, u64>,
    /// Lines of `/proc/self/cgroup`.
    pub cgroup: Vec<String>,
    /// Working directory.
    pub directory: String,
    /// Host name.
    pub host_name: String,
}

/// Capability sets, as 64-bit masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Capabilities {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// A soft and a hard limit; absent is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Limits {
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

/// An open descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Descriptor {
    pub number: u32,
    pub path: String,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountLine {
    /// Where.
    pub target: String,
    /// Which part of the file system.
    pub root: String,
    /// Type of the file system.
    pub kind: String,
    /// Options of the mount, not of the file system.
    pub options: Vec<String>,
}

impl MountLine {
    /// The mounts of a `mountinfo` file (proc_pid_mountinfo(5)).
    #[must_use]
    pub fn parse_all(mountinfo: &str) -> Vec<Self> {
        mountinfo.lines().filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, target, options) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self {
            target: unescape(target),
            root: unescape(root),
            kind: after.split(' ').next()?.to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
        })
    }

    /// Whether it has this option.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            digits.iter().try_fold(0_u8, |sum, digit| {
                digit.is_ascii_digit().then(|| sum.wrapping_mul(8).wrapping_add(digit - b'0'))
            })
        };
        match tail.get(..3).and_then(octal) {
            Some(code) if byte == b'\\' => {
                out.push(code);
                rest = &tail[3..];
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_escapes_and_optional_fields() {
        let text = "36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                    27 1 254:0 / / ro,nosuid - tmpfs tmpfs rw\nnot a line\n";
        let mounts = MountLine::parse_all(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!((mounts[0].target.as_str(), mounts[0].kind.as_str()), ("/a b", "ext3"));
        assert!(mounts[0].has("rw") && !mounts[0].has("nosuid"));
        assert!(mounts[1].has("ro") && mounts[1].has("nosuid"));
    }
}
