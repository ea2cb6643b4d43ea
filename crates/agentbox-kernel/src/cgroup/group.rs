//! One control group, by its descriptor: its files, its processes, the groups below it.

use super::CgroupError;
use crate::walk;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::ffi::{CStr, CString};
use std::io;
use std::time::{Duration, Instant};

pub(super) fn failed(
    doing: &'static str,
    path: impl Into<String>,
    cause: impl Into<io::Error>,
) -> CgroupError {
    CgroupError::Io { doing, path: path.into(), cause: cause.into() }
}

/// Deepest nesting below a payload that is looked through. The kernel's default is unlimited; an agent
/// cannot make groups at all.
const MAX_DEPTH: usize = 64;
/// Rounds of kill(2) over a frozen group on kernels without `cgroup.kill`. Frozen processes cannot fork,
/// so a second round finds only those that were on their way in.
const MAX_KILL_ROUNDS: usize = 64;

/// Below the directory, through nothing that leads elsewhere.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

pub(super) fn open_group(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat2(parent, name, flags, Mode::empty(), RESOLVE)
}

pub(super) fn make(parent: &OwnedFd, name: &CStr) -> Result<(), CgroupError> {
    let path = || walk::shown_in(parent, name.to_bytes());
    match fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(CgroupError::Exists { path: path() }),
        Err(errno) => Err(failed("make", path(), errno)),
    }
}

pub(super) fn open_file(group: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, CgroupError> {
    fs::openat2(group, name, flags | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
        .map_err(|errno| failed("open", walk::shown_in(group, name.to_bytes()), errno))
}

pub(super) fn read(group: impl AsFd, name: &CStr) -> Result<String, CgroupError> {
    let group = group.as_fd();
    let file = std::fs::File::from(open_file(group, name, OFlags::RDONLY)?);
    io::read_to_string(file).map_err(|cause| failed("read", walk::shown_in(group, name.to_bytes()), cause))
}

pub(super) fn write(group: impl AsFd, name: &CStr, bytes: &[u8]) -> Result<(), CgroupError> {
    let group = group.as_fd();
    let file = open_file(group, name, OFlags::WRONLY)?;
    match rustix::io::retry_on_intr(|| rustix::io::write(&file, bytes)) {
        Ok(_) => Ok(()),
        Err(errno) => Err(failed("write to", walk::shown_in(group, name.to_bytes()), errno)),
    }
}

/// Switches a controller on for the groups below. EBUSY where the mounted group itself has processes; then, as without
/// the controller, its files below are missing, which is seen there.
pub(super) fn switch_on(group: impl AsFd, controller: &str) {
    let group = group.as_fd();
    let names =
        |file: &CStr| read(group, file).is_ok_and(|is| words(&is).iter().any(|word| word == controller));
    // Writing looks at every group below, even when nothing changes or can.
    if names(c"cgroup.controllers") && !names(c"cgroup.subtree_control") {
        let _ = write(group, c"cgroup.subtree_control", format!("+{controller}").as_bytes());
    }
}

pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

pub(super) fn has_line(text: &str, wanted: &str) -> bool {
    text.lines().any(|line| line == wanted)
}

/// Waits until `cgroup.events` has a line. The kernel wakes a poll after each change since the last read.
pub(super) fn wait_for(group: BorrowedFd<'_>, line: &str, timeout: Duration) -> Result<bool, CgroupError> {
    let name = c"cgroup.events";
    let file = open_file(group, name, OFlags::RDONLY)?;
    let path = || walk::shown_in(group, name.to_bytes());
    let end = Instant::now().checked_add(timeout);
    loop {
        let mut buffer = [0; 256];
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut buffer, 0));
        let count = match count {
            Ok(count) => count,
            // The group was removed: nobody is in it.
            Err(Errno::NODEV) => return Ok(true),
            Err(errno) => return Err(failed("read", path(), errno)),
        };
        if has_line(&String::from_utf8_lossy(&buffer[..count]), line) {
            return Ok(true);
        }
        let left = end.map_or(Duration::from_secs(3600), |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(false);
        }
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match rustix::event::poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("wait for", path(), errno)),
        }
    }
}

