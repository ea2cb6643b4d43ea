//! What is being removed, beside everything else: a session may have made as many files as it liked.
//!
//! From the first moment nothing begins with what is going away.

use agentbox_ipc::Error;
use agentbox_kernel::directory::DirectoryError;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names of what is being removed.
#[derive(Debug, Default)]
pub(crate) struct Removals(Arc<Mutex<BTreeSet<String>>>);

/// One that goes on for as long as this is there.
#[derive(Debug)]
pub(crate) struct Removal {
    what: String,
    all: Arc<Mutex<BTreeSet<String>>>,
}

impl Removals {
    /// Whether this is being removed.
    pub(crate) fn contains(&self, what: &str) -> bool {
        lock(&self.0).contains(what)
    }

    /// This is, from now on.
    pub(crate) fn begin(&self, what: String) -> Removal {
        lock(&self.0).insert(what.clone());
        Removal { what, all: Arc::clone(&self.0) }
    }
}

impl Removal {
    /// Does it. It goes on when whoever asked for it does not wait any more.
    pub(crate) async fn run(
        self,
        work: impl FnOnce() -> Result<(), DirectoryError> + Send + 'static,
    ) -> Result<(), Error> {
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(self);
            done
        });
        let done = done.await.map_err(|error| Error::Failed(error.to_string()))?;
        done.map_err(|error| Error::Failed(error.to_string()))
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.what);
    }
}

fn lock(all: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::session::Record;
    use crate::supervisor::Supervisor;
    use crate::{layers, profiles};

    #[test]
    fn nothing_begins_with_what_is_being_removed() {
        let place = tempfile::TempDir::new().unwrap();
        let supervisor = Supervisor::in_directory(place.path());
        let record = Record::unknown("abc12345".parse().unwrap());
        let begins = || {
            let alone = profiles::one_at_a_time(&supervisor, 1000, "/p", "work").is_ok();
            (alone, layers::one_for_each(&supervisor, &record.id).is_ok())
        };
        assert_eq!(begins(), (true, true));
        let state = supervisor.removals.begin("1000/work".to_owned());
        let layer = supervisor.removals.begin(record.id.to_string());
        assert_eq!(begins(), (false, false));
        assert!(profiles::one_at_a_time(&supervisor, 1001, "/p", "work").is_ok());
        assert!(profiles::one_at_a_time(&supervisor, 1000, "/p", "play").is_ok());
        drop(state);
        assert_eq!(begins(), (true, false));
        drop(layer);
        assert_eq!(begins(), (true, true));
    }
}
