//! Single files in a directory of the supervisor: written whole, read whole, or appended to.
//!
//! A name is one component and never followed: a link, a pipe or a device in the place of a file is an
//! error that says so, and is not touched.

use crate::directory::DirectoryError;
use crate::walk;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU32, Ordering};

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Non-blocking so that a pipe in the place of a file cannot hold up the supervisor.
const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Replaces a file in one step (rename(2)): readers see the old content or the new, whole. With `sync`
/// the new content is on the disk when this returns.
///
/// # Errors
/// [`DirectoryError`] when it cannot be written; the old content stays.
pub fn write_atomic(
    dir: impl AsFd,
    name: &str,
    bytes: &[u8],
    mode: u32,
    sync: bool,
) -> Result<(), DirectoryError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = check_name(name)?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // The name is hidden and ours; one that a crash left is replaced by a later one of another number.
    let temporary = format!(".new-{}-{number}", rustix::process::getpid().as_raw_nonzero());
    let temporary = check_name(&temporary)?;
    let shown = || walk::shown_in(&dir, name.to_bytes());
    let failed = |doing| move |cause: std::io::Error| (doing, cause);

    let written = (|| {
        let _ = fs::unlinkat(&dir, &temporary, AtFlags::empty());
        let flags = SAFE | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let fd = fs::openat2(&dir, &temporary, flags, Mode::from_raw_mode(0o600), RESOLVE)
            .map_err(|errno| ("make a new file for", errno.into()))?;
        let mut file = File::from(fd);
        fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(|errno| ("set the mode of", errno.into()))?;
        file.write_all(bytes).map_err(failed("write"))?;
        if sync {
            file.sync_all().map_err(failed("sync"))?;
        }
        fs::renameat(&dir, &temporary, &dir, &name).map_err(|errno| ("replace", errno.into()))?;
        if sync {
            fs::fsync(&dir).map_err(|errno| ("sync the directory of", errno.into()))?;
        }
        Ok(())
    })();
    written.map_err(|(doing, cause): (&'static str, std::io::Error)| {
        let _ = fs::unlinkat(&dir, &temporary, AtFlags::empty());
        DirectoryError::io(doing, shown(), cause)
    })
}

/// Reads a regular file of at most `max_bytes`; `None` when there is none of that name.
///
/// # Errors
/// [`DirectoryError`] when something else has the name, it is larger, or it cannot be read.
pub fn read_file(dir: impl AsFd, name: &str, max_bytes: usize) -> Result<Option<Vec<u8>>, DirectoryError> {
    let Some(bytes) = read_beginning(&dir, name, max_bytes.saturating_add(1))? else { return Ok(None) };
    if bytes.len() > max_bytes {
        return Err(DirectoryError::TooLarge { path: walk::shown_in(&dir, name.as_bytes()), max_bytes });
    }
    Ok(Some(bytes))
}

/// Reads what a regular file begins with, at most so many bytes; `None` when there is none of that name.
///
/// # Errors
/// [`DirectoryError`] when something else has the name, or it cannot be read.
pub fn read_beginning(dir: impl AsFd, name: &str, bytes: usize) -> Result<Option<Vec<u8>>, DirectoryError> {
    let name = check_name(name)?;
    let Some(file) = open_regular(&dir, &name, OFlags::RDONLY, 0)? else { return Ok(None) };
    let mut read = Vec::new();
    File::from(file)
        .take(u64::try_from(bytes).unwrap_or(u64::MAX))
        .read_to_end(&mut read)
        .map_err(|cause| DirectoryError::io("read", walk::shown_in(&dir, name.to_bytes()), cause))?;
    Ok(Some(read))
}

/// Opens a regular file of root's for reading and appending, and makes it (with this mode) when there is
/// none.
///
/// # Errors
/// [`DirectoryError`] when something else has the name, it is somebody else's, or it cannot be opened.
pub fn open_append(dir: impl AsFd, name: &str, mode: u32) -> Result<File, DirectoryError> {
    let name = check_name(name)?;
    let shown = || walk::shown_in(&dir, name.to_bytes());
    let file = open_regular(&dir, &name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE, mode)?;
    let Some(file) = file else { return Err(DirectoryError::io("open", shown(), Errno::NOENT)) };
    let stat = fs::fstat(&file).map_err(|errno| DirectoryError::io("examine", shown(), errno))?;
    if stat.st_uid != 0 {
        return Err(DirectoryError::Owner { path: shown(), found: stat.st_uid, wanted: 0 });
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(DirectoryError::Writable { path: shown(), mode: stat.st_mode & 0o7777 });
    }
    Ok(File::from(file))
}

/// Removes one name that is not a directory's; nothing there is fine. A link is removed, not what it
/// leads to.
///
/// # Errors
/// [`DirectoryError`] when it cannot be removed.
pub fn remove_file(dir: impl AsFd, name: &str) -> Result<(), DirectoryError> {
    let name = check_name(name)?;
    match fs::unlinkat(&dir, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(DirectoryError::io("remove", walk::shown_in(&dir, name.to_bytes()), errno)),
    }
}

/// Opens a regular file and clears `O_NONBLOCK`, which means nothing for it but would be passed on.
fn open_regular(
    dir: impl AsFd,
    name: &CStr,
    flags: OFlags,
    mode: u32,
) -> Result<Option<OwnedFd>, DirectoryError> {
    let shown = || walk::shown_in(&dir, name.to_bytes());
    let kind = |mode| DirectoryError::Kind { path: shown(), found: walk::type_name(mode), wanted: "file" };
    let file = match fs::openat2(&dir, name, flags | SAFE, Mode::from_raw_mode(mode), RESOLVE) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => {
            // Links, sockets and directories cannot be opened so; say what they are.
            return Err(match walk::stat_in(&dir, name) {
                Ok(stat) if !FileType::from_raw_mode(stat.st_mode).is_file() => kind(stat.st_mode),
                _ => DirectoryError::io("open", shown(), errno),
            });
        }
    };
    let stat = fs::fstat(&file).map_err(|errno| DirectoryError::io("examine", shown(), errno))?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(kind(stat.st_mode));
    }
    let flags = fs::fcntl_getfl(&file).map_err(|errno| DirectoryError::io("examine", shown(), errno))?;
    fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)
        .map_err(|errno| DirectoryError::io("set the flags of", shown(), errno))?;
    Ok(Some(file))
}

/// The name as one component of a path.
pub(crate) fn check_name(name: &str) -> Result<CString, DirectoryError> {
    single_name(OsStr::new(name))
}

/// The bytes as one component of a path.
pub(crate) fn single_name(name: &OsStr) -> Result<CString, DirectoryError> {
    let bytes = name.as_bytes();
    let refused = || DirectoryError::Name(name.to_string_lossy().into_owned());
    // NAME_MAX, path_resolution(7).
    if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') || bytes.len() > 255 {
        return Err(refused());
    }
    CString::new(bytes).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component() {
        for good in ["a", "...", "a b\n", ".x"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "a/b", "/", "a\0b", &"x".repeat(256)] {
            assert!(matches!(check_name(bad), Err(DirectoryError::Name(_))), "{bad:?}");
        }
    }
}
