//! Walks a path of the system's own, one component at a time, trusting nothing that others can write.
//!
//! Directories of the supervisor and files of the system may lie behind symbolic links (`/etc/static` on
//! NixOS, a moved `/var`). Such a link is followed only when root owns it and nobody else could have put
//! it there; every other link in the middle of a path is refused. Each component is opened relative to
//! the one before, so no part of the path is resolved twice. A path without any link, which nearly all
//! are, is resolved by the kernel in one step that follows none.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

/// Where a path ends.
#[derive(Debug)]
pub(crate) struct End {
    /// Directory that holds the last component, opened with `O_PATH`.
    pub(crate) parent: OwnedFd,
    /// The last component; `.` for `/` itself.
    pub(crate) name: CString,
}

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A call failed.
    Errno(Errno),
    /// A link that others could have made; its name.
    Link(CString),
    /// Not an absolute path, or one with `..` or a NUL byte.
    Path,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// Most links on one way (path_resolution(7) has the same limit).
const MAX_LINKS: usize = 40;

/// Walks to the parent of the last component. Missing directories on the way are made (mode 0755) when
/// `create`.
pub(crate) fn to_parent(path: &OsStr, create: bool) -> Result<End, Stop> {
    let mut waiting = components(path.as_bytes())?;
    if !path.as_bytes().starts_with(b"/") {
        return Err(Stop::Path);
    }
    if let Some(end) = without_links(&waiting) {
        return Ok(end);
    }
    let root = || fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let mut here = root()?;
    let mut links = 0;
    loop {
        let Some(name) = waiting.pop_front() else {
            return Ok(End { parent: here, name: c".".to_owned() });
        };
        if waiting.is_empty() {
            return Ok(End { parent: here, name });
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = match fs::openat(&here, &name, flags, Mode::empty()) {
            Err(Errno::NOENT) if create => {
                match fs::mkdirat(&here, &name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                fs::openat(&here, &name, flags, Mode::empty())?
            }
            other => other?,
        };
        let stat = fs::fstat(&next)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => here = next,
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                if !only_root_placed(&fs::fstat(&here)?, &stat) {
                    return Err(Stop::Link(name));
                }
                let target = fs::readlinkat(&next, c"", Vec::new())?;
                if target.as_bytes().starts_with(b"/") {
                    here = root()?;
                }
                // `..` in a link of root's is opened as any other name: from a descriptor it leads to the
                // directory above, whatever way led here.
                let mut front: VecDeque<CString> = link_components(target.as_bytes())?;
                front.append(&mut waiting);
                waiting = front;
            }
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
}

/// The same in one call, where no component is a link and nothing has to be made.
fn without_links(components: &VecDeque<CString>) -> Option<End> {
    let name = components.back()?;
    let mut parent = Vec::from(b"/");
    for part in components.iter().take(components.len() - 1) {
        parent.extend_from_slice(part.as_bytes());
        parent.push(b'/');
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // On failure there is a link or a missing directory: the walk finds out which, and whose.
    let parent = fs::openat2(fs::CWD, parent, flags, Mode::empty(), how).ok()?;
    Some(End { parent, name: name.clone() })
}

/// Whether nobody but root can have made or replaced the link.
fn only_root_placed(directory: &Stat, link: &Stat) -> bool {
    let others_write = directory.st_mode & 0o022 != 0;
    let sticky = directory.st_mode & 0o1000 != 0;
    link.st_uid == 0 && directory.st_uid == 0 && (!others_write || sticky)
}

fn components(path: &[u8]) -> Result<VecDeque<CString>, Stop> {
    let parts = link_components(path)?;
    if parts.iter().any(|part| part.as_bytes() == b"..") { Err(Stop::Path) } else { Ok(parts) }
}

fn link_components(path: &[u8]) -> Result<VecDeque<CString>, Stop> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(|part| CString::new(part).map_err(|_| Stop::Path))
        .collect()
}

/// What a descriptor is open on, for messages only.
pub(crate) fn shown(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    fs::readlink(link, Vec::new())
        .map_or_else(|_| "a descriptor".to_owned(), |path| path.as_bytes().escape_ascii().to_string())
}

/// What a descriptor and a name in it are, for messages only.
pub(crate) fn shown_in(fd: impl AsFd, name: &[u8]) -> String {
    format!("{}/{}", shown(fd), name.escape_ascii())
}

/// The word for a type of file, for messages.
pub(crate) fn type_name(mode: u32) -> &'static str {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "thing of unknown type",
    }
}

/// Type, owner and mode of what a name in a directory stands for, without following it.
pub(crate) fn stat_in(dir: impl AsFd, name: &std::ffi::CStr) -> Result<Stat, Errno> {
    fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    fn walk(path: &std::path::Path) -> Result<End, Stop> {
        to_parent(path.as_os_str(), false)
    }

    #[test]
    fn links_of_root_are_followed_and_those_of_others_are_not() {
        let place = tempfile::tempdir().unwrap();
        let base = place.path();
        std::fs::create_dir_all(base.join("real/inner")).unwrap();
        symlink("real", base.join("good")).unwrap();
        symlink("./real/../real", base.join("dotted")).unwrap();
        let real = fs::stat(base.join("real/inner")).unwrap();
        for link in ["good", "dotted"] {
            let end = walk(&base.join(link).join("inner/x")).unwrap();
            assert_eq!(fs::fstat(&end.parent).unwrap().st_ino, real.st_ino, "{link}");
        }

        symlink("real", base.join("bad")).unwrap();
        std::os::unix::fs::lchown(base.join("bad"), Some(1234), Some(1234)).unwrap();
        assert!(matches!(walk(&base.join("bad/inner/x")), Err(Stop::Link(_))));

        std::fs::create_dir(base.join("open")).unwrap();
        std::fs::set_permissions(base.join("open"), PermissionsExt::from_mode(0o777)).unwrap();
        symlink("../real", base.join("open/link")).unwrap();
        assert!(matches!(walk(&base.join("open/link/inner/x")), Err(Stop::Link(_))));
        std::fs::set_permissions(base.join("open"), PermissionsExt::from_mode(0o755)).unwrap();
        assert!(walk(&base.join("open/link/inner/x")).is_ok());
        chown(base.join("open"), Some(1234), None).unwrap();
        assert!(matches!(walk(&base.join("open/link/inner/x")), Err(Stop::Link(_))));
    }

    #[test]
    fn a_ring_of_links_ends() {
        let place = tempfile::tempdir().unwrap();
        symlink("b", place.path().join("a")).unwrap();
        symlink("a", place.path().join("b")).unwrap();
        assert!(matches!(walk(&place.path().join("a/x")), Err(Stop::Errno(Errno::LOOP))));
    }

    #[test]
    fn only_absolute_paths_without_dots_are_walked() {
        for path in ["a/b", "", "/a/../b"] {
            assert!(matches!(to_parent(OsStr::new(path), false), Err(Stop::Path)), "{path:?}");
        }
        assert_eq!(to_parent(OsStr::new("/"), false).unwrap().name.as_c_str(), c".");
    }
}
