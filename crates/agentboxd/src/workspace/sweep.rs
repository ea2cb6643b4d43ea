//! After a session: what changed is looked at, git's configuration is judged and put back, and the person gets a
//! report.
//!
//! What was there before lies on the disk (STATE/workspaces/ID) from before the agent runs until the report is
//! written. A supervisor that was killed leaves it there, and the next one makes up for the look before it
//! serves anybody, unless the project does not answer.

use super::looker::look;
use super::survey::{place_name, why};
use super::told::named;
use super::{END_LIMITS, Look, START_LIMITS, WORKSPACES, WorkspaceError, reports};
use crate::audit::Reader;
use crate::supervisor::Supervisor;
use agentbox_ipc::{ReportAnswer, ReportLine};
use agentbox_kernel::source::{self, Kind, Opened, Opener, Request};
use agentbox_kernel::{directory, person};
use agentbox_plan::look::{
    Change, Finding, FindingKind, LookLimits, MAX_ANSWER_BYTES, Remembered, Report, Task, ThingKind,
};
use agentbox_plan::{Ids, SessionId, Wire};
use serde_json::json;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Changes of git's configuration that were put back while a session ran, at most.
const MAX_MEANWHILE: usize = 200;
/// How long a supervisor that begins waits for projects, of the minute that the service manager gives it.
const FINISH_LIMIT: Duration = Duration::from_secs(20);
/// Findings that are named in the trail; all are in the report.
const MAX_NAMED: usize = 20;

/// Looks at the project of a session that has ended, if it is remembered. Idempotent. `restored`: something of git's may have
/// been put back while it ran, of which the trail knows.
pub(crate) async fn sweep(
    supervisor: &Arc<Supervisor>,
    id: &SessionId,
    restored: bool,
) -> Result<(), WorkspaceError> {
    let Some(remembered) = remembered(supervisor, id)? else { return Ok(()) };
    let task = Task::Sweep { before: remembered.before.clone() };
    let mut is_over = true;
    let mut report = match look_again(supervisor, &remembered, task, END_LIMITS).await {
        Ok(report) => answer(id, &remembered, report),
        Err(error) => {
            // Whatever a session leaves to look at, what was git's configuration before it is not left as it is; and as long as
            // that takes too long, a later supervisor tries again.
            let task = Task::Judge { before: remembered.before.clone(), spots: Vec::new() };
            let judged = look_again(supervisor, &remembered, task, START_LIMITS).await;
            is_over = !matches!(judged, Err(WorkspaceError::TooLong(_)));
            let judged = answer(id, &remembered, judged.unwrap_or_default());
            ReportAnswer { failed: Some(error.to_string()), ..judged }
        }
    };
    if restored {
        meanwhile(supervisor, id, &mut report).await;
    }
    reports::write(supervisor, &report).await?;
    audit(supervisor, id, &report);
    if is_over { forget(supervisor, id) } else { Ok(()) }
}

/// What is remembered of the project of a session.
pub(crate) fn remembered(
    supervisor: &Supervisor,
    id: &SessionId,
) -> Result<Option<Remembered>, WorkspaceError> {
    let kept = supervisor.directories.kept(WORKSPACES)?;
    let Some(bytes) = directory::read_file(kept, id.as_str(), 2 * MAX_ANSWER_BYTES)? else {
        return Ok(None);
    };
    let remembered = Remembered::from_bytes(&bytes)
        .map_err(|error| WorkspaceError::Gone(format!("what is remembered of session {id}: {error}")))?;
    Ok(Some(remembered))
}

/// What is remembered of its project is not needed any more: it was looked at, or nothing of it ran.
pub(crate) fn forget(supervisor: &Supervisor, id: &SessionId) -> Result<(), WorkspaceError> {
    Ok(directory::remove_file(supervisor.directories.kept(WORKSPACES)?, id.as_str())?)
}

/// Makes up for the looks that an earlier supervisor did not come to, but for sessions that live. Projects that do not
/// answer are waited for by nobody else.
pub(crate) async fn finish_all(supervisor: &Arc<Supervisor>) {
    let names = match supervisor.directories.kept(WORKSPACES).and_then(|kept| directory::names(&kept)) {
        Ok(names) => names,
        Err(error) => return supervisor.report(format!("what is remembered of projects: {error}")),
    };
    let mut looks = JoinSet::new();
    for id in names.iter().filter_map(|name| name.parse::<SessionId>().ok()) {
        let still_there = supervisor.directories.open_session(&id).is_ok_and(|directory| directory.is_some());
        if supervisor.session(&id).is_some() || still_there {
            continue;
        }
        let supervisor = Arc::clone(supervisor);
        looks.spawn(async move {
            if let Err(error) = sweep(&supervisor, &id, true).await {
                supervisor.report(format!("the project of session {id}: {error}"));
            }
        });
    }
    let all = async { while looks.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH_LIMIT, all).await.is_err() {
        supervisor.report(format!("{} projects are still looked at: their reports come later", looks.len()));
    }
    looks.detach_all();
}

async fn look_again(
    supervisor: &Arc<Supervisor>,
    remembered: &Remembered,
    task: Task,
    limits: LookLimits,
) -> Result<Report, WorkspaceError> {
    let (ids, places) = reopen(supervisor, remembered).await?;
    let wanted = Look {
        ids,
        paths: remembered.places.clone(),
        places: &places,
        masks: agentbox_plan::look::Masks::default(),
        limits,
    };
    look(supervisor, wanted, task).await
}