pub(super) fn kill(group: BorrowedFd<'_>) -> Result<(), CgroupError> {
    match write(group, c"cgroup.kill", b"1") {
        // Linux before 5.14 has no such file.
        Err(CgroupError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => kill_frozen(group),
        other => other,
    }
}

/// Kills one by one. The group is frozen meanwhile: nothing in it forks, or ends and leaves its number to
/// another process. SIGKILL ends frozen processes.
fn kill_frozen(group: BorrowedFd<'_>) -> Result<(), CgroupError> {
    write(group, c"cgroup.freeze", b"1")?;
    let result = (|| {
        wait_for(group, "frozen 1", Duration::from_secs(1))?;
        for _ in 0..MAX_KILL_ROUNDS {
            let pids = pids(group)?;
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
                match rustix::process::kill_process(pid, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(failed("kill the processes of", walk::shown(group), errno)),
                }
            }
            if wait_for(group, "populated 0", Duration::from_millis(100))? {
                break;
            }
        }
        Ok(())
    })();
    let thawed = write(group, c"cgroup.freeze", b"0");
    result.and(thawed)
}

pub(super) fn pids(group: BorrowedFd<'_>) -> Result<Vec<u32>, CgroupError> {
    let mut found = Vec::new();
    visit(group, 0, &mut |group| {
        let list = match read(group, c"cgroup.procs") {
            // A threaded group has no list of processes; the group above it does.
            Err(CgroupError::Io { cause, .. }) if cause.kind() == io::ErrorKind::Unsupported => return Ok(()),
            other => other?,
        };
        // 0 stands for processes outside of the reader's pid namespace.
        found.extend(list.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
        Ok(())
    })?;
    Ok(found)
}

/// Calls `each` with a group and all below it.
pub(super) fn visit(
    group: BorrowedFd<'_>,
    depth: usize,
    each: &mut dyn FnMut(BorrowedFd<'_>) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    each(group)?;
    if depth >= MAX_DEPTH {
        return Err(failed("look through", walk::shown(group), Errno::LOOP));
    }
    for name in children(group)? {
        match open_group(group, &name) {
            Ok(child) => visit(child.as_fd(), depth + 1, each)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed("open", walk::shown_in(group, name.to_bytes()), errno)),
        }
    }
    Ok(())
}

/// Names of the groups right below one.
pub(super) fn children(group: BorrowedFd<'_>) -> Result<Vec<CString>, CgroupError> {
    let unread = |errno: Errno| failed("read", walk::shown(group), errno);
    let mut names = Vec::new();
    let entries = match Dir::read_from(group) {
        // It was removed meanwhile.
        Err(Errno::NOENT | Errno::NODEV) => return Ok(names),
        entries => entries.map_err(unread)?,
    };
    for entry in entries {
        let entry = entry.map_err(unread)?;
        let dots = matches!(entry.file_name().to_bytes(), b"." | b"..");
        if entry.file_type() == FileType::Directory && !dots {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

pub(super) fn remove_below(parent: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<(), CgroupError> {
    let path = || walk::shown_in(parent, name.to_bytes());
    let group = match open_group(parent, name) {
        Ok(group) => group,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed("open", path(), errno)),
    };
    if depth >= MAX_DEPTH {
        return Err(failed("remove", path(), Errno::LOOP));
    }
    let mut first = Ok(());
    for child in children(group.as_fd())? {
        first = first.and(remove_below(group.as_fd(), &child, depth + 1));
    }
    first?;
    match fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::BUSY) => Err(CgroupError::Busy { path: path() }),
        Err(errno) => Err(failed("remove", path(), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Hierarchy;
    use agentbox_plan::SessionId;

    #[test]
    fn a_line_is_compared_whole() {
        assert!(has_line("populated 0\nfrozen 1\n", "frozen 1"));
        assert!(!has_line("populated 0\nfrozen 10\n", "frozen 1"));
        assert!(!has_line("", "populated 0"));
    }

    #[test]
    fn kernels_without_cgroup_kill_get_the_same_end() {
        use std::io::BufRead;
        let hierarchy = Hierarchy::find().unwrap();
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
        let group = hierarchy.create(&SessionId::from_random(random)).unwrap();
        let forks =
            "echo $$ > $0; i=0; while [ $i -lt 50 ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait";
        let procs = hierarchy.mount_point().join(format!("agentbox/{}/payload/cgroup.procs", group.id()));
        let mut child = std::process::Command::new("sh")
            .args(["-c", forks])
            .arg(procs)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let count = group.pids().unwrap().len();
        let killed = kill_frozen(group.payload.as_fd());
        let empty = group.wait_empty(Duration::from_secs(20)).unwrap();
        let _ = group.kill();
        child.wait().unwrap();
        assert!(killed.is_ok() && empty && count == 51, "{killed:?} {empty} {count}");
        group.remove().unwrap();
    }
}
