//! What sessions on an overlay of their project leave for their owner to look at.
//!
//! A layer has the id of its session, and a session that goes on with it has that id again: so no two
//! sessions ever share one. Its record, beside it, says whose it is and over what. A layer in which nothing
//! was changed goes with its session; every other one stays until its owner discards it.
//!
//! What is in a layer is looked at by its owner's own program; here it is only handed over, made and removed.

use crate::caller::Caller;
use crate::session::steps::StepError;
use crate::session::{Order, Record, shown_id};
use crate::supervisor::Supervisor;
use agentbox_ipc::{ChangeSet, Error, Method, ReviewAnswer, Taken};
use agentbox_kernel::directory;
use agentbox_kernel::layer::{Layer, View};
use agentbox_kernel::person::{self, Person};
use agentbox_kernel::project::Project;
use agentbox_kernel::source::{self, Kind, Opened, Opener};
use agentbox_plan::SessionId;
use agentbox_policy::{Policy, Workspace};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Name of a layer's record.
const RECORD: &str = "record";
/// Most bytes of it. One with a thousand values has a tenth of that.
const MAX_BYTES: usize = 1 << 20;
/// Most trigger files and references that one event names.
const MAX_NAMES: usize = 256;

/// Whose a layer is, and over what.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LayerRecord {
    version: u32,
    /// Its first session.
    session: Record,
    /// Inode of the project's directory. Numbers of devices change from boot to boot.
    inode: u64,
    /// When it was made, by the clock that files are stamped with.
    began_unix_s: u64,
    began_ns: u32,
    base_commit: Option<String>,
}

const VERSION: u32 = 1;

/// Opens the layer of a session that starts, and makes it where there is none.
pub(crate) fn open(supervisor: &Supervisor, order: &Order, record: &Record) -> Result<OwnedFd, StepError> {
    let layer = supervisor.directories.make_layer(&record.id, &order.person, &order.project)?;
    if directory::read_file(&layer.root, RECORD, MAX_BYTES)?.is_none() {
        // What the kernel stamped its directory with: comparable to the stamps of the project's files.
        let made = rustix::fs::fstat(&layer.data).map_err(std::io::Error::from)?;
        let line = LayerRecord {
            version: VERSION,
            session: record.clone(),
            inode: order.project.inode,
            began_unix_s: u64::try_from(made.st_ctime).unwrap_or(0),
            began_ns: u32::try_from(made.st_ctime_nsec).unwrap_or(0),
            base_commit: order.base_commit.clone().filter(|commit| is_commit(commit)),
        };
        let bytes = serde_json::to_vec(&line).map_err(std::io::Error::from)?;
        directory::write_atomic(&layer.root, RECORD, &bytes, 0o600, true)?;
    }
    Ok(layer.data)
}

/// A name of an object of git, SHA-1 or SHA-256.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// After a session: what was never written to is not kept.
pub(crate) fn end(supervisor: &Supervisor, record: &Record) -> Result<(), StepError> {
    if record.workspace == Workspace::Overlay.to_string() {
        remove_unchanged(supervisor, &record.id)?;
    }
    Ok(())
}

fn remove_unchanged(supervisor: &Supervisor, id: &SessionId) -> Result<(), StepError> {
    let Some(layer) = supervisor.directories.open_layer(id)? else { return Ok(()) };
    if layer.is_unchanged()? {
        supervisor.directories.remove_layer(id)?;
    }
    Ok(())
}

/// After a crash: layers that were going, and those that no session has and nothing was ever written to.
pub(crate) fn sweep(supervisor: &Supervisor) {
    if let Err(error) = supervisor.directories.remove_going_layers() {
        supervisor.report(format!("layers: {error}"));
    }
    let ids = match supervisor.directories.list_layers() {
        Ok(ids) => ids,
        Err(error) => return supervisor.report(format!("layers: {error}")),
    };
    for id in ids.iter().filter(|id| supervisor.session(id).is_none()) {
        if let Err(error) = remove_unchanged(supervisor, id) {
            supervisor.report(format!("layer of session {id}: {error}"));
        }
    }
}

/// Whether no layer has this id.
pub(crate) fn is_free(supervisor: &Supervisor, id: &SessionId) -> bool {
    matches!(supervisor.directories.open_layer(id), Ok(None))
}

