//! Control groups of sessions: `agentbox/ID/{supervise,payload}` in the version 2 hierarchy, or
//! `agentbox.slice/agentbox-ID.scope/{supervise,payload}` where a service manager makes the outer group and
//! delegates it ([`Layout`]).
//!
//! `supervise` holds the launcher's outer half, `payload` everything of the agent. Killing, freezing and
//! counting act on whole groups, so no process id is ever guessed at. The hierarchy is looked up in the
//! table of mounts: hybrid hosts have it beside the version 1 controllers, and then it has none itself;
//! groups work there, limits do not. What is done with a single group is in `group`.

mod group;

use crate::mountinfo;
use crate::walk;
use agentbox_plan::SessionId;
use group::{
    children, failed, has_line, kill, make, open_file, open_group, pids, read, remove_below, visit, wait_for,
    words, write,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Prefix of the names of scopes, and what they end with.
const SCOPE: (&str, &str) = ("agentbox-", ".scope");
const SUPERVISE: &CStr = c"supervise";
const PAYLOAD: &CStr = c"payload";
/// Why something about control groups did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// There is no version 2 hierarchy.
    #[error(
        "no control groups of version 2 are mounted; `mount -t cgroup2 none /sys/fs/cgroup`, or boot with \
         systemd.unified_cgroup_hierarchy=1"
    )]
    NotMounted,
    /// A call failed.
    #[error("cannot {doing} the control group {path}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which.
        path: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The group is there already.
    #[error("the control group {path} exists already")]
    Exists {
        /// Which.
        path: String,
    },
    /// Processes are left in a group that should be removed.
    #[error("the control group {path} still has processes; kill it first")]
    Busy {
        /// Which.
        path: String,
    },
    /// A file of the kernel's has another form than is known.
    #[error("cannot understand {path}: {content:?}")]
    Form {
        /// Which file.
        path: String,
        /// What it says.
        content: String,
    },
}

/// Who makes the group of a session, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Made here: `agentbox/ID`.
    Own,
    /// Made and removed by the service manager, and delegated: `agentbox.slice/agentbox-ID.scope`. What lies
    /// above it and its own limits are the service manager's (systemd's CGROUP_DELEGATION document).
    Scopes,
}

impl Layout {
    /// Group below the root of the hierarchy that holds all sessions.
    fn root(self) -> &'static CStr {
        match self {
            Self::Own => c"agentbox",
            Self::Scopes => c"agentbox.slice",
        }
    }

    fn name_of(self, id: &SessionId) -> CString {
        let name = match self {
            Self::Own => id.to_string(),
            Self::Scopes => scope_name(id),
        };
        // A session id holds no NUL: `[a-z0-9]` only.
        CString::new(name).unwrap_or_default()
    }

    fn id_of(self, name: &CStr) -> Option<SessionId> {
        let name = name.to_str().ok()?;
        match self {
            Self::Own => name.parse().ok(),
            Self::Scopes => name.strip_prefix(SCOPE.0)?.strip_suffix(SCOPE.1)?.parse().ok(),
        }
    }
}

/// Name of the scope of a session.
#[must_use]
pub fn scope_name(id: &SessionId) -> String {
    format!("{}{id}{}", SCOPE.0, SCOPE.1)
}

/// The version 2 hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    layout: Layout,
    mount: OwnedFd,
    mount_point: PathBuf,
    /// Path of the mounted group in the hierarchy; empty for its root.
    prefix: String,
}

/// The groups of a session.
#[derive(Debug)]
pub struct SessionGroup {
    /// The session's group.
    pub dir: OwnedFd,
    /// Where the launcher's outer half runs.
    pub supervise: OwnedFd,
    /// Where the agent runs.
    pub payload: OwnedFd,
    id: SessionId,
    layout: Layout,
    /// The group that holds all sessions.
    above: OwnedFd,
    mount: OwnedFd,
    path: String,
}

/// Most that the payload of a session may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupLimits {
    /// Bytes of memory; of swap there is none then.
    pub memory_max: Option<u64>,
    /// Processes and threads.
    pub tasks_max: Option<u64>,
    /// Share of the processors against other groups, 1 to 10000; theirs is 100.
    pub cpu_weight: Option<u64>,
    /// The same of disks.
    pub io_weight: Option<u64>,
}

