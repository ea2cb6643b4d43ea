//! A descriptor that can be waited for.

use super::reactor::Source;
use super::{current, if_any};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

/// A non-blocking descriptor that the executor watches.
#[derive(Debug)]
pub struct Fd<T: AsFd> {
    /// Taken out by `into_inner` only.
    inner: Option<T>,
    source: Rc<Source>,
}

impl<T: AsFd> Fd<T> {
    /// Makes a descriptor non-blocking and watches it.
    ///
    /// # Errors
    /// When it is one that cannot be watched (epoll_ctl(2)).
    pub fn new(inner: T) -> io::Result<Self> {
        let flags = fcntl_getfl(&inner)?;
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(&inner, flags | OFlags::NONBLOCK)?;
        }
        let source = current().reactor.watch(&inner)?;
        Ok(Self { inner: Some(inner), source })
    }

    /// What is watched.
    pub fn get(&self) -> &T {
        #[allow(clippy::expect_used, reason = "it is taken out only together with the whole of this")]
        self.inner.as_ref().expect("there is a descriptor")
    }

    /// Gives the descriptor back; it stays non-blocking.
    #[must_use]
    pub fn into_inner(mut self) -> T {
        self.unwatch();
        #[allow(clippy::expect_used, reason = "as above")]
        self.inner.take().expect("there is a descriptor")
    }

    fn unwatch(&self) {
        if let Some(inner) = &self.inner {
            if_any(|executor| executor.reactor.forget(&self.source, inner.as_fd()));
        }
    }

    /// Waits until reading might not block. A call that blocks nevertheless has to be told by
    /// [`Self::reading_blocked`], or this returns at once for ever.
    pub async fn readable(&self) {
        poll_fn(|context| self.source.reading.poll(context)).await;
    }

    /// Waits until writing might not block, or a connection that is being made is there or has failed.
    pub async fn writable(&self) {
        poll_fn(|context| self.source.writing.poll(context)).await;
    }

    /// A call to read was `WouldBlock`.
    pub fn reading_blocked(&self) {
        self.source.reading.blocked();
    }

    /// A call to write was `WouldBlock`.
    pub fn writing_blocked(&self) {
        self.source.writing.blocked();
    }

    /// Repeats a call that reads until it does not block.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn read_with<R>(&self, mut call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            self.readable().await;
            match call(self.get()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.reading_blocked(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Repeats a call that writes until it does not block.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn write_with<R>(&self, mut call: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            self.writable().await;
            match call(self.get()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writing_blocked(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl<T: AsFd> Drop for Fd<T> {
    fn drop(&mut self) {
        self.unwatch();
    }
}
