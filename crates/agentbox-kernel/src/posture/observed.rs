//! Reads what `/proc/PID` says of a process.
//!
//! All is read through one descriptor of the directory, which stands for this process alone: when it ends
//! meanwhile, reading fails, and never shows another process of the same number.

use super::PostureError;
use crate::mountinfo::{self, Mount};
use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, Dir, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

/// The five capability sets of a process (capabilities(7)), as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySets {
    /// Kept over execve(2) by marked files.
    pub inheritable: u64,
    /// What it may switch on.
    pub permitted: u64,
    /// What is on.
    pub effective: u64,
    /// What execve(2) can ever give it.
    pub bounding: u64,
    /// What execve(2) keeps.
    pub ambient: u64,
}

/// A resource limit; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// What the kernel shows of a process.
#[derive(Debug)]
#[non_exhaustive]
pub struct Observed {
    /// Its process id.
    pub pid: u32,
    /// Real, effective, saved and file system user.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group.
    pub gids: [u32; 4],
    /// Supplementary groups, in order.
    pub groups: Vec<u32>,
    /// Capabilities.
    pub capabilities: CapabilitySets,
    /// Whether execve(2) can give it no privilege.
    pub no_new_privs: bool,
    /// 0 none, 1 strict, 2 filters.
    pub seccomp: u32,
    /// How many seccomp filters it has; `None` before Linux 5.9.
    pub seccomp_filters: Option<u32>,
    /// How many of them every process of this machine has: those of its first one. A container has some.
    pub machine_filters: u32,
    /// Inode numbers of its namespaces by name; a name that cannot be read is missing.
    pub namespaces: BTreeMap<String, u64>,
    /// The same of this process.
    pub own_namespaces: BTreeMap<String, u64>,
    /// Open descriptors and what they are open on.
    pub descriptors: BTreeMap<u32, String>,
    /// Resource limits by the names of `/proc/PID/limits`.
    pub limits: BTreeMap<String, ResourceLimit>,
    /// Preference of the out-of-memory killer.
    pub oom_score_adj: i32,
    /// File mode creation mask.
    pub umask: u32,
    /// Whether other processes of its user may trace it (prctl(2), PR_SET_DUMPABLE); `None` for
    /// processes of root, whose files look the same either way.
    pub dumpable: Option<bool>,
    /// Names of its first environment, in order.
    pub environment: Vec<String>,
    /// Its control group of version 2.
    pub cgroup: String,
    /// Working directory, seen from this process's root.
    pub directory: String,
    /// Root directory, the same.
    pub root_directory: String,
    pub(crate) mounts: Vec<Mount>,
    /// Its root, to look whether something is there.
    pub(crate) root: Option<OwnedFd>,
}

/// Where its descriptors lead.
pub(super) fn descriptors(pid: u32) -> Result<BTreeMap<u32, String>, PostureError> {
    Proc::open(pid)?.descriptors()
}

/// Observes a process.
///
/// # Errors
/// [`PostureError`] when it has ended or cannot be read.
pub fn observe(pid: u32) -> Result<Observed, PostureError> {
    let process = Proc::open(pid)?;
    let status = process.text("status")?;
    let field = |name: &'static str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).ok_or_else(|| process.form("status", name))
    };
    let set = |name| u64::from_str_radix(field(name)?, 16).map_err(|_| process.form("status", name));
    let number = |name| field(name)?.parse::<u32>().map_err(|_| process.form("status", name));
    let four = |name| <[u32; 4]>::try_from(numbers(field(name)?)).map_err(|_| process.form("status", name));
    let mut groups = numbers(field("Groups")?);
    groups.sort_unstable();
    let uids = four("Uid")?;
    let table = process.bytes("mountinfo")?;
    Ok(Observed {
        pid,
        uids,
        gids: four("Gid")?,
        groups,
        capabilities: CapabilitySets {
            inheritable: set("CapInh")?,
            permitted: set("CapPrm")?,
            effective: set("CapEff")?,
            bounding: set("CapBnd")?,
            ambient: set("CapAmb")?,
        },
        no_new_privs: number("NoNewPrivs")? == 1,
        seccomp: number("Seccomp")?,
        seccomp_filters: number("Seccomp_filters").ok(),
        machine_filters: Proc::open(1)?
            .text("status")?
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp_filters:")?.trim().parse().ok())
            .unwrap_or(0),
        namespaces: process.namespaces()?,
        own_namespaces: Proc::open(std::process::id())?.namespaces()?,
        descriptors: process.descriptors()?,
        limits: process.limits()?,
        oom_score_adj: process
            .text("oom_score_adj")?
            .trim()
            .parse()
            .map_err(|_| process.form("oom_score_adj", "number"))?,
        umask: u32::from_str_radix(field("Umask")?, 8).map_err(|_| process.form("status", "Umask"))?,
        dumpable: process.dumpable(uids[1])?,
        environment: process.environment()?,
        cgroup: process.cgroup()?,
        directory: process.link("cwd")?,
        root_directory: process.link("root")?,
        mounts: mountinfo::parse(&table).ok_or_else(|| process.form("mountinfo", "table of mounts"))?,
        root: Some(process.root()?),
    })
}

impl Observed {
    /// What is at an absolute path inside. Only looked at, never opened; links are followed as inside,
    /// and none leads out of the process's root.
    pub(crate) fn at(&self, path: &[u8]) -> At {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let Some(root) = &self.root else { return At::Unknown };
        let found = match fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return At::Nothing,
            Err(_) => return At::Unknown,
        };
        // statx(2): the attribute says that this is the root of a mount, the number which one.
        let stat = fs::statx(&found, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
        match stat {
            Ok(stat) if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) => {
                At::MountRoot(stat.stx_mnt_id)
            }
            Ok(_) => At::Something,
            Err(_) => At::Unknown,
        }
    }
}

