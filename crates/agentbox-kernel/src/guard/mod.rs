//! The kernel's guard of trigger files: a program at its hooks, and tables of who may not do what where.
//!
//! The program is [`agentbox-guard`'s](../../../agentbox-guard/bpf/guard.bpf.c). It is asked by the kernel (BPF
//! LSM) before a name comes to be, goes or is opened, and refuses what the tables of the task's session say.
//! Maps and links are pinned below `/sys/fs/bpf/agentbox`, so that it holds while no supervisor runs.
//!
//! | file | holds |
//! |---|---|
//! | `rules` | patterns as tables |
//! | `host` | whether this kernel can at all, and why not |
//! | `place` | which directory is the project, as the kernel tells it |
//! | `pins` | the program, loaded and pinned; versions of it |
//! | `tables` | the maps |
//! | `event` | what was refused |

mod event;
mod host;
mod pins;
mod place;
mod rules;
mod tables;

pub use event::{Events, Hook, Refused};
pub use host::{Unavailable, observe};
pub use place::Place;
pub use rules::{MAX_POSITIONS, Rules, RulesError};

use agentbox_plan::SessionId;
use rustix::fd::AsFd;
use std::path::Path;
use tables::Tables;

/// How many names a record of the kernel program's holds.
#[cfg(fuzzing)]
pub(crate) fn read_record(bytes: &[u8]) -> Option<usize> {
    event::parse(bytes).map(|refused| refused.path.len())
}

/// Why the guard does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// This kernel cannot, or is not set up for it.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// A pattern has no form in the kernel's tables.
    #[error("{0}")]
    Rules(#[from] RulesError),
    /// The project is where files cannot be told apart.
    #[error("{0}")]
    Place(String),
    /// A call failed.
    #[error("cannot {doing}: {cause}")]
    Io {
        /// What was tried.
        doing: String,
        /// What came of it.
        cause: String,
    },
}

fn failed(doing: impl Into<String>, cause: impl ToString) -> GuardError {
    GuardError::Io { doing: doing.into(), cause: cause.to_string() }
}

/// A session as the guard holds it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its id.
    pub session: &'a SessionId,
    /// The control group of its tasks.
    pub group: u64,
    /// How deep that group is below the root of the hierarchy, where that is known: then groups below it are
    /// held as well.
    pub level: Option<u32>,
    /// Its project.
    pub place: Place,
    /// What it may not do there.
    pub rules: &'a Rules,
    /// Files that it may change although a pattern says otherwise: names below the project.
    pub exempt: &'a [Vec<Vec<u8>>],
}

/// The loaded guard of a supervisor.
#[derive(Debug)]
pub struct Guard {
    pins: pins::Pins,
    tables: Tables,
}

impl Guard {
    /// The guard of the supervisor with this runtime directory: the one that is pinned, when it is of this
    /// program, else a new one beside it.
    ///
    /// # Errors
    /// [`GuardError::Unavailable`] where the kernel cannot, others when it refuses.
    pub fn open(object: &[u8], runtime: &Path) -> Result<Self, GuardError> {
        host::observe()?;
        let pins = pins::Pins::open(object, runtime)?;
        let mut tables = Tables::open(pins.directory())?;
        tables.is_asked()?;
        Ok(Self { pins, tables })
    }

    /// Whether a guard of this supervisor's is pinned, of whatever version.
    #[must_use]
    pub fn is_pinned(runtime: &Path) -> bool {
        pins::Pins::exist(runtime)
    }

    /// Holds a session. Nothing of it may run before this.
    ///
    /// # Errors
    /// [`GuardError`] when the tables have no room; the session is not held then.
    pub fn apply(&mut self, entry: &Entry<'_>) -> Result<(), GuardError> {
        let applied = self.tables.add(entry);
        if applied.is_err() {
            let _ = self.tables.remove(entry.group);
        }
        applied
    }

    /// Lets go of a session, or of what is left of it. Nothing of it may run any more. Not held is fine.
    ///
    /// # Errors
    /// [`GuardError`] when the tables cannot be written.
    pub fn revert(&mut self, session: &SessionId) -> Result<(), GuardError> {
        for (group, held) in self.tables.held()? {
            if held == session.as_str() {
                self.tables.remove(group)?;
            }
        }
        Ok(())
    }

    /// Ids of the sessions that are held now.
    ///
    /// # Errors
    /// [`GuardError`] when the tables cannot be read.
    pub fn held(&self) -> Result<Vec<String>, GuardError> {
        Ok(self.tables.held()?.into_iter().map(|(_, session)| session).collect())
    }

    /// Control groups that are held, each with the id of its session.
    ///
    /// # Errors
    /// [`GuardError`] when the tables cannot be read.
    pub fn groups(&self) -> Result<Vec<(u64, String)>, GuardError> {
        self.tables.held()
    }

    /// What was and will be refused. One reader at a time.
    ///
    /// # Errors
    /// [`GuardError`] when the kernel's ring cannot be mapped.
    pub fn events(&self) -> Result<Events, GuardError> {
        Events::open(self.pins.directory())
    }

    /// Detaches guards of other versions of the program: every session has been given to this one.
    ///
    /// # Errors
    /// [`GuardError`] when a pin cannot be removed.
    pub fn retire_others(&self) -> Result<(), GuardError> {
        self.pins.remove_others()
    }

    /// Detaches the guard when it holds no session. False when it does.
    ///
    /// # Errors
    /// [`GuardError`] when a pin cannot be removed.
    pub fn close(self) -> Result<bool, GuardError> {
        if !self.tables.held()?.is_empty() {
            return Ok(false);
        }
        self.pins.remove_all()?;
        Ok(true)
    }
}

/// How deep a control group is, by its path in the hierarchy; none where this process sees only a part of that,
/// as in a container.
#[must_use]
pub fn level_of(path: &str) -> Option<u32> {
    // include/linux/proc_ns.h: PROC_CGROUP_INIT_INO.
    let whole =
        std::fs::read_link("/proc/self/ns/cgroup").is_ok_and(|at| at == Path::new("cgroup:[4026531835]"));
    let depth = path.split('/').filter(|name| !name.is_empty()).count();
    whole.then_some(u32::try_from(depth).ok()).flatten()
}

/// The number of a control group, as the kernel gives it to programs.
///
/// # Errors
/// [`GuardError::Io`] when the group cannot be looked at.
pub fn group_number(group: impl AsFd) -> Result<u64, GuardError> {
    // kernfs: the inode number of a 64-bit kernel is the id.
    let stat = rustix::fs::fstat(group).map_err(|errno| failed("look at the control group", errno))?;
    Ok(stat.st_ino)
}
