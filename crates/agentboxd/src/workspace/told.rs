//! What the trail is told of a project while its session runs. How often there is something is an agent's choice, so
//! how much is written is not.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Events of what was put back, each of one judgement.
const MAX_PUT_BACK: u32 = 200;
/// Keys that one of them names beside the first.
const MAX_OTHERS: usize = 8;
/// Once there are too many they are counted, and the count is told no more often than this, and at the end.
const COUNTED: Duration = Duration::from_secs(3600);
/// How often it is told that sight was lost: the report tells of all anyway.
const MAX_LOST: u32 = 20;

/// What was told of one session.
#[derive(Debug, Default)]
pub(crate) struct Told {
    put_back: u32,
    lost: u32,
    /// Keys that were put back and are in no event.
    uncounted: u64,
    counted: Option<Instant>,
}

impl Told {
    /// The event of what one judgement put back, where there is to be one.
    pub(crate) fn put_back(&mut self, refused: &[(String, String)], now: Instant) -> Option<Value> {
        let ((path, what), others) = refused.split_first()?;
        if self.put_back >= MAX_PUT_BACK {
            self.uncounted = self.uncounted.saturating_add(refused.len() as u64);
            let is_time = self.counted.is_none_or(|counted| now.duration_since(counted) >= COUNTED);
            return is_time.then(|| self.count(now)).flatten();
        }
        self.put_back += 1;
        let named = others.iter().take(MAX_OTHERS);
        let named: Vec<_> = named.map(|(path, what)| json!({ "path": path, "what": what })).collect();
        let more = others.len() - named.len();
        Some(json!({
            "event": "git-config", "path": path, "what": what,
            "others": (!named.is_empty()).then_some(named), "more": (more > 0).then_some(more),
        }))
    }

    /// The event of what was put back and only counted, if there is something.
    pub(crate) fn count(&mut self, now: Instant) -> Option<Value> {
        let count = std::mem::take(&mut self.uncounted);
        self.counted = Some(now);
        (count > 0).then(|| json!({ "event": "git-config-others", "count": count }))
    }

    /// The event of a watch that lost sight, where there is to be one.
    pub(crate) fn lost(&mut self) -> Option<Value> {
        self.lost = self.lost.saturating_add(1);
        (self.lost <= MAX_LOST).then(|| json!({ "event": "watch-lost" }))
    }
}

/// Path and key of all that an event of the trail names as put back.
pub(super) fn named(event: &Value) -> Vec<(String, String)> {
    let others = event["others"].as_array().into_iter().flatten();
    // What was cut off a list that was too long is a text.
    let named = std::iter::once(event).chain(others).filter(|named| named.is_object());
    let text = |named: &Value, key: &str| named[key].as_str().unwrap_or_default().to_owned();
    named.map(|named| (text(named, "path"), text(named, "what"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: usize) -> Vec<(String, String)> {
        (0..count).map(|at| (".git/config".to_owned(), format!("filter.f{at}.smudge"))).collect()
    }

    #[test]
    fn a_judgement_is_one_event_that_names_the_first_keys() {
        let (mut told, now) = (Told::default(), Instant::now());
        assert_eq!(told.put_back(&[], now), None);
        let one = told.put_back(&keys(1), now).unwrap();
        assert_eq!(
            (&one["what"], &one["others"], &one["more"]),
            (&"filter.f0.smudge".into(), &Value::Null, &Value::Null)
        );
        let many = told.put_back(&keys(1500), now).unwrap();
        assert_eq!(many["path"], ".git/config");
        assert_eq!(named(&many), keys(1 + MAX_OTHERS));
        assert_eq!(many["more"], 1500 - 1 - MAX_OTHERS);
    }

    #[test]
    fn who_has_it_put_back_for_ever_fills_no_trail() {
        let (mut told, start) = (Told::default(), Instant::now());
        // Four times a second for three hours.
        let at = |judgement: u64| start + Duration::from_millis(250 * judgement);
        let judgements = 3 * 3600 * 4;
        let mut events: Vec<_> =
            (0..judgements).filter_map(|judgement| told.put_back(&keys(10), at(judgement))).collect();
        events.extend(told.count(at(judgements)));
        assert_eq!(told.count(at(judgements)), None);
        let counts = events.split_off(MAX_PUT_BACK as usize);
        assert!(events.iter().all(|event| event["event"] == "git-config"));
        assert!(counts.len() <= 5 && counts.iter().all(|event| event["event"] == "git-config-others"));
        let counted: u64 = counts.iter().filter_map(|event| event["count"].as_u64()).sum();
        assert_eq!(counted, 10 * (judgements - u64::from(MAX_PUT_BACK)));
    }

    #[test]
    fn a_watch_that_loses_sight_for_ever_fills_no_trail() {
        let mut told = Told::default();
        assert_eq!((0..10_000).filter_map(|_| told.lost()).count(), MAX_LOST as usize);
    }
}
