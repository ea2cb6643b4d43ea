//! Signatures that wait for the person. They are confirmed over the bus, which no session reaches.

use agentbox_plan::keys::{Fingerprint, Purpose};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A person who was asked has this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// One that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// With which key.
    pub(crate) key: Fingerprint,
    /// What for.
    pub(crate) purpose: Purpose,
    begun: Instant,
    answer: oneshot::Sender<bool>,
}

impl Waiting {
    /// How long it still waits.
    pub(crate) fn left(&self) -> Duration {
        LIMIT.saturating_sub(self.begun.elapsed())
    }
}

/// All of a session, by number. Numbers are never used twice, so that nobody confirms another one than was
/// looked at.
#[derive(Debug)]
pub(super) struct AllWaiting {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

impl Default for AllWaiting {
    /// A supervisor that takes the session over does not know how far its predecessor came. It begins at the
    /// seconds since the machine's start: with at most a handful that wait for a minute, nobody counts as fast.
    fn default() -> Self {
        let seconds = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
        Self { next: u64::try_from(seconds).unwrap_or_default(), waiting: BTreeMap::new() }
    }
}

impl AllWaiting {
    /// Adds one; its number, and where the answer arrives.
    pub(super) fn add(&mut self, key: Fingerprint, purpose: Purpose) -> (u64, oneshot::Receiver<bool>) {
        let (answer, answered) = oneshot::channel();
        self.next += 1;
        self.waiting.insert(self.next, Waiting { key, purpose, begun: Instant::now(), answer });
        (self.next, answered)
    }

    /// Forgets one that nobody answered.
    pub(super) fn remove(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Answers one; what it was, when it still waited.
    pub(super) fn answer(&mut self, number: u64, accept: bool) -> Option<(Fingerprint, Purpose)> {
        let Waiting { key, purpose, answer, .. } = self.waiting.remove(&number)?;
        answer.send(accept).ok().map(|()| (key, purpose))
    }

    /// Each with its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Waiting)> {
        self.waiting.iter().map(|(number, waiting)| (*number, waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_answered_once_and_never_given_again() {
        let mut all = AllWaiting::default();
        let (key, purpose) = (Fingerprint([1; 32]), Purpose::Git);
        let (first, mut answered) = all.add(key, purpose);
        assert_eq!(all.answer(first, true), Some((key, purpose)));
        assert_eq!(answered.try_recv(), Ok(true));
        assert_eq!(all.answer(first, true), None);
        let (second, answered) = all.add(key, purpose);
        assert!(second > first && all.iter().count() == 1);
        // Who asked is gone.
        drop(answered);
        assert_eq!(all.answer(second, true), None);
    }
}
