//! Decisions of gates as the trail has them: one event for equal ones (destination, port, verdict; key, purpose,
//! verdict) and ten seconds, with a count, so that no flood of refusals fills the disk.
//!
//! What was allowed has a share of its own, and the first of its kind is always written, however many others there
//! are: no flood hides where something went.

use agentbox_plan::net::{Destination, HostName, Reason};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For how long equal decisions are counted together.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// Different refusals that are counted at once, and as many that are none. Of refusals what comes on top is counted
/// as one; of what was allowed the longest count makes room.
const MOST: usize = 512;

/// What is counted.
pub(crate) trait Kind: Ord + Clone {
    /// Whether it was refused.
    fn is_refusal(&self) -> bool;
}

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

impl Kind for Decided {
    fn is_refusal(&self) -> bool {
        self.reason.is_some()
    }
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<T = Decided> {
    /// The decision; `None` for those that were too many to tell apart.
    pub(crate) decided: Option<T>,
    /// How often since it was written last.
    pub(crate) count: u64,
}

/// When a window began, and how many came after its first.
type Open<T> = BTreeMap<T, (Instant, u64)>;

/// Decisions that are counted.
#[derive(Debug)]
pub(crate) struct Decisions<T = Decided> {
    refused: Open<T>,
    allowed: Open<T>,
    /// Refusals that are not told apart.
    others: u64,
}

impl<T> Default for Decisions<T> {
    fn default() -> Self {
        Self { refused: BTreeMap::new(), allowed: BTreeMap::new(), others: 0 }
    }
}

impl<T: Kind> Decisions<T> {
    /// Counts one; says what is to be written at once, which the first of its kind is.
    pub(crate) fn note(&mut self, now: Instant, decided: T) -> Vec<Entry<T>> {
        let is_refusal = decided.is_refusal();
        let open = if is_refusal { &mut self.refused } else { &mut self.allowed };
        if let Some((_, more)) = open.get_mut(&decided) {
            *more += 1;
            return Vec::new();
        }
        let mut entries = Vec::new();
        if open.len() >= MOST {
            if is_refusal {
                self.others += 1;
                return entries;
            }
            let oldest = open.iter().min_by_key(|(_, (begun, _))| *begun).map(|(oldest, _)| oldest.clone());
            if let Some((oldest, (_, count @ 1..))) = oldest.and_then(|oldest| open.remove_entry(&oldest)) {
                entries.push(Entry { decided: Some(oldest), count });
            }
        }
        open.insert(decided.clone(), (now, 0));
        entries.push(Entry { decided: Some(decided), count: 1 });
        entries
    }

    /// What was counted in windows that have ended.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Entry<T>> {
        let mut due = Vec::new();
        for open in [&mut self.refused, &mut self.allowed] {
            open.retain(|decided, (begun, more)| {
                if now.duration_since(*begun) < WINDOW {
                    return true;
                }
                if *more > 0 {
                    due.push(Entry { decided: Some(decided.clone()), count: *more });
                }
                false
            });
        }
        self.flush_others(&mut due);
        due
    }

    /// All that was counted, at the end of a session.
    pub(crate) fn rest(&mut self) -> Vec<Entry<T>> {
        let open = [std::mem::take(&mut self.refused), std::mem::take(&mut self.allowed)];
        let counted = open.into_iter().flatten().filter(|(_, (_, more))| *more > 0);
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
        assert_eq!(decisions.note(now, decided(1)), [Entry { decided: Some(decided(1)), count: 1 }]);
        for _ in 0..5 {
            assert_eq!(decisions.note(now, decided(1)), []);
        }
        assert!(decisions.due(now + WINDOW / 2).is_empty());
        assert_eq!(decisions.due(now + WINDOW), [Entry { decided: Some(decided(1)), count: 5 }]);
        assert!(!decisions.note(now + WINDOW, decided(1)).is_empty());
        assert!(decisions.due(now + 2 * WINDOW).is_empty());
    }

    fn refused(port: u16) -> Decided {
        Decided { reason: Some(Reason::NotListed), ..decided(port) }
    }

    #[test]
    fn no_flood_hides_what_was_allowed() {
        let (mut decisions, now) = (Decisions::<Decided>::default(), Instant::now());
        for port in 0..1500 {
            decisions.note(now, refused(port));
        }
        for port in 0..1500 {
            let written = decisions.note(now, decided(port));
            assert_eq!(written, [Entry { decided: Some(decided(port)), count: 1 }], "{port}");
        }
        assert_eq!(decisions.rest(), [Entry { decided: None, count: 1500 - MOST as u64 }]);
    }

    proptest! {
        /// Whatever comes in whatever order: the counts add up, and few are held.
        #[test]
        fn no_decision_is_lost(ports in proptest::collection::vec((0u16..2000, any::<bool>()), 0..1500)) {
            let (mut decisions, begun) = (Decisions::<Decided>::default(), Instant::now());
            let mut written = 0;
            for (at, (port, is_refused)) in ports.iter().enumerate() {
                let this = if *is_refused { refused(*port) } else { decided(*port) };
                let now = begun + Duration::from_millis(at as u64 * 7);
                written += decisions.note(now, this).iter().map(|entry| entry.count).sum::<u64>();
                written += decisions.due(now).iter().map(|entry| entry.count).sum::<u64>();
                prop_assert!(decisions.refused.len() <= MOST && decisions.allowed.len() <= MOST);
            }
            written += decisions.rest().iter().map(|entry| entry.count).sum::<u64>();
            prop_assert_eq!(written, ports.len() as u64);
        }
    }
}