/// Which limits that were asked for the kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enforced {
    /// Memory.
    pub memory: bool,
    /// Processes and threads.
    pub tasks: bool,
    /// Share of the processors.
    pub cpu: bool,
    /// Share of the disks.
    pub io: bool,
}

impl Hierarchy {
    /// Finds where the hierarchy is mounted, for groups of our own. Changes nothing.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`] when it is not; others when the mount cannot be opened.
    pub fn find() -> Result<Self, CgroupError> {
        Self::find_for(Layout::Own)
    }

    /// The same for groups as a layout says.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_for(layout: Layout) -> Result<Self, CgroupError> {
        let table = "/proc/self/mountinfo";
        let bytes = std::fs::read(table).map_err(|cause| failed("find", table, cause))?;
        let mounts = mountinfo::parse(&bytes).ok_or_else(|| CgroupError::Form {
            path: table.to_owned(),
            content: String::from_utf8_lossy(&bytes).into_owned(),
        })?;
        let version_2 = || mounts.iter().filter(|mount| mount.kind == "cgroup2");
        let whole = version_2().find(|mount| mount.root == b"/");
        let mount = whole.or_else(|| version_2().next()).ok_or(CgroupError::NotMounted)?;
        let mount_point = PathBuf::from(OsStr::from_bytes(&mount.point));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::open(&mount_point, flags, Mode::empty())
            .map_err(|errno| failed("open", mount_point.display().to_string(), errno))?;
        let prefix = String::from_utf8_lossy(&mount.root).trim_end_matches('/').to_owned();
        Ok(Self { layout, mount: fd, mount_point, prefix })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Whether a service manager makes and removes the groups of sessions.
    pub(crate) fn is_managed(&self) -> bool {
        self.layout == Layout::Scopes
    }

    /// Where the group of a session is, when it is there.
    pub(crate) fn place_of(&self, id: &SessionId) -> PathBuf {
        let below = |name: &CStr| OsStr::from_bytes(name.to_bytes()).to_owned();
        self.mount_point.join(below(self.layout.root())).join(below(&self.layout.name_of(id)))
    }

    /// Controllers that the hierarchy has. None on a hybrid host, where version 1 holds them.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be read.
    pub fn controllers(&self) -> Result<Vec<String>, CgroupError> {
        Ok(words(&read(&self.mount, c"cgroup.controllers")?))
    }

    /// Makes the groups of a session.
    ///
    /// # Errors
    /// [`CgroupError::Exists`] when they are there already, others when they cannot be made; nothing of
    /// them is left then.
    pub fn create(&self, id: &SessionId) -> Result<SessionGroup, CgroupError> {
        if self.layout == Layout::Scopes {
            // The service manager would not know of it.
            return Err(failed("make", scope_name(id), Errno::PERM));
        }
        let root = self.layout.root();
        match fs::mkdirat(&self.mount, root, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make", walk::shown_in(&self.mount, root.to_bytes()), errno)),
        }
        let above = self.all_sessions()?.ok_or_else(|| failed("open", "agentbox", Errno::NOENT))?;
        let name = self.layout.name_of(id);
        make(&above, &name)?;
        let made = open_group(&above, &name)
            .map_err(|errno| failed("open", walk::shown_in(&above, name.to_bytes()), errno))
            .and_then(|dir| {
                make(&dir, SUPERVISE)?;
                make(&dir, PAYLOAD)
            });
        let group = made.and_then(|()| self.open_existing(id));
        match group {
            Ok(Some(group)) => Ok(group),
            Ok(None) => Err(failed("open", walk::shown_in(&above, name.to_bytes()), Errno::NOENT)),
            Err(error) => {
                let _ = remove_below(above.as_fd(), &name, 0);
                Err(error)
            }
        }
    }