/// The id of a session that goes on with its layer.
pub(crate) fn resumed(
    supervisor: &Supervisor,
    caller: &Caller,
    resume: &str,
    (project, person): (&Project, &Person),
    policy: &Policy,
) -> Result<SessionId, Error> {
    let (id, _, record) = find(supervisor, caller, Method::Start, resume)?;
    if policy.workspace() != Workspace::Overlay {
        return Err(Error::Refused(format!(
            "refused: session `{id}` worked on an overlay, and this start has workspace `{}`\n\
             rule: what goes on with a layer sees the project through it\nstart it with --workspace overlay",
            policy.workspace()
        )));
    }
    let first = &record.session;
    // Root starts sessions of a project's owner, who may be another one by now.
    if first.owner_uid != person.uid || record.inode != project.inode {
        return Err(elsewhere(&id, &first.project));
    }
    one_for_each(supervisor, &id)?;
    Ok(id)
}

/// Refuses a second session on a layer: before work is done for it, and when it begins.
pub(crate) fn one_for_each(supervisor: &Supervisor, id: &SessionId) -> Result<(), Error> {
    match supervisor.session(id) {
        None if supervisor.removals.contains(id.as_str()) => Err(unknown(id.as_str())),
        None => Ok(()),
        Some(_) => Err(Error::Refused(format!(
            "refused: session `{id}` has not ended\nrule: one session for each layer\n\
             agentboxctl attach {id}, or stop it first"
        ))),
    }
}

fn elsewhere(id: &SessionId, project: &str) -> Error {
    Error::Refused(format!(
        "refused: `{project}` is not the directory that session `{id}` worked on\n\
         rule: a layer belongs over one directory\nmove that back, or agentboxctl discard {id}"
    ))
}

/// Waits for a session that is just ending: whoever saw its agent end asks for its layer next.
pub(crate) async fn settle(supervisor: &Supervisor, id: &str) {
    if let Some(session) = id.parse().ok().and_then(|id| supervisor.session(&id)) {
        session.settle().await;
        // It is unregistered a moment after it is gone.
        tokio::task::yield_now().await;
    }
}

/// Every layer with a record.
pub(crate) fn sets(supervisor: &Supervisor) -> Vec<ChangeSet> {
    let ids = match supervisor.directories.list_layers() {
        Ok(ids) => ids,
        Err(error) => {
            supervisor.report(format!("layers: {error}"));
            return Vec::new();
        }
    };
    let mut sets = Vec::new();
    for id in ids {
        match read(supervisor, &id) {
            Ok(Some((_, record))) => sets.push(set(supervisor, &id, &record)),
            // Half made: `sweep` and the session itself see to it.
            Ok(None) => {}
            Err(error) => tracing::error!("layer of session {id}: {error}"),
        }
    }
    sets
}

fn set(supervisor: &Supervisor, id: &SessionId, record: &LayerRecord) -> ChangeSet {
    let session = &record.session;
    ChangeSet {
        id: id.to_string(),
        name: session.name.clone(),
        project: session.project.clone(),
        profile: session.profile.clone(),
        posture: session.posture.clone(),
        agent: session.agent.clone(),
        started_unix_s: session.started_unix_s,
        live: supervisor.session(id).is_some(),
        owner_uid: session.owner_uid,
    }
}

fn read(supervisor: &Supervisor, id: &SessionId) -> Result<Option<(Layer, LayerRecord)>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    if supervisor.removals.contains(id.as_str()) {
        return Ok(None);
    }
    let Some(layer) = supervisor.directories.open_layer(id).map_err(|error| text(&error))? else {
        return Ok(None);
    };
    let bytes = directory::read_file(&layer.root, RECORD, MAX_BYTES).map_err(|error| text(&error))?;
    let Some(bytes) = bytes else { return Ok(None) };
    Ok(Some((layer, parse(id, &bytes)?)))
}

pub(crate) fn parse(id: &SessionId, bytes: &[u8]) -> Result<LayerRecord, String> {
    let record: LayerRecord = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if record.version != VERSION || record.session.id != *id {
        return Err("its record is of another version or another session".to_owned());
    }
    Ok(record)
}

