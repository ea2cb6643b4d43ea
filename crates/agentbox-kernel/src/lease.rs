//! Which ids are given to which session: a block of four each, never the same block twice before the
//! range wraps.
//!
//! The high-water mark is kept in STATE/leases. It is moved forward by a chunk of blocks and synced
//! before the first block of the chunk is given out, so a crash loses blocks and never repeats one. How
//! far into its chunk a supervisor got is kept in RUNTIME/leases, which ends with the boot and costs no
//! sync: the next supervisor of the same boot goes on there. A file of STATE that cannot be understood is an error and stays as it is: starting again at the beginning would
//! give ids to a session that still own files of an older one.

use crate::directory::{DirectoryError, read_file, write_atomic};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Ids of a block.
const BLOCK_IDS: u32 = 4;
/// Blocks for which the mark is moved at once.
const CHUNK_BLOCKS: u32 = 64;
/// Blocks in a row that may be somebody's before the range is called unusable.
const MAX_SKIPPED: u32 = 4096;
/// Name of the file in STATE and of the one in RUNTIME.
const FILE: &str = "leases";
/// Most bytes that the file can have.
const MAX_BYTES: usize = 512;

/// The ids that sessions get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First id.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    /// Above the ranges that distributions, containers and systemd use; SSSD and FreeIPA can be set to
    /// overlap with it, which is why each block is looked up before it is given out.
    pub const DEFAULT: Self = Self { first: 2_001_000_000, count: 100_000_000 };

    /// Whether an id is one of the range.
    #[must_use]
    pub fn contains(self, id: u32) -> bool {
        id.checked_sub(self.first).is_some_and(|offset| offset < self.count)
    }

    fn blocks(self) -> u32 {
        self.count / BLOCK_IDS
    }

    /// At least one block, above the ids of the system, below the id that means "none" (-1) and below
    /// 2^31, where tools with signed ids fail.
    fn check(self) -> Result<(), LeaseError> {
        let fits = self.blocks() > 0
            && self.first >= 1000
            && self.first.checked_add(self.count).is_some_and(|end| end <= 1 << 31);
        if fits { Ok(()) } else { Err(LeaseError::Range { range: self }) }
    }
}

/// A block of ids; each is used as a user id and as a group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// First id of the block.
    pub first: u32,
}

impl Lease {
    /// The agent and all that it starts.
    #[must_use]
    pub fn agent(self) -> u32 {
        self.first
    }

    /// The launcher's outer half.
    #[must_use]
    pub fn console(self) -> u32 {
        self.first + 1
    }

    /// The block whose launcher's outer half has this id.
    #[must_use]
    pub fn with_console(uid: u32) -> Option<Self> {
        Some(Self { first: uid.checked_sub(1)? })
    }

    /// All ids of the block.
    pub fn ids(self) -> impl Iterator<Item = u32> {
        self.first..self.first + BLOCK_IDS
    }
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The file of the leases cannot be read or written.
    #[error(transparent)]
    File(#[from] DirectoryError),
    /// The file of the leases is not one that was written here.
    #[error(
        "the file `leases` in the state directory is damaged ({what}) and was not changed; put a copy back, \
         or move it away after making sure that no file belongs to an id of the range"
    )]
    Damaged {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file counts leases of another range.
    #[error(
        "the file `leases` in the state directory counts ids {}+{}, but uid_range says {}+{}; \
         put the range back, or move the file away after making sure that no file belongs to an id of either",
        recorded.first, recorded.count, wanted.first, wanted.count
    )]
    OtherRange {
        /// What the file says.
        recorded: Range,
        /// What the configuration says.
        wanted: Range,
    },
    /// The range cannot be used at all.
    #[error(
        "uid_range {}+{} cannot be used: it must begin at 1000 or above, hold 4 ids or more and end below 2147483648",
        range.first, range.count
    )]
    Range {
        /// The range.
        range: Range,
    },
    /// Every block that was looked at is somebody's.
    #[error(
        "{skipped} blocks of ids in a row are known to the name service or in use; choose another uid_range"
    )]
    Taken {
        /// How many were looked at.
        skipped: u32,
    },
}

/// Gives out leases.
#[derive(Debug)]
pub struct Leases {
    state: OwnedFd,
    runtime: OwnedFd,
    range: Range,
    /// Next block to give out.
    next: u32,
    /// First block that the file does not yet count as given out.
    reserved: u32,
}

