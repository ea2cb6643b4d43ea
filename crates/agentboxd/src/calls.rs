//! How much one user has in hand at once: calls, those of them that wait for something to happen, and readers of the
//! trail. Whoever has used up theirs is told so, and nobody else notices.

use crate::waits::Waits;
use agentbox_ipc::Error;
use serde::{Serialize, Serializer};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zbus::{Signature, Type};

/// Most calls of one user. A command makes one or two at a time.
const MAX_CALLS: usize = 256;
/// Most of them that wait until something happens, as one does for each person who is attached.
const MAX_WAITING: usize = 128;
/// Most readers of the trail of one user, each until its answer, which may have a mebibyte, has been taken.
const MAX_READERS: usize = 2;
/// Most threads that read the trail, so that those who start something find one.
const MAX_READING: usize = 4;
/// How long a reader waits for those of the same user.
const READER_LIMIT: Duration = Duration::from_secs(10);

/// What all users have in hand.
#[derive(Debug)]
pub(crate) struct Calls {
    all: Waits,
    waiting: Waits,
    readers: Waits,
    reading: Arc<Semaphore>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            all: Waits::of_each(MAX_CALLS),
            waiting: Waits::of_each(MAX_WAITING),
            readers: Waits::of_each(MAX_READERS),
            reading: Arc::new(Semaphore::new(MAX_READING)),
        }
    }
}

impl Calls {
    /// One more call of this user.
    pub(crate) fn begin(&self, uid: u32) -> Result<OwnedSemaphorePermit, Error> {
        self.all.free_place_of(uid).ok_or_else(|| {
            too_many(&format!("{MAX_CALLS} calls of this user are in hand already"), "wait for some of them")
        })
    }

    /// One that waits.
    pub(crate) fn wait(&self, uid: u32) -> Result<OwnedSemaphorePermit, Error> {
        self.waiting.free_place_of(uid).ok_or_else(|| {
            too_many(&format!("{MAX_WAITING} calls of this user wait already"), "end some of those who wait")
        })
    }

    /// One that reads the trail.
    pub(crate) async fn read(&self, uid: u32) -> Result<OwnedSemaphorePermit, Error> {
        self.readers.place_of(uid, READER_LIMIT).await.map_err(|_| {
            too_many(
                &format!("{MAX_READERS} programs of this user read the trail already, and do not take their answers"),
                "end one of them",
            )
        })
    }

    /// Reads the trail in a thread of its own.
    pub(crate) async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let place = Arc::clone(&self.reading).acquire_owned().await.map_err(io::Error::other)?;
        let read = tokio::task::spawn_blocking(move || {
            let read = read();
            drop(place);
            read
        });
        read.await.map_err(io::Error::other)?
    }
}

fn too_many(what: &str, next: &str) -> Error {
    Error::Refused(format!(
        "refused: {what}\nrule: built-in: one user takes nothing from others\n{next}, then try again"
    ))
}

/// An answer that holds a place until it has been sent: the bus library keeps it for as long as its peer reads nothing.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    answer: T,
    _place: OwnedSemaphorePermit,
}

impl<T> Kept<T> {
    /// This answer, with this place.
    pub(crate) fn new(answer: T, place: OwnedSemaphorePermit) -> Self {
        Self { answer, _place: place }
    }
}

impl<T: Serialize> Serialize for Kept<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.answer.serialize(serializer)
    }
}

impl<T: Type> Type for Kept<T> {
    const SIGNATURE: &'static Signature = T::SIGNATURE;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn one_user_has_so_much_in_hand_and_takes_nothing_from_others() {
        let calls = Calls::default();
        for (most, begin) in [(MAX_CALLS, Calls::begin as fn(&Calls, u32) -> _), (MAX_WAITING, Calls::wait)] {
            let mut held: Vec<OwnedSemaphorePermit> =
                (0..most).map(|_| begin(&calls, 1000).unwrap()).collect();
            let refused = begin(&calls, 1000).unwrap_err();
            assert!(matches!(&refused, Error::Refused(text) if text.contains("of this user")), "{refused:?}");
            assert!(begin(&calls, 1001).is_ok() && begin(&calls, 0).is_ok());
            held.pop();
            assert!(begin(&calls, 1000).is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_of_the_trail_that_nobody_takes_keep_others_of_that_user_only() {
        let calls = Calls::default();
        let mut kept = Vec::new();
        for _ in 0..MAX_READERS {
            kept.push(Kept::new("lines", calls.read(1000).await.unwrap()));
        }
        assert!(matches!(calls.read(1000).await.unwrap_err(), Error::Refused(_)));
        assert!(calls.read(1001).await.is_ok());
        kept.pop();
        assert!(calls.read(1000).await.is_ok());
    }

    #[tokio::test]
    async fn the_trail_is_read_by_a_few_threads_however_many_ask() {
        let calls = Calls::default();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let reads = (0..4 * MAX_READING).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            calls.reading(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        });
        let mut reads: Vec<_> = reads.map(Box::pin).collect();
        std::future::poll_fn(|context| {
            reads.retain_mut(|read| read.as_mut().poll(context).is_pending());
            if reads.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        assert_eq!(most.load(Ordering::SeqCst), MAX_READING);
    }
}
