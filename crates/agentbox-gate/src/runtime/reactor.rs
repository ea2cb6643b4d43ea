//! Who is woken when: descriptors by epoll(7), edge-triggered, and times.

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Events that are taken from the kernel at once.
const EVENTS: usize = 256;

/// One direction of a descriptor.
#[derive(Debug)]
pub(super) struct Direction {
    /// Whether the next call might not block. Set by the kernel's events, cleared by a call that blocked.
    is_ready: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Direction {
    fn new() -> Self {
        // The first call finds out.
        Self { is_ready: Cell::new(true), waiting: RefCell::default() }
    }

    fn wake(&self) {
        self.is_ready.set(true);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    pub(super) fn blocked(&self) {
        self.is_ready.set(false);
    }

    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_ready.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// A descriptor that is watched.
#[derive(Debug)]
pub(super) struct Source {
    number: u64,
    pub(super) reading: Direction,
    pub(super) writing: Direction,
}

pub(super) struct Reactor {
    epoll: OwnedFd,
    sources: RefCell<HashMap<u64, Rc<Source>>>,
    times: RefCell<BTreeMap<(Instant, u64), Waker>>,
    next: Cell<u64>,
    buffer: RefCell<Vec<epoll::Event>>,
}

impl Reactor {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            sources: RefCell::default(),
            times: RefCell::default(),
            next: Cell::new(0),
            buffer: RefCell::new(Vec::with_capacity(EVENTS)),
        })
    }

    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    pub(super) fn watch(&self, fd: impl AsFd) -> io::Result<Rc<Source>> {
        let source = Source { number: self.number(), reading: Direction::new(), writing: Direction::new() };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, fd, EventData::new_u64(source.number), flags)?;
        let source = Rc::new(source);
        self.sources.borrow_mut().insert(source.number, Rc::clone(&source));
        Ok(source)
    }

    pub(super) fn forget(&self, source: &Source, fd: BorrowedFd<'_>) {
        self.sources.borrow_mut().remove(&source.number);
        // A descriptor that somebody else holds as well would go on to be reported.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// The number under which a time is kept.
    pub(super) fn at(&self, time: Instant, waker: &Waker) -> u64 {
        let number = self.number();
        self.times.borrow_mut().insert((time, number), waker.clone());
        number
    }

    pub(super) fn forget_time(&self, time: Instant, number: u64) {
        self.times.borrow_mut().remove(&(time, number));
    }

    /// Looks at descriptors and times and wakes who waits for them; waits for the first of these when there
    /// is nothing else to do.
    pub(super) fn wait(&self, is_idle: bool) -> io::Result<()> {
        let first = self.times.borrow().keys().next().map(|(time, _)| *time);
        let limit = match (is_idle, first) {
            (false, _) => Some(Duration::ZERO),
            (true, Some(time)) => Some(time.saturating_duration_since(Instant::now())),
            (true, None) => None,
        };
        let limit = limit.map(|limit| Timespec {
            // A day is as good as for ever.
            tv_sec: limit.as_secs().min(86_400).cast_signed(),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let mut events = self.buffer.take();
        events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            // Copied out: the structure is packed.
            let (data, flags) = (event.data, event.flags);
            let Some(source) = self.sources.borrow().get(&data.u64()).cloned() else { continue };
            let over = EventFlags::ERR | EventFlags::HUP;
            if flags.intersects(EventFlags::IN | EventFlags::RDHUP | over) {
                source.reading.wake();
            }
            if flags.intersects(EventFlags::OUT | over) {
                source.writing.wake();
            }
        }
        self.buffer.replace(events);
        let now = Instant::now();
        while let Some(entry) = {
            let mut times = self.times.borrow_mut();
            let entry = times.first_entry().filter(|entry| entry.key().0 <= now);
            entry.map(std::collections::btree_map::OccupiedEntry::remove)
        } {
            entry.wake();
        }
        Ok(())
    }
}
