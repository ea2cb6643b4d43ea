//! Before a session: what of the project is held and hidden, and what the person is told about it.

use super::looker::look;
use super::{Look, START_LIMITS, WORKSPACES, WorkspaceError};
use crate::session::Order;
use crate::supervisor::Supervisor;
use crate::waits::At;
use agentbox_kernel::directory;
use agentbox_kernel::source::{self, Kind, Opened, Opener};
use agentbox_plan::look::{
    FileState, HeldPlace, Hiding, PlacePath, PlaceVerdict, Remembered, Survey, Task, Thing, ThingKind,
    TriggerBefore, Unseen, UnseenWhy,
};
use agentbox_plan::wire::Bytes;
use agentbox_plan::{Ids, SessionId};
use agentbox_policy::{Isolation, OnSharedFiles, PolicyError, Workspace};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Most mounts that hold a project. Each costs a session microseconds and the host some memory.
const MAX_HELD: usize = 4096;

/// What a start needs of it.
#[derive(Debug, Default)]
pub(crate) struct Surveyed {
    /// What is held by mounts.
    pub(crate) held: Vec<HeldPlace>,
    /// What the person should know.
    pub(crate) notes: Vec<String>,
    /// What of it the kernel's guard hides as well.
    pub(crate) hidden: Hidden,
    /// What is kept for the end; nothing for a session that cannot change the project.
    pub(crate) remembered: Option<Remembered>,
}

/// Secrets that are there, by their paths in the project.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    /// Files.
    pub(crate) files: Vec<PlacePath>,
    /// Directories.
    pub(crate) directories: Vec<PlacePath>,
}

impl Hidden {
    /// What a person should know where only mounts hide them.
    pub(crate) fn by_mounts_alone(&self) -> Option<String> {
        let words = "of what is hidden, a file that is replaced on the host meanwhile is seen again";
        (!self.files.is_empty()).then(|| words.to_owned())
    }

    /// The same where the kernel's guard hides all but a number of them.
    pub(crate) fn left_out(count: usize) -> Option<String> {
        let words = "of what is hidden are more than the kernel's guard holds: replaced on the host meanwhile, they are seen";
        (count > 0).then(|| format!("{count} {words}"))
    }
}

/// Looks at the project of an order; nothing of it is kept yet.
pub(crate) async fn survey(supervisor: &Arc<Supervisor>, order: &Order) -> Result<Surveyed, WorkspaceError> {
    let policy = &order.policy;
    if policy.isolation() == Isolation::None {
        return Ok(Surveyed::default());
    }
    let (paths, places) = places(supervisor, order).await?;
    let ids = Ids { uid: order.person.uid, gid: order.person.gid, groups: order.person.groups.clone() };
    let wanted =
        Look { ids, paths: paths.clone(), places: &places, masks: policy.masks()?, limits: START_LIMITS };
    let survey: Survey = look(supervisor, wanted, Task::Survey).await?;
    let direct = policy.workspace() == Workspace::Direct;
    check_places(order, &survey)?;
    let mut held = survey.held;
    // On a layer everything is the session's own until it is taken.
    held.retain(|place| direct || place.hiding == Hiding::Hidden);
    held.retain(|place| place.spot.place != 0 || !is_of_a_review(&place.spot.path));
    if held.len() > MAX_HELD {
        return Err(refused(
            format!("a project with {} directories of git's that are to be held", held.len()),
            format!("there can be {MAX_HELD}"),
            "use workspace `overlay`, or start in one of the repositories",
        ));
    }
    let mut notes = Vec::new();
    note_hidden(&held, &mut notes);
    if direct {
        shared(order, &survey.before.things, &mut notes)?;
        leads_in(&survey.before.things, &mut notes);
    }
    for claim in &survey.claims {
        let (named, place) = (shown(&claim.names.0), shown(git_place(&claim.names.0)));
        notes.push(format!(
            "{} names {named}, outside of the project, which the session does not see: --git-dir {place} shows it",
            claim.file.path
        ));
    }
    unseen(&survey.unseen, survey.unseen_count, &mut notes);
    unread(&survey.before.triggers, &mut notes);
    let remembered =
        direct.then_some(Remembered { owner_uid: order.person.uid, places: paths, before: survey.before });
    let paths = |is_file: bool| {
        let all = held.iter().filter(|place| place.hiding == Hiding::Hidden && place.spot.place == 0);
        let these = all.filter(|place| survey.hidden_files.contains(&place.spot) == is_file);
        these.map(|place| place.spot.path.clone()).collect()
    };
    let hidden = Hidden { files: paths(true), directories: paths(false) };
    Ok(Surveyed { held, notes, hidden, remembered })
}

