//! A bounded walk beneath a directory, and reading a file of it. No link is followed, nothing is waited for.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The top, and what agents keep there: at every start.
    Top,
    /// All of it.
    Whole,
}

/// Directories at the top in which agents and editors keep things.
const KEPT: &[&str] = &[
    ".agents",
    ".claude",
    ".claude-plugin",
    ".clinerules",
    ".codex",
    ".continue",
    ".cursor",
    ".gemini",
    ".github",
    ".opencode",
    ".roo",
    ".vscode",
    ".windsurf",
];

/// Longest that a start waits for, and a person who asked.
const TOP_TIME: Duration = Duration::from_millis(500);
const WHOLE_TIME: Duration = Duration::from_secs(15);
const TOP_ENTRIES: usize = 8_192;
const WHOLE_ENTRIES: usize = 500_000;
/// Each level is an open descriptor.
const TOP_DEPTH: usize = 6;
const WHOLE_DEPTH: usize = 48;
/// Most bytes of one file. Settings are a few hundred.
const FILE_BYTES: u64 = 256 << 10;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Socket,
    Other,
}

/// Something that is no directory.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    directory: BorrowedFd<'a>,
    names: &'a [Vec<u8>],
    mode: u32,
    pub(super) uid: u32,
    pub(super) links: u64,
}

impl Entry<'_> {
    /// Its path below the directory.
    pub(super) fn names(&self) -> &[Vec<u8>] {
        self.names
    }

    /// The same as text, for messages only.
    pub(super) fn path(&self) -> String {
        self.names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join("/")
    }

    pub(super) fn kind(&self) -> Kind {
        match FileType::from_raw_mode(self.mode) {
            FileType::RegularFile => Kind::File,
            FileType::Socket => Kind::Socket,
            _ => Kind::Other,
        }
    }

    pub(super) fn is_set_id(&self) -> bool {
        self.mode & 0o6000 != 0
    }

    /// Its content, or in words why not.
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        let name = self.names.last().ok_or("it has no name")?;
        read_file(self.directory, name)?.ok_or_else(|| "it is gone".to_owned())
    }
}

/// Reads a regular file in a directory: `None` when nothing has this name.
pub(super) fn read_file(directory: impl AsFd, name: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let name = CString::new(name).map_err(|_| "it has no name")?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat2(directory, &name, flags, Mode::empty(), BENEATH) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP) => return Err("it is a symbolic link".to_owned()),
        Err(errno) => return Err(format!("it cannot be opened: {}", crate::errors::reason(&errno.into()))),
    };
    let stat = rustix::fs::fstat(&file).map_err(|_| "it cannot be looked at")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = File::from(file).take(FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("it cannot be read: {}", crate::errors::reason(&error)))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!("it is larger than {} KiB", FILE_BYTES >> 10));
    }
    Ok(Some(bytes))
}

/// Opens a directory in another.
pub(super) fn open_directory(parent: impl AsFd, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, CString::new(name).ok()?, flags, Mode::empty(), BENEATH).ok()
}

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// How a walk ended.
#[derive(Debug)]
pub(super) struct Tree {
    /// What was not looked at, when a bound was reached.
    pub(super) cut: Option<String>,
}

struct Walk<F> {
    depth: Depth,
    left: usize,
    until: Instant,
    cut: Option<String>,
    visit: F,
}

impl Tree {
    /// Visits everything that is no directory, in the order of names.
    pub(super) fn walk(directory: impl AsFd, depth: Depth, visit: impl FnMut(&Entry<'_>)) -> Self {
        let (left, time) = match depth {
            Depth::Top => (TOP_ENTRIES, TOP_TIME),
            Depth::Whole => (WHOLE_ENTRIES, WHOLE_TIME),
        };
        let mut walk = Walk { depth, left, until: Instant::now() + time, cut: None, visit };
        walk.directory(directory.as_fd(), &mut Vec::new());
        Self { cut: walk.cut }
    }
}

impl<F: FnMut(&Entry<'_>)> Walk<F> {
    fn directory(&mut self, directory: BorrowedFd<'_>, names: &mut Vec<Vec<u8>>) {
        let deepest = if self.depth == Depth::Top { TOP_DEPTH } else { WHOLE_DEPTH };
        if names.len() >= deepest {
            return self.stop("it is nested too deep to be looked at as a whole");
        }
        for (name, stat) in self.entries(directory) {
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            names.push(name);
            if !is_directory {
                // 32 bits wide on other machines.
                #[allow(clippy::useless_conversion)]
                let links = u64::from(stat.st_nlink);
                (self.visit)(&Entry { directory, names, mode: stat.st_mode, uid: stat.st_uid, links });
            } else if self.is_wanted(names)
                && let Some(below) = names.last().and_then(|name| open_directory(directory, name))
            {
                self.directory(below.as_fd(), names);
            }
            names.pop();
            if self.cut.is_some() && self.depth == Depth::Whole {
                return;
            }
        }
    }

    fn is_wanted(&self, names: &[Vec<u8>]) -> bool {
        match names {
            // git's own is looked at apart.
            [.., last] if last == b".git" => false,
            [top] if self.depth == Depth::Top => KEPT.iter().any(|kept| kept.as_bytes() == top),
            _ => true,
        }
    }

    /// What is in a directory, by name.
    fn entries(&mut self, directory: BorrowedFd<'_>) -> Vec<(Vec<u8>, Stat)> {
        let mut entries = Vec::new();
        let Ok(listing) = Dir::read_from(directory) else { return entries };
        for entry in listing.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.left == 0 || Instant::now() > self.until {
                self.stop("it is too large to be looked at as a whole");
                break;
            }
            self.left -= 1;
            if let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                entries.push((name.to_bytes().to_vec(), stat));
            }
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        entries
    }

    fn stop(&mut self, what: &str) {
        self.cut.get_or_insert_with(|| what.to_owned());
    }
}
