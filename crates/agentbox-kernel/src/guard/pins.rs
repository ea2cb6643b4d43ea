//! The program, loaded and pinned: `/sys/fs/bpf/agentbox/SUPERVISOR/VERSION`, both numbers.
//!
//! Each supervisor has its own, told by its runtime directory, and pins whole or not at all: everything is
//! pinned in a directory that is renamed when it is complete.

use super::host::{FILE_SYSTEM, Unavailable};
use super::{GuardError, failed};
use aya::programs::Lsm;
use aya::programs::links::FdLink;
use aya::{Btf, EbpfLoader};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Names of the program's maps.
pub(super) const MAPS: &[&str] = &["config", "sessions", "names", "exempt", "held", "events"];

/// Programs and the hooks that they are for. Of those for one hook the first that the kernel takes is it:
/// arguments of hooks changed between versions.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("inode_create", &["guard_create"]),
    ("inode_mknod", &["guard_mknod"]),
    ("inode_mkdir", &["guard_mkdir"]),
    ("inode_symlink", &["guard_symlink"]),
    ("inode_link", &["guard_link"]),
    ("inode_rename", &["guard_rename"]),
    ("file_open", &["guard_open"]),
    ("inode_setattr", &["guard_setattr", "guard_setattr_old"]),
    ("inode_unlink", &["guard_unlink"]),
    ("inode_rmdir", &["guard_rmdir"]),
];

/// Directory of a version that is not yet whole.
const HALF: &str = "half";

/// The pins of a supervisor.
#[derive(Debug)]
pub(super) struct Pins {
    supervisor: PathBuf,
    directory: PathBuf,
}

impl Pins {
    /// Those of this program, loaded when they are not there.
    pub(super) fn open(object: &[u8], runtime: &Path) -> Result<Self, GuardError> {
        let supervisor = supervisor(runtime);
        let directory = supervisor.join(format!("{:016x}", fnv(object)));
        let pins = Self { supervisor, directory };
        if !pins.directory.is_dir() {
            let half = pins.supervisor.join(HALF);
            remove(&half)?;
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&half)
                .map_err(|error| failed(format!("make {}", half.display()), error))?;
            load(object, &half).inspect_err(|_| {
                let _ = remove(&half);
                pins.remove_empty();
            })?;
            fs::rename(&half, &pins.directory)
                .map_err(|error| failed(format!("name {}", pins.directory.display()), error))?;
        }
        Ok(pins)
    }

    /// Whether there are any of this supervisor's.
    pub(super) fn exist(runtime: &Path) -> bool {
        supervisor(runtime).is_dir()
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes those of other programs.
    pub(super) fn remove_others(&self) -> Result<(), GuardError> {
        for directory in entries(&self.supervisor)? {
            if directory != self.directory {
                remove(&directory)?;
            }
        }
        Ok(())
    }

    /// Removes all.
    pub(super) fn remove_all(&self) -> Result<(), GuardError> {
        for directory in entries(&self.supervisor)? {
            remove(&directory)?;
        }
        self.remove_empty();
        Ok(())
    }

    /// What another supervisor has there stays.
    fn remove_empty(&self) {
        let _ = fs::remove_dir(&self.supervisor);
        let _ = fs::remove_dir(Path::new(FILE_SYSTEM).join("agentbox"));
    }
}

fn supervisor(runtime: &Path) -> PathBuf {
    Path::new(FILE_SYSTEM).join("agentbox").join(format!("{:016x}", fnv(runtime.as_os_str().as_bytes())))
}

/// FNV-1a: tells versions, supervisors and names apart, keeps no secret. guard.bpf.c has the same.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, GuardError> {
    let unread = |error: io::Error| failed(format!("read {}", directory.display()), error);
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unread)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unread(error)),
    }
}

/// Removes a version. The kernel detaches a program with the last name and descriptor of its link.
fn remove(directory: &Path) -> Result<(), GuardError> {
    let gone = |path: &Path, result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    };
    for pin in entries(directory)? {
        gone(&pin, fs::remove_file(&pin))?;
    }
    gone(directory, fs::remove_dir(directory))
}

fn load(object: &[u8], into: &Path) -> Result<(), GuardError> {
    let refused = |doing: &str, cause: &dyn std::error::Error| {
        GuardError::Unavailable(Unavailable::new(
            format!("the kernel does not take the guard: {doing}: {}", in_short(cause)),
            "boot a kernel of 5.17 or newer with CONFIG_BPF_LSM, and without lockdown=confidentiality",
        ))
    };
    let types = Btf::from_sys_fs().map_err(|error| refused("its types", &error))?;
    let mut program =
        EbpfLoader::new().btf(Some(&types)).load(object).map_err(|error| refused("the program", &error))?;
    for name in MAPS {
        let map = program.map_mut(name).ok_or_else(|| failed("find a map", name))?;
        map.pin(into.join(name)).map_err(|error| failed(format!("pin {name}"), in_short(&error)))?;
    }
    for (hook, names) in PROGRAMS {
        let mut last = None;
        for name in *names {
            let found = program.program_mut(name).ok_or_else(|| failed("find a program", name))?;
            let lsm: &mut Lsm = found.try_into().map_err(|error| failed("find a program", error))?;
            match lsm.load(hook, &types) {
                Ok(()) => {
                    let link = lsm.attach().and_then(|id| lsm.take_link(id));
                    let link: FdLink = link.map_err(|error| refused(hook, &error))?.into();
                    let pinned = link.pin(into.join(hook));
                    pinned.map_err(|error| failed(format!("pin {hook}"), in_short(&error)))?;
                    last = None;
                    break;
                }
                Err(error) => last = Some(refused(hook, &error)),
            }
        }
        if let Some(error) = last {
            return Err(error);
        }
    }
    Ok(())
}

/// What an error and its causes say, without the pages that the kernel's verifier writes.
fn in_short(error: &dyn std::error::Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    let lines = causes.iter().filter_map(|text| {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("processed"));
        let first = lines.next()?.to_owned();
        Some(match lines.next_back() {
            Some(last) => format!("{first} … {last}"),
            None => first,
        })
    });
    lines.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn supervisors_have_directories_of_their_own() {
        assert_ne!(supervisor(Path::new("/run/agentbox")), supervisor(Path::new("/run/other")));
        // bpffs keeps names with a dot for itself.
        let name = supervisor(Path::new("/run/agent.box"));
        assert!(!name.file_name().unwrap_or(OsStr::new(".")).as_bytes().contains(&b'.'));
    }
}
