//! What is asked about a session's changes, and the answer: values, so that both can cross to a child.

use super::Review;
use super::apply::{Conflicts, Left, Place, Why, apply, select};
use super::change::{Change, Class, RelPath};
use super::repository::Repository;
use super::show::{self, Style};
use crate::errors::{FAILURE, Failure};
use crate::output::escape;
use agentbox_ipc::{ReviewAnswer, Taken};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Job {
    /// What the session changed.
    Diff {
        /// Only what lies there; everything when there is none.
        paths: Vec<Vec<u8>>,
        /// For programs.
        json: bool,
        /// A line for each change.
        stat: bool,
    },
    /// Taking it.
    Apply {
        /// What lies there.
        paths: Vec<Vec<u8>>,
        /// Everything.
        all: bool,
        /// These by name.
        triggers: Vec<Vec<u8>>,
        /// Over what the project has changed.
        theirs: bool,
        /// Not what the project has changed.
        mine: bool,
        /// Together with what the project has changed, where both can be had.
        merge: bool,
    },
    /// Taking commits; the bundle comes as a file besides.
    Commits {
        /// The project's commit that they build on.
        base: String,
    },
    /// How many changes there are, in a line.
    Count,
}

/// The answer. Texts are escaped already.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// For standard output.
    pub(crate) out: String,
    /// For standard error, a line each.
    pub(crate) notes: Vec<String>,
    /// To end with.
    pub(crate) status: u8,
    /// What was taken, for the audit trail.
    pub(crate) taken: Option<Taken>,
}

/// Does what is asked.
pub(crate) fn run(review: &mut Review, job: &Job, file: Option<OwnedFd>) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    if matches!(job, Job::Count) {
        answer.out = show::summary(&review.changes()?.changes);
        return Ok(answer);
    }
    if let Some(outcome) = review.recover()? {
        let but = if outcome.left.is_empty() { "" } else { ", but for what follows" };
        answer.notes.push(format!("an `apply` that had been cut off was finished{but}"));
        tell(&outcome.left, review.id.as_str(), &mut answer.notes);
    }
    match job {
        Job::Diff { paths, json, stat } => diff(review, paths, (*json, *stat), answer),
        Job::Apply { .. } => take(review, job, answer),
        Job::Commits { base } => commits(review, base, file, answer),
        Job::Count => Ok(answer),
    }
}

fn commits(
    review: &Review,
    base: &str,
    file: Option<OwnedFd>,
    mut answer: Answer,
) -> Result<Answer, Failure> {
    let bundle = file.ok_or_else(|| Failure::new("there is no bundle of commits"))?;
    let references = Repository::make(review, base)?.take(&bundle, review.id.as_str(), base)?;
    for name in &references {
        answer.out.push_str(&format!("{}\n", escape::name(name)));
    }
    answer.out.push_str(&format!("commits arrived; look with: git log refs/agentbox/{}/HEAD\n", review.id));
    answer.taken = Some(Taken { references, ..Taken::default() });
    Ok(answer)
}

fn diff(
    review: &Review,
    paths: &[Vec<u8>],
    (json, stat): (bool, bool),
    mut answer: Answer,
) -> Result<Answer, Failure> {
    let found = review.changes()?;
    let mut changes = found.changes;
    if !paths.is_empty() {
        let paths = paths_of(review, paths)?;
        let is_of = |change: &Change, path| {
            let from = change.renamed_from.as_ref();
            change.path.is_within(path) || from.is_some_and(|from| from.is_within(path))
        };
        if let Some(path) = paths.iter().find(|path| !changes.iter().any(|change| is_of(change, path))) {
            return Err(no_change(review, path));
        }
        changes.retain(|change| paths.iter().any(|path| is_of(change, path)));
    }
    answer.notes.extend(found.notes.iter().map(|line| format!("not compared: {line}")));
    if json {
        let listed = show::listed(&review.trees, &changes);
        let text = serde_json::to_string_pretty(&listed).map_err(|error| Failure::new(error.to_string()))?;
        answer.out = format!("{}\n", escape::json(&text));
        return Ok(answer);
    }
    if review.facts.set.live {
        answer.notes.push("the session still runs: this is how far it is".to_owned());
    }
    let style = if stat { Style::Stat } else { Style::Full };
    answer.out = show::text(&review.trees, &changes, review.id.as_str(), style);
    answer.out.push_str(&format!("{}\n", show::summary(&changes)));
    Ok(answer)
}

