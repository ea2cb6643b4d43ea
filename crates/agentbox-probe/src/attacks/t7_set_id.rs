//! T7: set-id bits. Through an id-mapped mount they would be the person's own on the host, so every call
//! that takes a mode must refuse them, in every spelling.

use super::{c, scratch};
use crate::attack::{Answer, Attack, judge, refused, succeeded};
use crate::errno::Errno;
use crate::sys::{self, call, owned};
use agentbox_probe::Facts;
use std::ffi::CStr;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// fchmodat2(2), Linux 6.6; the C library does not name it yet on every architecture.
const SYS_FCHMODAT2: i64 = 452;
const SET_UID: u32 = 0o4755;
const SET_GID: u32 = 0o2755;

pub(super) const TABLE: &[Attack] = &[
    on_file("t7.chmod-set-uid", "set the set-user-id bit with chmod", |f| {
        changing(f, |_, path| call!(libc::SYS_chmod, path, SET_UID))
    }),
    on_file("t7.chmod-set-gid", "set the set-group-id bit with chmod", |f| {
        changing(f, |_, path| call!(libc::SYS_chmod, path, SET_GID))
    }),
    on_file("t7.chmod-high-bits", "set it with bits beyond the mode set as well", |f| {
        changing(f, |_, path| call!(libc::SYS_chmod, path, 0x7fff_0001_0000_0000_i64 | i64::from(SET_UID)))
    }),
    on_file("t7.fchmod-set-uid", "set it with fchmod", |f| {
        changing(f, |file, _| call!(libc::SYS_fchmod, file.as_raw_fd(), SET_UID))
    }),
    on_file("t7.fchmodat-set-uid", "set it with fchmodat", |f| {
        changing(f, |_, path| call!(libc::SYS_fchmodat, libc::AT_FDCWD, path, SET_UID))
    }),
    on_file("t7.fchmodat2-set-uid", "set it with fchmodat2", |f| {
        changing(f, |_, path| call!(SYS_FCHMODAT2, libc::AT_FDCWD, path, SET_UID, 0))
    })
    .kernel("fchmodat2"),
    on_file("t7.i386-chmod-set-uid", "set it with the i386 chmod", |f| {
        changing(f, |_, path| i386_chmod(path))
    })
    .kernel("i386 emulation"),
    on_file("t7.open-set-uid", "make a file that has it with open", |f| {
        making(f, |path| call!(libc::SYS_open, path, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, SET_UID))
    }),
    on_file("t7.openat-set-uid", "make one with openat", |f| {
        making(f, |path| {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            call!(libc::SYS_openat, libc::AT_FDCWD, path, flags, SET_UID)
        })
    }),
    on_file("t7.openat2-set-uid", "make one with openat2", |f| {
        making(f, |path| {
            let flags = (libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY) as u64;
            let how: Vec<u8> =
                [flags, u64::from(SET_UID), 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
            call!(libc::SYS_openat2, libc::AT_FDCWD, path, how.as_slice(), how.len())
        })
    }),
    on_file("t7.creat-set-uid", "make one with creat", |f| {
        making(f, |path| call!(libc::SYS_creat, path, SET_UID))
    }),
    on_file("t7.mknod-set-uid", "make one with mknod", |f| {
        making(f, |path| call!(libc::SYS_mknod, path, libc::S_IFREG | SET_UID, 0))
    }),
    on_file("t7.mknodat-set-uid", "make one with mknodat", |f| {
        making(f, |path| call!(libc::SYS_mknodat, libc::AT_FDCWD, path, libc::S_IFREG | SET_UID, 0))
    }),
    on_file("t7.unnamed-set-uid", "make one without a name (O_TMPFILE)", unnamed),
    on_file(
        "t7.chmod-set-gid-directory",
        "set the bit of a directory, so that what is made in it inherits its group",
        |f| {
            making(f, |path| {
                call!(libc::SYS_mkdir, path, 0o755)?;
                call!(libc::SYS_chmod, path, SET_GID)
            })
        },
    ),
    on_file("t7.mkdir-set-gid", "make a directory that has it", |f| {
        making(f, |path| call!(libc::SYS_mkdir, path, SET_GID | 0o1000))
    })
    .never_shown("mkdir takes no set-id bit on most file systems"),
    Attack::new("t7.openat2-answers", "reach openat2, whose mode a filter cannot see", |_| {
        let how: Vec<u8> = [libc::O_PATH as u64, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        judge(owned(call!(libc::SYS_openat2, libc::AT_FDCWD, c"/", how.as_slice(), how.len())))
    }),
    Attack::new("t7.file-capability", "give a file a capability", file_capability).root().needs(&["project"]),
];

const fn on_file(id: &'static str, title: &'static str, run: fn(&Facts) -> Answer) -> Attack {
    Attack::new(id, title, run).needs(&["project"])
}

/// Whether the bits are on disk is what counts, not what the call said.
fn look(path: &Path, result: Result<i64, Errno>) -> Answer {
    match (fs::symlink_metadata(path).map(|metadata| metadata.mode() & 0o7777), result) {
        (Ok(mode), _) if mode & 0o6000 != 0 => succeeded(format!("mode {mode:04o}")),
        (_, Err(error)) => refused(error),
        (Ok(mode), Ok(_)) => refused(format!("mode {mode:04o}")),
        (Err(error), Ok(_)) => refused(Errno::from(error)),
    }
}

fn changing(facts: &Facts, change: fn(&File, &CStr) -> Result<i64, Errno>) -> Answer {
    let path = scratch(facts, "mode");
    let file = match File::create_new(&path) {
        Ok(file) => file,
        Err(error) => return refused(format!("no file to change: {}", Errno::from(error))),
    };
    let answer = look(&path, change(&file, &c(&path)));
    let _ = fs::remove_file(&path);
    answer
}

fn making(facts: &Facts, make: fn(&CStr) -> Result<i64, Errno>) -> Answer {
    let path = scratch(facts, "made");
    let answer = look(&path, make(&c(&path)));
    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    answer
}

fn unnamed(facts: &Facts) -> Answer {
    let directory = scratch(facts, "made");
    let directory = c(directory.parent().unwrap_or(Path::new("/tmp")));
    let flags = libc::O_TMPFILE | libc::O_RDWR;
    match owned(call!(libc::SYS_openat, libc::AT_FDCWD, &*directory, flags, SET_UID)).map(File::from) {
        Ok(file) => match file.metadata().map(|metadata| metadata.permissions().mode() & 0o7777) {
            Ok(mode) if mode & 0o6000 != 0 => succeeded(format!("mode {mode:04o}")),
            Ok(mode) => refused(format!("mode {mode:04o}")),
            Err(error) => refused(Errno::from(error)),
        },
        Err(error) => refused(error),
    }
}

fn i386_chmod(path: &CStr) -> Result<i64, Errno> {
    const CHMOD: u32 = 15;
    // The path has to lie below 4 GiB.
    let low = sys::LowPage::with(path.to_bytes_with_nul())?;
    sys::i386(CHMOD, low.address(), SET_UID, 0)
}

fn file_capability(facts: &Facts) -> Answer {
    let path = scratch(facts, "capability");
    if let Err(error) = File::create_new(&path) {
        return refused(format!("no file to change: {}", Errno::from(error)));
    }
    // struct vfs_cap_data, revision 2 with the effective bit: CAP_NET_RAW (capabilities(7)).
    let words: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let result =
        call!(libc::SYS_setxattr, &*c(&path), c"security.capability", data.as_slice(), data.len(), 0);
    let _ = fs::remove_file(&path);
    judge(result)
}
