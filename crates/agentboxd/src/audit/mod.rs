//! The audit trail: what was asked of the supervisor and what became of it.
//!
//! `audit.jsonl` holds one line an event, each chained to the one before ([`chain`]); `audit.head` names the
//! last one, so that cutting the trail off is seen. The line is written first: after a crash between the
//! two the trail is one line ahead of its head, which opening it accepts and repairs. Anything else that
//! does not fit is kept as it is, reported, and marked by a gap in the numbers.
//!
//! Nothing is synced to the disk before an answer: a crash of the kernel can cost the last seconds, as it
//! does with journald. A crash or kill of the supervisor costs nothing.
//!
//! Of a service every event is in the journal as well ([`anchors`]), where somebody who can write these two files
//! does not reach.
//!
//! A start needs a trail that can be written; a session that runs goes on without.

pub(crate) mod anchors;
pub(crate) mod chain;
mod reading;
pub(crate) mod verify;

pub(crate) use chain::cut_at;
pub(crate) use reading::Reading;

use agentbox_ipc::Event;
use agentbox_kernel::directory;
use agentbox_kernel::journal::Journal;
use agentbox_plan::SessionId;
use chain::{Head, MAX_LINE_BYTES};
use rustix::fs::{AtFlags, Mode, OFlags};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const TRAIL: &str = "audit.jsonl";
const HEAD: &str = "audit.head";
/// Length of that file. Number and hash take 112 bytes at most.
const HEAD_BYTES: usize = 128;

/// The trail could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// Its directory.
    #[error("the audit trail: {0}")]
    Directory(#[from] directory::DirectoryError),
    /// Its file.
    #[error("the audit trail: {0}")]
    Io(#[from] std::io::Error),
}

/// Who may read which lines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    /// All of them.
    Root,
    /// Those of their own sessions.
    Owner(u32),
}

/// The trail, which may be one that cannot be opened now.
#[derive(Debug)]
pub(crate) struct Audit {
    logs: OwnedFd,
    /// Of a service only.
    journal: Option<Arc<Journal>>,
    trail: Option<Trail>,
    /// Why it cannot be written.
    unwritable: Option<String>,
}

impl Audit {
    /// Opens the trail in the directory of logs. One that cannot be opened, on a full disk for example, is
    /// tried again with each event.
    pub(crate) fn open(logs: OwnedFd, journal: Option<Journal>) -> Self {
        let mut audit = Self { logs, journal: journal.map(Arc::new), trail: None, unwritable: None };
        let opened = audit.trail().map(drop);
        audit.remember(&opened);
        audit
    }

    /// Writes an event. After an error nothing of it is in the trail.
    pub(crate) fn record(&mut self, event: Value) -> Result<(), AuditError> {
        let written = self.trail().and_then(|trail| trail.append(event));
        self.remember(&written);
        written
    }

    /// Writes an event of a session. That it could not is in the supervisor's own log then.
    pub(crate) fn record_of(
        &mut self,
        id: &SessionId,
        owner_uid: u32,
        mut event: Value,
    ) -> Result<(), AuditError> {
        if let Value::Object(members) = &mut event {
            members.insert("session".into(), id.as_str().into());
            members.insert("owner_uid".into(), owner_uid.into());
        }
        let written = self.record(event);
        if let Err(error) = &written {
            tracing::error!("{id}: {error}");
        }
        written
    }

    /// Whether its events are in the journal as well.
    pub(crate) fn is_anchored(&self) -> bool {
        self.journal.is_some()
    }

    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<&str> {
        let damage = self.trail.as_ref().and_then(|trail| trail.damage.as_deref());
        self.unwritable.as_deref().or(damage)
    }

    /// Writes it through to the disk.
    pub(crate) fn sync(&self) {
        if let Some(Err(error)) = self.trail.as_ref().map(|trail| trail.file.sync_data()) {
            tracing::error!("the audit trail: {error}");
        }
    }

    /// A look at it as it is now, for somebody who may take their time.
    pub(crate) fn reading(&mut self) -> Result<Reading, AuditError> {
        let trail = self.trail()?;
        let (file, written) = (trail.file.try_clone()?, trail.head.clone());
        Ok(Reading { length: file.metadata()?.len(), file, written, said: read_head(&self.logs)? })
    }

    /// The trail, opened anew where its name is that of another file now: a file that somebody has put in its place,
    /// or none.
    fn trail(&mut self) -> Result<&mut Trail, AuditError> {
        let trail = match self.trail.take() {
            Some(trail) if trail.is_in(&self.logs) => trail,
            replaced => {
                let known = replaced.map(|trail| trail.head);
                Trail::open(self.logs.try_clone()?, self.journal.clone(), known)?
            }
        };
        Ok(self.trail.insert(trail))
    }

    fn remember(&mut self, written: &Result<(), AuditError>) {
        let error = written.as_ref().err();
        self.unwritable =
            error.map(|error| format!("{error}; every start is refused until it can be written"));
    }
}

