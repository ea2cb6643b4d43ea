//! Reading the trail beside what the supervisor does: it may have grown for years, and whoever asks for it must not
//! hold up everybody else.

use super::chain::{Head, MAX_LINE_BYTES};
use super::{Reader, verify};
use agentbox_ipc::LogVerdict;
use serde_json::{Map, Value};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Most bytes of the lines of one answer. More is fetched by asking again after the last number.
const ANSWER_BYTES: usize = 1 << 20;
const PIECE_BYTES: usize = 1 << 16;

/// The trail as it was a moment ago.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) file: File,
    pub(crate) length: u64,
    /// The head that its file names.
    pub(crate) said: Option<Head>,
    /// The head that was written.
    pub(crate) written: Head,
}

impl Reading {
    /// Lines with a number above `after`, oldest first, without their hashes checked.
    pub(crate) fn lines(&self, reader: Reader, session: Option<&str>, after: u64) -> io::Result<Vec<String>> {
        // Most lines are somebody else's, and need not be understood to see that.
        let session_mark = session.map(|id| format!("\"session\":\"{id}\""));
        let owner_mark = match reader {
            Reader::Root => None,
            Reader::Owner(uid) => Some(format!("\"owner_uid\":{uid}")),
        };
        let (mut answer, mut bytes) = (Vec::new(), 0);
        self.each(self.start(after)?, |line| {
            let line = String::from_utf8_lossy(line);
            let has = |mark: &Option<String>| mark.as_ref().is_none_or(|mark| line.contains(mark));
            if !has(&session_mark) || !has(&owner_mark) {
                return true;
            }
            let Ok(Value::Object(members)) = serde_json::from_str::<Value>(&line) else { return true };
            let mine = match reader {
                Reader::Root => true,
                Reader::Owner(uid) => number(&members, "owner_uid") == Some(u64::from(uid)),
            };
            let of_session =
                session.is_none_or(|id| members.get("session").and_then(Value::as_str) == Some(id));
            if mine && of_session && number(&members, "seq").is_some_and(|seq| seq > after) {
                bytes += line.len();
                if bytes > ANSWER_BYTES {
                    return false;
                }
                answer.push(line.into_owned());
            }
            true
        })?;
        Ok(answer)
    }

    /// Checks the whole trail, also against what the journal knew of it before.
    pub(crate) fn verify(&self, anchors: Option<&[Head]>) -> io::Result<LogVerdict> {
        let mut bytes = vec![0; usize::try_from(self.length).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, 0)?;
        let mut verdict = verify::verify(&bytes, self.said.as_ref(), anchors);
        if self.said.as_ref() != Some(&self.written) {
            verdict.say(format!("the head is not the one that was written with event {}", self.written.seq));
        }
        Ok(verdict)
    }

    /// Where lines with numbers above this begin, or something before: numbers only grow, so it is found by halving.
    fn start(&self, after: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, if after == 0 { 0 } else { self.length });
        while high - low > PIECE_BYTES as u64 {
            let middle = low + (high - low) / 2;
            match self.line_behind(middle)? {
                Some((at, seq)) if at < high && seq <= after => low = at,
                Some((at, _)) if at < high => high = middle,
                // What is no line of ours is passed over by whoever reads on from before it.
                _ => break,
            }
        }
        Ok(low)
    }

    /// The first line that begins behind a place, with its number.
    fn line_behind(&self, place: u64) -> io::Result<Option<(u64, u64)>> {
        let mut bytes = vec![0; 2 * MAX_LINE_BYTES + 2];
        let length = read_at(&self.file, &mut bytes, place)?;
        let mut ends =
            bytes[..length].iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let (Some(before), Some(end)) = (ends.next(), ends.next()) else { return Ok(None) };
        let members: Option<Map<String, Value>> = serde_json::from_slice(&bytes[before + 1..end]).ok();
        let seq = members.and_then(|members| number(&members, "seq"));
        Ok(seq.map(|seq| (place + before as u64 + 1, seq)))
    }

    /// Shows every line from a place on, until it is enough.
    fn each(&self, from: u64, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let (mut at, mut rest, mut piece) = (from, Vec::new(), vec![0; PIECE_BYTES]);
        while at < self.length {
            let wanted = usize::try_from(self.length - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let length = read_at(&self.file, &mut piece[..wanted], at)?;
            if length == 0 {
                break;
            }
            at += length as u64;
            rest.extend_from_slice(&piece[..length]);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in rest[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                if !show(line) {
                    return Ok(());
                }
            }
            rest.drain(..whole);
        }
        Ok(())
    }
}

fn number(members: &Map<String, Value>, key: &str) -> Option<u64> {
    members.get(key).and_then(Value::as_u64)
}

fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    loop {
        match file.read_at(bytes, place) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
