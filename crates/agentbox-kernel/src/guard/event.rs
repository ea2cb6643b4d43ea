//! What was refused: the kernel's words about it, from its ring.

use super::tables::pinned;
use super::{GuardError, failed};
use aya::maps::{Map, MapData, MapError, RingBuf};
use rustix::fd::{AsFd as _, OwnedFd};
use std::fmt;
use std::path::Path;

const TASK: usize = 16;
const NAME: usize = 64;
const NAMES: usize = 8;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// A file would have come to be.
    Create,
    /// A FIFO, socket or device.
    Node,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A second name for a file.
    Link,
    /// Something would have been renamed to it.
    RenameTo,
    /// It would have been renamed.
    RenameFrom,
    /// It would have been written.
    Write,
    /// It would have been read.
    Read,
    /// Its mode, owner, times or length would have changed.
    Attributes,
    /// It would have been removed.
    Remove,
    /// A symbolic link would have led into a directory that packages fill.
    LeadIn,
}

impl Hook {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Create,
            2 => Self::Node,
            3 => Self::Directory,
            4 => Self::Symlink,
            5 | 13 => Self::Link,
            6 => Self::RenameTo,
            7 => Self::RenameFrom,
            8 => Self::Write,
            9 => Self::Read,
            10 => Self::Attributes,
            11 | 12 => Self::Remove,
            14 => Self::LeadIn,
            _ => return None,
        })
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Node => "make-node",
            Self::Directory => "make-directory",
            Self::Symlink => "symlink",
            Self::Link => "link",
            Self::RenameTo => "rename-to",
            Self::RenameFrom => "rename-from",
            Self::Write => "write",
            Self::Read => "read",
            Self::Attributes => "change-attributes",
            Self::Remove => "remove",
            Self::LeadIn => "lead-in",
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The control group of the task.
    pub group: u64,
    /// Its process, as the host counts.
    pub pid: u32,
    /// What it tried.
    pub hook: Hook,
    /// Name of the task; it chose that itself.
    pub task: Vec<u8>,
    /// Names below the project, the last eight when there are more; each cut off after 63 bytes.
    pub path: Vec<Vec<u8>>,
    /// Whether that is the whole path.
    pub whole: bool,
}

/// The ring.
pub struct Events {
    ring: RingBuf<MapData>,
    fd: OwnedFd,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn open(directory: &Path) -> Result<Self, GuardError> {
        let fd = pinned(directory, "events")?;
        let fd =
            fd.fd().as_fd().try_clone_to_owned().map_err(|error| failed("hold the guard's ring", error))?;
        let ring = Map::RingBuf(pinned(directory, "events")?).try_into();
        Ok(Self { ring: ring.map_err(|error: MapError| failed("map the guard's ring", error))?, fd })
    }

    /// Readable when there is something.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn descriptor(&self) -> std::io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// The next refusal that is there.
    pub fn take(&mut self) -> Option<Refused> {
        loop {
            let item = self.ring.next()?;
            if let Some(refused) = parse(&item) {
                return Some(refused);
            }
        }
    }
}

pub(super) fn parse(bytes: &[u8]) -> Option<Refused> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let text = |at: usize, most: usize| {
        let field = bytes.get(at..at + most)?;
        Some(field.iter().copied().take_while(|byte| *byte != 0).collect::<Vec<u8>>())
    };
    let count = word(16)? as usize;
    let mut path = Vec::new();
    for at in 0..count.min(NAMES) {
        path.push(text(24 + TASK + at * NAME, NAME)?);
    }
    path.reverse();
    Some(Refused {
        group: u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?),
        pid: word(8)?,
        hook: Hook::from_number(word(12)?)?,
        task: text(24, TASK)?,
        path,
        whole: count <= NAMES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_record_is_read_field_by_field() {
        let mut bytes = vec![0; 24 + TASK + NAMES * NAME];
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[8..12].copy_from_slice(&9_u32.to_ne_bytes());
        bytes[12..16].copy_from_slice(&6_u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&2_u32.to_ne_bytes());
        bytes[24..28].copy_from_slice(b"node");
        bytes[40..53].copy_from_slice(b"settings.json");
        bytes[104..111].copy_from_slice(b".claude");
        let refused = parse(&bytes).unwrap();
        assert_eq!((refused.group, refused.pid, refused.hook), (7, 9, Hook::RenameTo));
        assert_eq!(refused.task, b"node");
        assert_eq!(refused.path, [b".claude".to_vec(), b"settings.json".to_vec()]);
        assert!(refused.whole);
        bytes[16..20].copy_from_slice(&9_u32.to_ne_bytes());
        let deep = parse(&bytes).unwrap();
        assert!(!deep.whole && deep.path.len() == 8);
        assert_eq!(parse(&bytes[..100]), None);
    }
}
