//! What the machine has of what agentbox needs. Looks, and changes nothing.
//!
//! Each check is a function that asks the kernel itself where that is possible, and says what to do about
//! what is missing.

use crate::cgroup::Hierarchy;
use crate::idmap::{self, Support};
use crate::sys;
use rustix::fs::{Mode, OFlags};
use rustix::mount::OpenTreeFlags;
use std::path::Path;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All there.
    Ok,
    /// Works, with less than there could be.
    Warning,
    /// Does not work.
    Missing,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How it ended.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty when there is nothing to do.
    pub remedy: String,
}

fn finding(
    check: impl Into<String>,
    state: State,
    found: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding { check: check.into(), state, found: found.into(), remedy: remedy.into() }
}

/// Looks at the machine.
#[must_use]
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![privilege(), kernel(), mount_api()];
    findings.extend(["/home", "."].map(id_mapped_mounts));
    findings.push(landlock());
    findings.push(seccomp());
    findings.extend(control_groups());
    findings.push(guard());
    findings.push(systemd());
    findings.push(nft());
    findings.push(user_namespaces());
    findings.push(overlay());
    findings.push(ia32());
    findings.push(core_pattern(&read("/proc/sys/kernel/core_pattern").unwrap_or_default()));
    findings
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn privilege() -> Finding {
    if rustix::process::geteuid().is_root() {
        finding("privilege", State::Ok, "runs as root", "")
    } else {
        let remedy = "run it as root, or ask the supervisor: checks that try something fail without";
        finding("privilege", State::Warning, "does not run as root", remedy)
    }
}

/// 5.14 is the first with everything that is not checked below: CLONE_INTO_CGROUP (5.7), close_range
/// (5.9), mount_setattr (5.12), Landlock (5.13), cgroup.kill (5.14).
const OLDEST_KERNEL: (u32, u32) = (5, 14);

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let state = match version(&release) {
        Some(version) if version >= OLDEST_KERNEL => State::Ok,
        Some(_) => State::Missing,
        None => State::Warning,
    };
    let remedy = if state == State::Ok {
        String::new()
    } else {
        format!("boot Linux {}.{} or newer", OLDEST_KERNEL.0, OLDEST_KERNEL.1)
    };
    finding("kernel", state, format!("Linux {release}"), remedy)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn mount_api() -> Finding {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match rustix::mount::open_tree(rustix::fs::CWD, "/", flags) {
        Ok(_) => finding("mounts", State::Ok, "detached mounts can be made", ""),
        Err(errno) => {
            let remedy = "run as root with CAP_SYS_ADMIN, outside of a container that refuses open_tree(2)";
            finding("mounts", State::Missing, format!("open_tree(2): {errno}"), remedy)
        }
    }
}