impl Leases {
    /// Reads the mark; a file that does not exist means that no lease was ever given out.
    ///
    /// # Errors
    /// [`LeaseError`] when the range is unusable or the file is damaged or of another range.
    pub fn open(state_dir: impl AsFd, runtime_dir: impl AsFd, range: Range) -> Result<Self, LeaseError> {
        range.check()?;
        let hold = |directory: BorrowedFd<'_>| {
            let held = directory.try_clone_to_owned();
            held.map_err(|cause| DirectoryError::io("hold", "a directory of the supervisor", cause))
        };
        let (state, runtime) = (hold(state_dir.as_fd())?, hold(runtime_dir.as_fd())?);
        let mark = match read_file(&state, FILE, MAX_BYTES) {
            Ok(None) => 0,
            Ok(Some(bytes)) => {
                let (recorded, mark) = parse(&bytes)?;
                if recorded != range {
                    return Err(LeaseError::OtherRange { recorded, wanted: range });
                }
                mark
            }
            Err(DirectoryError::TooLarge { .. }) => {
                return Err(LeaseError::Damaged { what: "too long" });
            }
            Err(error) => return Err(error.into()),
        };
        let next = next_in_chunk(&runtime, range, mark).unwrap_or(mark);
        Ok(Self { state, runtime, range, next, reserved: mark })
    }

    /// Gives out the next block none of whose ids `known` knows: the caller asks there for the name
    /// service, users and groups, and for the sessions that live.
    ///
    /// # Errors
    /// [`LeaseError`] when the mark cannot be saved, or every block that was looked at is somebody's.
    /// Nothing was given out then.
    pub fn take(&mut self, known: &dyn Fn(u32) -> bool) -> Result<Lease, LeaseError> {
        let looked_at = MAX_SKIPPED.min(self.range.blocks());
        for _ in 0..looked_at {
            let block = self.reserve()?;
            let lease = Lease { first: self.range.first + block * BLOCK_IDS };
            if !lease.ids().any(known) {
                return Ok(lease);
            }
        }
        Err(LeaseError::Taken { skipped: looked_at })
    }

    /// Whether an id is one that sessions get.
    #[must_use]
    pub fn contains(&self, uid: u32) -> bool {
        self.range.contains(uid)
    }

    /// The next block, after the file counts it as given out.
    fn reserve(&mut self) -> Result<u32, LeaseError> {
        if self.next >= self.reserved {
            let blocks = self.range.blocks();
            let start = if self.next >= blocks { 0 } else { self.next };
            let mark = start.saturating_add(CHUNK_BLOCKS).min(blocks);
            write_atomic(&self.state, FILE, &format(self.range, mark), 0o600, true)?;
            (self.next, self.reserved) = (start, mark);
        }
        let block = self.next;
        self.next += 1;
        // Before the block is used, so that nobody who comes later gives it out again.
        write_atomic(&self.runtime, FILE, &format(self.range, self.next), 0o600, false)?;
        Ok(block)
    }
}

/// Where an earlier supervisor of this boot stopped, if that lies in the chunk that ends at `mark`. A
/// file that says anything else is of no use and does no harm: the rest of the chunk is then skipped.
fn next_in_chunk(runtime: &OwnedFd, range: Range, mark: u32) -> Option<u32> {
    let bytes = read_file(runtime, FILE, MAX_BYTES).ok()??;
    let (recorded, next) = parse(&bytes).ok()?;
    (recorded == range && next <= mark && mark - next < CHUNK_BLOCKS).then_some(next)
}

pub(crate) fn format(range: Range, mark: u32) -> Vec<u8> {
    let body = format!("agentbox leases 1\nfirst {}\ncount {}\nblocks {mark}\n", range.first, range.count);
    format!("{body}check {}", check_of(&body)).into_bytes()
}

pub(crate) fn parse(bytes: &[u8]) -> Result<(Range, u32), LeaseError> {
    let damaged = |what| LeaseError::Damaged { what };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("not text"))?;
    let (body, check) = text.rsplit_once("check ").ok_or(damaged("its end is missing"))?;
    if check != check_of(body) {
        return Err(damaged("its checksum does not fit"));
    }
    let mut lines = body.lines();
    if lines.next() != Some("agentbox leases 1") {
        return Err(damaged("of another version"));
    }
    let mut number = |name: &str| {
        let value = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).ok_or(damaged("a number is missing"))
    };
    let range = Range { first: number("first")?, count: number("count")? };
    let mark = number("blocks")?;
    if mark > range.blocks() {
        return Err(damaged("its mark lies behind its range"));
    }
    // Nothing beside what is understood, and no number in another spelling.
    if bytes != format(range, mark) {
        return Err(damaged("not as it is written"));
    }
    Ok((range, mark))
}

/// What stands behind `check `.
pub(crate) fn check_of(body: &str) -> String {
    format!("{:016x}\n", checksum(body.as_bytes()))
}

/// FNV-1a: finds damage, not forgery; whoever can write the file is root.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { first: 2_000_000_000, count: 4000 };

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(parse(&format(RANGE, 77)).unwrap(), (RANGE, 77));
    }

    #[test]
    fn a_fitting_checksum_does_not_make_a_file_of_it() {
        for body in [
            "first 2000000000\ncount +4000\nblocks 77\n",
            "first 2000000000\ncount 4000\nblocks 77\nblocks 5\n",
        ] {
            let body = format!("agentbox leases 1\n{body}");
            assert!(parse(format!("{body}check {}", check_of(&body)).as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_seen() {
        let good = format(RANGE, 77);
        for at in 0..good.len() {
            assert!(parse(&good[..at]).is_err(), "cut at {at}");
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(parse(&bad).is_err(), "changed at {at}");
        }
        let mut longer = good.clone();
        longer.push(b'\n');
        assert!(parse(&longer).is_err());
    }

    #[test]
    fn a_range_is_within_what_ids_can_be() {
        let of = |first, count| Range { first, count };
        for good in [Range::DEFAULT, of(1000, 4), of((1 << 31) - 4, 4)] {
            assert!(good.check().is_ok(), "{good:?}");
        }
        for bad in [of(0, 4), of(999, 4), of(1000, 3), of((1 << 31) - 4, 5), of(u32::MAX, 8)] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_range_contains_its_ends_and_not_their_neighbours() {
        let inside = |id| RANGE.contains(id);
        assert!(inside(2_000_000_000) && inside(2_000_003_999));
        assert!(!inside(1_999_999_999) && !inside(2_000_004_000) && !inside(0) && !inside(u32::MAX));
    }
}
