//! What the trail has to tell of all that was done: each decision once, and nothing that was not done.

use super::REFUSED;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Events of which it is known how often they have to be there.
const COUNTED: &[&str] = &[
    "start",
    "running",
    "ended",
    "stop",
    "attached",
    "exec",
    "rule-added",
    "frozen",
    "thawed",
    "applied",
    "discarded",
];

/// An event of a session, with what tells it from others of its kind.
type Key = (String, &'static str, String);

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Account {
    done: BTreeMap<Key, u64>,
    /// How often a session was refused a host, and whether nothing ended meanwhile that counts.
    refused: BTreeMap<String, (u64, bool)>,
    /// Sessions that a supervisor which ended had in hand.
    uncertain: BTreeSet<String>,
}

impl Account {
    pub(super) fn once(&mut self, session: &str, event: &'static str, detail: &str) {
        *self.done.entry((session.to_owned(), event, detail.to_owned())).or_default() += 1;
    }

    pub(super) fn refused(&mut self, session: &str, times: u64, exactly: bool) {
        self.refused.insert(session.to_owned(), (times, exactly));
    }

    pub(super) fn uncertain(&mut self, session: &str) {
        self.uncertain.insert(session.to_owned());
    }

    /// Where the trail differs from that.
    pub(super) fn compare(&self, lines: &[Value]) -> Vec<String> {
        let (mut found, mut refused) = (BTreeMap::<Key, u64>::new(), BTreeMap::<String, u64>::new());
        for line in lines {
            let text = |field: &str| line[field].as_str().unwrap_or_default();
            let session = text("session").to_owned();
            if text("event") == "net-denied" && text("destination") == REFUSED && line["port"] == 80 {
                *refused.entry(session.clone()).or_default() += line["count"].as_u64().unwrap_or_default();
            }
            // A session that died while no supervisor ran is told of by the next, which undid what it left.
            let name = if text("event") == "repaired" { "ended" } else { text("event") };
            let Some(event) = COUNTED.iter().find(|event| **event == name) else { continue };
            let detail = match *event {
                "rule-added" => format!("{} {}", text("verdict"), text("target")),
                _ => String::new(),
            };
            *found.entry((session, event, detail)).or_default() += 1;
        }
        let mut wrong = Vec::new();
        let known: BTreeSet<&String> = self.done.keys().map(|(session, ..)| session).collect();
        let certain = |session: &String| known.contains(session) && !self.uncertain.contains(session);
        for (key, times) in &self.done {
            let told = found.get(key).copied().unwrap_or_default();
            if certain(&key.0) && told != *times {
                wrong.push(format!("{key:?}: {told} times, not {times}"));
            }
        }
        for (key, times) in &found {
            if certain(&key.0) && !self.done.contains_key(key) {
                wrong.push(format!("{key:?}: {times} times, and nobody did it"));
            }
            // Of every session there is.
            if ["start", "ended"].contains(&key.1) && *times != 1 {
                wrong.push(format!("{key:?}: {times} times"));
            }
        }
        for (session, (times, exactly)) in self.refused.iter().filter(|(session, _)| certain(session)) {
            let told = refused.get(session).copied().unwrap_or_default();
            if told > *times || *exactly && told != *times {
                wrong.push(format!("{session} was refused {REFUSED} {times} times, told are {told}"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn account() -> Account {
        let mut account = Account::default();
        account.once("a", "start", "");
        account.once("a", "rule-added", "allow x:443");
        account.once("b", "exec", "");
        account.uncertain("b");
        account.refused("a", 3, true);
        account
    }

    fn lines() -> Vec<Value> {
        vec![
            json!({ "event": "start", "session": "a" }),
            json!({ "event": "rule-added", "session": "a", "verdict": "allow", "target": "x:443" }),
            json!({ "event": "net-denied", "session": "a", "destination": REFUSED, "port": 80, "count": 1 }),
            json!({ "event": "net-denied", "session": "a", "destination": REFUSED, "port": 80, "count": 2 }),
            json!({ "event": "configuration-read" }),
        ]
    }

    #[test]
    fn what_was_done_and_told_is_complete() {
        assert_eq!(account().compare(&lines()), [""; 0]);
    }

    #[test]
    fn every_line_that_is_missing_or_there_twice_is_found() {
        for at in 0..4 {
            let mut less = lines();
            let line = less.remove(at);
            assert_eq!(account().compare(&less).len(), 1, "without {line}");
            let mut more = lines();
            more.push(line);
            assert_ne!(account().compare(&more), [""; 0], "twice {}", more[at]);
        }
        let mut more = lines();
        more.push(json!({ "event": "exec", "session": "a" }));
        assert_eq!(account().compare(&more).len(), 1);
    }
}
