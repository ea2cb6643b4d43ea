//! What was accepted of a project: its own file as it was when a session last started with it.
//!
//! A session can change or remove that file. What it held goes on to hold until its person says otherwise
//! (`Trust`). The record is root's, a file for each person and project; its name is a hash, because a
//! path has no bounds that a name has.

use crate::supervisor::Supervisor;
use agentbox_kernel::directory::{self, DirectoryError};
use agentbox_policy::Layer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Most bytes of a record: a project's file of the largest size, as JSON.
const MAX_BYTES: usize = 8 << 20;
/// Of the record. A supervisor does not guess about another's.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    project: String,
    file: Layer,
}

/// A record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptedError {
    /// Its file.
    #[error("what was accepted of the project: {0}")]
    Directory(#[from] DirectoryError),
    /// Its content.
    #[error("what was accepted of the project cannot be understood: {0}; agentboxctl trust replaces it")]
    Content(String),
}

/// The project's own file as it was last accepted.
pub(crate) fn read(supervisor: &Supervisor, uid: u32, project: &str) -> Result<Option<Layer>, AcceptedError> {
    let directory = supervisor.directories.accepted(uid)?;
    let Some(bytes) = directory::read_file(&directory, &name(project), MAX_BYTES)? else { return Ok(None) };
    parse(project, &bytes).map(Some)
}

pub(crate) fn parse(project: &str, bytes: &[u8]) -> Result<Layer, AcceptedError> {
    let record: Record =
        serde_json::from_slice(bytes).map_err(|error| AcceptedError::Content(error.to_string()))?;
    if record.version != VERSION || record.project != project {
        return Err(AcceptedError::Content("it is of another version or project".to_owned()));
    }
    Ok(record.file)
}

/// Accepts a file, or that there is none.
pub(crate) fn write(
    supervisor: &Supervisor,
    uid: u32,
    project: &str,
    file: Option<&Layer>,
) -> Result<(), AcceptedError> {
    let directory = supervisor.directories.accepted(uid)?;
    let Some(file) = file else { return Ok(directory::remove_file(&directory, &name(project))?) };
    Ok(directory::write_atomic(&directory, &name(project), &record(project, file)?, 0o600, true)?)
}

pub(crate) fn record(project: &str, file: &Layer) -> Result<Vec<u8>, AcceptedError> {
    let record = Record { version: VERSION, project: project.to_owned(), file: file.clone() };
    serde_json::to_vec(&record).map_err(|error| AcceptedError::Content(error.to_string()))
}

fn name(project: &str) -> String {
    let hash = Sha256::digest(project.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_policy::LayerKind;

    #[test]
    fn what_was_accepted_comes_back_for_this_person_and_this_project_only() {
        let dir = tempfile::TempDir::new().unwrap();
        let supervisor = Supervisor::in_directory(dir.path());
        let file = Layer::parse("/a/b-c/.agentbox.toml", b"network = \"none\"", LayerKind::Project).unwrap();
        write(&supervisor, 1000, "/a/b-c", Some(&file)).unwrap();
        assert_eq!(read(&supervisor, 1000, "/a/b-c").unwrap(), Some(file));
        for (uid, project) in [(1000, "/a-b/c"), (1001, "/a/b-c"), (1000, "/a")] {
            assert_eq!(read(&supervisor, uid, project).unwrap(), None, "{uid} {project}");
        }
        write(&supervisor, 1000, "/a/b-c", None).unwrap();
        assert_eq!(read(&supervisor, 1000, "/a/b-c").unwrap(), None);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_not_taken_for_none() {
        let dir = tempfile::TempDir::new().unwrap();
        let supervisor = Supervisor::in_directory(dir.path());
        let own = supervisor.directories.accepted(1000).unwrap();
        directory::write_atomic(&own, &name("/p"), b"{}", 0o600, false).unwrap();
        assert!(read(&supervisor, 1000, "/p").is_err());
    }
}