fn id_mapped_mounts(path: &str) -> Finding {
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let check = format!("id-mapped mounts on {}", shown.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let support = rustix::fs::open(path, flags, Mode::empty()).map_err(Into::into).and_then(idmap::support);
    match support {
        Ok(Support::Yes) => finding(check, State::Ok, "supported", ""),
        Ok(Support::No { file_system }) => finding(
            check,
            State::Warning,
            format!("{file_system} has none"),
            "keep projects on ext4, xfs, btrfs or tmpfs, or use a posture with identity `caller`",
        ),
        Err(error) => finding(check, State::Warning, format!("cannot be tried: {error}"), "run as root"),
    }
}

fn landlock() -> Finding {
    match sys::landlock_version() {
        Some(version) if version >= 3 => finding("landlock", State::Ok, format!("version {version}"), ""),
        Some(version) => finding(
            "landlock",
            State::Warning,
            format!("version {version}"),
            "Linux 6.2 or newer also holds truncate(2)",
        ),
        None => finding(
            "landlock",
            State::Missing,
            "not in the kernel, or switched off",
            "add landlock to the `lsm=` list of the kernel's command line (see /sys/kernel/security/lsm)",
        ),
    }
}

fn seccomp() -> Finding {
    if sys::has_seccomp_filters() {
        finding("seccomp", State::Ok, "filters can be installed", "")
    } else {
        let remedy = "boot a kernel with CONFIG_SECCOMP_FILTER";
        finding("seccomp", State::Missing, "no filters", remedy)
    }
}

fn control_groups() -> Vec<Finding> {
    let hierarchy = match Hierarchy::find() {
        Ok(hierarchy) => hierarchy,
        Err(error) => {
            let remedy = "mount cgroup2 at /sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1";
            return vec![finding("control groups", State::Missing, error.to_string(), remedy)];
        }
    };
    let place = format!("version 2 at {}", hierarchy.mount_point().display());
    let mut findings = vec![finding("control groups", State::Ok, place, "")];
    let controllers = hierarchy.controllers().unwrap_or_default();
    for (controller, check) in [("memory", "memory limits"), ("pids", "task limits")] {
        findings.push(if controllers.iter().any(|found| found == controller) {
            finding(check, State::Ok, format!("controller {controller} is there"), "")
        } else {
            let remedy = "boot with systemd.unified_cgroup_hierarchy=1 so that version 1 does not hold it";
            finding(check, State::Warning, format!("no controller {controller} in version 2"), remedy)
        });
    }
    findings
}

fn guard() -> Finding {
    let check = "guard of trigger files";
    match crate::guard::observe() {
        Ok(()) => finding(check, State::Ok, "the kernel can refuse them; `status` says whether it does", ""),
        Err(error) => finding(check, State::Warning, error.what, error.remedy),
    }
}

fn systemd() -> Finding {
    // sd_booted(3) looks at the same directory.
    if Path::new("/run/systemd/system").is_dir() {
        finding("systemd", State::Ok, "runs as PID 1", "")
    } else {
        let found = "not running: the supervisor starts with the first session and ends with the last";
        finding("systemd", State::Ok, found, "")
    }
}

fn nft() -> Finding {
    // Absolute paths: what a PATH says is not asked, because it would run as root.
    let places = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/run/current-system/sw/bin/nft"];
    match places.iter().find(|place| Path::new(place).is_file()) {
        Some(place) => finding("nft", State::Ok, *place, ""),
        None => finding(
            "nft",
            State::Warning,
            "not found",
            "install nftables; sessions without network do not need it",
        ),
    }
}

fn user_namespaces() -> Finding {
    let check = "unprivileged user namespaces";
    let none = read("/proc/sys/user/max_user_namespaces").as_deref() == Some("0");
    let refused = read("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0");
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1");
    if none {
        let remedy = "set user.max_user_namespaces above 0: id-mapped mounts need one for a moment";
        finding(check, State::Missing, "user.max_user_namespaces is 0", remedy)
    } else if refused || restricted {
        finding(check, State::Ok, "refused to persons, which is the safer way; sessions do not use them", "")
    } else {
        finding(check, State::Ok, "allowed on the host; sessions cannot make them", "")
    }
}

fn overlay() -> Finding {
    let known = read("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        finding("overlay", State::Ok, "supported", "")
    } else {
        let remedy = "`modprobe overlay`; only workspaces of kind `overlay` need it";
        finding("overlay", State::Warning, "not loaded", remedy)
    }
}

fn ia32() -> Finding {
    // arch/x86/entry/vdso: the file is there when 32-bit calls are compiled in.
    let found = if Path::new("/proc/sys/abi/vsyscall32").exists() {
        "32-bit system calls exist on the host; sessions cannot make them"
    } else {
        "no 32-bit system calls"
    };
    finding("32-bit calls", State::Ok, found, "")
}

fn core_pattern(pattern: &str) -> Finding {
    let check = "core_pattern";
    // core(5): a program behind a pipe runs as root outside of every namespace, whatever the limit of
    // core dumps says.
    match pattern.strip_prefix('|') {
        None => finding(check, State::Ok, pattern, ""),
        Some(program) if program.contains("systemd-coredump") => finding(check, State::Ok, pattern, ""),
        Some(_) => finding(
            check,
            State::Warning,
            pattern,
            "a crash inside starts this program as root outside; `sysctl kernel.core_pattern=core` if it is not needed",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_versions() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.14-rc1"), Some((5, 14)));
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("rolling"), None);
    }

    #[test]
    fn a_program_behind_core_pattern_is_a_warning() {
        assert_eq!(core_pattern("core").state, State::Ok);
        assert_eq!(core_pattern("|/lib/systemd/systemd-coredump %P").state, State::Ok);
        assert_eq!(core_pattern("|/usr/share/apport/apport %p").state, State::Warning);
    }
}
