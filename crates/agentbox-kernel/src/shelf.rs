//! Low numbers for the descriptors that a new process starts with.
//!
//! A new process gets a copy of its parent's whole table of descriptors, and closes it again. With a thousand
//! sessions, that was half of what the next start cost. A child that shares the table until it asks for a copy of
//! its lower end alone (close_range(2), CLOSE_RANGE_UNSHARE) pays for that end.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::{DupFlags, Errno};
use std::sync::{Mutex, PoisonError};

/// Numbers below are for what the child puts there.
const LOWEST: i32 = 256;
/// Numbers that are reserved at once; more are when a process starts with more.
const RESERVED: usize = 192;

/// The numbers. Each is open on `/dev/null` while nothing else stands there.
#[derive(Debug)]
struct Shelf {
    null: OwnedFd,
    places: Vec<OwnedFd>,
}

static SHELF: Mutex<Option<Shelf>> = Mutex::new(None);

/// Calls `start` with copies of the descriptors at low numbers, all of them above their count, and with a number
/// above all of these. A child that shares the table has to be done with it when `start` returns.
pub(crate) fn with<T>(
    descriptors: &[BorrowedFd<'_>],
    null: &OwnedFd,
    start: impl FnOnce(&[OwnedFd], u32) -> T,
) -> Result<T, Errno> {
    let mut held = SHELF.lock().unwrap_or_else(PoisonError::into_inner);
    let shelf = reserved(&mut held, null, descriptors.len())?;
    let mut taken = Taken { shelf, count: 0 };
    for descriptor in descriptors {
        rustix::io::dup3(descriptor, &mut taken.shelf.places[taken.count], DupFlags::CLOEXEC)?;
        taken.count += 1;
    }
    let places = &taken.shelf.places;
    let highest = places.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(LOWEST);
    Ok(start(&places[..taken.count], u32::try_from(highest).unwrap_or(u32::MAX - 1) + 1))
}

/// Reserves the numbers before there is a thread: later, the kernel waits until no thread uses the table before it
/// gives it more room, which takes milliseconds.
pub(crate) fn reserve(null: &OwnedFd) -> Result<(), Errno> {
    reserved(&mut SHELF.lock().unwrap_or_else(PoisonError::into_inner), null, 0).map(drop)
}

fn reserved<'a>(held: &'a mut Option<Shelf>, null: &OwnedFd, count: usize) -> Result<&'a mut Shelf, Errno> {
    let shelf = match held {
        Some(shelf) => shelf,
        empty => empty.insert(Shelf { null: rustix::io::fcntl_dupfd_cloexec(null, 0)?, places: Vec::new() }),
    };
    shelf.reserve(count)?;
    Ok(shelf)
}

impl Shelf {
    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let lowest = LOWEST.max(i32::try_from(count).map_err(|_| Errno::MFILE)?);
        // A longer list than ever before: the numbers below it are needed.
        self.places.retain(|place| place.as_raw_fd() >= lowest);
        while self.places.len() < count.max(RESERVED) {
            match rustix::io::fcntl_dupfd_cloexec(&self.null, lowest) {
                Ok(place) => self.places.push(place),
                // There are enough for now.
                Err(Errno::MFILE) if self.places.len() >= count => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// Empties its places again.
struct Taken<'a> {
    shelf: &'a mut Shelf,
    count: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for place in &mut self.shelf.places[..self.count] {
            // What could not be put back would stay open until the next start: it is closed then.
            let _ = rustix::io::dup3(self.shelf.null.as_fd(), place, DupFlags::CLOEXEC);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::pipe::PipeFlags;

    fn inode(fd: impl AsFd) -> u64 {
        rustix::fs::fstat(fd).unwrap().st_ino
    }

    #[test]
    fn copies_stand_at_low_numbers_and_nothing_stays_there() {
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        for count in [1, 3, 150, 300, 2] {
            let descriptors = vec![write.as_fd(); count];
            let numbers = with(&descriptors, &null, |copies, end| {
                assert!(copies.iter().all(|copy| inode(copy) == inode(&write)));
                let numbers: Vec<_> = copies.iter().map(AsRawFd::as_raw_fd).collect();
                assert!(numbers.iter().all(|number| *number as usize >= count && (*number as u32) < end));
                numbers
            })
            .unwrap();
            assert_eq!(numbers.len(), count);
        }
        drop(write);
        // The end of the pipe is seen: no copy is left. What another test has just started may hold it until it executes
        // its program.
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&read, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ready, 1, "a copy is left");
        assert_eq!(rustix::io::read(&read, &mut [0; 1]).unwrap(), 0);
    }
}
