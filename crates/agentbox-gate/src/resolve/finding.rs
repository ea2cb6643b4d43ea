//! What was found out about a name, and for how long that is believed.

use agentbox_plan::net::{HostName, Reason};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Shortest time for which anything is believed, in seconds.
const LEAST: u32 = 1;
/// Longest time for which addresses are believed.
pub(super) const MOST: Duration = Duration::from_secs(60);
/// Longest time for which it is believed that there are none, in seconds.
const MOST_NEGATIVE: u32 = 10;
/// For how long it is, when nobody says so, in seconds.
const NEGATIVE: u32 = 5;

/// What was found out about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Its addresses, at least one, of both families.
    Found(Rc<[IpAddr]>),
    /// It is there, but has no addresses.
    NoData,
    /// There is no such name.
    NotFound,
    /// It cannot be said.
    Failed(Reason),
}

/// For how long addresses are believed.
pub(super) fn positive_time(ttl: u32) -> Duration {
    Duration::from_secs(ttl.max(LEAST).into()).min(MOST)
}

/// For how long it is believed that there are none.
pub(super) fn negative_time(ttl: Option<u32>) -> Duration {
    Duration::from_secs(ttl.unwrap_or(NEGATIVE).clamp(LEAST, MOST_NEGATIVE).into())
}

/// What was found out about names, as long as it is believed.
#[derive(Debug)]
pub(super) struct Findings {
    limit: usize,
    entries: HashMap<HostName, (Finding, Instant, u64)>,
    /// Which ends when; the number tells apart what ends together.
    ends: BTreeMap<(Instant, u64), HostName>,
    next: u64,
}

impl Findings {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, entries: HashMap::new(), ends: BTreeMap::new(), next: 0 }
    }

    pub(super) fn get(&self, name: &HostName, now: Instant) -> Option<&Finding> {
        self.entries.get(name).filter(|(_, end, _)| now < *end).map(|(finding, ..)| finding)
    }

    pub(super) fn keep(&mut self, name: HostName, finding: Finding, end: Instant) {
        if let Some((_, end, number)) = self.entries.remove(&name) {
            self.ends.remove(&(end, number));
        }
        if self.entries.len() >= self.limit
            && let Some((_, soonest)) = self.ends.pop_first()
        {
            self.entries.remove(&soonest);
        }
        self.next += 1;
        self.ends.insert((end, self.next), name.clone());
        self.entries.insert(name, (finding, end, self.next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(number: u8) -> HostName {
        format!("n{number}.org").parse().unwrap()
    }

    #[test]
    fn what_is_believed_has_an_end() {
        let (mut findings, now) = (Findings::new(4), Instant::now());
        findings.keep(name(1), Finding::NoData, now + Duration::from_secs(1));
        assert_eq!(findings.get(&name(1), now), Some(&Finding::NoData));
        assert_eq!(findings.get(&name(1), now + Duration::from_secs(1)), None);
        assert_eq!(findings.get(&name(2), now), None);
    }

    #[test]
    fn times_stay_within_their_limits() {
        let seconds = |time: Duration| time.as_secs();
        assert_eq!([0, 30, u32::MAX].map(|ttl| seconds(positive_time(ttl))), [1, 30, 60]);
        assert_eq!([Some(0), Some(7), Some(900), None].map(|ttl| seconds(negative_time(ttl))), [1, 7, 10, 5]);
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_the_limit(
            kept in proptest::collection::vec((any::<u8>(), 0..100u64), 0..100), limit in 1..9usize,
        ) {
            let (mut findings, now) = (Findings::new(limit), Instant::now());
            for (number, seconds) in kept {
                findings.keep(name(number), Finding::NotFound, now + Duration::from_secs(seconds));
                prop_assert!(findings.entries.len() <= limit);
                prop_assert_eq!(findings.entries.len(), findings.ends.len());
                prop_assert!(seconds == 0 || findings.get(&name(number), now).is_some());
            }
        }
    }
}
