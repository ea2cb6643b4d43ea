//! Decisions of gates as the trail has them: one event for equal ones (destination, port, verdict; key, purpose,
//! verdict) and ten seconds, with a count, so that no flood fills the disk.

use agentbox_plan::net::{Destination, HostName, Reason};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For how long equal decisions are counted together.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// Different decisions that are counted at once. What comes on top is counted as one.
const MOST: usize = 512;

/// A decision about the network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Decided {
    /// About what.
    pub(crate) destination: Destination,
    /// Port; 0 for a question for a name.
    pub(crate) port: u16,
    /// Why it was refused.
    pub(crate) reason: Option<Reason>,
    /// The rule that decided, by its place.
    pub(crate) rule: Option<u32>,
    /// The name that was named instead.
    pub(crate) other: Option<HostName>,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<T = Decided> {
    /// The decision; `None` for those that were too many to tell apart.
    pub(crate) decided: Option<T>,
    /// How often since it was written last.
    pub(crate) count: u64,
}

/// Decisions that are counted.
#[derive(Debug)]
pub(crate) struct Decisions<T = Decided> {
    /// When a window began, and how many came after its first.
    open: BTreeMap<T, (Instant, u64)>,
    others: u64,
}

impl<T> Default for Decisions<T> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), others: 0 }
    }
}

impl<T: Ord + Clone> Decisions<T> {
    /// Counts one. The first of its kind is to be written at once.
    pub(crate) fn note(&mut self, now: Instant, decided: T) -> Option<Entry<T>> {
        if let Some((_, more)) = self.open.get_mut(&decided) {
            *more += 1;
            return None;
        }
        if self.open.len() >= MOST {
            self.others += 1;
            return None;
        }
        self.open.insert(decided.clone(), (now, 0));
        Some(Entry { decided: Some(decided), count: 1 })
    }

    /// What was counted in windows that have ended.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Entry<T>> {
        let mut due = Vec::new();
        self.open.retain(|decided, (begun, more)| {
            if now.duration_since(*begun) < WINDOW {
                return true;
            }
            if *more > 0 {
                due.push(Entry { decided: Some(decided.clone()), count: *more });
            }
            false
        });
        self.flush_others(&mut due);
        due
    }

    /// All that was counted, at the end of a session.
    pub(crate) fn rest(&mut self) -> Vec<Entry<T>> {
        let open = std::mem::take(&mut self.open);
        let counted = open.into_iter().filter(|(_, (_, more))| *more > 0);
        let mut rest: Vec<_> =
            counted.map(|(decided, (_, count))| Entry { decided: Some(decided), count }).collect();
        self.flush_others(&mut rest);
        rest
    }

    fn flush_others(&mut self, into: &mut Vec<Entry<T>>) {
        if self.others > 0 {
            into.push(Entry { decided: None, count: std::mem::take(&mut self.others) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decided(port: u16) -> Decided {
        Decided { destination: Destination::HostLoopback, port, reason: None, rule: None, other: None }
    }

    #[test]
    fn the_first_is_written_at_once_and_the_rest_with_its_window() {
        let (mut decisions, now) = (Decisions::<Decided>::default(), Instant::now());
        assert_eq!(decisions.note(now, decided(1)).map(|entry| entry.count), Some(1));
        for _ in 0..5 {
            assert_eq!(decisions.note(now, decided(1)), None);
        }
        assert!(decisions.due(now + WINDOW / 2).is_empty());
        assert_eq!(decisions.due(now + WINDOW), [Entry { decided: Some(decided(1)), count: 5 }]);
        assert!(decisions.note(now + WINDOW, decided(1)).is_some());
        assert!(decisions.due(now + 2 * WINDOW).is_empty());
    }

    proptest! {
        /// Whatever comes in whatever order: the counts add up, and few are held.
        #[test]
        fn no_decision_is_lost(ports in proptest::collection::vec(0u16..2000, 0..3000)) {
            let (mut decisions, begun) = (Decisions::<Decided>::default(), Instant::now());
            let mut written = 0;
            for (at, port) in ports.iter().enumerate() {
                let now = begun + Duration::from_millis(at as u64 * 7);
                written += decisions.note(now, decided(*port)).map_or(0, |entry| entry.count);
                written += decisions.due(now).iter().map(|entry| entry.count).sum::<u64>();
                prop_assert!(decisions.open.len() <= MOST);
            }
            written += decisions.rest().iter().map(|entry| entry.count).sum::<u64>();
            prop_assert_eq!(written, ports.len() as u64);
        }
    }
}
