//! Who gets a connection, and how many there are.
//!
//! Everybody may connect, to be told whether they may use the supervisor. One user has tens of thousands of
//! ids (subuid(5)), so those who may not are counted together.

use crate::caller::{Caller, Decision};
use crate::supervisor::Supervisor;
use rustix::process::{Resource, getrlimit};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most connections of one user. A command makes one; this leaves room for a script that runs many.
const MAX_OF_ONE: usize = 64;
/// Most connections of a user who may ask nothing: enough to be told so.
const MAX_REFUSED_OF_ONE: usize = 4;
/// Most connections of all of them together. Each ends in seconds.
const MAX_REFUSED: usize = 32;

/// Open connections by user: of those who may use the supervisor, and of those who may not.
#[derive(Debug, Default)]
struct Counts {
    admitted: HashMap<u32, usize>,
    refused: HashMap<u32, usize>,
}

impl Counts {
    fn of(&mut self, may: bool) -> &mut HashMap<u32, usize> {
        if may { &mut self.admitted } else { &mut self.refused }
    }

    /// Counts one more, unless there are too many. Root's have a place whatever others do.
    fn add(&mut self, uid: u32, may: bool, max_admitted: usize) -> bool {
        let (of_one, of_all) =
            if may { (MAX_OF_ONE, max_admitted) } else { (MAX_REFUSED_OF_ONE, MAX_REFUSED) };
        let counts = self.of(may);
        let is_full = uid != 0 && counts.values().sum::<usize>() >= of_all;
        let count = counts.entry(uid).or_default();
        let is_one_more = !is_full && *count < of_one;
        *count += usize::from(is_one_more);
        counts.retain(|_, count| *count > 0);
        is_one_more
    }

    fn remove(&mut self, uid: u32, may: bool) {
        let counts = self.of(may);
        if let Some(count) = counts.get_mut(&uid) {
            *count -= 1;
        }
        counts.retain(|_, count| *count > 0);
    }
}

/// Counts connections.
#[derive(Debug)]
pub(super) struct Admission {
    counts: Arc<Mutex<Counts>>,
    /// Most connections of all users who may use the supervisor.
    max_admitted: usize,
}

impl Admission {
    /// None yet. Half of the descriptors stay for sessions.
    pub(super) fn new() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { counts: Arc::default(), max_admitted: usize::try_from(limit / 2).unwrap_or(usize::MAX) }
    }

    /// Whether there is no connection.
    pub(super) fn is_empty(&self) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.admitted.is_empty() && counts.refused.is_empty()
    }

    /// One more connection, unless there are too many.
    pub(super) fn admit(&self, supervisor: &Arc<Supervisor>, caller: &Caller) -> Option<Admitted> {
        let may = matches!(caller.access(), Decision::Allowed);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.add(caller.uid, may, self.max_admitted).then(|| Admitted {
            uid: caller.uid,
            may,
            counts: Arc::clone(&self.counts),
            supervisor: Arc::clone(supervisor),
        })
    }
}

/// Counts a connection while it lasts.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Whose it is.
    pub(super) uid: u32,
    /// Whether they may use the supervisor.
    pub(super) may: bool,
    counts: Arc<Mutex<Counts>>,
    pub(super) supervisor: Arc<Supervisor>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(self.uid, self.may);
        self.supervisor.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_use_nothing_has_a_few_connections_under_however_many_ids() {
        let mut counts = Counts::default();
        let admitted = (1..5000).filter(|uid| counts.add(*uid, false, 100)).count();
        assert_eq!((admitted, counts.refused.len()), (MAX_REFUSED, MAX_REFUSED));
        assert!(counts.add(1, true, 100), "others are not kept out by them");
        (1..5000).for_each(|uid| counts.remove(uid, false));
        assert!(counts.refused.is_empty());
        let of_one = (0..100).filter(|_| counts.add(1000, false, 100)).count();
        assert_eq!(of_one, MAX_REFUSED_OF_ONE);
    }

    #[test]
    fn who_may_use_it_takes_neither_their_neighbours_place_nor_roots() {
        let mut counts = Counts::default();
        assert_eq!((0..100).filter(|_| counts.add(1000, true, 100)).count(), MAX_OF_ONE);
        assert!(counts.add(1001, true, 100));
        assert_eq!((2000..3000).filter(|uid| counts.add(*uid, true, 100)).count(), 100 - MAX_OF_ONE - 1);
        assert!(counts.add(0, true, 100));
        counts.remove(1000, true);
        counts.remove(0, true);
        assert!(counts.add(1000, true, 100) && !counts.add(1002, true, 100));
    }
}
