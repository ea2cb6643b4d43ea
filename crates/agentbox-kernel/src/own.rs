//! The file system in memory that an agent keeps its own files in: made before the session, filled, kept open,
//! and looked into when everything of the session is gone.
//!
//! What is taken back was made by the agent, so nothing of it is believed: it is reached beneath the file
//! system's root and through no link, and is a regular file with one name and of a bounded size, or is
//! refused. What is in it is judged by whoever asked.

use crate::directory::DirectoryError;
use crate::removal::remove_tree;
use crate::walk;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

/// Beneath the root, through no link and onto no other file system.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
/// Deepest nesting that is kept. Each level is an open descriptor.
const MAX_DEPTH: usize = 16;

/// A file that was asked for back.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing has that path.
    Missing,
    /// Something that is not taken, and why.
    Refused(String),
    /// What is in it.
    File(Vec<u8>),
}

/// What a directory holds after it was swept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files that are left.
    pub files: u64,
    /// Directories that are left.
    pub directories: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// What was removed, and why: the first few.
    pub removed: Vec<String>,
    /// How much was removed.
    pub removed_count: u64,
}

/// What a directory may hold.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// What names of files end in.
    pub suffixes: &'a [String],
    /// Most bytes of one file.
    pub max_file_bytes: u64,
    /// Most bytes of all.
    pub max_bytes: u64,
    /// Most files and directories, of whatever size: each is looked at again at every end.
    pub max_files: u64,
}

/// Makes an empty file system whose root is one user's, mode 0700: a mount that is attached nowhere.
///
/// # Errors
/// [`DirectoryError`] when the kernel does not make it.
pub fn make(size_bytes: u64, inodes: u64, uid: u32, gid: u32) -> Result<OwnedFd, DirectoryError> {
    let failed = |errno: Errno| DirectoryError::io("make", "a file system in memory", errno);
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed)?;
    for (key, value) in [
        ("mode", "0700".to_owned()),
        ("size", size_bytes.to_string()),
        ("nr_inodes", inodes.to_string()),
        ("uid", uid.to_string()),
        ("gid", gid.to_string()),
    ] {
        fsconfig_set_string(context.as_fd(), key, value.as_str()).map_err(failed)?;
    }
    fsconfig_create(context.as_fd()).map_err(failed)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)
}

/// The root of such a file system as a process sees it at a path, for a supervisor that did not make it.
/// `None` when something else is there.
///
/// # Errors
/// [`DirectoryError`] when it cannot be looked at.
pub fn find(pid: u32, path: &str) -> Result<Option<OwnedFd>, DirectoryError> {
    let root = format!("/proc/{pid}/root");
    let shown = || format!("{root}{}", path.escape_default());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let failed = |errno| DirectoryError::io("open", shown(), errno);
    let top = fs::open(&root, flags, Mode::empty()).map_err(failed)?;
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let found = match fs::openat2(&top, path, flags, Mode::empty(), how) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    };
    // statfs(2): TMPFS_MAGIC. What lies on a disk is not what was made here.
    let kind = fs::fstatfs(&found).map_err(failed)?;
    Ok((kind.f_type == 0x0102_1994).then_some(found))
}

