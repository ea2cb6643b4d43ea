//! What gates refused, told to the session itself: `/run/agentbox/denials.jsonl` inside, read-only there.

use super::decisions::Decided;
use super::session::shown;
use agentbox_kernel::directory::DirectoryError;
use agentbox_plan::net::Rule;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Its name in the session's directory.
const FILE: &str = "denials.jsonl";
/// Most bytes of it. It lies in memory; the trail has everything.
const MAX_BYTES: u64 = 1 << 20;

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct Denials {
    file: File,
}

impl Denials {
    /// Opens it in a session's directory, made where it is missing.
    pub(crate) fn open(directory: impl AsFd) -> Result<Self, DirectoryError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&directory, FILE, flags, Mode::from_raw_mode(0o644));
        let file = opened.map_err(|errno| failed("open", errno))?;
        // Whatever mask this process has: the session reads it as another user.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))
            .map_err(|errno| failed("make readable", errno))?;
        Ok(Self { file: file.into() })
    }

    /// The same file for a session to see.
    pub(crate) fn source(directory: impl AsFd) -> Result<OwnedFd, DirectoryError> {
        Self::open(&directory)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&directory, FILE, flags, Mode::empty()).map_err(|errno| failed("open", errno))
    }

    /// Appends a refusal.
    pub(crate) fn append(&mut self, decided: &Decided, rule: Option<&Rule>, remedy: &str) {
        let Some(reason) = decided.reason else { return };
        // A question for a name: the connection that follows says the same with its port.
        if decided.port == 0 {
            return;
        }
        self.write(json!({
            "destination": shown(&decided.destination),
            "port": decided.port,
            "reason": reason.as_str(),
            "why": reason.to_string(),
            "other": decided.other.as_ref().map(ToString::to_string),
            "rule": rule.map(|rule| rule.target.to_string()),
            "remedy": remedy,
        }));
    }

    /// Appends a line with the time.
    pub(crate) fn write(&mut self, mut line: Value) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() > MAX_BYTES) {
            return;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Value::Object(members) = &mut line {
            members.insert("time".into(), time.into());
        }
        if let Err(error) = self.file.write_all(format!("{line}\n").as_bytes()) {
            tracing::warn!("{FILE}: {error}");
        }
    }
}

fn failed(doing: &'static str, errno: Errno) -> DirectoryError {
    DirectoryError::io(doing, FILE, errno)
}