fn unknown(id: &str) -> Error {
    let shown = shown_id(id);
    Error::NotFound(format!("no session `{shown}` left changes\n`agentboxctl list --all` shows which did"))
}

/// A layer of the caller. One of somebody else is as unknown as one that never was.
fn find(
    supervisor: &Supervisor,
    caller: &Caller,
    method: Method,
    id: &str,
) -> Result<(SessionId, Layer, LayerRecord), Error> {
    let parsed: SessionId = id.parse().map_err(|_| unknown(id))?;
    match read(supervisor, &parsed) {
        Ok(Some((layer, record))) if caller.owns(method, record.session.owner_uid) => {
            Ok((parsed, layer, record))
        }
        Err(error) if caller.is_root() => Err(Error::Failed(format!("layer of session {parsed}: {error}"))),
        _ => Err(unknown(id)),
    }
}

/// What a session wrote, for its owner to look at.
pub(crate) async fn review(
    supervisor: &Supervisor,
    caller: &Caller,
    id: &str,
) -> Result<(ReviewAnswer, View), Error> {
    let (id, layer, record) = find(supervisor, caller, Method::Review, id)?;
    let failed = |error: &dyn std::error::Error| Error::Failed(error.to_string());
    let owner = record.session.owner_uid;
    let owner = person::by_uid(owner)
        .map_err(|error| failed(&error))?
        .ok_or_else(|| Error::Failed(format!("user id {owner} is no account here any more")))?;
    let (path, inode, whose) = (record.session.project.clone(), record.inode, id.clone());
    let view = supervisor.waits.at_paths_of(owner.uid, move |at| {
        at.set(&path);
        let project = match source::open_wanted(&path, &Opener::person(&owner), Kind::Directory) {
            Ok(Opened::Directory(project)) => project,
            Ok(_) => return Err(elsewhere(&whose, &path)),
            Err(error) => return Err(failed(&error)),
        };
        if rustix::fs::fstat(&project).map_err(|error| failed(&error))?.st_ino != inode {
            return Err(elsewhere(&whose, &path));
        }
        layer.view(&project, &owner).map_err(|error| failed(&error))
    });
    let view = view.await.map_err(|error| Error::Failed(error.to_string()))??;
    let answer = ReviewAnswer {
        set: set(supervisor, &id, &record),
        began_unix_s: record.began_unix_s,
        began_ns: record.began_ns,
        base_commit: record.base_commit,
    };
    Ok((answer, view))
}

/// Records what was applied.
pub(crate) fn reviewed(
    supervisor: &Supervisor,
    caller: &Caller,
    id: &str,
    mut taken: Taken,
) -> Result<(), Error> {
    let (id, _, record) = find(supervisor, caller, Method::Reviewed, id)?;
    taken.triggers.truncate(MAX_NAMES);
    taken.references.truncate(MAX_NAMES);
    let event = json!({
        "event": "applied", "session": id.as_str(), "owner_uid": record.session.owner_uid,
        "caller_uid": caller.uid, "written": taken.written, "removed": taken.removed,
        "conflicts": taken.conflicts, "triggers": taken.triggers, "references": taken.references,
    });
    supervisor.audit().record(event).map_err(|error| Error::Failed(error.to_string()))
}

/// Removes a layer.
pub(crate) async fn discard(supervisor: &Arc<Supervisor>, caller: &Caller, id: &str) -> Result<(), Error> {
    let (id, _, record) = find(supervisor, caller, Method::Discard, id)?;
    if supervisor.session(&id).is_some() {
        return Err(Error::Refused(format!(
            "refused: session `{id}` has not ended\nrule: what a session works on is not taken from it\n\
             agentboxctl stop {id}"
        )));
    }
    let event = json!({
        "event": "discarded", "session": id.as_str(), "owner_uid": record.session.owner_uid,
        "caller_uid": caller.uid,
    });
    supervisor.audit().record(event).map_err(|error| Error::Failed(error.to_string()))?;
    let removal = supervisor.removals.begin(id.to_string());
    let supervisor = Arc::clone(supervisor);
    removal.run(move || supervisor.directories.remove_layer(&id)).await
}