    /// Opens the groups of a session; `None` when there are none, or only a part of them, which nobody was started into:
    /// they are being made or removed, or a crash left them. Makes nothing: what somebody else removes would stay then.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be opened.
    pub fn open_existing(&self, id: &SessionId) -> Result<Option<SessionGroup>, CgroupError> {
        let Some((above, dir)) = self.open_outer(id)? else { return Ok(None) };
        let part = |part: &CStr| match open_group(&dir, part) {
            Ok(part) => Ok(Some(part)),
            // The directory of a removed group stays open and holds nothing.
            Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => Err(failed("open", walk::shown_in(&dir, part.to_bytes()), errno)),
        };
        let (Some(supervise), Some(payload)) = (part(SUPERVISE)?, part(PAYLOAD)?) else { return Ok(None) };
        let mount = self.mount.try_clone().map_err(|cause| failed("hold", "root", cause))?;
        let name = self.layout.name_of(id);
        let path =
            format!("{}/{}/{}", self.prefix, self.layout.root().to_string_lossy(), name.to_string_lossy());
        let layout = self.layout;
        Ok(Some(SessionGroup { dir, supervise, payload, id: id.clone(), layout, above, mount, path }))
    }

    /// Makes the parts of a scope that was just made; `None` when there is no scope.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be made.
    pub fn begin_scope(&self, id: &SessionId) -> Result<Option<SessionGroup>, CgroupError> {
        let Some((_above, dir)) = self.open_outer(id)? else { return Ok(None) };
        make(&dir, SUPERVISE)?;
        make(&dir, PAYLOAD)?;
        self.open_existing(id)
    }

    /// Kills whoever is in what is left of the groups of a session, whole or not; false when they have not ended within
    /// `timeout`.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be killed.
    pub fn kill_rest(&self, id: &SessionId, timeout: Duration) -> Result<bool, CgroupError> {
        let Some((_above, dir)) = self.open_outer(id)? else { return Ok(true) };
        let ended = kill(dir.as_fd()).and_then(|()| wait_for(dir.as_fd(), "populated 0", timeout));
        if is_gone(&dir) { Ok(true) } else { ended }
    }

    /// Removes what is left of the groups of a session, whole or not. Nothing there is fine. A scope is the service
    /// manager's, which removes its group once: this is for when it has let go of it.
    ///
    /// # Errors
    /// [`CgroupError::Busy`] when a process is in one, others when one cannot be removed.
    pub fn remove_rest(&self, id: &SessionId) -> Result<(), CgroupError> {
        match self.all_sessions()? {
            Some(above) => remove_below(above.as_fd(), &self.layout.name_of(id), 0),
            None => Ok(()),
        }
    }

    /// The group above a session's, and its own.
    fn open_outer(&self, id: &SessionId) -> Result<Option<(OwnedFd, OwnedFd)>, CgroupError> {
        let Some(above) = self.all_sessions()? else { return Ok(None) };
        let name = self.layout.name_of(id);
        match open_group(&above, &name) {
            Ok(dir) => Ok(Some((above, dir))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("open", walk::shown_in(&above, name.to_bytes()), errno)),
        }
    }

    /// Ids of all sessions that have groups, in order.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be read.
    pub fn list(&self) -> Result<Vec<SessionId>, CgroupError> {
        let Some(above) = self.all_sessions()? else { return Ok(Vec::new()) };
        let mut ids: Vec<SessionId> =
            children(above.as_fd())?.iter().filter_map(|name| self.layout.id_of(name)).collect();
        ids.sort();
        Ok(ids)
    }

    /// Processes of a session, without touching its groups.
    pub(crate) fn pids_of(&self, id: &SessionId) -> Result<Vec<u32>, CgroupError> {
        self.open_outer(id)?.map_or(Ok(Vec::new()), |(_above, group)| pids(group.as_fd()))
    }

    fn all_sessions(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let root = self.layout.root();
        match open_group(&self.mount, root) {
            Ok(group) => Ok(Some(group)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("open", walk::shown_in(&self.mount, root.to_bytes()), errno)),
        }
    }

    /// Makes the moves of processes into groups quick that follow within some milliseconds: the first one for a while
    /// waits for a grace period of the kernel's with its lock on forks (`cgroup_threadgroup_rwsem`, kernel/rcu/sync.c), and
    /// the lock stays as it is then for about as long again. What is moved here is this process, to where it is.
    ///
    /// # Errors
    /// [`CgroupError`] when this process may not move itself; nothing is lost but time.
    pub fn expect_move(&self) -> Result<(), CgroupError> {
        write(self.own_group()?, c"cgroup.procs", b"0")
    }