/// A path is meant from the root of the project, wherever it is asked from.
fn no_change(review: &Review, path: &RelPath) -> Failure {
    Failure::new(format!(
        "`{}` is no change of session `{1}`: paths begin at the project's root\nagentboxctl diff {1} --stat shows which there are",
        path.text(),
        review.id
    ))
}

fn take(review: &mut Review, job: &Job, mut answer: Answer) -> Result<Answer, Failure> {
    let Job::Apply { paths, all, triggers, theirs, mine, merge } = job else { return Ok(answer) };
    if review.facts.set.live {
        return Err(Failure::new(format!(
            "refused: session `{0}` still runs\nrule: what is applied does not change meanwhile\nagentboxctl stop {0}",
            review.id
        )));
    }
    let (paths, triggers) = (paths_of(review, paths)?, paths_of(review, triggers)?);
    let found = review.changes()?;
    answer.notes.extend(found.notes.iter().map(|line| format!("not compared, so not applied: {line}")));
    let conflicts = match (theirs, mine, merge) {
        (true, ..) => Conflicts::Theirs,
        (_, true, _) => Conflicts::Mine,
        (.., true) => Conflicts::Merge,
        _ => Conflicts::Leave,
    };
    let mut selection = select(&found.changes, &paths, *all, &triggers, conflicts);
    if let Some(path) = selection.unknown.first() {
        return Err(no_change(review, path));
    }
    if conflicts == Conflicts::Merge {
        super::merge::merge(review, &mut selection)?;
    }
    let place = Place::new(&review.trees.project, &review.directory, &review.id);
    let outcome = apply(&place, &review.trees, &mut selection, &mut review.remembered, &mut || Ok(()))?;
    if !selection.declined.is_empty() {
        let declined = std::mem::take(&mut selection.declined);
        review
            .remembered
            .add(&review.directory, Vec::new(), declined)
            .map_err(|error| Failure::system("cannot remember what was declined", error))?;
    }
    let left: Vec<Left> = selection.left.into_iter().chain(outcome.left).collect();
    let conflicts = left
        .iter()
        .filter(|left| matches!(left.why, Why::Conflict | Why::Unmerged(_) | Why::JustNow(_)))
        .count();
    tell(&left, review.id.as_str(), &mut answer.notes);
    answer.out = format!("applied: {} written, {} removed\n", outcome.written, outcome.removed);
    answer.status = if conflicts == 0 { 0 } else { FAILURE };
    answer.taken = Some(Taken {
        written: outcome.written,
        removed: outcome.removed,
        conflicts: conflicts as u64,
        triggers: selection.triggers.iter().map(|path| path.text()).collect(),
        references: Vec::new(),
    });
    if review.changes()?.changes.iter().all(|change| change.class == Class::GitData) {
        let id = &review.id;
        answer
            .notes
            .push(format!("nothing is left to apply; agentboxctl discard {id} removes the session's layer"));
    }
    Ok(answer)
}

fn paths_of(review: &Review, paths: &[Vec<u8>]) -> Result<Vec<RelPath>, Failure> {
    paths.iter().map(|path| review.path(OsStr::from_bytes(path))).collect()
}

/// Says what was not taken, one paragraph for each reason.
fn tell(left: &[Left], id: &str, notes: &mut Vec<String>) {
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Left { path, why } in left {
        let reason = match why {
            Why::Conflict => format!(
                "conflict, not touched: the project has changed too. Look with: agentboxctl diff {id} PATH; take both \
                 with --merge, the session's with --theirs, keep the project's with --mine"
            ),
            Why::Unmerged(why) => format!("conflict, not touched: {why}"),
            Why::Trigger(_) => {
                format!(
                    "programs on this machine act on it; taken by name only: agentboxctl apply {id} --trigger PATH"
                )
            }
            Why::Special => "a pipe, a socket or a device is never applied".to_owned(),
            Why::Unreadable => "what you may not read is never applied".to_owned(),
            Why::Reserved => "a name that agentbox uses itself is never applied".to_owned(),
            Why::JustNow(why) => format!("not touched: {why}"),
        };
        let actor = match why {
            Why::Trigger(actor) => format!("  [{}]", escape::name(actor)),
            _ => String::new(),
        };
        by_reason.entry(reason).or_default().push(format!("  {}{actor}", show::name(path)));
    }
    for (reason, paths) in by_reason {
        notes.push(reason);
        notes.extend(paths);
    }
}

/// What a child is told: the question, and what the supervisor said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) job: Job,
    pub(crate) facts: ReviewAnswer,
}
