//! Events of a session's network and of its ssh-agent in words.
//!
//! An event that has not the form it should have is left to the list of its members, so nothing of the
//! trail is hidden because it is odd.

use crate::output::network::{counted, endpoint};
use crate::output::units;
use agentbox_plan::keys::KeyReason;
use agentbox_plan::net::Reason;
use serde_json::{Map, Value};

/// An event in words. The text is not escaped yet.
#[derive(Debug)]
pub(super) struct Told {
    /// The words.
    pub(super) text: String,
    /// Members that they hold, and those that a person does not miss.
    pub(super) used: &'static [&'static str],
}

/// What an event means, where that is known.
pub(super) fn of(event: &Map<String, Value>) -> Option<Told> {
    let event = Event(event);
    let (text, used): (String, &[&str]) = match event.text("event")?? {
        "net-allowed" => (
            format!("{}{}{}", event.endpoint()?, event.rule()?, event.times()?),
            &["owner_uid", "destination", "port", "rule", "origin", "count"],
        ),
        "net-denied" => (
            format!("{}: {}{}{}", event.endpoint()?, event.reason()?, event.rule()?, event.times()?),
            &["owner_uid", "destination", "port", "reason", "rule", "origin", "other", "count"],
        ),
        "net-total" => (
            format!(
                "{}: {} sent, {} received",
                event.text("destination")?.unwrap_or("other destinations"),
                units::size(event.number("sent_bytes")??),
                units::size(event.number("received_bytes")??)
            ),
            &["owner_uid", "destination", "sent_bytes", "received_bytes"],
        ),
        "network-narrowed" => (
            format!(
                "only what rules allow is reached from now on; by {}{}",
                event.text("origin")??,
                event.cut()?
            ),
            &["owner_uid", "origin", "cut"],
        ),
        "gate-lost" => ("the gate of its network ended".to_owned(), &["owner_uid"]),
        "gate-repaired" => {
            let attempt = event.number("attempt")??;
            (format!("it has a gate again, attempt {attempt}"), &["owner_uid", "attempt"])
        }
        "rule-added" => (
            format!("{} {}{}{}", event.change()?, event.lasting()?, event.caller()?, event.cut()?),
            &["owner_uid", "verdict", "target", "for_ms", "caller_uid", "cut"],
        ),
        "rule-removed" => (
            format!("{}{}{}", event.change()?, event.caller()?, event.cut()?),
            &["owner_uid", "verdict", "target", "for_ms", "caller_uid", "cut"],
        ),
        "report" => {
            (event.report()?, &["owner_uid", "project", "findings", "grave", "named", "unseen", "failed"])
        }
        "firewall-restored" => {
            ("the firewall's table was gone and is in force again".to_owned(), &["owner_uid"])
        }
        "sign-allowed" => (
            format!("{}{}", event.signature()?, event.times()?),
            &["owner_uid", "key", "purpose", "host", "count"],
        ),
        "sign-refused" => (
            format!("{}: {}{}", event.signature()?, event.key_reason()?, event.times()?),
            &["owner_uid", "key", "purpose", "host", "reason", "count"],
        ),
        "sign-confirmed" | "sign-declined" => (
            format!("{}{}", event.signature()?, event.caller()?),
            &["owner_uid", "key", "purpose", "host", "caller_uid"],
        ),
        "keys-lost" => ("its ssh-agent ended; nothing is signed any more".to_owned(), &["owner_uid"]),
        _ => return None,
    };
    Some(Told { text, used })
}

/// An event whose members are looked at. Each look answers nothing when a member is not of its type.
struct Event<'a>(&'a Map<String, Value>);

