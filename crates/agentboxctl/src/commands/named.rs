//! The name of a session that has ended: the supervisor knows names of those that run.

use super::list::{sessions, sets};
use crate::errors::Failure;
use crate::supervisor::Supervisor;
use agentbox_ipc::ChangeSet;
use agentbox_plan::SessionId;

/// The id of the newest session of that name that left changes, where no session with that id did.
pub(super) fn layer(supervisor: &Supervisor, given: &SessionId) -> Result<SessionId, Failure> {
    let sets = sets(supervisor)?;
    let newest = named(&sets, given).last().and_then(|set| set.id.parse().ok());
    Ok(newest.unwrap_or_else(|| given.clone()))
}

/// The same where a mistake cannot be taken back: only if one session has that name.
pub(super) fn only_layer(supervisor: &Supervisor, given: &SessionId) -> Result<SessionId, Failure> {
    let sets = sets(supervisor)?;
    let named = named(&sets, given);
    let id = match named.as_slice() {
        [] => given.clone(),
        [one] => one.id.parse().unwrap_or_else(|_| given.clone()),
        several => {
            let ids: Vec<_> = several.iter().map(|set| set.id.as_str()).collect();
            return Err(Failure::new(format!(
                "several sessions were called `{given}`: {}\nsay which one by its id",
                ids.join(", ")
            )));
        }
    };
    if sets.iter().any(|set| set.id == id.as_str()) {
        return Ok(id);
    }
    Err(Failure::new(format!("no session `{given}` left changes\n`agentboxctl list --all` shows which did")))
}

/// Oldest first; none where it is an id.
fn named<'a>(sets: &'a [ChangeSet], given: &SessionId) -> Vec<&'a ChangeSet> {
    if sets.iter().any(|set| set.id == given.as_str()) {
        return Vec::new();
    }
    let mut named: Vec<_> = sets.iter().filter(|set| set.name.as_deref() == Some(given.as_str())).collect();
    named.sort_by(|one, other| (one.started_unix_s, &one.id).cmp(&(other.started_unix_s, &other.id)));
    named
}

/// Asks about a session, and where it is unknown about one of that name.
pub(super) fn ask<T>(
    supervisor: &Supervisor,
    given: &str,
    ask: impl Fn(&str) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failure = match ask(given) {
        Err(failure) if failure.is_not_found() => failure,
        other => return other,
    };
    let running = sessions(supervisor)?.into_iter().find(|one| one.name.as_deref() == Some(given));
    let id = match running {
        Some(session) => session.id,
        None => match given.parse() {
            Ok(given) => layer(supervisor, &given)?.to_string(),
            Err(_) => return Err(failure),
        },
    };
    if id != given {
        return ask(&id);
    }
    Err(failure.with_line(
        "a session that has ended goes by its id: `agentboxctl log` tells those, and `list --all` some",
    ))
}
