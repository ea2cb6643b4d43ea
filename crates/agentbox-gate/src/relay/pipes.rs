//! The pipes through which bytes move from socket to socket without being copied.
//!
//! A pipe is taken when there is something to move and given back when it is empty, so a connection that is
//! silent has none.

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// What a large pipe holds: the most that everybody may ask for (`/proc/sys/fs/pipe-max-size`).
const LARGE_BYTES: usize = 1 << 20;
/// Most large pipes. A user whose pipes hold more than 64 MiB gets pipes of two pages from then on
/// (`/proc/sys/fs/pipe-user-pages-soft`, pipe(7)): half of that is left for those of the usual size.
const MAX_LARGE: u32 = 32;
/// Most pipes that are kept for the next use.
const MAX_KEPT: usize = 32;

/// A pipe that is not in use is empty.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) reading: OwnedFd,
    pub(crate) writing: OwnedFd,
    #[cfg_attr(not(test), expect(dead_code, reason = "it counts until it is dropped"))]
    large: Option<Large>,
}

/// Counts a large pipe for as long as it is there.
#[derive(Debug)]
struct Large(Rc<Cell<u32>>);

impl Drop for Large {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Pipes for all connections.
#[derive(Debug, Default)]
pub struct Pipes {
    kept: RefCell<Vec<Pipe>>,
    large: Rc<Cell<u32>>,
}

impl Pipes {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn take(&self) -> io::Result<Pipe> {
        if let Some(pipe) = self.kept.borrow_mut().pop() {
            return Ok(pipe);
        }
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let islarge = self.large.get() < MAX_LARGE && fcntl_setpipe_size(&writing, LARGE_BYTES).is_ok();
        let large = islarge.then(|| {
            self.large.set(self.large.get() + 1);
            Large(Rc::clone(&self.large))
        });
        Ok(Pipe { reading, writing, large })
    }

    /// Large pipes that are in use.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        let kept = self.kept.borrow().iter().filter(|pipe| pipe.large.is_some()).count();
        self.large.get() as usize - kept
    }

    /// Takes back a pipe that is empty.
    pub(crate) fn give_back(&self, pipe: Pipe) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < MAX_KEPT {
            kept.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_pipes_islarge_and_kept() {
        let pipes = Pipes::new();
        let taken: Vec<_> = (0..MAX_KEPT + 8).map(|_| pipes.take().unwrap()).collect();
        assert!(pipes.large.get() <= MAX_LARGE);
        taken.into_iter().for_each(|pipe| pipes.give_back(pipe));
        assert_eq!(pipes.kept.borrow().len(), MAX_KEPT);
        drop(pipes.take());
        pipes.kept.borrow_mut().clear();
        assert_eq!(pipes.large.get(), 0);
    }
}