/// The open trail.
#[derive(Debug)]
struct Trail {
    file: File,
    head_file: File,
    head: Head,
    journal: Option<Arc<Journal>>,
    /// What had happened to it when it was opened.
    damage: Option<String>,
}

impl Trail {
    /// `known` is the head of a trail that was written until now and is no longer there.
    fn open(logs: OwnedFd, journal: Option<Arc<Journal>>, known: Option<Head>) -> Result<Self, AuditError> {
        let file = directory::open_append(&logs, TRAIL, 0o600)?;
        let is_replaced = known.is_some();
        let said = match known {
            Some(head) => head,
            None => read_head(&logs)?.unwrap_or_else(Head::empty),
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let head_file = rustix::fs::openat(&logs, HEAD, flags, Mode::from_raw_mode(0o600));
        let head_file = File::from(head_file.map_err(std::io::Error::from)?);
        let mut trail = Self { file, head_file, head: said.clone(), journal, damage: None };
        let (last, torn) = trail.tail()?;
        if torn > 0 {
            // Half a line of an append that was interrupted. It was never answered for.
            let length = trail.file.metadata()?.len();
            trail.file.set_len(length - torn)?;
        }
        let last = last.unwrap_or_else(Head::empty);
        let one_ahead = last.seq == said.seq + 1 && !is_replaced;
        if last == said || one_ahead {
            trail.head = last;
            trail.write_head()?;
            trail.head_file.set_len(HEAD_BYTES as u64)?;
        } else {
            let found = match is_replaced {
                true => format!("another file stood in its place when event {} was written", said.seq + 1),
                false => format!("it ends at event {}, its head says {}", last.seq, said.seq),
            };
            // The chain goes on from the last line; the gap in the numbers stays visible for ever.
            trail.head = Head { seq: last.seq.max(said.seq) + 1, hash: last.hash };
            trail.append(json!({ "event": "trail-damaged", "found": found }))?;
            trail.damage = Some(format!("the audit trail was changed: {found}"));
        }
        if torn > 0 {
            trail.append(json!({ "event": "trail-repaired", "discarded_bytes": torn }))?;
        }
        Ok(trail)
    }

    /// Whether it is still the file with the name of the trail.
    fn is_in(&self, logs: &OwnedFd) -> bool {
        let named = rustix::fs::statat(logs, TRAIL, AtFlags::SYMLINK_NOFOLLOW);
        let (Ok(named), Ok(open)) = (named, rustix::fs::fstat(&self.file)) else { return false };
        (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)
    }

    fn append(&mut self, event: Value) -> Result<(), AuditError> {
        debug_assert!(event["event"].as_str().is_some_and(|name| Event::named(name).is_some()), "{event}");
        let entry = self.journal.as_ref().map(|_| event.clone());
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_unix_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (line, head) = chain::write(&self.head, self.head.seq + 1, time_unix_ms, event);
        let before = self.file.metadata()?.len();
        let previous = std::mem::replace(&mut self.head, head);
        let written = self.file.write_all(&line).map_err(AuditError::from).and_then(|()| self.write_head());
        if written.is_err() {
            // A full disk takes part of a line. The part must not stand before the next one, and a trail
            // that ran ahead of its head would look forged.
            self.head = previous;
            self.file.set_len(before)?;
        }
        if let (Ok(()), Some(journal), Some(event)) = (&written, &self.journal, entry) {
            anchors::write(journal, &line, &self.head, &event);
        }
        written
    }

    /// In place and always of the same length: replacing the file would make ext4 write it out at once
    /// (ext4(5), auto_da_alloc), for each event. A head that a crash of the host tore is one that cannot
    /// be read, which the verdict says.
    fn write_head(&self) -> Result<(), AuditError> {
        let head = self.head.text();
        Ok(self.head_file.write_all_at(format!("{head:<width$}\n", width = HEAD_BYTES - 1).as_bytes(), 0)?)
    }

    /// The last whole line, and how many bytes stand behind it.
    fn tail(&self) -> Result<(Option<Head>, u64), AuditError> {
        let mut file = &self.file;
        let length = file.metadata()?.len();
        // Two lines: the last one may be torn.
        let start = length.saturating_sub(2 * MAX_LINE_BYTES as u64 + 2);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = (bytes.len() - whole) as u64;
        let last = bytes[..whole].split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty());
        let head = last.and_then(chain::read).map(|link| Head { seq: link.seq, hash: link.hash });
        Ok((head, torn))
    }
}

/// The head, `None` when there is none that can be read.
fn read_head(logs: &OwnedFd) -> Result<Option<Head>, AuditError> {
    Ok(directory::read_file(logs, HEAD, 4096)?.and_then(|bytes| Head::parse(&bytes)))
}

#[cfg(test)]
mod tests;
