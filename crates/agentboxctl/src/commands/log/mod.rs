//! `log`: the audit trail as a time line.

mod words;

use crate::arguments::Log;
use crate::errors::{FAILURE, Failure};
use crate::output::{escape, note, print, units};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::LogVerdict;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Map, Value};

/// How often a trail that is followed is looked at. A person sees an event at once, and the supervisor
/// reads its trail twice a second.
const INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

pub(super) fn run(log: &Log, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    if log.verify {
        return verify(&supervisor, log.json);
    }
    let lines = |id: &str, after| supervisor.ask(async |manager| manager.log(id, after).await);
    let mut id = log.id.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut after = 0;
    let mut next = Some(super::named::ask(&supervisor, &id.clone(), |known| {
        let first = lines(known, 0)?;
        Ok((known.to_owned(), first))
    })?);
    loop {
        let lines = match next.take() {
            Some((known, first)) => {
                id = known;
                first
            }
            None => lines(&id, after)?,
        };
        let before = after;
        let mut text = String::new();
        for line in &lines {
            let event: Map<String, Value> = serde_json::from_str(line).map_err(|error| {
                Failure::new(format!("a line of the trail cannot be understood: {error}"))
            })?;
            after = after.max(event.get("seq").and_then(Value::as_u64).unwrap_or(after));
            text.push_str(&if log.json { escape::json(line) } else { shown(&event, id.is_empty()) });
            text.push('\n');
        }
        print(&text)?;
        // An answer holds only so many lines: ask on at once while there are more.
        if after == before && (!log.follow || reader_has_left()?) {
            return Ok(0);
        }
    }
}

/// Waits for the next look. Whoever reads standard output may have seen enough meanwhile: without this, a
/// trail without events would be followed for nobody.
pub(super) fn reader_has_left() -> Result<bool, Failure> {
    let stdout = std::io::stdout();
    // Asked for nothing, poll(2) reports only errors and hang-ups.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    match poll(&mut watched, Some(&INTERVAL)) {
        Ok(_) | Err(Errno::INTR) => Ok(!watched[0].revents().is_empty()),
        Err(errno) => Err(Failure::system("cannot wait", errno)),
    }
}

/// Members of every event, which are no news.
const ENVELOPE: [&str; 6] = ["seq", "time_unix_ms", "session", "event", "prev", "hash"];

/// Time, session, event, what it means where that is known, and the rest as `key=value`.
pub(crate) fn shown(event: &Map<String, Value>, with_session: bool) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or("-");
    let time = event.get("time_unix_ms").and_then(Value::as_u64).map_or_else(|| "-".to_owned(), units::utc);
    let mut line = time;
    if with_session {
        line.push_str(&format!("  {:<8}", escape::name(text("session"))));
    }
    line.push_str(&format!("  {:<13}", escape::name(text("event"))));
    let told = words::of(event);
    let mut used: &[&str] = &[];
    if let Some(told) = &told {
        line.push_str(&format!(" {}", escape::name(&told.text)));
        used = told.used;
    }
    for (key, value) in event {
        if ENVELOPE.contains(&key.as_str()) || used.contains(&key.as_str()) {
            continue;
        }
        let value = match value {
            Value::String(text) if !text.contains([' ', '"', '=']) && !text.is_empty() => escape::name(text),
            other => escape::json(&other.to_string()),
        };
        line.push_str(&format!(" {}={value}", escape::name(key)));
    }
    line.trim_end().to_owned()
}

fn verify(supervisor: &Supervisor, json: bool) -> Result<u8, Failure> {
    let answer = supervisor.ask(async |manager| manager.verify_log().await)?;
    let verdict: LogVerdict = understand(answer)?;
    if json {
        crate::output::print_json(&verdict)?;
    } else if verdict.whole {
        let compared = match verdict.anchors {
            Some(anchors) => format!("; the journal knows {anchors} of its events"),
            None => String::new(),
        };
        print(&format!(
            "the audit trail is whole: {} lines, the last is event {}{compared}\n",
            verdict.lines, verdict.last
        ))?;
    } else {
        note("the audit trail is not whole:");
        for problem in &verdict.problems {
            note(&format!("  {}", escape::name(problem)));
        }
    }
    Ok(if verdict.whole { 0 } else { FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_harmless_line() {
        let event = serde_json::json!({
            "seq": 3, "time_unix_ms": 0, "prev": "0", "hash": "1", "session": "abc", "event": "started",
            "project": "/p\n\x1b[2J", "command": ["sh", "-c", "x\u{202e}"], "uid": 1000, "empty": "",
        });
        let Value::Object(event) = event else { panic!() };
        let line = shown(&event, true);
        assert!(line.starts_with("1970-01-01T00:00:00.000Z  abc       started"), "{line}");
        for part in
            ["project=/p\\n\\x1b[2J", "command=[\"sh\",\"-c\",\"x\\u202e\"]", "uid=1000", "empty=\"\""]
        {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains("seq=") && !line.contains("hash=") && !line.contains('\n'));
    }
}
