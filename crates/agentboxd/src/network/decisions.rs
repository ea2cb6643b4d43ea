//! Decisions of gates as the trail has them: one event for equal ones (destination, port, verdict; key, purpose,
//! verdict) and ten seconds, with a count, so that no flood of refusals fills the disk.
//!
//! What was allowed has a share of its own, and the first of its kind is always written, however many others there
//! are: no flood hides where something went. What may be written of it is bounded by what may be reached: before a
//! connection is made to another place, it is asked whether there is a line for it. Refusals that there is no line for
//! are counted as one.

use super::lines::{EACH, Lines};
use agentbox_plan::net::{Destination, HostName, Reason};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// For how long equal decisions are counted together.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// Different refusals that are counted at once, and as many that are none. Of refusals what comes on top is counted
/// as one; of what was allowed the longest count makes room.
const MOST: usize = 512;
/// The same for what was allowed, of a session that has written very much: as many places as are counted at once can be
/// reached for ever.
const LONG_WINDOW: Duration = Duration::from_secs(300);
const _: () = assert!(MOST as u128 * EACH.as_millis() <= LONG_WINDOW.as_millis(), "they can not");

/// What is counted.
pub(crate) trait Kind: Ord + Clone {
    /// Whether it was refused.
    fn is_refusal(&self) -> bool;

    /// Whether one of these stands for all.
    fn stands_for_all(&self) -> bool {
        false
    }
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

