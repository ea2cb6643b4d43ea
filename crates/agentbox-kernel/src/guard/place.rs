//! Which directory a project is, as the kernel tells it: the device of its file system and its number there.

use super::{GuardError, failed};
use crate::mountinfo;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, StatxFlags};

/// A directory. Binds and id-mapped mounts of it are the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Device of the file system: 12 bits and 20 bits.
    pub device: u32,
    /// Number of the directory on it.
    pub inode: u64,
}

/// File systems whose numbers are those that stat(2) shows, and whose names are compared byte by byte.
const KNOWN: &[u32] = &[
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    BTRFS,
    0x0102_1994, // tmpfs
    0xf2f5_2010, // f2fs
    BCACHEFS,
    0x2fc1_2fc1, // zfs
];
const BTRFS: u32 = 0x9123_683e;
const BCACHEFS: u32 = 0xca45_1a4e;

impl Place {
    /// The place of an open directory.
    ///
    /// # Errors
    /// [`GuardError::Place`] on a file system where the guard cannot tell files apart.
    pub fn of(directory: impl AsFd) -> Result<Self, GuardError> {
        let look = |errno| failed("look at the project", errno);
        let kind = rustix::fs::fstatfs(&directory).map_err(look)?.f_type as u32;
        if !KNOWN.contains(&kind) {
            return Err(GuardError::Place(format!(
                "files of this file system (type {kind:#x}) cannot be told apart by the kernel's guard"
            )));
        }
        let flags = AtFlags::EMPTY_PATH;
        let asked = StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(&directory, c"", flags, asked).map_err(look)?;
        let device = if matches!(kind, BTRFS | BCACHEFS) {
            // A subvolume has a device number of its own there, which the kernel's guard does not see.
            device_of_mount(stat.stx_mnt_id)?
        } else {
            stat.stx_dev_major << 20 | stat.stx_dev_minor
        };
        Ok(Self { device, inode: stat.stx_ino })
    }
}

fn device_of_mount(id: u64) -> Result<u32, GuardError> {
    let table = std::fs::read("/proc/self/mountinfo").map_err(|error| failed("read the mounts", error))?;
    let mounts = mountinfo::parse(&table).ok_or_else(|| failed("read the mounts", "not understood"))?;
    let mount = mounts.iter().find(|mount| mount.id == id);
    mount.map(|mount| mount.device).ok_or_else(|| {
        GuardError::Place("the project is on a mount that the supervisor does not see".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_the_same_place_and_proc_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::of(std::fs::File::open(directory.path()).unwrap());
        if let Ok(place) = place {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!(place.inode, std::fs::metadata(directory.path()).unwrap().ino());
            let table = std::fs::read("/proc/self/mountinfo").unwrap();
            assert!(mountinfo::parse(&table).unwrap().iter().any(|mount| mount.device == place.device));
        }
        let error = Place::of(std::fs::File::open("/proc").unwrap()).unwrap_err();
        assert!(error.to_string().contains("cannot be told apart"), "{error}");
    }
}
