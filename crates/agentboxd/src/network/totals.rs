//! How much a session has sent and received, and how often it was refused, in all and by destination.
//!
//! Where bytes went and what was refused have places of their own: no number of refusals takes one from the other.

use super::session::{destination, shown};
use agentbox_plan::gate::Sent;
use agentbox_plan::net::Destination;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Destinations whose bytes are told apart. Of more, those with the fewest bytes are told together.
const MAX_REACHED: usize = 4096;
/// Destinations of which only refusals are known, and are told apart.
const MAX_REFUSED: usize = 1024;

/// What was sent and received, and how often it was refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Total {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) denied: u64,
}

impl Total {
    fn add(&mut self, other: Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
        self.denied = self.denied.saturating_add(other.denied);
    }

    fn bytes(self) -> u64 {
        self.sent.saturating_add(self.received)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Totals {
    reached: BTreeMap<Destination, Total>,
    refused: BTreeMap<Destination, u64>,
    /// Of what is not told apart.
    others: Total,
    whole: Total,
}

/// As they are kept for a later supervisor.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    destinations: Vec<(String, Total)>,
    others: Total,
}

impl Totals {
    /// Adds what was sent and received.
    pub(super) fn used(&mut self, sent: Sent) {
        self.add(sent.destination, Total { sent: sent.sent, received: sent.received, denied: 0 });
    }

    /// Counts a refusal.
    pub(super) fn refused(&mut self, destination: &Destination) {
        self.add(destination.clone(), Total { denied: 1, ..Total::default() });
    }

    fn add(&mut self, destination: Destination, more: Total) {
        self.whole.add(more);
        if let Some(total) = self.reached.get_mut(&destination) {
            return total.add(more);
        }
        if more.bytes() == 0 {
            let has_room = self.refused.len() < MAX_REFUSED;
            match self.refused.get_mut(&destination) {
                Some(denied) => *denied = denied.saturating_add(more.denied),
                None if has_room => _ = self.refused.insert(destination, more.denied),
                None => self.others.add(more),
            }
            return;
        }
        let mut total = Total { denied: self.refused.remove(&destination).unwrap_or(0), ..Total::default() };
        total.add(more);
        self.reached.insert(destination, total);
        if self.reached.len() > MAX_REACHED
            && let Some(least) = self.reached.iter().min_by_key(|(_, total)| total.bytes())
        {
            let least = least.0.clone();
            self.others.add(self.reached.remove(&least).unwrap_or_default());
        }
    }

    /// All together.
    pub(super) fn whole(&self) -> Total {
        self.whole
    }

    /// Of those that are not told apart.
    pub(super) fn others(&self) -> Total {
        self.others
    }

    /// Each destination, with the most traffic first.
    pub(super) fn each(&self) -> Vec<(Destination, Total)> {
        let refused = self.refused.iter().map(|(destination, denied)| {
            (destination.clone(), Total { denied: *denied, ..Total::default() })
        });
        let reached = self.reached.iter().map(|(destination, total)| (destination.clone(), *total));
        let mut all: Vec<_> = reached.chain(refused).collect();
        all.sort_by_key(|(_, total)| std::cmp::Reverse(total.bytes()));
        all
    }

    /// What was sent to each, for a gate.
    pub(super) fn sent(&self) -> Vec<Sent> {
        let sent = self.reached.iter().map(|(destination, total)| Sent {
            destination: destination.clone(),
            sent: total.sent,
            received: total.received,
        });
        sent.collect()
    }

    pub(super) fn kept(&self) -> Kept {
        let of = |(destination, total): (Destination, Total)| (shown(&destination), total);
        Kept { destinations: self.each().into_iter().map(of).collect(), others: self.others }
    }

    pub(super) fn read(kept: Kept) -> Result<Self, String> {
        let mut totals = Self::default();
        for (text, total) in kept.destinations {
            let destination =
                destination(&text).map_err(|error| format!("{}: {error}", text.escape_debug()))?;
            totals.add(destination, total);
        }
        totals.whole.add(kept.others);
        totals.others.add(kept.others);
        Ok(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Destination {
        Destination::Name { name: text.parse().unwrap() }
    }

    fn sent(destination: &Destination, sent: u64) -> Sent {
        Sent { destination: destination.clone(), sent, received: 0 }
    }

    fn of(totals: &Totals, destination: &Destination) -> Option<Total> {
        totals.each().into_iter().find(|(this, _)| this == destination).map(|(_, total)| total)
    }

    #[test]
    fn no_number_of_refusals_hides_where_bytes_went() {
        let mut totals = Totals::default();
        for number in 0..2 * MAX_REFUSED {
            totals.refused(&name(&format!("n{number}.org")));
        }
        totals.used(sent(&name("a.org"), 1_200_000));
        totals.refused(&name("a.org"));
        assert_eq!(of(&totals, &name("a.org")), Some(Total { sent: 1_200_000, received: 0, denied: 1 }));
        assert_eq!(totals.each()[0].0, name("a.org"));
        assert_eq!(totals.whole().denied, 2 * MAX_REFUSED as u64 + 1);
        assert_eq!(totals.others().denied, MAX_REFUSED as u64);
    }

    #[test]
    fn of_too_many_destinations_those_with_the_fewest_bytes_are_told_together() {
        let mut totals = Totals::default();
        for number in 0..MAX_REACHED {
            totals.used(sent(&name(&format!("n{number}.org")), 2));
        }
        totals.used(sent(&name("a.org"), 1));
        assert_eq!((of(&totals, &name("a.org")), totals.others().sent), (None, 1));
        totals.used(sent(&name("a.org"), 9));
        assert_eq!(of(&totals, &name("a.org")).map(|total| total.sent), Some(9));
        assert_eq!((totals.others().sent, totals.whole().sent), (3, 2 * MAX_REACHED as u64 + 10));
        assert_eq!(totals.each().len(), MAX_REACHED);
    }

    #[test]
    fn what_is_kept_is_the_same_when_it_is_read() {
        let mut totals = Totals::default();
        for destination in
            [name("a.org"), Destination::HostLoopback, Destination::Address { address: [9, 9, 9, 9].into() }]
        {
            totals.used(sent(&destination, 7));
            totals.refused(&destination);
        }
        totals.refused(&name("b.org"));
        totals.others.add(Total { sent: 5, received: 6, denied: 7 });
        totals.whole.add(totals.others);
        let read = Totals::read(totals.kept()).unwrap();
        assert_eq!(
            (read.each(), read.others(), read.whole()),
            (totals.each(), totals.others(), totals.whole())
        );
        assert!(
            Totals::read(Kept {
                destinations: vec![("a b".into(), Total::default())],
                others: Total::default()
            })
            .is_err()
        );
    }
}
