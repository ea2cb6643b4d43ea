//! A file system whose server has stopped answering.

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Mounted for as long as it lives.
#[derive(Debug)]
pub struct Silent(PathBuf);

/// Operations, and the sizes of what is answered (linux/fuse.h).
const LOOKUP: u32 = 1;
const GETATTR: u32 = 3;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const READDIRPLUS: u32 = 44;
const ACCESS: u32 = 34;
const IN_HEADER_BYTES: usize = 40;
/// Where in it is who asks.
const PID_AT: usize = 32;
const OUT_HEADER_BYTES: usize = 16;
const INIT_BYTES: usize = 64;
const OPENED_BYTES: usize = 16;
const ATTR_BYTES: usize = 104;

impl Silent {
    /// A file system over a directory that is there, for everybody: its root is one of this user's, and whatever is
    /// looked for in it is never answered.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount(path: &Path, ids: (u32, u32)) -> Result<Self> {
        Self::mount_with(path, ids, None)
    }

    /// The same of one that is empty for all but programs of this name, to which nothing is answered.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn mount_against(path: &Path, ids: (u32, u32), program: &'static str) -> Result<Self> {
        Self::mount_with(path, ids, Some(program))
    }

    fn mount_with(path: &Path, (uid, gid): (u32, u32), against: Option<&'static str>) -> Result<Self> {
        let mut device = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
        let options =
            format!("fd={},rootmode=40000,user_id={uid},group_id={gid},allow_other", device.as_raw_fd());
        let options = std::ffi::CString::new(options)?;
        mount("silent", path, "fuse.silent", MountFlags::empty(), Some(options.as_c_str()))?;
        let silent = Self(path.to_owned());
        // It ends with the mount.
        std::thread::spawn(move || while answer(&mut device, (uid, gid), against).is_ok() {});
        Ok(silent)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // The kernel gives up for all who wait.
        let _unmounted = unmount(&self.0, UnmountFlags::FORCE | UnmountFlags::DETACH);
    }
}

fn answer(device: &mut File, (uid, gid): (u32, u32), against: Option<&'static str>) -> std::io::Result<()> {
    // As large as the kernel wants it; one read is one request, of no fewer bytes than its header.
    let mut request = vec![0; 1 << 17];
    if device.read(&mut request)? < IN_HEADER_BYTES {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let number =
        |at: usize| u32::from_ne_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]]);
    let mut error = 0;
    let comm = || std::fs::read_to_string(format!("/proc/{}/comm", number(PID_AT)));
    let is_empty = against.is_some_and(|program| comm().is_ok_and(|comm| comm.trim() != program));
    let body = match number(4) {
        INIT => words(&[7, 31, 1 << 16], INIT_BYTES),
        OPENDIR => words(&[], OPENED_BYTES),
        // Who may enter it is not for it to say, and it is not asked again.
        ACCESS => {
            error = -Errno::NOSYS.raw_os_error();
            Vec::new()
        }
        READDIR | READDIRPLUS if is_empty => Vec::new(),
        LOOKUP if is_empty => {
            error = -Errno::NOENT.raw_os_error();
            Vec::new()
        }
        GETATTR => {
            // Valid for a second; then the inode: number 1, a directory, its links and its owner.
            let mut words = [0; 26];
            (words[0], words[4]) = (1, 1);
            (words[19], words[20], words[21], words[22]) = (0o040_755, 2, uid, gid);
            self::words(&words, ATTR_BYTES)
        }
        _ => return Ok(()),
    };
    let length = u32::try_from(OUT_HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let head = [length.to_ne_bytes(), error.to_ne_bytes()].concat();
    device.write_all(&[&head, &request[8..16], &body].concat())
}

fn words(words: &[u32], bytes: usize) -> Vec<u8> {
    let mut all: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    all.resize(bytes, 0);
    all
}
