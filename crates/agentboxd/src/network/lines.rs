//! How many lines a session may write into the trail: many at once, and few for ever.

use std::time::{Duration, Instant};

/// At once: as many places as a long day of reading and installing reaches.
const MOST: i64 = 4096;
/// Then one in this time. With the line that counts what followed, a session that never rests writes some 150 MB in a
/// day, and not the 24 GB that a connection to somewhere else each millisecond makes.
pub(super) const EACH: Duration = Duration::from_millis(500);

/// Lines of one kind.
#[derive(Debug)]
pub(super) struct Lines {
    /// Below zero for those that had to be written all the same.
    left: i64,
    /// When there was one more; none before the first.
    since: Option<Instant>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { left: MOST, since: None }
    }
}

impl Lines {
    fn left(&mut self, now: Instant) -> i64 {
        let since = self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(*since).as_millis() / EACH.as_millis();
        let more = u32::try_from(passed).unwrap_or(u32::MAX);
        *since += EACH * more;
        self.left = MOST.min(self.left.saturating_add(more.into()));
        self.left
    }

    /// Whether there may be another one.
    pub(super) fn are_left(&mut self, now: Instant) -> bool {
        self.left(now) > 0
    }

    /// Whether less than half is left.
    pub(super) fn are_scarce(&mut self, now: Instant) -> bool {
        self.left(now) < MOST / 2
    }

    /// How many were written beyond what there was.
    pub(super) fn owed(&mut self, now: Instant) -> u64 {
        u64::try_from(-self.left(now)).unwrap_or(0)
    }

    /// One is written, also when none is left.
    pub(super) fn write(&mut self, now: Instant) {
        self.left = self.left(now).saturating_sub(1);
    }

    /// One is written, if there may be another one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let may = self.are_left(now);
        if may {
            self.write(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_many_at_once_and_few_for_ever() {
        let (mut lines, begun) = (Lines::default(), Instant::now());
        let mut taken = |after: Duration| (0..10_000).filter(|_| lines.take(begun + after)).count();
        assert_eq!(taken(Duration::ZERO), 4096);
        assert_eq!(taken(EACH - Duration::from_millis(1)), 0);
        assert_eq!(taken(EACH), 1);
        assert_eq!(taken(EACH * 7 / 2), 2);
        assert_eq!(taken(EACH * 4), 1);
        assert_eq!(taken(EACH * 100_000), 4096);
    }

    #[test]
    fn what_is_owed_is_written_first() {
        let (mut lines, begun) = (Lines::default(), Instant::now());
        (0..4096).for_each(|_| lines.write(begun));
        assert_eq!((lines.owed(begun), lines.are_left(begun)), (0, false));
        (0..10).for_each(|_| lines.write(begun));
        assert_eq!(lines.owed(begun + EACH * 4), 6);
        assert!(!lines.are_left(begun + EACH * 10) && lines.are_left(begun + EACH * 11));
        assert!(lines.are_scarce(begun + EACH * 2057) && !lines.are_scarce(begun + EACH * 2058));
    }
}
