//! How much a session has sent, and how much more it may.

use agentbox_plan::gate::{GateLimits, Sent};
use agentbox_plan::net::{Destination, Reason};
use std::collections::BTreeMap;

/// Most destinations whose bytes are counted apart. Without a bound, a session that may reach every name under
/// a wildcard could make the gate grow.
const MAX_DESTINATIONS: usize = 1 << 16;

/// What was sent, against the limits.
#[derive(Debug)]
pub struct Budget {
    session_max: Option<u64>,
    session_sent: u64,
    name_max: Option<u64>,
    /// Kept only when there is a limit for each.
    sent: BTreeMap<Destination, u64>,
}

impl Budget {
    /// With these limits, when so much was sent before, of which `in_all` is the sum and `before` may be a part.
    #[must_use]
    pub fn new(limits: &GateLimits, before: &[Sent], in_all: u64) -> Self {
        let mut budget = Self {
            session_max: limits.upload_max,
            session_sent: 0,
            name_max: limits.name_upload_max,
            sent: BTreeMap::new(),
        };
        for Sent { destination, sent, .. } in before {
            budget.spend(destination, *sent);
        }
        budget.session_sent = budget.session_sent.max(in_all);
        budget
    }

    /// How many bytes may be sent to a destination now; at least one.
    ///
    /// # Errors
    /// Which limit has been reached.
    pub fn left(&self, destination: &Destination) -> Result<u64, Reason> {
        let session = self.session_max.map_or(u64::MAX, |max| max.saturating_sub(self.session_sent));
        if session == 0 {
            return Err(Reason::Budget);
        }
        let Some(max) = self.name_max else { return Ok(session) };
        let sent = match self.sent.get(destination) {
            Some(sent) => *sent,
            None if self.sent.len() >= MAX_DESTINATIONS => return Err(Reason::TooMany),
            None => 0,
        };
        match max.saturating_sub(sent) {
            0 => Err(Reason::NameBudget),
            left => Ok(left.min(session)),
        }
    }

    /// Counts bytes, if all of them may be sent.
    ///
    /// # Errors
    /// Which limit they would exceed.
    pub fn charge(&mut self, destination: &Destination, bytes: u64) -> Result<(), Reason> {
        if bytes > 0 && self.left(destination)? < bytes {
            // The next question would say which limit it is; this one is about more bytes than are left.
            let name_only = self.is_within_session(bytes);
            return Err(if name_only { Reason::NameBudget } else { Reason::Budget });
        }
        self.spend(destination, bytes);
        Ok(())
    }

    /// Whether so many bytes more are within the limit of the session.
    fn is_within_session(&self, bytes: u64) -> bool {
        self.session_max.is_none_or(|max| self.session_sent.saturating_add(bytes) <= max)
    }

    /// So many bytes were sent.
    pub fn spend(&mut self, destination: &Destination, bytes: u64) {
        self.session_sent = self.session_sent.saturating_add(bytes);
        if self.name_max.is_some() && bytes > 0 {
            match self.sent.get_mut(destination) {
                Some(sent) => *sent = sent.saturating_add(bytes),
                None => _ = self.sent.insert(destination.clone(), bytes),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Destination {
        Destination::Name { name: text.parse().unwrap() }
    }

    fn budget(upload_max: Option<u64>, name_upload_max: Option<u64>, before: &[Sent]) -> Budget {
        Budget::new(&GateLimits { upload_max, name_upload_max, connections: 1, names: 1 }, before, 0)
    }

    #[test]
    fn the_smaller_of_both_limits_holds() {
        let mut both = budget(Some(10), Some(6), &[]);
        assert_eq!(both.left(&to("a.org")), Ok(6));
        both.spend(&to("a.org"), 6);
        assert_eq!(both.left(&to("a.org")), Err(Reason::NameBudget));
        assert_eq!(both.left(&to("b.org")), Ok(4));
        both.spend(&to("b.org"), 4);
        assert_eq!(both.left(&to("c.org")), Err(Reason::Budget));
    }

    #[test]
    fn every_part_of_what_is_sent_counts() {
        let mut both = budget(Some(10), Some(6), &[]);
        assert!(both.is_within_session(10) && !both.is_within_session(11));
        for left in [4, 2] {
            both.spend(&to("a.org"), 2);
            assert_eq!(both.left(&to("a.org")), Ok(left));
        }
        assert!(both.is_within_session(6) && !both.is_within_session(7));
        assert_eq!(both.charge(&to("a.org"), 3), Err(Reason::NameBudget));
        assert_eq!(both.charge(&to("b.org"), 7), Err(Reason::Budget));
        assert_eq!((both.charge(&to("b.org"), 6), both.left(&to("a.org"))), (Ok(()), Err(Reason::Budget)));
    }

    #[test]
    fn what_was_sent_before_counts() {
        let before = [Sent { destination: to("a.org"), sent: 7, received: 100 }];
        assert_eq!(budget(Some(10), None, &before).left(&to("b.org")), Ok(3));
        assert_eq!(budget(None, Some(5), &before).left(&to("a.org")), Err(Reason::NameBudget));
        assert_eq!(budget(None, Some(5), &before).left(&to("b.org")), Ok(5));
        let limits = GateLimits { upload_max: Some(10), name_upload_max: None, connections: 1, names: 1 };
        assert_eq!(Budget::new(&limits, &before, 9).left(&to("a.org")), Ok(1));
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let mut open = budget(None, None, &[]);
        open.spend(&to("a.org"), u64::MAX);
        open.spend(&to("a.org"), u64::MAX);
        assert_eq!(open.left(&to("a.org")), Ok(u64::MAX));
        assert!(open.sent.is_empty());
    }

    #[test]
    fn the_number_of_destinations_is_bounded() {
        let mut many = budget(None, Some(5), &[]);
        for number in 0..MAX_DESTINATIONS {
            many.spend(&to(&format!("n{number}.org")), 1);
        }
        assert_eq!(many.left(&to("one-more.org")), Err(Reason::TooMany));
        assert_eq!(many.left(&to("n7.org")), Ok(4));
    }
}