/// Puts a file there, mode 0600, with the directories above it, all of one user.
///
/// # Errors
/// [`DirectoryError`] when it cannot be made.
pub fn put(own: impl AsFd, path: &str, content: &[u8], uid: u32, gid: u32) -> Result<(), DirectoryError> {
    let failed = |errno: Errno| DirectoryError::io("make", path, errno);
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let mut here = fs::openat2(own, ".", DIRECTORY, Mode::empty(), RESOLVE).map_err(failed)?;
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in above.split('/').filter(|part| !part.is_empty()) {
        match fs::mkdirat(&here, part, Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                fs::chownat(&here, part, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        here = fs::openat2(&here, part, DIRECTORY, Mode::empty(), RESOLVE).map_err(failed)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat2(&here, name, flags, Mode::from_raw_mode(0o600), RESOLVE).map_err(failed)?;
    fs::fchown(&file, owner.0, owner.1).map_err(failed)?;
    File::from(file).write_all(content).map_err(|cause| DirectoryError::io("write", path, cause))
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Takes a file back.
///
/// # Errors
/// [`DirectoryError`] when it cannot be read.
pub fn take(own: impl AsFd, path: &str, max_bytes: u64) -> Result<Taken, DirectoryError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match fs::openat2(own, path, flags, Mode::empty(), RESOLVE) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Taken::Missing),
        Err(Errno::LOOP) => return Ok(Taken::Refused("a symbolic link".to_owned())),
        Err(Errno::XDEV) => return Ok(Taken::Refused("on another file system".to_owned())),
        Err(Errno::NXIO) => return Ok(Taken::Refused("a socket or a device".to_owned())),
        Err(errno) => return Err(DirectoryError::io("open", path, errno)),
    };
    let stat = fs::fstat(&file).map_err(|errno| DirectoryError::io("examine", path, errno))?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Ok(Taken::Refused(format!("a {}", walk::type_name(stat.st_mode))));
    }
    if stat.st_nlink != 1 {
        return Ok(Taken::Refused("a file with several names".to_owned()));
    }
    let mut bytes = Vec::new();
    let read = File::from(file).take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|cause| DirectoryError::io("read", path, cause))?;
    if bytes.len() as u64 > max_bytes {
        return Ok(Taken::Refused(format!("larger than {max_bytes} bytes")));
    }
    Ok(Taken::File(bytes))
}

/// Removes from a directory what its shape does not allow: other names, links, devices, what has several
/// names, what is too large. What may be executed loses that bit.
///
/// # Errors
/// [`DirectoryError`] when it cannot be read, or something cannot be removed.
pub fn sweep(directory: impl AsFd, shape: Shape<'_>) -> Result<Swept, DirectoryError> {
    let mut swept = Swept::default();
    let top = fs::openat2(directory, ".", DIRECTORY, Mode::empty(), RESOLVE)
        .map_err(|errno| DirectoryError::io("open", "a volume", errno))?;
    sweep_in(&top, shape, 1, &mut swept)?;
    Ok(swept)
}

