//! What is done where persons' paths lead is done by threads of its own, and waited for no longer than a person would.
//!
//! A file system that others run need never answer: FUSE, or a server that is gone. A call that waits for it cannot be
//! taken back, so its thread is left behind until there is an answer. Each person has a few, and whoever has used them
//! up waits for their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long is waited. A disk that was asleep turns after less.
const LIMIT: Duration = Duration::from_secs(10);
/// Most threads for the paths of one person: several starts at once, and few of the 512 that tokio has.
const MAX_THREADS: usize = 8;

/// Nothing was answered in time.
#[derive(Debug, thiserror::Error)]
#[error("the file system of {0} does not answer; wait for it or unmount it, then try again")]
pub(crate) struct Unanswered(String);

impl Unanswered {
    /// As the answer of a start.
    pub(crate) fn refusal(&self) -> String {
        format!("refused: {self}\nrule: built-in: a start does not wait longer than {} s", LIMIT.as_secs())
    }
}

/// The path that is being opened, for whoever waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct At(Arc<Mutex<String>>);

impl At {
    /// This one is next.
    pub(crate) fn set(&self, path: &str) {
        path.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn unanswered(&self) -> Unanswered {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match path.as_str() {
            // Others of the same person use up what they have.
            "" => Unanswered("other paths that this person has named".to_owned()),
            path => Unanswered(format!("`{}`", path.escape_debug())),
        }
    }
}

/// The threads of all persons.
#[derive(Debug)]
pub(crate) struct Waits {
    of_each: usize,
    all: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

impl Default for Waits {
    fn default() -> Self {
        Self::of_each(MAX_THREADS)
    }
}

impl Waits {
    /// So many places for each person.
    pub(crate) fn of_each(places: usize) -> Self {
        Self { of_each: places, all: Mutex::default() }
    }

    /// Does something at paths of this user's. Work that is not waited for any more goes on, so it has to be such as
    /// changes nothing.
    pub(crate) async fn at_paths_of<T: Send + 'static>(
        &self,
        uid: u32,
        work: impl FnOnce(&At) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        self.within(LIMIT, uid, work).await
    }

    async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        uid: u32,
        work: impl FnOnce(&At) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let threads = self.of(uid);
        let at = At::default();
        let theirs = at.clone();
        let work = async move {
            let place = threads.acquire_owned().await.ok()?;
            let work = tokio::task::spawn_blocking(move || {
                let done = work(&theirs);
                drop(place);
                done
            });
            work.await.ok()
        };
        match tokio::time::timeout(limit, work).await {
            Ok(Some(done)) => Ok(done),
            Ok(None) | Err(_) => Err(at.unanswered()),
        }
    }

    /// Takes one of the person's places for something that waits in another way.
    pub(crate) async fn place_of(
        &self,
        uid: u32,
        limit: Duration,
    ) -> Result<OwnedSemaphorePermit, Unanswered> {
        match tokio::time::timeout(limit, self.of(uid).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(At::default().unanswered()),
        }
    }

    /// The same without waiting; `None` when there is none.
    pub(crate) fn free_place_of(&self, uid: u32) -> Option<OwnedSemaphorePermit> {
        self.of(uid).try_acquire_owned().ok()
    }

    fn of(&self, uid: u32) -> Arc<Semaphore> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(self.of_each))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn who_waits_for_ever_is_told_of_the_path_and_keeps_nobody_else() {
        let waits = Waits::default();
        let (answer, answers) = mpsc::channel::<()>();
        let answers = Arc::new(Mutex::new(answers));
        for _ in 0..MAX_THREADS {
            let answers = Arc::clone(&answers);
            let stuck = waits.within(SHORT, 1000, move |at| {
                at.set("/home/ada/m\n");
                answers.lock().unwrap().recv()
            });
            let said = stuck.await.unwrap_err().to_string();
            assert!(said.contains("`/home/ada/m\\n` does not answer"), "{said}");
        }
        let said = waits.within(SHORT, 1000, |_| ()).await.unwrap_err().to_string();
        assert!(said.contains("other paths"), "{said}");
        assert_eq!(waits.within(SHORT, 1001, |_| 7).await.unwrap(), 7);
        assert!(waits.free_place_of(1000).is_none() && waits.place_of(1000, SHORT).await.is_err());
        drop(answer);
        assert_eq!(waits.within(LIMIT, 1000, |_| 7).await.unwrap(), 7);
    }
}
