//! Descriptors that this process was started with by a service manager (sd_listen_fds(3)).

use crate::sys;
use rustix::fd::{OwnedFd, RawFd};
use rustix::io::FdFlags;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes them over: they are closed on exec from now on, and with their owner. Once, and before anything else is
/// opened: numbers that were not open are an error then, and never somebody else's descriptor.
///
/// # Errors
/// When they were taken before, or one is not open.
pub fn take(first: RawFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    if count > 0 && TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "they were taken before"));
    }
    (first..)
        .take(count)
        .map(|number| {
            let descriptor = sys::take_over(number)?;
            rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
            Ok(descriptor)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_open_is_an_error_and_nothing_is_taken_twice() {
        assert!(take(900, 0).unwrap().is_empty());
        assert!(take(900, 1).is_err());
        assert_eq!(take(900, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
