//! What of the agent's own files outlives a session: put into it before it begins, taken back when all of it
//! is gone, and what changed told to the trail.
//!
//! Everything that comes back was written by the agent. A file is taken back when it is one regular file of a
//! bounded size that holds one JSON object, which the [`shape`](super::shape) tells without reading it as
//! anything; a directory is swept of all that is not of its kind. What is refused stays in the trail, and
//! what was kept before stays as it was.

use super::Record;
use super::shape;
use crate::supervisor::Supervisor;
use agentbox_kernel::directory::{self, DirectoryError};
use agentbox_kernel::own::{self, Shape, Taken};
use agentbox_policy::{Kept, KeptWhat};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::os::fd::OwnedFd;
use zeroize::Zeroizing;

/// Most files and directories of a directory that is kept. A conversation is a few; every end looks at all.
const MAX_FILES: u64 = 20_000;

/// One of the agent's own directories.
#[derive(Debug)]
pub(crate) struct OwnDirectory {
    /// Its path inside.
    pub(crate) path: String,
    /// Its root, open as long as the session.
    pub(crate) root: OwnedFd,
    /// Files that were put into it, with their hashes.
    pub(crate) put: Vec<(String, String)>,
}

impl OwnDirectory {
    /// Puts into it what is kept of it.
    pub(crate) fn fill(
        &mut self,
        supervisor: &Supervisor,
        kept: impl Iterator<Item = Kept>,
        ids: (u32, u32),
    ) -> Result<(), DirectoryError> {
        for kept in kept {
            let (Some(path), KeptWhat::File { max_bytes }) = (self.below(&kept.path), &kept.what) else {
                continue;
            };
            let path = path.to_owned();
            if let Some(content) = stored(supervisor, &kept, *max_bytes)? {
                let content = Zeroizing::new(content);
                own::put(&self.root, &path, &content, ids.0, ids.1)?;
                self.put.push((kept.path.clone(), hash(&content)));
            }
        }
        Ok(())
    }

    /// A path inside as one below this directory.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.path.as_str())?.strip_prefix('/')
    }
}

/// Takes back what is kept, when nothing of the session runs any more. Each answer is an event of the trail.
pub(crate) fn take_back(supervisor: &Supervisor, record: &Record, own: &[OwnDirectory]) -> Vec<Value> {
    let mut events = Vec::new();
    for kept in &record.kept {
        let told = match &kept.what {
            KeptWhat::File { max_bytes } => file(supervisor, kept, *max_bytes, own),
            KeptWhat::Directory { suffixes, max_file_bytes, max_bytes } => {
                let shape = Shape {
                    suffixes,
                    max_file_bytes: *max_file_bytes,
                    max_bytes: *max_bytes,
                    max_files: MAX_FILES,
                };
                sweep(supervisor, record, kept, shape)
            }
        };
        let mut event = told.unwrap_or_else(|error| json!({ "verdict": "failed", "why": error.to_string() }));
        event["event"] = "kept".into();
        event["what"] = kept.name.as_str().into();
        events.push(event);
    }
    events
}

fn file(
    supervisor: &Supervisor,
    kept: &Kept,
    max_bytes: u64,
    own: &[OwnDirectory],
) -> Result<Value, DirectoryError> {
    let found = own.iter().find_map(|own| Some((own, own.below(&kept.path)?)));
    let Some((own, path)) = found else {
        return Ok(json!({ "verdict": "left", "why": "its directory could not be found again" }));
    };
    let before = own.put.iter().find(|(put, _)| *put == kept.path).map(|(_, hash)| hash.clone());
    let (last, above) = split(kept)?;
    match own::take(&own.root, path, max_bytes)? {
        Taken::Missing if before.is_none() => Ok(json!({ "verdict": "none" })),
        Taken::Missing => {
            directory::remove_file(supervisor.directories.kept_below(&above)?, last)?;
            Ok(json!({ "verdict": "removed", "before": before }))
        }
        Taken::Refused(why) => Ok(json!({ "verdict": "refused", "why": why, "before": before })),
        Taken::File(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let after = hash(&bytes);
            if Some(&after) == before.as_ref() {
                return Ok(json!({ "verdict": "unchanged", "after": after }));
            }
            if let Err(why) = shape::is_object(&bytes) {
                return Ok(json!({ "verdict": "refused", "why": why, "before": before, "after": after }));
            }
            directory::write_atomic(supervisor.directories.kept_below(&above)?, last, &bytes, 0o600, true)?;
            let verdict = if before.is_some() { "changed" } else { "new" };
            Ok(json!({ "verdict": verdict, "before": before, "after": after, "bytes": bytes.len() }))
        }
    }
}

fn sweep(
    supervisor: &Supervisor,
    record: &Record,
    kept: &Kept,
    shape: Shape<'_>,
) -> Result<Value, DirectoryError> {
    let parts: Vec<&str> = kept.store.iter().map(String::as_str).collect();
    let volume = supervisor.directories.volume(&parts, record.owner_uid, record.owner_gid)?;
    let swept = own::sweep(&volume, shape)?;
    let verdict = if swept.removed_count == 0 { "swept" } else { "changed" };
    Ok(json!({
        "verdict": verdict, "files": swept.files, "bytes": swept.bytes, "removed": swept.removed,
        "removed_count": swept.removed_count,
    }))
}

fn stored(supervisor: &Supervisor, kept: &Kept, max_bytes: u64) -> Result<Option<Vec<u8>>, DirectoryError> {
    let (last, above) = split(kept)?;
    let most = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    directory::read_file(supervisor.directories.kept_below(&above)?, last, most)
}

fn split(kept: &Kept) -> Result<(&str, Vec<&str>), DirectoryError> {
    let (last, above) = kept.store.split_last().ok_or_else(|| DirectoryError::Name(kept.name.clone()))?;
    Ok((last, above.iter().map(String::as_str).collect()))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