/// The ids of whose session it is, and its places, opened with that person's rights.
pub(super) async fn reopen(
    supervisor: &Supervisor,
    remembered: &Remembered,
) -> Result<(Ids, Vec<OwnedFd>), WorkspaceError> {
    let gone = |what: String| WorkspaceError::Gone(what);
    let uid = remembered.owner_uid;
    let person = person::by_uid(uid).map_err(|error| gone(error.to_string()))?;
    let person = person.ok_or_else(|| gone(format!("user id {uid} is no account any more")))?;
    let paths = remembered.places.iter().map(|path| {
        let path = std::str::from_utf8(&path.0).map_err(|_| gone("a path that is no text".to_owned()))?;
        let by = Opener::person(&person);
        Ok(Request { path: path.to_owned(), by, kind: Kind::Directory })
    });
    let requests: Vec<_> = paths.collect::<Result<_, WorkspaceError>>()?;
    let paths: Vec<_> = requests.iter().map(|request| request.path.clone()).collect();
    let opened = supervisor
        .waits
        .at_paths_of(uid, move |at| source::open_batch_telling(&requests, &|path| at.set(path)));
    let opened = opened.await.map_err(|error| gone(error.to_string()))?;
    let places = opened.into_iter().zip(paths).map(|(opened, path)| match opened {
        Ok(Opened::Directory(place)) => Ok(place),
        Ok(_) => Err(gone(format!("{} is not there any more", path.escape_debug()))),
        Err(error) => Err(gone(error.to_string())),
    });
    let places = places.collect::<Result<_, WorkspaceError>>()?;
    Ok((Ids { uid: person.uid, gid: person.gid, groups: person.groups }, places))
}

/// What was put back while the session ran: the trail knows.
async fn meanwhile(supervisor: &Supervisor, id: &SessionId, report: &mut ReportAnswer) {
    let session = id.to_string();
    let lines = supervisor.read_trail(move |trail| trail.lines(Reader::Root, Some(&session), 0)).await;
    let lines = lines.unwrap_or_default();
    let events = lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut put_back: Vec<ReportLine> = Vec::new();
    let named = events.filter(|event| event["event"] == "git-config").flat_map(|event| named(&event));
    for (path, detail) in named.take(MAX_MEANWHILE) {
        let line = ReportLine {
            kind: "git-config".to_owned(),
            change: "restored".to_owned(),
            path,
            actor: "git".to_owned(),
            detail,
            grave: true,
        };
        if !put_back.contains(&line) && !report.findings.contains(&line) {
            put_back.push(line);
        }
    }
    report.findings.splice(0..0, put_back);
}

fn audit(supervisor: &Supervisor, id: &SessionId, report: &ReportAnswer) {
    let grave: Vec<_> = report.findings.iter().filter(|finding| finding.grave).take(MAX_NAMED).collect();
    let named: Vec<_> =
        grave.iter().map(|finding| format!("{} {} {}", finding.kind, finding.change, finding.path)).collect();
    let event = json!({
        "event": "report", "session": id.as_str(), "owner_uid": report.owner_uid, "project": report.project,
        "findings": report.findings.len() as u64 + u64::from(report.more), "grave": report.grave() as u64,
        "named": named, "unseen": report.unseen_count, "failed": report.failed,
    });
    if let Err(error) = supervisor.audit().record(event) {
        tracing::error!("{id}: {error}");
    }
}

fn empty(id: &SessionId, remembered: &Remembered) -> ReportAnswer {
    let project = remembered.places.first().map(|path| String::from_utf8_lossy(&path.0).into_owned());
    ReportAnswer {
        id: id.to_string(),
        owner_uid: remembered.owner_uid,
        project: project.unwrap_or_default(),
        looked_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        ..ReportAnswer::default()
    }
}

fn answer(id: &SessionId, remembered: &Remembered, report: Report) -> ReportAnswer {
    let path = |spot: &agentbox_plan::look::Spot| match spot.place {
        0 => place_name(&spot.path),
        place => {
            let place =
                remembered.places.get(usize::from(place)).map(|path| String::from_utf8_lossy(&path.0));
            format!("{}/{}", place.unwrap_or_default().escape_debug(), spot.path)
        }
    };
    let unseen = report.unseen.iter().map(|unseen| format!("{} ({})", path(&unseen.spot), why(unseen.why)));
    ReportAnswer {
        findings: report.findings.iter().map(|finding| line(finding, path(&finding.spot))).collect(),
        more: report.more,
        unseen: unseen.collect(),
        unseen_count: report.unseen_count,
        ..empty(id, remembered)
    }
}

fn line(finding: &Finding, path: String) -> ReportLine {
    let (kind, actor) = match &finding.kind {
        FindingKind::Trigger { actor, .. } => ("trigger", actor.as_str()),
        FindingKind::ConfigRefused | FindingKind::ConfigTold => ("git-config", "git"),
        FindingKind::Pointer => ("git-pointer", "git"),
        FindingKind::Thing { kind } => (thing(*kind), ""),
    };
    let change = match finding.change {
        Change::Added => "added",
        Change::Changed => "changed",
        Change::Removed => "removed",
        Change::Restored => "restored",
    };
    ReportLine {
        kind: kind.to_owned(),
        change: change.to_owned(),
        path,
        actor: actor.to_owned(),
        detail: finding.detail.clone(),
        grave: finding.is_grave(),
    }
}

fn thing(kind: ThingKind) -> &'static str {
    match kind {
        ThingKind::SetId => "set-id",
        ThingKind::HardLink => "hard-link",
        ThingKind::Socket => "socket",
        ThingKind::Pipe => "pipe",
        ThingKind::Device => "device",
        ThingKind::OddName => "odd-name",
        ThingKind::Repository => "repository",
        ThingKind::BareRepository => "bare-repository",
        ThingKind::LinkToBrought => "link-to-packages",
    }
}
