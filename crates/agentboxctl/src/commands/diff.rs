//! `diff`: what a session on an overlay changed.

use crate::arguments::Diff;
use crate::errors::Failure;
use crate::output::{escape, note, print, print_json};
use crate::review::Review;
use crate::review::change::Change;
use crate::review::show::{self, Style};
use crate::supervisor::{Supervisor, understand};
use crate::terminal;
use agentbox_ipc::ReviewAnswer;
use agentbox_plan::SessionId;
use std::io;
use std::os::fd::OwnedFd;

pub(super) fn run(diff: &Diff, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let mut review = open(&supervisor, &diff.id)?;
    drop(supervisor);
    if review.recover()? {
        note("an `apply` that had been cut off was finished");
    }
    let found = review.changes()?;
    let mut changes = found.changes;
    if !diff.paths.is_empty() {
        let paths = diff.paths.iter().map(|path| review.path(path)).collect::<Result<Vec<_>, _>>()?;
        let wanted = |change: &Change| {
            let from = |path| change.renamed_from.as_ref().is_some_and(|from| from.is_within(path));
            paths.iter().any(|path| change.path.is_within(path) || from(path))
        };
        changes.retain(wanted);
    }
    for line in &found.notes {
        note(&format!("not compared: {line}"));
    }
    if diff.json {
        print_json(&show::listed(&review.trees, &changes))?;
        return Ok(0);
    }
    if review.facts.set.live {
        note("the session still runs: this is how far it is");
    }
    let style = if diff.stat { Style::Stat } else { Style::Full };
    let paint = terminal::is_terminal(io::stdout());
    let id = escape::name(&review.facts.set.id);
    print(&show::text(&review.trees, &changes, &id, style, paint))?;
    print(&format!("{}\n", show::summary(&changes)))?;
    Ok(0)
}

/// Asks for what a session wrote.
pub(super) fn open(supervisor: &Supervisor, id: &SessionId) -> Result<Review, Failure> {
    let (answer, descriptors) = supervisor.ask(async |manager| manager.review(id.as_str()).await)?;
    let answer: ReviewAnswer = understand(answer)?;
    let descriptors: Vec<OwnedFd> = descriptors.into_iter().map(OwnedFd::from).collect();
    let descriptors = descriptors.try_into().map_err(|_| {
        Failure::new("the supervisor's answer holds other descriptors than three\nagentboxctl and agentboxd are of different versions")
    })?;
    Review::open(id.clone(), answer, descriptors)
}
