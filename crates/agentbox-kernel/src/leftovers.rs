//! What dead sessions left behind, and its removal.
//!
//! Everything that agentbox makes on a host lies below one of two names: a directory RUNTIME/sessions/ID
//! and a control group (`cgroup`). So cleaning up is a query. Mounts and namespaces end with the last
//! process of a session; processes are found by their group and killed first.
//!
//! The directory is made first and removed last, so it says that a session was this supervisor's. A group
//! without one can belong to a supervisor with another RUNTIME directory, and stays, as does everything
//! with a name that is no session's.

use crate::cgroup::{CgroupError, Hierarchy};
use crate::directory::{Directories, DirectoryError};
use agentbox_plan::SessionId;
use std::time::Duration;

/// How long killed processes may take to end. One that is in an uninterruptible wait (a dead network
/// file system) can take for ever; it is then reported and tried again at the next occasion.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why leftovers could not be looked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeftoversError {
    /// The directories could not be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The control groups could not be read.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
}

/// What is left of one dead session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The session.
    pub id: SessionId,
    /// Whether its control group is there.
    pub group: bool,
    /// Processes in the group.
    pub pids: Vec<u32>,
}

/// What is left of all dead sessions.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// By session.
    pub sessions: Vec<Leftover>,
    /// Sentences on names that no session made. They are never removed.
    pub strangers: Vec<String>,
}

/// What was done about leftovers, in sentences.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What is gone.
    pub done: Vec<String>,
    /// What is still there, and why.
    pub failed: Vec<String>,
}

/// Looks for what is left of sessions that are not among `live`. Changes nothing.
///
/// # Errors
/// [`LeftoversError`] when a place cannot be read: what cannot be read is not called clean.
pub fn find(
    directories: &Directories,
    hierarchy: &Hierarchy,
    live: &[SessionId],
) -> Result<Leftovers, LeftoversError> {
    let names = directories.list_sessions()?;
    let mut leftovers = Leftovers::default();
    for name in &names.strangers {
        let directory = directories.paths.runtime.join("sessions");
        leftovers
            .strangers
            .push(format!("{name:?} in {directory:?} is not a session's; it stays, remove it by hand"));
    }
    let groups = hierarchy.list()?;
    for id in names.ids.iter().filter(|id| !live.contains(id)) {
        let group = groups.contains(id);
        let pids = if group { hierarchy.pids_of(id)? } else { Vec::new() };
        leftovers.sessions.push(Leftover { id: id.clone(), group, pids });
    }
    for id in groups.iter().filter(|id| !live.contains(id) && !names.ids.contains(id)) {
        // A service manager removes a scope that nobody is in, some time later.
        if hierarchy.is_managed() && hierarchy.pids_of(id)?.is_empty() {
            continue;
        }
        let place = hierarchy.place_of(id);
        leftovers.strangers.push(format!(
            "the control group {place:?} has no directory of this supervisor's, so it can be another's; it \
             stays, write 1 to its cgroup.kill to end it"
        ));
    }
    Ok(leftovers)
}

impl Leftovers {
    /// Kills and removes all of it. Goes on after a failure.
    #[must_use]
    pub fn clean(&self, directories: &Directories, hierarchy: &Hierarchy) -> Cleaned {
        let mut cleaned = Cleaned::default();
        for leftover in &self.sessions {
            let id = &leftover.id;
            if leftover.group {
                match clean_group(hierarchy, leftover) {
                    Ok(what) => cleaned.done.push(format!("session {id}: {what}")),
                    Err(why) => {
                        // The directory holds what a later attempt needs, so it stays for that.
                        cleaned.failed.push(format!("session {id}: {why}"));
                        continue;
                    }
                }
            }
            match directories.remove_session(id) {
                Ok(()) => cleaned.done.push(format!("session {id}: removed its directory")),
                Err(error) => cleaned.failed.push(format!("session {id}: {error}")),
            }
        }
        cleaned
    }
}

fn clean_group(hierarchy: &Hierarchy, leftover: &Leftover) -> Result<String, String> {
    let text = |error: CgroupError| error.to_string();
    let Some(group) = hierarchy.open_existing(&leftover.id).map_err(text)? else {
        // Nobody was started into a part of them but who held a scope until that.
        if !hierarchy.kill_rest(&leftover.id, KILL_TIMEOUT).map_err(text)? {
            return Err("what was killed in its control group has not ended".to_owned());
        }
        hierarchy.remove_rest(&leftover.id).map_err(text)?;
        return Ok("removed what there was of its control group".to_owned());
    };
    group.kill().map_err(text)?;
    if !group.wait_empty(KILL_TIMEOUT).map_err(text)? {
        let pids = group.pids().map_err(text)?;
        return Err(format!(
            "processes {pids:?} were killed and have not ended; see what they wait for in /proc/PID/stack"
        ));
    }
    group.remove().map_err(text)?;
    Ok(match leftover.pids.len() {
        0 => "removed its control group".to_owned(),
        1 => "killed 1 process and removed its control group".to_owned(),
        count => format!("killed {count} processes and removed their control group"),
    })
}
