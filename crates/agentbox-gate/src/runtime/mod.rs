//! A small executor: one thread, tasks that are woken by descriptors, times and each other.
//!
//! The gate waits for thousands of descriptors and does little else, and what is linked into it is all that
//! meets untrusted bytes; so it has this instead of a general runtime. Nothing here is `Send`.
//!
//! | file | responsible for |
//! |---|---|
//! | `reactor` | epoll(7) and times: who is woken when |
//! | `fd` | [`Fd`], a descriptor that can be waited for |
//! | `time` | [`sleep`], [`timeout`], [`race`] |
//! | `event` | [`Event`], by which tasks wake each other |

mod event;
mod fd;
mod reactor;
mod time;

pub use event::Event;
pub use fd::Fd;
pub use time::{Either, Elapsed, race, sleep, timeout};

use reactor::Reactor;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Tasks that are polled before descriptors are looked at again, so that no task starves them.
const BATCH: usize = 256;

type Work = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// Tasks that want to be polled. Tasks are woken on the thread that they run on.
    static READY: RefCell<VecDeque<Arc<Wakeup>>> = const { RefCell::new(VecDeque::new()) };
    static CURRENT: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

/// What wakes a task.
struct Wakeup {
    task: u64,
    is_queued: AtomicBool,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            READY.with_borrow_mut(|ready| ready.push_back(self));
        }
    }
}

struct Executor {
    /// A task that is being polled is not in the table, but its number is.
    tasks: RefCell<HashMap<u64, Option<Work>>>,
    next: Cell<u64>,
    reactor: Reactor,
}

fn current() -> Rc<Executor> {
    #[allow(clippy::expect_used, reason = "a defect of this program, and not one that input can cause")]
    CURRENT.with_borrow(Clone::clone).expect("inside of block_on")
}

/// The executor for what is dropped, which may be after its end.
fn if_any(with: impl FnOnce(&Executor)) {
    let executor = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
    if let Some(executor) = executor {
        with(&executor);
    }
}

impl Executor {
    fn add(&self, work: Work) -> u64 {
        let task = self.next.get();
        self.next.set(task + 1);
        self.tasks.borrow_mut().insert(task, Some(work));
        Arc::new(Wakeup { task, is_queued: AtomicBool::new(false) }).wake();
        task
    }

    fn poll(&self, wakeup: Arc<Wakeup>) {
        wakeup.is_queued.store(false, Ordering::Relaxed);
        let task = wakeup.task;
        let Some(mut work) = self.tasks.borrow_mut().get_mut(&task).and_then(Option::take) else { return };
        let waker = Waker::from(wakeup);
        let is_done = work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        match tasks.get_mut(&task) {
            Some(place) if !is_done => *place = Some(work),
            // It has ended, or it cancelled itself.
            _ => {
                tasks.remove(&task);
                drop(tasks);
                drop(work);
            }
        }
    }

    fn cancel(&self, task: u64) {
        // What it holds may wake or spawn others when it is dropped.
        let removed = self.tasks.borrow_mut().remove(&task);
        drop(removed);
    }
}

/// Runs a future, and all that it spawns, until the future has ended. What it spawned is then dropped.
///
/// # Errors
/// When there is no epoll(7).
pub fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
    let executor =
        Rc::new(Executor { tasks: RefCell::default(), next: Cell::new(0), reactor: Reactor::new()? });
    READY.with_borrow_mut(VecDeque::clear);
    CURRENT.set(Some(Rc::clone(&executor)));
    let result = Rc::new(RefCell::new(None));
    let place = Rc::clone(&result);
    executor.add(Box::pin(async move {
        let value = future.await;
        place.replace(Some(value));
    }));
    let ended = loop {
        for _ in 0..BATCH {
            let Some(wakeup) = READY.with_borrow_mut(VecDeque::pop_front) else { break };
            executor.poll(wakeup);
        }
        if let Some(value) = result.take() {
            break Ok(value);
        }
        let is_idle = READY.with_borrow(VecDeque::is_empty);
        if let Err(error) = executor.reactor.wait(is_idle) {
            break Err(error);
        }
    };
    // Tasks that are dropped still find their executor.
    let left = std::mem::take(&mut *executor.tasks.borrow_mut());
    drop(left);
    CURRENT.set(None);
    ended
}