    /// The group that this process runs in.
    ///
    /// # Errors
    /// [`CgroupError`] when it cannot be found or opened.
    pub fn own_group(&self) -> Result<OwnedFd, CgroupError> {
        let table = "/proc/self/cgroup";
        let text = std::fs::read_to_string(table).map_err(|cause| failed("find", table, cause))?;
        let form = || CgroupError::Form { path: table.to_owned(), content: text.clone() };
        // cgroups(7): the line of the version 2 hierarchy has the number 0 and no controllers.
        let path = text.lines().find_map(|line| line.strip_prefix("0::")).ok_or_else(form)?;
        let below = path.strip_prefix(&self.prefix).ok_or_else(form)?.trim_start_matches('/');
        let below = CString::new(if below.is_empty() { "." } else { below }).map_err(|_nul| form())?;
        open_group(&self.mount, &below).map_err(|errno| failed("open", path, errno))
    }
}

impl SessionGroup {
    /// Which session's.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Path of the session's group as `/proc/PID/cgroup` shows it (`/agentbox/ID`).
    #[must_use]
    pub fn path(&self) -> String {
        self.path.clone()
    }

    /// The same of the payload (`/agentbox/ID/payload`).
    #[must_use]
    pub fn payload_path(&self) -> String {
        format!("{}/{}", self.path, PAYLOAD.to_string_lossy())
    }

    /// Moves a process of ours, which was started into the scope, to where the launcher's outer half will be:
    /// a group with controllers for those below it has no processes of its own (cgroups(7)). False when the
    /// process is not in the scope.
    ///
    /// # Errors
    /// [`CgroupError`] when it cannot be moved.
    pub fn take_in(&self, pid: u32) -> Result<bool, CgroupError> {
        if !read(&self.dir, c"cgroup.procs")?.lines().any(|line| line == pid.to_string()) {
            return Ok(false);
        }
        write(&self.supervise, c"cgroup.procs", pid.to_string().as_bytes())?;
        Ok(true)
    }

    /// Kills every process of the session, the launcher's outer half too. They are gone when
    /// [`wait_empty`](Self::wait_empty) says so.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be killed.
    pub fn kill(&self) -> Result<(), CgroupError> {
        self.unless_gone((), kill(self.dir.as_fd()))
    }

    /// Kills every process of the agent; the launcher's outer half reports the end.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be killed.
    pub fn kill_payload(&self) -> Result<(), CgroupError> {
        self.unless_gone((), kill(self.payload.as_fd()))
    }

    /// Stops every process of the agent where it is, and waits until all have stopped. False when they
    /// have not within `timeout`; they stop as soon as they can.
    ///
    /// # Errors
    /// [`CgroupError`] when the group cannot be frozen.
    pub fn freeze(&self, timeout: Duration) -> Result<bool, CgroupError> {
        write(&self.payload, c"cgroup.freeze", b"1")?;
        wait_for(self.payload.as_fd(), "frozen 1", timeout)
    }