impl Event<'_> {
    /// A text that may be missing.
    fn text(&self, key: &str) -> Option<Option<&str>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_str().map(Some),
        }
    }

    /// A number that may be missing.
    fn number(&self, key: &str) -> Option<Option<u64>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_u64().map(Some),
        }
    }

    fn endpoint(&self) -> Option<String> {
        let port = u16::try_from(self.number("port")?.unwrap_or(0)).ok()?;
        Some(endpoint(self.text("destination")??, port))
    }

    /// Why, in words, and which name was named instead.
    fn reason(&self) -> Option<String> {
        let said = self.text("reason")??;
        let known = Reason::ALL.iter().find(|reason| reason.as_str() == said);
        let mut words = known.map_or_else(|| said.to_owned(), ToString::to_string);
        if let Some(other) = self.text("other")? {
            words.push_str(&format!(" ({other})"));
        }
        Some(words)
    }

    /// What was signed, or was to be.
    fn signature(&self) -> Option<String> {
        let what = match (self.text("purpose")?, self.text("host")?) {
            (Some("login"), Some(host)) => format!("a login at {host}"),
            (Some("git"), None) => "a signature of git".to_owned(),
            (None, None) => "a request to the ssh-agent".to_owned(),
            _ => return None,
        };
        Some(self.text("key")?.map_or_else(|| what.clone(), |key| format!("{what} with {key}")))
    }

    fn key_reason(&self) -> Option<String> {
        let said = self.text("reason")??;
        let known = KeyReason::ALL.iter().find(|reason| reason.as_str() == said);
        Some(known.map_or_else(|| said.to_owned(), ToString::to_string))
    }

    fn rule(&self) -> Option<String> {
        Some(match (self.text("rule")?, self.text("origin")?) {
            (Some(rule), Some(origin)) => format!("; rule {rule} from {origin}"),
            (Some(rule), None) => format!("; rule {rule}"),
            (None, Some(origin)) => format!("; from {origin}"),
            (None, None) => String::new(),
        })
    }

    fn times(&self) -> Option<String> {
        Some(match self.number("count")?.unwrap_or(1) {
            1 => String::new(),
            count => format!("; {}", counted(count, "time", "times")),
        })
    }

    fn change(&self) -> Option<String> {
        Some(format!("{} {}", self.text("verdict")??, self.text("target")??))
    }

    fn lasting(&self) -> Option<String> {
        Some(match self.number("for_ms")?.unwrap_or(0) {
            0 => "until the session ends".to_owned(),
            ms => format!("for {}", units::span(ms)),
        })
    }

    fn caller(&self) -> Option<String> {
        Some(self.number("caller_uid")?.map_or_else(String::new, |uid| format!("; by user id {uid}")))
    }

    fn cut(&self) -> Option<String> {
        Some(match self.number("cut")?.unwrap_or(0) {
            0 => String::new(),
            cut => format!("; {} cut", counted(cut, "connection", "connections")),
        })
    }

    fn report(&self) -> Option<String> {
        if let Some(why) = self.text("failed")? {
            return Some(format!("its project could not be looked at: {why}"));
        }
        let findings = counted(self.number("findings")??, "finding", "findings");
        let mut text = format!("its project: {findings}, {} of them grave", self.number("grave")??);
        for name in self.0.get("named").and_then(Value::as_array).into_iter().flatten() {
            text.push_str(&format!("; {}", name.as_str()?));
        }
        match self.number("unseen")?.unwrap_or(0) {
            0 => {}
            count => {
                text.push_str(&format!("; {} not looked into", counted(count, "directory", "directories")))
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(event: Value) -> Option<String> {
        let Value::Object(event) = event else { panic!() };
        of(&event).map(|told| told.text)
    }

    #[test]
    fn every_event_of_the_network_is_a_sentence() {
        for (event, words) in [
            (
                json!({"event": "net-denied", "destination": "evil.org", "port": 443, "reason": "not-listed",
                    "rule": null, "origin": null, "other": null, "count": 3}),
                "evil.org:443: no rule allows it; 3 times",
            ),
            (
                json!({"event": "net-denied", "destination": "a.org", "port": 443, "reason": "name-mismatch",
                    "rule": "a.org", "origin": "/etc/x.toml: profile.w.allow", "other": "b.org", "count": 1}),
                "a.org:443: the name in TLS or HTTP is another one (b.org); rule a.org from /etc/x.toml: profile.w.allow",
            ),
            (
                json!({"event": "net-denied", "destination": "2606::1", "port": 53, "reason": "of-tomorrow"}),
                "[2606::1]:53: of-tomorrow",
            ),
            (
                json!({"event": "net-denied", "destination": "a.b", "port": 0, "reason": "not-found"}),
                "a.b: the name does not exist",
            ),
            (
                json!({"event": "net-allowed", "destination": "host", "port": 5432, "rule": "host:5432",
                    "origin": "preset x", "count": 2}),
                "host:5432; rule host:5432 from preset x; 2 times",
            ),
            (
                json!({"event": "net-total", "destination": "a.org", "sent_bytes": 1_200_000, "received_bytes": 9}),
                "a.org: 1.1 MiB sent, 9 B received",
            ),
            (
                json!({"event": "net-total", "destination": null, "sent_bytes": 1, "received_bytes": 0}),
                "other destinations: 1 B sent, 0 B received",
            ),
            (
                json!({"event": "network-narrowed", "origin": "/etc/x.toml: floor.network", "cut": 1}),
                "only what rules allow is reached from now on; by /etc/x.toml: floor.network; 1 connection cut",
            ),
            (json!({"event": "gate-lost"}), "the gate of its network ended"),
            (json!({"event": "gate-repaired", "attempt": 1}), "it has a gate again, attempt 1"),
            (
                json!({"event": "rule-added", "verdict": "allow", "target": "a.org:22", "for_ms": 600_000,
                    "caller_uid": 1000, "cut": 0}),
                "allow a.org:22 for 10m; by user id 1000",
            ),
            (
                json!({"event": "rule-added", "verdict": "deny", "target": "a.org", "for_ms": null,
                    "caller_uid": 0, "cut": 2}),
                "deny a.org until the session ends; by user id 0; 2 connections cut",
            ),
            (
                json!({"event": "rule-removed", "verdict": "allow", "target": "a.org", "for_ms": 1, "cut": 1}),
                "allow a.org; 1 connection cut",
            ),
            (
                json!({"event": "report", "project": "/p", "findings": 3, "grave": 1,
                    "named": ["trigger added .git/hooks/x"], "unseen": 0, "failed": null}),
                "its project: 3 findings, 1 of them grave; trigger added .git/hooks/x",
            ),
            (json!({"event": "report", "failed": "gone"}), "its project could not be looked at: gone"),
            (json!({"event": "firewall-restored"}), "the firewall's table was gone and is in force again"),
            (
                json!({"event": "sign-allowed", "key": "SHA256:x", "purpose": "login", "host": "github.com", "count": 2}),
                "a login at github.com with SHA256:x; 2 times",
            ),
            (
                json!({"event": "sign-refused", "key": "SHA256:x", "purpose": "git", "host": null,
                    "reason": "not-permitted", "count": 1}),
                "a signature of git with SHA256:x: only logins are signed here, and what `sign` of the profile names",
            ),
            (
                json!({"event": "sign-refused", "key": null, "purpose": null, "host": null, "reason": "of-tomorrow"}),
                "a request to the ssh-agent: of-tomorrow",
            ),
            (
                json!({"event": "sign-confirmed", "key": "SHA256:x", "purpose": "git", "host": null, "caller_uid": 7}),
                "a signature of git with SHA256:x; by user id 7",
            ),
            (json!({"event": "keys-lost"}), "its ssh-agent ended; nothing is signed any more"),
        ] {
            let name = event["event"].as_str().unwrap_or_default();
            assert!(agentbox_ipc::Event::named(name).is_some(), "nobody writes {name}");
            assert_eq!(told(event).as_deref(), Some(words));
        }
    }

    #[test]
    fn what_has_another_form_is_left_to_its_members() {
        for event in [
            json!({"event": "net-denied", "destination": 7, "port": 443, "reason": "denied"}),
            json!({"event": "net-denied", "destination": "a", "port": 70_000, "reason": "denied"}),
            json!({"event": "net-denied", "destination": "a", "port": 1, "reason": "denied", "rule": {}}),
            json!({"event": "rule-added", "verdict": "allow"}),
            json!({"event": "gate-repaired"}),
            json!({"event": "sign-allowed", "purpose": "login"}),
            json!({"event": "sign-refused", "purpose": "git"}),
            json!({"event": "of-tomorrow"}),
            json!({}),
        ] {
            assert_eq!(told(event), None);
        }
    }
}