/// A task. Dropping this lets it go on by itself.
#[derive(Debug, Clone)]
pub struct Task(u64);

impl Task {
    /// Ends it where it waits; everything that it holds is dropped.
    pub fn cancel(&self) {
        if_any(|executor| executor.cancel(self.0));
    }
}

/// Starts a task beside the one that is running.
pub fn spawn(work: impl Future<Output = ()> + 'static) -> Task {
    Task(current().add(Box::pin(work)))
}

/// Lets every other task that is ready run first.
pub async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits for the first of two futures on the same task.
fn poll_both<A: Future, B: Future>(
    first: &mut Pin<&mut A>,
    second: &mut Pin<&mut B>,
    context: &mut Context<'_>,
) -> Poll<Either<A::Output, B::Output>> {
    if let Poll::Ready(value) = first.as_mut().poll(context) {
        return Poll::Ready(Either::First(value));
    }
    second.as_mut().poll(context).map(Either::Second)
}

async fn first_of<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    std::future::poll_fn(|context| poll_both(&mut first, &mut second, context)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn tasks_wait_for_descriptors_and_each_other() {
        let said = block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (ours, theirs) = (Fd::new(ours).unwrap(), Fd::new(theirs).unwrap());
            spawn(async move {
                sleep(Duration::from_millis(5)).await;
                theirs.write_with(|mut stream| stream.write(b"hello")).await.unwrap();
            });
            let mut bytes = [0; 9];
            let count = ours.read_with(|mut stream| stream.read(&mut bytes)).await.unwrap();
            bytes[..count].to_vec()
        });
        assert_eq!(said.unwrap(), b"hello");
    }

    #[test]
    fn a_time_limit_ends_what_waits() {
        let begun = Instant::now();
        let result = block_on(async {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let ours = Fd::new(ours).unwrap();
            let mut byte = [0];
            timeout(Duration::from_millis(20), ours.read_with(|mut stream| stream.read(&mut byte)))
                .await
                .map(drop)
        });
        assert!(result.unwrap().is_err());
        assert!(begun.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_cancelled_task_drops_what_it_holds() {
        let (dropped, by_itself) = block_on(async {
            let held = Rc::new(());
            let inside = Rc::clone(&held);
            let task = spawn(async move {
                sleep(Duration::from_secs(60)).await;
                drop(inside);
            });
            give_way().await;
            task.cancel();
            // One that cancels itself ends where it waits next.
            let own = Rc::new(RefCell::new(None::<Task>));
            let (mine, reached) = (Rc::clone(&own), Rc::new(Cell::new(false)));
            let seen = Rc::clone(&reached);
            own.replace(Some(spawn(async move {
                mine.borrow().as_ref().unwrap().cancel();
                give_way().await;
                seen.set(true);
            })));
            sleep(Duration::from_millis(2)).await;
            (Rc::strong_count(&held) == 1, !reached.get())
        })
        .unwrap();
        assert!(dropped && by_itself);
    }

    #[test]
    fn an_event_wakes_all_that_wait() {
        let count = block_on(async {
            let event = Rc::new(Event::new());
            let count = Rc::new(Cell::new(0));
            for _ in 0..3 {
                let (event, count) = (Rc::clone(&event), Rc::clone(&count));
                spawn(async move {
                    event.wait().await;
                    count.set(count.get() + 1);
                });
            }
            give_way().await;
            event.notify();
            sleep(Duration::from_millis(1)).await;
            count.get()
        });
        assert_eq!(count.unwrap(), 3);
    }

    #[test]
    fn a_busy_task_does_not_starve_a_descriptor() {
        let done = block_on(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let ours = Fd::new(ours).unwrap();
            theirs.write_all(b"x").unwrap();
            let busy = spawn(async {
                loop {
                    give_way().await;
                }
            });
            let done = timeout(Duration::from_secs(5), ours.readable()).await.is_ok();
            busy.cancel();
            done
        });
        assert!(done.unwrap());
    }
}