    /// It is refused so that there are fewer lines.
    fn stands_for_all(&self) -> bool {
        self.reason == Some(Reason::ManyDestinations)
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
    lines_of_refused: Lines,
    lines_of_allowed: Lines,
    /// Refusals that are not told apart, and when the first of them came.
    others: u64,
    others_since: Option<Instant>,
}

impl<T> Default for Decisions<T> {
    fn default() -> Self {
        Self {
            refused: BTreeMap::new(),
            allowed: BTreeMap::new(),
            lines_of_refused: Lines::default(),
            lines_of_allowed: Lines::default(),
            others: 0,
            others_since: None,
        }
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
        if is_refusal {
            let has_line = match decided.stands_for_all() {
                true => !open.keys().any(T::stands_for_all),
                false => open.len() < MOST && self.lines_of_refused.take(now),
            };
            if !has_line {
                self.others += 1;
                self.others_since.get_or_insert(now);
                return entries;
            }
        } else {
            self.lines_of_allowed.write(now);
        }
        if !is_refusal && open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, (begun, _))| *begun).map(|(oldest, _)| oldest.clone());
            if let Some((oldest, (_, count @ 1..))) = oldest.and_then(|oldest| open.remove_entry(&oldest)) {
                entries.push(Entry { decided: Some(oldest), count });
            }
        }
        open.insert(decided.clone(), (now, 0));
        entries.push(Entry { decided: Some(decided), count: 1 });
        entries
    }

    /// Whether there is a line for another one that is allowed, or none is needed.
    pub(crate) fn has_line(&mut self, now: Instant, is_same: impl Fn(&T) -> bool) -> bool {
        self.lines_of_allowed.are_left(now) || self.allowed.keys().any(is_same)
    }

    /// How many were allowed that there was no line for.
    pub(crate) fn owed(&mut self, now: Instant) -> u64 {
        self.lines_of_allowed.owed(now)
    }

    /// What was counted in windows that have ended.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Entry<T>> {
        let mut due = Vec::new();
        let is_scarce = self.lines_of_allowed.are_scarce(now);
        let window = if is_scarce { LONG_WINDOW } else { WINDOW };
        for (open, window) in [(&mut self.refused, WINDOW), (&mut self.allowed, window)] {
            open.retain(|decided, (begun, more)| {
                if now.duration_since(*begun) < window {
                    return true;
                }
                if *more > 0 {
                    due.push(Entry { decided: Some(decided.clone()), count: *more });
                }
                false
            });
        }
        if self.others_since.is_some_and(|since| now.duration_since(since) >= WINDOW) {
            self.flush_others(&mut due);
        }
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
        self.others_since = None;
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

    #[test]
    fn what_may_still_be_reached_is_what_there_are_lines_for() {
        let (mut decisions, now) = (Decisions::<Decided>::default(), Instant::now());
        let may = |decisions: &mut Decisions, now, port| decisions.has_line(now, |open| open.port == port);
        let reached = (0..u16::MAX).take_while(|port| {
            let may = may(&mut decisions, now, *port);
            if may {
                decisions.note(now, decided(*port));
            }
            may
        });
        let last = u16::try_from(reached.count()).unwrap() - 1;
        assert_eq!(last, 4095);
        // What is counted already needs no line.
        assert!(may(&mut decisions, now, last) && !may(&mut decisions, now, 9999));
        assert!(decisions.due(now + WINDOW).is_empty(), "it is counted for longer");
        assert!(may(&mut decisions, now + WINDOW, last) && may(&mut decisions, now + EACH, 9999));
        // One that was on its way is written, and owed.
        for port in 9000..9030 {
            assert_eq!(decisions.note(now, decided(port)).last().map(|entry| entry.count), Some(1));
        }
        assert!(!may(&mut decisions, now + WINDOW, 9999) && decisions.owed(now) > 0);
    }

    #[test]
    fn a_few_hundred_places_can_be_reached_for_ever() {
        let (mut decisions, begun) = (Decisions::<Decided>::default(), Instant::now());
        let (mut lines, hours) = (0, 2);
        for at in (0..hours * 3600).step_by(20) {
            let now = begun + Duration::from_secs(at);
            for port in 0..MOST as u16 {
                assert!(decisions.has_line(now, |open| open.port == port), "{port} at {at}");
                lines += decisions.note(now, decided(port)).len();
            }
            decisions.due(now);
        }
        assert!(lines <= 4096 + 2 * 3600 * hours as usize, "{lines}");
    }

    #[test]
    fn refusals_of_ever_other_names_become_one_line_in_ten_seconds() {
        let (mut decisions, begun) = (Decisions::<Decided>::default(), Instant::now());
        let (mut lines, mut told, mut seconds) = (0, 0, 0..3600_u64);
        let mut count = |entries: Vec<Entry>| {
            lines += entries.len();
            told += entries.iter().map(|entry| entry.count).sum::<u64>();
        };
        for second in &mut seconds {
            let now = begun + Duration::from_secs(second);
            (0..900_u64).for_each(|port| count(decisions.note(now, refused((second * 900 + port) as u16))));
            count(decisions.due(now));
        }
        count(decisions.rest());
        assert_eq!(told, 3600 * 900);
        assert!(lines <= 4096 + 2 * 3600 + 360 + 1, "{lines}");
    }

    #[test]
    fn that_there_was_no_line_is_one_line_in_ten_seconds_and_always_told() {
        let (mut decisions, now) = (Decisions::<Decided>::default(), Instant::now());
        (0..5000).for_each(|port| drop(decisions.note(now, refused(port))));
        decisions.due(now + WINDOW);
        let many = |port| Decided { reason: Some(Reason::ManyDestinations), ..decided(port) };
        let now = now + WINDOW;
        (0..5000).for_each(|port| drop(decisions.note(now, refused(port))));
        assert_eq!(decisions.note(now, many(1)), [Entry { decided: Some(many(1)), count: 1 }]);
        decisions.due(now + WINDOW);
        assert_eq!(decisions.note(now + WINDOW, many(2)).len(), 1);
        for port in 3..100 {
            assert!(decisions.note(now + WINDOW, many(port)).is_empty());
        }
        assert_eq!(decisions.due(now + WINDOW + WINDOW / 2), []);
        assert_eq!(decisions.due(now + 2 * WINDOW), [Entry { decided: None, count: 97 }]);
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
