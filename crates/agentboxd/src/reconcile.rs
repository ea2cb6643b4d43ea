//! At the start of a supervisor: what did the one before leave?
//!
//! A session whose launcher lives is taken over: its console socket is in its directory, and whoever
//! connects as root is its supervisor. One whose launcher is gone is undone: processes, control groups,
//! directory. One whose ledger cannot be understood is left as it is, see [`ledger`](crate::ledger); root
//! sees it in the list and can stop it.

use crate::guard;
use crate::ledger;
use crate::session::steps::{Steps, remove_rest};
use crate::session::{Record, Step, driver, sources};
use crate::supervisor::Supervisor;
use crate::system::stock;
use agentbox_kernel::cgroup::Hierarchy;
use agentbox_kernel::launcher::{self, Launcher};
use agentbox_kernel::leftovers;
use agentbox_plan::SessionId;
use serde_json::json;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Takes over what lives and undoes what does not.
pub(crate) async fn reconcile(supervisor: &Arc<Supervisor>) {
    let names = match supervisor.directories.list_sessions() {
        Ok(names) => names,
        Err(error) => return supervisor.report(format!("the sessions of an earlier supervisor: {error}")),
    };
    let mut kept = Vec::new();
    supervisor.begin_taking_over(&names.ids);
    for id in names.ids {
        match look(supervisor, &id) {
            Ok(Fate::Taken) => kept.push(id),
            Ok(Fate::Dead) => supervisor.taken_over(&id),
            Err(error) => {
                supervisor.report(format!("session {id} is left as it is: {error}"));
                supervisor.taken_over(&id);
                kept.push(id);
            }
        }
    }
    for line in clean(supervisor, &kept).await {
        tracing::info!("{line}");
    }
    crate::layers::sweep(supervisor);
    // Now that nothing of the dead ones runs.
    guard::adopt(supervisor, &kept);
}

/// Undoes what is left of sessions that nobody drives; says what was done.
pub(crate) async fn repair(supervisor: &Supervisor) -> Vec<String> {
    let mut kept = driven(supervisor);
    if let Ok(names) = supervisor.directories.list_sessions() {
        // What cannot be understood is not undone by this either.
        let unreadable = |id: &SessionId| match supervisor.directories.open_session(id) {
            Ok(Some(directory)) => ledger::read(directory, id).is_err(),
            Ok(None) => false,
            Err(_) => true,
        };
        kept.extend(names.ids.into_iter().filter(unreadable));
    }
    let mut done = clean(supervisor, &kept).await;
    done.extend(guard::repair(supervisor, &kept));
    done
}

/// Ids that this supervisor knows of: of its sessions, and of the next one.
fn driven(supervisor: &Supervisor) -> Vec<SessionId> {
    let sessions = supervisor.sessions();
    let ids = sessions.iter().map(|session| session.id().clone());
    ids.chain(stock::id(supervisor)).collect()
}

async fn clean(supervisor: &Supervisor, kept: &[SessionId]) -> Vec<String> {
    let Ok(hierarchy) = supervisor.hierarchy() else { return Vec::new() };
    let found = match leftovers::find(&supervisor.directories, hierarchy, kept) {
        Ok(found) => found,
        Err(error) => {
            supervisor.report(format!("leftovers: {error}"));
            return Vec::new();
        }
    };
    // Those of another supervisor look the same; `Diagnose` lists them for whoever asks.
    for stranger in &found.strangers {
        tracing::warn!("{stranger}");
    }
    if found.sessions.is_empty() {
        return Vec::new();
    }
    let cleaned = found.clean(&supervisor.directories, hierarchy);
    for failed in &cleaned.failed {
        supervisor.report(failed.clone());
    }
    for session in &found.sessions {
        if supervisor.scopes().is_some()
            && let Err(error) = remove_rest(supervisor, &session.id).await
        {
            supervisor.report(format!("session {}: {error}", session.id));
        }
        let repaired = json!({ "event": "repaired", "session": session.id.as_str() });
        if let Err(error) = supervisor.audit().record(repaired) {
            tracing::error!("{error}");
        }
    }
    cleaned.done
}

enum Fate {
    /// It is driven again.
    Taken,
    /// Nothing of it lives.
    Dead,
}

fn look(supervisor: &Arc<Supervisor>, id: &SessionId) -> Result<Fate, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let Some(directory) = supervisor.directories.open_session(id).map_err(|error| text(&error))? else {
        return Ok(Fate::Dead);
    };
    let Some(group) = supervisor.hierarchy()?.open_existing(id).map_err(|error| text(&error))? else {
        return match ledger::read(&directory, id) {
            Ok(_) => Ok(Fate::Dead),
            Err(error) => Err(text(&error)),
        };
    };
    let launcher = launcher::adopt(&group).map_err(|error| text(&error))?;
    let account = match ledger::read(&directory, id) {
        Ok(Some(account)) => account,
        Ok(None) => return Ok(Fate::Dead),
        Err(error) => {
            if group.is_populated().map_err(|error| text(&error))? {
                let steps = Steps::adopted(
                    Arc::clone(supervisor),
                    Record::unknown(id.clone()),
                    None,
                    group,
                    launcher,
                );
                driver::adopt(
                    supervisor,
                    Record::unknown(id.clone()),
                    steps.map_err(|error| text(&error))?,
                    None,
                );
            }
            return Err(text(&error));
        }
    };
    match launcher {
        // Without a release the launcher has ended, or will at once: its pipe went with the supervisor.
        Some(launcher) if account.begun.contains(&Step::Release) => {
            take_over(supervisor, account.record, directory, group, launcher)
                .map_err(|error| text(&error))?;
            Ok(Fate::Taken)
        }
        _ => Ok(Fate::Dead),
    }
}

fn take_over(
    supervisor: &Arc<Supervisor>,
    record: Record,
    directory: OwnedFd,
    group: agentbox_kernel::cgroup::SessionGroup,
    launcher: Launcher,
) -> std::io::Result<()> {
    let identity = sources::read_plan(&directory).ok().map(|plan| plan.identity);
    let mut steps =
        Steps::adopted(Arc::clone(supervisor), record.clone(), Some(directory), group, Some(launcher))?;
    steps.connect_again();
    steps.reopen_ledger();
    let adopted = json!({ "event": "adopted", "session": record.id.as_str(), "owner_uid": record.owner_uid });
    if let Err(error) = supervisor.audit().record(adopted) {
        tracing::error!("{error}");
    }
    driver::adopt(supervisor, record, steps, identity.as_ref());
    Ok(())
}

/// Whether there is anything that [`repair`] would undo.
pub(crate) fn left_over(supervisor: &Supervisor, hierarchy: &Hierarchy) -> Vec<String> {
    match leftovers::find(&supervisor.directories, hierarchy, &driven(supervisor)) {
        Ok(found) => {
            let sessions = found.sessions.iter().map(|session| format!("session {}", session.id));
            sessions.collect()
        }
        Err(error) => vec![error.to_string()],
    }
}