/// Writes what has to be known at the end to the disk. It waits for the disk.
pub(crate) fn keep(supervisor: &Supervisor, id: &SessionId, remembered: &[u8]) -> Result<(), WorkspaceError> {
    let kept = supervisor.directories.kept(WORKSPACES)?;
    Ok(directory::write_atomic(kept, id.as_str(), remembered, 0o600, true)?)
}

fn refused(what: String, rule: String, remedy: &str) -> WorkspaceError {
    PolicyError::Refused { what, rule, remedy: remedy.to_owned() }.into()
}

/// The project, and git directories outside of it that the policy names, opened with the person's rights.
async fn places(
    supervisor: &Supervisor,
    order: &Order,
) -> Result<(Vec<Bytes>, Vec<OwnedFd>), WorkspaceError> {
    let project = (order.policy.project_path().to_owned(), order.project.fd.try_clone()?);
    let dirs = order.policy.git_dirs().map(|(path, rule)| (path.to_owned(), rule.to_owned())).collect();
    let by = Opener::person(&order.person);
    let places =
        supervisor.waits.at_paths_of(order.person.uid, move |at| open_places(project, dirs, &by, at));
    places.await.map_err(|error| WorkspaceError::Gone(error.to_string()))?
}

fn open_places(
    (path, project): (String, OwnedFd),
    dirs: Vec<(String, String)>,
    by: &Opener,
    at: &At,
) -> Result<(Vec<Bytes>, Vec<OwnedFd>), WorkspaceError> {
    at.set(&path);
    let owner = rustix::fs::fstat(&project).map_err(std::io::Error::from)?.st_uid;
    let mut paths = vec![Bytes(path.into_bytes())];
    let mut places = vec![project];
    for (path, rule) in &dirs {
        at.set(path);
        let name = path.escape_debug();
        let opened = source::open_wanted(path, by, Kind::Directory);
        let place = match opened {
            Ok(Opened::Directory(place)) => place,
            Ok(_) => {
                return Err(refused(
                    format!("the git directory `{name}`: it is not there"),
                    rule.to_owned(),
                    "remove it",
                ));
            }
            Err(error) => {
                return Err(refused(
                    format!("the git directory `{name}`: {error}"),
                    rule.to_owned(),
                    "remove it",
                ));
            }
        };
        if rustix::fs::fstat(&place).map_err(std::io::Error::from)?.st_uid != owner {
            return Err(refused(
                format!("the git directory `{name}`: it belongs to somebody else than the project"),
                rule.to_owned(),
                "remove it, or chown it",
            ));
        }
        // A path that leads through a link would name one thing and mount another.
        if source::real_path(&place).map_err(|error| WorkspaceError::Gone(error.to_string()))? != *path {
            return Err(refused(
                format!("the git directory `{name}`: its path leads through a symbolic link"),
                rule.to_owned(),
                "name its real path",
            ));
        }
        paths.push(Bytes(path.as_bytes().to_vec()));
        places.push(place);
    }
    Ok((paths, places))
}

/// A git directory outside of the project is one that names the project back.
fn check_places(order: &Order, survey: &Survey) -> Result<(), WorkspaceError> {
    for (at, (path, rule)) in order.policy.git_dirs().enumerate() {
        let why = match survey.places.get(at + 1) {
            Some(PlaceVerdict::Repository | PlaceVerdict::Objects) => continue,
            Some(PlaceVerdict::Stranger { why }) => why.as_str(),
            Some(PlaceVerdict::Project) | None => "it was not looked at",
        };
        let place = git_place(path.as_bytes());
        let remedy = match place.len() < path.len() {
            true => format!("of a linked worktree, name what it belongs to: {}", shown(place)),
            false => "name the git directory that the project's .git file leads to; `git rev-parse --git-common-dir` tells it"
                .to_owned(),
        };
        let what = format!("the git directory `{}`: {why}", path.escape_debug());
        return Err(refused(what, rule.to_owned(), &remedy));
    }
    Ok(())
}

/// The directory that has to be named for a session to see what this path says: of a linked worktree the repository's,
/// which has the objects (gitrepository-layout(5)).
fn git_place(path: &[u8]) -> &[u8] {
    const WORKTREES: &[u8] = b"/worktrees/";
    let at = path.windows(WORKTREES.len()).rposition(|window| window == WORKTREES);
    match at {
        Some(at) if !path[at + WORKTREES.len()..].contains(&b'/') => &path[..at],
        _ => path,
    }
}