/// What is at a path inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Nothing.
    Nothing,
    /// The root of a mount, and the mount's number.
    MountRoot(u64),
    /// Something that is no mount of its own.
    Something,
    /// It cannot be said.
    Unknown,
}

/// Resource limits of this process.
pub(crate) fn own_limits() -> Result<BTreeMap<String, ResourceLimit>, PostureError> {
    Proc::open(std::process::id())?.limits()
}

/// Seccomp filters of this process; before Linux 5.9, which does not count them, none.
pub(crate) fn own_filters() -> Result<u32, PostureError> {
    let status = Proc::open(std::process::id())?.text("status")?;
    let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}

/// `/proc/PID`.
struct Proc {
    pid: u32,
    dir: OwnedFd,
}

impl Proc {
    fn open(pid: u32) -> Result<Self, PostureError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::open(format!("/proc/{pid}"), flags, Mode::empty()) {
            Ok(dir) => Ok(Self { pid, dir }),
            Err(Errno::NOENT) => Err(PostureError::Gone { pid }),
            Err(errno) => Err(PostureError::Io { pid, file: ".".to_owned(), cause: errno.into() }),
        }
    }

    fn failed(&self, file: &str, errno: Errno) -> PostureError {
        match errno {
            Errno::SRCH => PostureError::Gone { pid: self.pid },
            errno => PostureError::Io { pid: self.pid, file: file.to_owned(), cause: errno.into() },
        }
    }

    fn form(&self, file: &'static str, missing: &str) -> PostureError {
        PostureError::Form { pid: self.pid, file, missing: missing.to_owned() }
    }

    fn bytes(&self, file: &str) -> Result<Vec<u8>, PostureError> {
        let open = fs::openat(&self.dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut bytes = Vec::new();
        let read = open.map(File::from).map_err(Into::into).and_then(|mut open| open.read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(match Errno::from_io_error(&error) {
                Some(errno) => self.failed(file, errno),
                None => PostureError::Io { pid: self.pid, file: file.to_owned(), cause: error },
            }),
        }
    }

    fn text(&self, file: &str) -> Result<String, PostureError> {
        Ok(String::from_utf8_lossy(&self.bytes(file)?).into_owned())
    }

    fn link(&self, file: &str) -> Result<String, PostureError> {
        match fs::readlinkat(&self.dir, file, Vec::new()) {
            Ok(target) => Ok(target.to_string_lossy().into_owned()),
            // A process without memory of its own (a zombie) has these links, and they lead nowhere.
            Err(Errno::NOENT) => Err(PostureError::Gone { pid: self.pid }),
            Err(errno) => Err(self.failed(file, errno)),
        }
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, PostureError> {
        let failed = |errno| self.failed(directory, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = fs::openat(&self.dir, directory, flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in Dir::new(open).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn namespaces(&self) -> Result<BTreeMap<String, u64>, PostureError> {
        let mut found = BTreeMap::new();
        for name in self.names("ns")? {
            // nsfs gives each namespace an inode number of its own (namespaces(7)).
            match fs::statat(&self.dir, format!("ns/{name}"), AtFlags::empty()) {
                Ok(stat) => {
                    found.insert(name, stat.st_ino);
                }
                // pid_for_children of a process that has not made its first child yet.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed("ns", errno)),
            }
        }
        Ok(found)
    }

    fn descriptors(&self) -> Result<BTreeMap<u32, String>, PostureError> {
        let mut found = BTreeMap::new();
        for name in self.names("fd")? {
            let Ok(number) = name.parse() else { continue };
            match fs::readlinkat(&self.dir, format!("fd/{name}"), Vec::new()) {
                Ok(target) => {
                    found.insert(number, target.to_string_lossy().into_owned());
                }
                // Closed since the directory was read.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.failed("fd", errno)),
            }
        }
        Ok(found)
    }

    fn limits(&self) -> Result<BTreeMap<String, ResourceLimit>, PostureError> {
        // "Max open files            1024                 524288               files     "
        let text = self.text("limits")?;
        let value = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
        let mut found = BTreeMap::new();
        for line in text.lines().skip(1) {
            let name = line.get(..25).map(str::trim).ok_or_else(|| self.form("limits", "name"))?;
            let mut words = line[25..].split_whitespace();
            let mut next = || words.next().and_then(value).ok_or_else(|| self.form("limits", name));
            found.insert(name.to_owned(), ResourceLimit { soft: next()?, hard: next()? });
        }
        Ok(found)
    }

    /// The files of a process belong to root when it is not dumpable (proc(5)).
    fn dumpable(&self, uid: u32) -> Result<Option<bool>, PostureError> {
        if uid == 0 {
            return Ok(None);
        }
        let stat = fs::statat(&self.dir, "status", AtFlags::empty());
        let stat = stat.map_err(|errno| self.failed("status", errno))?;
        Ok(Some(stat.st_uid != 0))
    }

    fn environment(&self) -> Result<Vec<String>, PostureError> {
        let bytes = self.bytes("environ")?;
        let mut names: Vec<String> = bytes
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                let name = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
                String::from_utf8_lossy(name).into_owned()
            })
            .collect();
        names.sort();
        Ok(names)
    }

    fn cgroup(&self) -> Result<String, PostureError> {
        let text = self.text("cgroup")?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"));
        path.map(str::to_owned).ok_or_else(|| self.form("cgroup", "group of version 2"))
    }

    fn root(&self) -> Result<OwnedFd, PostureError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat(&self.dir, "root", flags, Mode::empty()).map_err(|errno| self.failed("root", errno))
    }
}

fn numbers(words: &str) -> Vec<u32> {
    words.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
