//! Something that happens, for which tasks wait.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes all tasks that wait for it.
#[derive(Debug, Default)]
pub struct Event {
    count: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Event {
    /// One that has not happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// It happens: who waits now goes on.
    pub fn notify(&self) {
        self.count.set(self.count.get() + 1);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits until it happens after this was called (not after it was first polled).
    pub fn wait(&self) -> impl Future<Output = ()> {
        let before = self.count.get();
        poll_fn(move |context| {
            if self.count.get() != before {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
    }
}
