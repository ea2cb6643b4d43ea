//! `apply`: a session's changes into its project.

use super::diff::open;
use crate::arguments::Apply;
use crate::errors::{FAILURE, Failure};
use crate::output::{escape, note, print};
use crate::review::apply::{Conflicts, Left, Place, Why, apply, select};
use crate::review::change::Class;
use crate::review::show;
use crate::supervisor::Supervisor;
use agentbox_ipc::{Taken, to_dict};
use std::collections::BTreeMap;

pub(super) fn run(wanted: &Apply, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let mut review = open(&supervisor, &wanted.id)?;
    if review.facts.set.live {
        return Err(Failure::new(format!(
            "refused: session `{}` still runs\nrule: what is applied does not change meanwhile\nagentboxctl stop {}",
            wanted.id, wanted.id
        )));
    }
    if review.recover()? {
        note("an `apply` that had been cut off was finished");
    }
    let paths = wanted.paths.iter().map(|path| review.path(path)).collect::<Result<Vec<_>, _>>()?;
    let triggers = wanted.trigger.iter().map(|path| review.path(path)).collect::<Result<Vec<_>, _>>()?;
    let found = review.changes()?;
    for line in &found.notes {
        note(&format!("not compared, so not applied: {line}"));
    }
    let conflicts = match (wanted.theirs, wanted.mine) {
        (true, _) => Conflicts::Theirs,
        (_, true) => Conflicts::Mine,
        _ => Conflicts::Leave,
    };
    let mut selection = select(&found.changes, &paths, wanted.all, &triggers, conflicts);
    if let Some(path) = selection.unknown.first() {
        return Err(Failure::new(format!(
            "`{}` is no change of session `{}`\nagentboxctl diff {} --stat shows which there are",
            show::name(path),
            wanted.id,
            wanted.id
        )));
    }
    let place = Place::new(&review.trees.project, &review.directory, &review.id);
    let steps = std::mem::take(&mut selection.steps);
    let outcome = apply(&place, &review.trees, steps, &mut review.remembered, &mut || Ok(()))?;
    if !selection.declined.is_empty() {
        let declined = std::mem::take(&mut selection.declined);
        review
            .remembered
            .add(&review.directory, Vec::new(), declined)
            .map_err(|error| Failure::system("cannot remember what was declined", error))?;
    }
    let left: Vec<Left> = selection.left.into_iter().chain(outcome.left).collect();
    let conflicts = left.iter().filter(|left| matches!(left.why, Why::Conflict | Why::JustNow(_))).count();
    let taken = Taken {
        written: outcome.written,
        removed: outcome.removed,
        conflicts: conflicts as u64,
        triggers: selection.triggers.iter().map(|path| path.text()).collect(),
        references: Vec::new(),
    };
    let record = to_dict(&taken)?;
    supervisor.ask(async |manager| manager.reviewed(wanted.id.as_str(), record).await)?;
    tell(&left, wanted.id.as_str());
    print(&format!("applied: {} written, {} removed\n", outcome.written, outcome.removed))?;
    let rest = review.changes()?.changes;
    if rest.iter().all(|change| change.class == Class::GitData) {
        note(&format!(
            "nothing is left to apply; agentboxctl discard {} removes the session's layer",
            wanted.id
        ));
    }
    Ok(if conflicts == 0 { 0 } else { FAILURE })
}

/// Says what was not taken, one paragraph for each reason.
fn tell(left: &[Left], id: &str) {
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Left { path, why } in left {
        let reason = match why {
            Why::Conflict => format!(
                "conflict, not touched: the project has changed too. Take the session's with --theirs, keep the \
                 project's with --mine, look with: agentboxctl diff {id} PATH"
            ),
            Why::Trigger(_) => {
                format!(
                    "programs on this machine act on it; taken by name only: agentboxctl apply {id} --trigger PATH"
                )
            }
            Why::Special => "a pipe, a socket or a device is never applied".to_owned(),
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
        note(&reason);
        for path in paths {
            note(&path);
        }
    }
}
