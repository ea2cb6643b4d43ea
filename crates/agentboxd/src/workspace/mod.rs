//! What is in a project before a session, and what is different after it.
//!
//! Whatever reads names and files that an agent may have made is a looker: a child with the person's rights
//! (`agentbox-look`). Here is what its answers mean.
//!
//! | file | holds |
//! |---|---|
//! | `survey` | before: what is held and hidden, what refuses a start, what the person is told |
//! | `watch` | meanwhile: what comes to be is judged as it is seen |
//! | `sweep` | after: the report, also of sessions whose supervisor was killed |
//! | `reports` | the reports that are kept, each within a bound |
//! | `told` | what the trail is told meanwhile, within bounds |
//! | `looker` | the children that look |

mod looker;
mod reports;
mod survey;
mod sweep;
mod told;
mod watch;

pub(crate) use reports::{owner as report_owner, read as report};
pub(crate) use survey::{Hidden, Surveyed, keep, survey};
pub(crate) use sweep::{finish_all, forget, remembered, sweep};
pub(crate) use told::Told;
pub(crate) use watch::{Guarded, Seen, Watch, begin as watch};

use agentbox_kernel::look::LookError;
use agentbox_plan::Ids;
use agentbox_plan::look::{Keys, LookLimits, LookPlan, Masks, Task};
use agentbox_plan::trigger::Triggers;
use agentbox_plan::wire::Bytes;
use agentbox_policy::{PolicyError, built_in_keys, built_in_triggers};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A start does not wait longer for a look at its project: 400 000 entries take about two seconds.
const START_LIMITS: LookLimits = LookLimits { entries: 400_000, time_ms: 2_000 };
/// The end of a session may.
const END_LIMITS: LookLimits = LookLimits { entries: 4_000_000, time_ms: 30_000 };

/// Name of the directory below STATE of what is remembered of sessions that have not ended.
const WORKSPACES: &str = "workspaces";

/// Why a project could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkspaceError {
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Directory(#[from] agentbox_kernel::directory::DirectoryError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "a look at the project took too long, more than {0:?}: it has very many or very large files, or its file system does not answer; remove them, or wait for it or unmount it, then try again"
    )]
    TooLong(Duration),
    #[error("{0}")]
    Gone(String),
    #[error("it is not one that was written here: {0}")]
    Report(#[from] serde_json::Error),
}

/// Whose rights, which places, and what of them.
struct Look<'a> {
    ids: Ids,
    paths: Vec<Bytes>,
    places: &'a [OwnedFd],
    masks: Masks,
    limits: LookLimits,
}

fn look_plan(look: &Look<'_>, task: Task) -> Result<LookPlan, WorkspaceError> {
    let (triggers, keys): (&Triggers, &Keys) = (built_in_triggers()?, built_in_keys()?);
    Ok(LookPlan {
        ids: look.ids.clone(),
        places: look.paths.clone(),
        task,
        triggers: triggers.clone(),
        keys: keys.clone(),
        masks: look.masks.clone(),
        limits: look.limits,
    })
}
