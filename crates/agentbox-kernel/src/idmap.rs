//! Whether a file system can be mounted with mapped owners (mount_setattr(2), MOUNT_ATTR_IDMAP).
//!
//! There is no list to look it up in that would stay true: it is tried, on a detached mount that nobody
//! sees and that is gone with its descriptor.

use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::io;

/// Whether what is open can be mounted with mapped owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It can.
    Yes,
    /// It cannot.
    No {
        /// Type of its file system.
        file_system: String,
    },
}

/// Tries it.
///
/// # Errors
/// When it cannot be tried: EPERM without the privilege, EINVAL for something that is in no mount of this
/// mount namespace.
pub fn support(fd: impl AsFd) -> io::Result<Support> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(fd.as_fd(), c"", flags)?;
    let namespace = throwaway_namespace()?;
    match sys::map_owners(tree.as_fd(), namespace.as_fd()) {
        Ok(()) => Ok(Support::Yes),
        // mount_setattr(2): the file system does not support it (EINVAL), or the mount is mapped already
        // (EPERM).
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::PERM)) => {
            Ok(Support::No { file_system: type_of(fd.as_fd()) })
        }
        Err(error) => Err(error),
    }
}

/// A user namespace with maps of one id, which is all that a trial needs.
fn throwaway_namespace() -> io::Result<OwnedFd> {
    sys::with_user_namespace(|pid| {
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{pid}/{map}"), "0 0 1\n")?;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty())?)
    })
}

/// Name of the file system's type, from the table of mounts.
fn type_of(fd: rustix::fd::BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    let unknown = || "unknown".to_owned();
    // proc_pid_fdinfo(5): mnt_id is the number of the mount in mountinfo.
    let Ok(info) = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())) else {
        return unknown();
    };
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<u64>().ok());
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mounts = crate::mountinfo::parse(&table).unwrap_or_default();
    mounts.into_iter().find(|mount| Some(mount.id) == id).map_or_else(unknown, |mount| mount.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_cannot_be_mapped_and_says_its_name() {
        let proc = std::fs::File::open("/proc").unwrap();
        assert_eq!(support(&proc).unwrap(), Support::No { file_system: "proc".into() });
    }

    #[test]
    fn many_at_once_do_not_wait_for_each_other() {
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert!(throwaway_namespace().is_ok()));
            }
        });
    }

    #[test]
    fn a_file_without_a_mount_here_cannot_be_tried() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert!(support(&read).is_err());
    }
}
