//! What the fuzz targets call: what this program reads that an earlier one wrote, or something else on the host.

use crate::audit::chain::{self, Head, Link};
use crate::audit::{Reader, Reading, anchors, verify};
use crate::configuration::Configuration;
use crate::keys::session::SessionKeys;
use crate::ledger::{self, LedgerError};
use crate::network::session::SessionNetwork;
use crate::session::{Record, shape};
use crate::{accepted, guard, layers, network, pinned, system};
use agentbox_ipc::ReportAnswer;
use agentbox_plan::SessionId;
use rustix::fs::MemfdFlags;
use serde_json::json;
use std::fs::File;
use std::io::Write;

/// Reads what was kept, and writes what it understood; `None` when it is an error.
pub type Rewritten = fn(&[u8]) -> Option<Vec<u8>>;

/// What is kept for the next supervisor, or on the disk.
pub const KEPT: [Rewritten; 8] = [
    |bytes| Some(SessionNetwork::parse(id(), 7, bytes).ok()?.kept()),
    |bytes| Some(SessionKeys::parse(id(), 7, bytes).ok()?.kept()),
    |bytes| {
        let kept = guard::Kept::parse(bytes).ok()?;
        let _compiled = kept.rules();
        serde_json::to_vec(&kept).ok()
    },
    |bytes| serde_json::to_vec(&layers::parse(&id(), bytes).ok()?).ok(),
    |bytes| accepted::record(PATH, &accepted::parse(PATH, bytes).ok()?).ok(),
    |bytes| Some(Configuration::parse(bytes)?.kept),
    |bytes| serde_json::to_vec(&serde_json::from_slice::<ReportAnswer>(bytes).ok()?).ok(),
    |bytes| serde_json::to_vec(&serde_json::from_slice::<Record>(bytes).ok()?).ok(),
];

const PATH: &str = "/project";

fn id() -> SessionId {
    let Ok(id) = "abc".parse() else { panic!("it is an id") };
    id
}

/// A ledger. The line of an error is the first one that does not belong there.
pub fn ledger(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    match ledger::parse(bytes) {
        Ok(None) => assert!(!bytes.contains(&b'\n')),
        Ok(Some(account)) => assert!(account.begun.len() < lines.len()),
        Err(LedgerError::Line { line, .. }) => {
            assert!(lines[line - 1].ends_with(b"\n"));
            assert!(ledger::parse(&lines[..line - 1].concat()).is_ok());
        }
        Err(other) => panic!("{other}"),
    }
}

/// What was accepted of what a profile puts into a session.
pub fn pinned(bytes: &[u8]) {
    let Ok(lines) = pinned::parse(PATH, bytes) else { return };
    assert!(pinned::differences(&lines, &lines).is_empty());
    let told = pinned::differences(&[], &lines);
    assert!(told.iter().all(|text| !text.contains(char::is_control)), "{told:?}");
}

/// What others wrote on the host: its resolvers, the names of descriptors that the service manager kept, entries of
/// the journal, and files of agents that are kept when they have the shape of an object.
pub fn host(bytes: &[u8]) {
    assert!(network::resolvers::parse(bytes).len() <= 3);
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!(anchors::parse(bytes).len() <= lines);
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(bytes);
    match shape::is_object(bytes) {
        Err(why) if why != "it is nested too deep" => assert!(object.is_err(), "{why}"),
        _ => {}
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let (count, names) = text.split_once(' ').unwrap_or((text, ""));
        let variable = |name: &str| match name {
            "LISTEN_PID" => Some(std::process::id().to_string()),
            "LISTEN_FDS" => Some(count.to_owned()),
            "LISTEN_FDNAMES" => Some(names.to_owned()),
            _ => None,
        };
        system::store::names(&variable);
        if let Ok((destination, port)) = network::live::destination(text) {
            let shown = network::session::shown(&destination);
            let again = network::live::destination(&format!("[{shown}]:{port}")).ok();
            assert_eq!(again, Some((destination, port)), "{text:?}, {shown:?}");
        }
    }
}

/// The file of a trail, which is nobody's but these bytes'.
fn reading(trail: &[u8], said: Option<Head>, written: Head) -> Reading {
    let opened = rustix::fs::memfd_create("trail", MemfdFlags::CLOEXEC).map(File::from);
    let filled = opened.and_then(|mut file| Ok(file.write_all(trail).map(|()| file)));
    let Ok(Ok(file)) = filled else { panic!("no memory for a trail") };
    Reading { file, length: trail.len() as u64, said, written }
}

/// A trail of events with these texts, as they are written, and what is read of it.
#[derive(Debug)]
pub struct Trail {
    /// Its lines.
    pub lines: Vec<Vec<u8>>,
    heads: Vec<Head>,
}

impl Trail {
    /// Writes one.
    #[must_use]
    pub fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let (mut lines, mut heads, mut head) = (Vec::new(), Vec::new(), Head::empty());
        for text in texts {
            let event = json!({ "event": "start", "name": text, "owner_uid": 7 });
            let (line, next) = chain::write(&head, head.seq + 1, 1000, event);
            lines.push(line);
            heads.push(next.clone());
            head = next;
        }
        Self { lines, heads }
    }

    fn head(&self) -> Head {
        self.heads.last().cloned().unwrap_or_else(Head::empty)
    }

    /// Whether these bytes are found whole, with the head that was written and what the journal knows.
    #[must_use]
    pub fn finds_whole(&self, bytes: &[u8]) -> bool {
        let verdict = verify::verify(bytes, Some(&self.head()), Some(&self.heads));
        assert_eq!(verdict.whole, verdict.problems.is_empty());
        verdict.whole
    }

    /// Numbers of the lines above `after` that root is told of these bytes.
    #[must_use]
    pub fn numbers(&self, bytes: &[u8], after: u64) -> Vec<u64> {
        let reading = reading(bytes, Some(self.head()), self.head());
        let Ok(lines) = reading.lines(Reader::Root, None, after) else { panic!("it cannot be read") };
        let number = |line: &String| chain::read(line.as_bytes()).map(|Link { seq, .. }| seq);
        lines.iter().filter_map(number).collect()
    }

    /// That what is written of heads is read as them: in the file of the head, and by the journal.
    pub fn heads_stay(&self) {
        for head in &self.heads {
            assert_eq!(Head::parse(head.text().as_bytes()).as_ref(), Some(head));
        }
        let entry = |head: &Head| {
            let fields = json!({ (anchors::SEQ): head.seq.to_string(), (anchors::HASH): head.hash.as_str() });
            format!("{fields}\n")
        };
        let entries: String = self.heads.iter().map(entry).collect();
        assert_eq!(anchors::parse(entries.as_bytes()), self.heads);
    }
}

/// Bytes that are no trail.
pub fn no_trail(bytes: &[u8]) {
    let head = Head::parse(bytes);
    let verdict = verify::verify(bytes, head.as_ref(), None);
    assert!(verdict.whole == bytes.is_empty() && verdict.problems.len() <= 51);
    for after in [0, 1, u64::MAX] {
        let Ok(lines) = reading(bytes, None, Head::empty()).lines(Reader::Owner(7), None, after) else {
            panic!("it cannot be read")
        };
        assert!(lines.iter().map(String::len).sum::<usize>() <= bytes.len() * 3);
    }
}