fn note_hidden(held: &[HeldPlace], notes: &mut Vec<String>) {
    let hidden: Vec<_> = held.iter().filter(|place| place.hiding == Hiding::Hidden).collect();
    let Some(first) = hidden.first() else { return };
    notes.push(format!("hidden: {}{}", first.spot.path, and_more(hidden.len() - 1)));
}

/// Ways by which what is written in the project is written elsewhere as well.
fn shared(order: &Order, things: &[Thing], notes: &mut Vec<String>) -> Result<(), WorkspaceError> {
    let of = |kind: ThingKind| things.iter().filter(move |thing| thing.kind == kind);
    let mut all = Vec::new();
    for (kind, words) in [
        (ThingKind::HardLink, "with further names outside of the project, where writes to it arrive as well"),
        (ThingKind::Socket, "a socket, to which the session can connect"),
        (ThingKind::Pipe, "a pipe, into which the session can write"),
    ] {
        if let Some(first) = of(kind).next() {
            all.push(format!("{}{}: {words}", first.spot.path, and_more(of(kind).count() - 1)));
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    if order.policy.on_shared_files() == OnSharedFiles::Refuse {
        let rule = order.policy.values().into_iter().find(|value| value.key == "on_shared_files");
        let rule = rule.map(|value| value.origin).unwrap_or_default();
        return Err(refused(
            format!("a project with files that others have as well: {}", all.join("; ")),
            rule,
            "use workspace `overlay`, or copy or remove them",
        ));
    }
    notes.extend(all.into_iter().map(|line| format!("{line} (workspace overlay keeps it apart)")));
    Ok(())
}

/// By such a link what packages bring is in force elsewhere.
fn leads_in(things: &[Thing], notes: &mut Vec<String>) {
    let Some(link) = things.iter().find(|thing| thing.kind == ThingKind::LinkToBrought) else { return };
    notes.push(format!(
        "{} leads into a directory that packages fill: there the kernel's guard refuses trigger files as anywhere",
        link.spot.path
    ));
}

fn unseen(unseen: &[Unseen], count: u32, notes: &mut Vec<String>) {
    let Some(first) = unseen.first() else { return };
    let (place, more) = (place_name(&first.spot.path), and_more(count.saturating_sub(1) as usize));
    notes.push(format!(
        "not looked into: {place}{more} ({}): secrets and git directories there are as they are",
        why(first.why)
    ));
}

/// Of such a file the end of the session tells less.
fn unread(triggers: &[TriggerBefore], notes: &mut Vec<String>) {
    let mut unread = triggers.iter().filter(|trigger| matches!(trigger.state, FileState::Unread { .. }));
    let Some(first) = unread.next() else { return };
    notes.push(format!(
        "{}{}: too much to read of files that act later, so that a change of these is told by size and times alone",
        place_name(&first.spot.path),
        and_more(unread.count())
    ));
}

/// Whether this is of the repository that agentboxctl has in the project's own for as long as somebody looks at a layer
/// (its `review/repository.rs`). Gone by the time it would be held, it would have a start fail, and no git finds it.
fn is_of_a_review(path: &PlacePath) -> bool {
    let mut names = path.names();
    let id = |name: &[u8]| {
        let id = std::str::from_utf8(name.strip_prefix(b"agentbox-")?).ok()?;
        id.parse::<SessionId>().ok()
    };
    names.next() == Some(b".git".as_slice()) && names.next().and_then(id).is_some()
}

/// Behind the first of several.
fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {count} more") }
}

pub(super) fn place_name(path: &PlacePath) -> String {
    if path.is_place() { ".".to_owned() } else { path.to_string() }
}

/// Why something was not looked at.
pub(super) fn why(why: UnseenWhy) -> &'static str {
    match why {
        UnseenWhy::TooMany => "too many entries",
        UnseenWhy::TooLong => "it took too long",
        UnseenWhy::TooDeep => "too deep",
        UnseenWhy::Denied => "it cannot be read",
        UnseenWhy::Mounted => "another file system is mounted there",
    }
}

/// Bytes that anybody wrote.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_of_a_review_is_told_from_those_of_others() {
        let is = |path: &str| is_of_a_review(&PlacePath::new(path).unwrap());
        assert!(is(".git/agentbox-qngpmbeq") && is(".git/agentbox-qngpmbeq/hooks"));
        for other in [
            "",
            ".git",
            ".git/hooks",
            ".git/agentbox-",
            ".git/agentbox-A b",
            "a/.git/agentbox-qngpmbeq",
            "agentbox-qngpmbeq",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
