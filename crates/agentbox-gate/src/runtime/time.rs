//! Waiting for a time, and for the first of two things.

use super::{current, first_of, if_any};
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A time limit has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it took too long")]
pub struct Elapsed;

/// What came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

/// Keeps its place among the times until it is dropped.
struct Alarm {
    time: Instant,
    number: Option<u64>,
}

impl Alarm {
    fn clear(&mut self) {
        if let Some(number) = self.number.take() {
            if_any(|executor| executor.reactor.forget_time(self.time, number));
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Waits.
pub async fn sleep(time: Duration) {
    let mut alarm = Alarm { time: Instant::now() + time, number: None };
    poll_fn(|context| {
        alarm.clear();
        if Instant::now() >= alarm.time {
            return Poll::Ready(());
        }
        alarm.number = Some(current().reactor.at(alarm.time, context.waker()));
        Poll::Pending
    })
    .await;
}

/// Waits for a future, but not longer than this.
///
/// # Errors
/// [`Elapsed`]; the future is dropped then.
pub async fn timeout<T>(time: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    match race(future, sleep(time)).await {
        Either::First(value) => Ok(value),
        Either::Second(()) => Err(Elapsed),
    }
}

/// Waits for the first of two futures and drops the other one.
pub async fn race<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    first_of(first, second).await
}
