//! Heads of the trail in the journal: every event is an entry there as well, which names number and hash of its
//! line. Whoever changes the trail would have to change the journal too.

use super::chain::{Hash, Head};
use agentbox_ipc::Event;
use agentbox_kernel::journal::{self, Journal, JournalError};
use serde_json::Value;

/// The unit that this program is a service of. Whatever else writes entries like ours is in another one, or is
/// not root.
const UNIT: &str = "agentboxd.service";
pub(crate) const SEQ: &str = "AGENTBOX_SEQ";
pub(crate) const HASH: &str = "AGENTBOX_HASH";

/// The entry of a line. One that is lost costs nothing: the next one vouches for this line as well.
pub(super) fn write(journal: &Journal, line: &[u8], head: &Head, event: &Value) {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let (name, session) = (text("event"), text("session"));
    let class = Event::named(name);
    let message = match session {
        "" => name.to_owned(),
        session => format!("{name}: session {session}"),
    };
    let seq = head.seq.to_string();
    let id = class.map(|class| format!("{:032x}", class.message_id)).unwrap_or_default();
    let owner = event["owner_uid"].as_u64().map(|uid| uid.to_string()).unwrap_or_default();
    let line = String::from_utf8_lossy(line.trim_ascii_end());
    let fields = [
        ("MESSAGE", message.as_str()),
        ("MESSAGE_ID", &id),
        // Informational, of daemons (syslog(3)).
        ("PRIORITY", "6"),
        ("SYSLOG_FACILITY", "3"),
        ("SYSLOG_IDENTIFIER", "agentboxd"),
        (SEQ, &seq),
        (HASH, head.hash.as_str()),
        ("AGENTBOX_EVENT", name),
        ("AGENTBOX_SESSION", session),
        ("AGENTBOX_OWNER_UID", &owner),
        ("AGENTBOX_LINE", &line),
    ];
    let said: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    if let Err(error) = journal.write(&said) {
        tracing::debug!("the journal did not take event {seq}: {error}");
    }
}

/// All heads that the journal still knows. May take seconds.
pub(crate) fn read() -> Result<Vec<Head>, JournalError> {
    Ok(parse(&journal::read_back(UNIT, &[SEQ, HASH])?))
}

pub(crate) fn parse(entries: &[u8]) -> Vec<Head> {
    let head = |line: &[u8]| {
        let entry: Value = serde_json::from_slice(line).ok()?;
        Some(Head { seq: entry[SEQ].as_str()?.parse().ok()?, hash: Hash::parse(entry[HASH].as_str()?)? })
    };
    entries.split(|byte| *byte == b'\n').filter_map(head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_are_no_heads_are_passed_over() {
        let hash = "a".repeat(64);
        let entries = format!(
            "{{\"{SEQ}\":\"7\",\"{HASH}\":\"{hash}\"}}\nnot json\n{{\"MESSAGE\":\"x\"}}\n{{\"{SEQ}\":[\"1\",\"2\"],\"{HASH}\":\"{hash}\"}}\n"
        );
        let heads = parse(entries.as_bytes());
        assert_eq!(heads, [Head { seq: 7, hash: Hash::parse(&hash).unwrap() }]);
    }
}
