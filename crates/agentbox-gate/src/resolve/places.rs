//! How much is done at once.

use crate::runtime::Event;
use std::cell::Cell;
use std::rc::Rc;

/// A number of places; who finds none waits for one.
#[derive(Debug)]
pub(super) struct Places {
    free: Cell<usize>,
    freed: Event,
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken(Rc<Places>);

impl Places {
    pub(super) fn new(count: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(count), freed: Event::new() })
    }

    pub(super) async fn take(self: &Rc<Self>) -> Taken {
        loop {
            if let Some(left) = self.free.get().checked_sub(1) {
                self.free.set(left);
                return Taken(Rc::clone(self));
            }
            self.freed.wait().await;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        self.0.freed.notify();
    }
}