    /// Lets frozen processes go on.
    ///
    /// # Errors
    /// [`CgroupError`] when the group cannot be thawed.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        write(&self.payload, c"cgroup.freeze", b"0")
    }

    /// Whether the agent's processes are to stand still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        read(&self.payload, c"cgroup.freeze").is_ok_and(|freeze| freeze.trim() == "1")
    }

    /// Whether any process of the session lives.
    ///
    /// # Errors
    /// [`CgroupError`] when it cannot be read.
    pub fn is_populated(&self) -> Result<bool, CgroupError> {
        let populated = read(&self.dir, c"cgroup.events").map(|events| !has_line(&events, "populated 0"));
        self.unless_gone(false, populated)
    }

    /// Waits until no process of the session lives; false when one does after `timeout`.
    ///
    /// # Errors
    /// [`CgroupError`] when it cannot be read.
    pub fn wait_empty(&self, timeout: Duration) -> Result<bool, CgroupError> {
        self.unless_gone(true, wait_for(self.dir.as_fd(), "populated 0", timeout))
    }

    /// A service manager removes a scope when it sees that nobody is in it, at any time: then nothing of it is
    /// populated or can be killed.
    fn unless_gone<T>(&self, when_gone: T, result: Result<T, CgroupError>) -> Result<T, CgroupError> {
        match result {
            Err(CgroupError::Io { .. }) if is_gone(&self.dir) => Ok(when_gone),
            other => other,
        }
    }

    /// `cgroup.events` of the session, open for reading: `POLLPRI` says that it changed since it was
    /// read, and [`is_populated`](Self::is_populated) how.
    ///
    /// # Errors
    /// [`CgroupError`] when it cannot be opened.
    pub fn events(&self) -> Result<OwnedFd, CgroupError> {
        open_file(self.dir.as_fd(), c"cgroup.events", OFlags::RDONLY)
    }

    /// Every process of the session.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be read.
    pub fn pids(&self) -> Result<Vec<u32>, CgroupError> {
        pids(self.dir.as_fd())
    }

    /// Those of the launcher's outer half.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be read.
    pub fn supervise_pids(&self) -> Result<Vec<u32>, CgroupError> {
        pids(self.supervise.as_fd())
    }

    /// Those of the agent and all that it started, with their PID 1.
    ///
    /// # Errors
    /// [`CgroupError`] when they cannot be read.
    pub fn payload_pids(&self) -> Result<Vec<u32>, CgroupError> {
        pids(self.payload.as_fd())
    }

    /// Microseconds of processor time that the payload has used; the kernel counts them with any controllers.
    #[must_use]
    pub fn cpu_usec(&self) -> Option<u64> {
        let stat = read(&self.payload, c"cpu.stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok())
    }

    /// Bytes of memory of the payload; `None` where nobody counts them.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        read(&self.payload, c"memory.current").ok()?.trim().parse().ok()
    }

    /// Whether the kernel has ended the payload because it used more memory than it may.
    #[must_use]
    pub fn has_exceeded_memory(&self) -> bool {
        let events = read(&self.payload, c"memory.events").unwrap_or_default();
        let kills =
            events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok());
        kills.is_some_and(|kills| kills > 0)
    }

    /// Processes and threads of the payload.
    #[must_use]
    pub fn tasks(&self) -> Option<u64> {
        if let Ok(count) = read(&self.payload, c"pids.current") {
            return count.trim().parse().ok();
        }
        let mut count = 0;
        visit(self.payload.as_fd(), 0, &mut |group| {
            count += read(group, c"cgroup.threads")?.lines().count();
            Ok(())
        })
        .ok()?;
        u64::try_from(count).ok()
    }

    /// Sets limits of the payload and weights of the session, and switches the controllers on for that. Says which of those asked
    /// for are enforced now; where the hierarchy has no such controller none is, which is no error here.
    ///
    /// # Errors
    /// [`CgroupError`] when the kernel has the controller and refuses the value.
    pub fn set_limits(&self, limits: GroupLimits) -> Result<Enforced, CgroupError> {
        let set = |controller: &str, file: &CStr, limit: Option<u64>| {
            let Some(limit) = limit else { return Ok(false) };
            let ours: &[&OwnedFd] = match self.layout {
                Layout::Own => &[&self.mount, &self.above, &self.dir],
                Layout::Scopes => &[&self.dir],
            };
            for group in ours {
                group::switch_on(group, controller);
            }
            match write(&self.payload, file, limit.to_string().as_bytes()) {
                Ok(()) => Ok(read(&self.payload, file)?.trim() != "max"),
                Err(CgroupError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        let weigh = |controller: &str, files: &[&CStr], weight: Option<u64>| {
            let Some(weight) = weight else { return Ok(false) };
            if self.layout == Layout::Own {
                for group in [&self.mount, &self.above] {
                    group::switch_on(group, controller);
                }
            }
            for file in files {
                // A scope's weight was set by the service manager, silently without where there is no file.
                let result = match self.layout {
                    Layout::Own => write(&self.dir, file, weight.to_string().as_bytes()),
                    Layout::Scopes => Ok(()),
                };
                match result.and_then(|()| read(&self.dir, file)) {
                    // io.weight has a line for each device, the first for all others.
                    Ok(is) => return Ok(is.split_whitespace().any(|word| word == weight.to_string())),
                    Err(CgroupError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(false)
        };
        let memory = set("memory", c"memory.max", limits.memory_max)?;
        if memory {
            // All of it or nothing: what is left of an agent that lost some of its processes is of no use. The launcher
            // beside it tells how it ended, and ends.
            write(&self.payload, c"memory.oom.group", b"1")?;
            // Swap is counted apart: without a bound of its own what is beyond the memory goes there.
            match write(&self.payload, c"memory.swap.max", b"0") {
                Err(CgroupError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(Enforced {
            cpu: weigh("cpu", &[c"cpu.weight"], limits.cpu_weight)?,
            io: weigh("io", &[c"io.weight", c"io.bfq.weight"], limits.io_weight)?,
            memory,
            tasks: set("pids", c"pids.max", limits.tasks_max)?,
        })
    }

    /// Removes the groups, deepest first. Nothing there is fine. A scope itself stays for the service manager,
    /// who removes it when it sees that nobody is in it.
    ///
    /// # Errors
    /// [`CgroupError::Busy`] when a process is left in one, others when one cannot be removed.
    pub fn remove(&self) -> Result<(), CgroupError> {
        match self.layout {
            Layout::Own => remove_below(self.above.as_fd(), &self.layout.name_of(&self.id), 0),
            Layout::Scopes => {
                let payload = remove_below(self.dir.as_fd(), PAYLOAD, 0);
                payload.and(remove_below(self.dir.as_fd(), SUPERVISE, 0))
            }
        }
    }
}

/// Only an empty group can be removed, and the files of a removed one cannot be opened.
fn is_gone(group: &OwnedFd) -> bool {
    let procs = fs::openat(group, c"cgroup.procs", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    matches!(procs, Err(Errno::NOENT | Errno::NODEV))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_find_their_own_names_and_no_others() {
        let id: SessionId = "abc123".parse().unwrap();
        for layout in [Layout::Own, Layout::Scopes] {
            assert_eq!(layout.id_of(&layout.name_of(&id)), Some(id.clone()));
        }
        for name in [c"agentbox-.scope", c"abc123", c"agentbox-abc123.service", c"agentbox-a-b.scope"] {
            assert_eq!(Layout::Scopes.id_of(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_scope_is_never_made_here() {
        let id: SessionId = "abc123".parse().unwrap();
        let hierarchy = Hierarchy::find_for(Layout::Scopes).unwrap();
        assert!(hierarchy.create(&id).is_err());
        assert!(!hierarchy.list().unwrap().contains(&id));
    }

    #[test]
    fn a_group_that_somebody_removed_is_empty_and_killed() {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).unwrap();
        let hierarchy = Hierarchy::find().unwrap();
        let group = hierarchy.create(&SessionId::from_random(random)).unwrap();
        hierarchy.open_existing(group.id()).unwrap().unwrap().remove().unwrap();
        assert!(!group.is_populated().unwrap() && group.wait_empty(Duration::ZERO).unwrap());
        group.kill().unwrap();
        group.kill_payload().unwrap();
        group.remove().unwrap();
    }

    #[test]
    fn memory_that_is_bounded_does_not_go_on_in_swap_and_a_kernel_without_swap_is_fine() {
        let place = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(std::fs::File::open(place.path()).unwrap());
        let group = SessionGroup {
            dir: open(),
            supervise: open(),
            payload: open(),
            id: "abc123".parse().unwrap(),
            layout: Layout::Scopes,
            above: open(),
            mount: open(),
            path: String::new(),
        };
        for (file, is) in [("memory.max", "max"), ("memory.oom.group", "0")] {
            std::fs::write(place.path().join(file), is).unwrap();
        }
        let limits = GroupLimits { memory_max: Some(64 << 20), ..GroupLimits::default() };
        assert!(group.set_limits(limits).unwrap().memory);
        let swap = place.path().join("memory.swap.max");
        std::fs::write(&swap, "x").unwrap();
        assert!(group.set_limits(limits).unwrap().memory);
        assert_eq!(std::fs::read_to_string(swap).unwrap(), "0");
    }

    #[test]
    fn the_group_of_this_process_is_found() {
        let own = Hierarchy::find().unwrap().own_group().unwrap();
        assert!(pids(own.as_fd()).unwrap().contains(&std::process::id()));
    }
}