fn sweep_in(
    directory: &OwnedFd,
    shape: Shape<'_>,
    depth: usize,
    swept: &mut Swept,
) -> Result<(), DirectoryError> {
    let failed = |errno: Errno| DirectoryError::io("read", walk::shown(directory), errno);
    let mut names: Vec<CString> = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    for name in names {
        let stat = match walk::stat_in(directory, &name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let is_full = swept.files.saturating_add(swept.directories) >= shape.max_files;
        let named = shape.suffixes.iter().any(|suffix| name.to_bytes().ends_with(suffix.as_bytes()));
        let why = match kind {
            FileType::Directory | FileType::RegularFile if is_full => "too many",
            FileType::Directory if depth < MAX_DEPTH => {
                let below = fs::openat2(directory, &name, DIRECTORY, Mode::empty(), RESOLVE);
                match below {
                    Ok(below) => {
                        swept.directories += 1;
                        sweep_in(&below, shape, depth + 1, swept)?;
                        continue;
                    }
                    Err(_) => "cannot be entered",
                }
            }
            FileType::Directory => "nested too deep",
            FileType::RegularFile if !named => "another kind of file",
            FileType::RegularFile if stat.st_nlink != 1 => "has several names",
            FileType::RegularFile if size > shape.max_file_bytes => "too large",
            FileType::RegularFile if swept.bytes.saturating_add(size) > shape.max_bytes => "too much",
            FileType::RegularFile => {
                if stat.st_mode & 0o7111 != 0 {
                    plain(directory, &name)?;
                }
                swept.files += 1;
                swept.bytes += size;
                continue;
            }
            _ => "no regular file",
        };
        remove_tree(directory, OsStr::from_bytes(name.to_bytes()))?;
        swept.removed_count += 1;
        if swept.removed.len() < 8 {
            swept.removed.push(format!("{}: {why}", name.to_bytes().escape_ascii()));
        }
    }
    Ok(())
}

/// Takes every bit from a file that lets it run.
fn plain(directory: &OwnedFd, name: &CString) -> Result<(), DirectoryError> {
    let shown = || walk::shown_in(directory, name.to_bytes());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat2(directory, name, flags, Mode::empty(), RESOLVE)
        .map_err(|errno| DirectoryError::io("open", shown(), errno))?;
    fs::fchmod(&file, Mode::from_raw_mode(0o600))
        .map_err(|errno| DirectoryError::io("set the mode of", shown(), errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn open(directory: &tempfile::TempDir) -> OwnedFd {
        File::open(directory.path()).unwrap().into()
    }

    #[test]
    fn what_was_put_there_is_taken_back_and_nothing_else_is() {
        let own = make(1 << 20, 100, 1234, 1234).unwrap();
        put(&own, "a/b/file", b"{}", 1234, 1234).unwrap();
        assert_eq!(take(&own, "a/b/file", 100).unwrap(), Taken::File(b"{}".to_vec()));
        assert_eq!(take(&own, "a/none", 100).unwrap(), Taken::Missing);
        assert!(matches!(take(&own, "a/b/file", 1).unwrap(), Taken::Refused(_)));
        assert!(matches!(take(&own, "a/b", 100).unwrap(), Taken::Refused(_)));
        assert!(matches!(take(&own, "../etc/passwd", 100).unwrap(), Taken::Refused(_)));
        let stat = fs::statat(&own, "a/b/file", AtFlags::empty()).unwrap();
        assert_eq!((stat.st_uid, stat.st_mode & 0o7777), (1234, 0o600));
    }

    #[test]
    fn a_file_system_of_its_own_is_bounded() {
        let own = make(1 << 20, 4, 0, 0).unwrap();
        assert!(put(&own, "large", &vec![0; 2 << 20], 0, 0).is_err());
    }

    #[test]
    fn links_devices_and_second_names_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("secret"), "{}").unwrap();
        symlink(path("secret"), path("link")).unwrap();
        std::fs::hard_link(path("secret"), path("second")).unwrap();
        fs::mknodat(fs::CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        for name in ["link", "second", "pipe"] {
            assert!(matches!(take(open(&directory), name, 100).unwrap(), Taken::Refused(_)), "{name}");
        }
    }

    #[test]
    fn a_volume_keeps_its_shape() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(path("a/b")).unwrap();
        for (name, size) in
            [("a/b/one.jsonl", 10), ("a/run.sh", 1), ("large.jsonl", 200), ("z.jsonl", 60), ("zz.jsonl", 60)]
        {
            std::fs::write(path(name), vec![b'x'; size]).unwrap();
        }
        std::fs::set_permissions(path("a/b/one.jsonl"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink("/etc/passwd", path("link.jsonl")).unwrap();
        let suffixes = [".jsonl".to_owned()];
        let shape = Shape { suffixes: &suffixes, max_file_bytes: 100, max_bytes: 100, max_files: 100 };
        let swept = sweep(open(&directory), shape).unwrap();
        assert_eq!((swept.files, swept.bytes, swept.removed_count), (2, 70, 4), "{swept:?}");
        assert_eq!(std::fs::metadata(path("a/b/one.jsonl")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!path("link.jsonl").is_symlink() && !path("a/run.sh").exists() && path("z.jsonl").exists());
    }

    #[test]
    fn a_volume_holds_no_more_than_so_many_however_small_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: String| directory.path().join(name);
        for at in 0..30 {
            std::fs::write(path(format!("{at:02}.jsonl")), "").unwrap();
            std::fs::create_dir_all(path(format!("x{at:02}/below"))).unwrap();
        }
        let suffixes = [".jsonl".to_owned()];
        let shape = Shape { suffixes: &suffixes, max_file_bytes: 100, max_bytes: 100, max_files: 40 };
        let swept = sweep(open(&directory), shape).unwrap();
        assert_eq!((swept.files, swept.directories, swept.removed_count), (30, 10, 25), "{swept:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 35);
        let again = sweep(open(&directory), shape).unwrap();
        assert_eq!((again.files, again.directories, again.removed_count), (30, 10, 0), "{again:?}");
    }
}
