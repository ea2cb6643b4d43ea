//! From a policy and what the supervisor found to the launcher's plan.
//!
//! | file | holds |
//! |---|---|
//! | `items` | what has to be opened, and what each of it is for |
//! | `tree` | the file system as it is built up, and what may lie in what |
//! | `listed`, `shared` | the file systems of those names |
//! | `owners` | ids and id maps |
//! | `made` | the content of files that agentbox makes |
//! | `names` | how programs inside find the gate: resolv.conf, nsswitch.conf; what it refused |
//! | `told` | what a session is told about itself: its title's prefix, session.json |
//! | `agent` | where the ssh-agent is |
//! | `process` | command, environment, directory |

mod agent;
mod ignored;
mod items;
mod listed;
mod made;
mod names;
mod owners;
mod process;
#[cfg(test)]
mod properties;
mod shared;
#[cfg(test)]
mod tests;
mod told;
mod tree;

use crate::places::Base;
use crate::text::printable;
use crate::{Filesystem, Identity, Isolation, Policy, PolicyError};
pub(crate) use items::project_key;

use agentbox_plan::look::HeldPlace;
use agentbox_plan::{
    Confinement, InnerPath, Limit, LimitKind, NetworkNamespace, Plan, Sandbox, SessionId, Streams,
    TerminalSize,
};
use std::ffi::CString;
use zeroize::Zeroize;

/// With whose rights the supervisor opens something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// As root, as is.
    System,
    /// With the person's fsuid and groups, so that root is nobody's deputy.
    Person,
}

/// What has to be at a wanted path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedKind {
    /// A file, a directory or a symbolic link.
    Any,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice,
    /// A directory that outlives the session: the path is relative to `STATE_DIRECTORY/state`, and the
    /// supervisor makes it, mode 0700, owned by the person.
    Volume,
    /// The file of the session in which the supervisor tells the session what its gate refused: made and
    /// appended to by the supervisor, owned by root, mode 0644. The path is its name in the session's
    /// directory.
    Denials,
    /// A file system in memory for the agent's own files, its root the agent's: the supervisor makes it, puts
    /// into it what is kept, and keeps it open. The path is that of the directory inside.
    Own {
        /// Most bytes that it holds.
        size_bytes: u64,
        /// Most files that it holds.
        inodes: u64,
    },
    /// The file of the session in which the supervisor tells the session what it is: made by the supervisor,
    /// owned by root, mode 0444. The path is its name in the session's directory.
    Told,
    /// The session's layer over its project: a directory that outlives the session, which the supervisor
    /// makes, with `upper` and `work` in it. The path is only a name for messages.
    Layer,
    /// The socket of the session's ssh-agent, made by the supervisor and open to whoever sees it. The path is
    /// its name in the session's directory. It is found as [`Found::File`].
    AgentSocket,
    /// The secret at this position of [`Policy::secrets`]: the supervisor reads it, and where the session gets
    /// it as a file makes that, mode 0400, the agent's. It is found as [`Found::File`].
    Secret {
        /// Its position.
        at: usize,
    },
    /// A copy of what [`Policy::pins`] has at this position, made by the supervisor when it is what was looked
    /// at: a file or a directory of root's, readable for all.
    Pinned {
        /// Its position.
        at: usize,
    },
    /// A file with this content, owned by root, mode 0444, that the supervisor makes in the session's
    /// directory under the name that the path is.
    Made {
        /// What is in it.
        content: String,
    },
}

/// Something that the supervisor opens for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Absolute path on the host; relative for [`WantedKind::Volume`], [`WantedKind::Denials`],
    /// [`WantedKind::Told`], [`WantedKind::AgentSocket`], [`WantedKind::Layer`] and [`WantedKind::Made`].
    pub path: String,
    /// With whose rights.
    pub by: Opener,
    /// Whether a session starts without it.
    pub optional: bool,
    /// Whether an agent's preset names it, and no person did.
    pub preset: bool,
    /// What it has to be.
    pub what: WantedKind,
    /// Which rule wants it.
    pub origin: String,
}

/// What the supervisor found at a wanted path, the last component not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or nothing that may be opened.
    Missing,
    /// A directory.
    Directory,
    /// A regular file, or the session's own socket. Never a socket of others, a pipe or a block device: those
    /// are [`Found::Missing`].
    File,
    /// A symbolic link and what it says.
    Symlink(String),
    /// A character device.
    CharDevice,
}

/// What only the supervisor knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What was found, in the order of [`wanted`]. The entry at `i` is source `i + 1`; source 0 is the
    /// project's directory.
    pub found: Vec<Found>,
    /// First id of the session's lease of four.
    pub lease_first: u32,
    /// The session.
    pub session: SessionId,
    /// Which of the client's streams are a terminal.
    pub streams: Streams,
    /// Size of that terminal.
    pub size: TerminalSize,
    /// The client's file mode creation mask.
    pub umask: u32,
    /// Host name inside.
    pub hostname: String,
    /// Names of the person's groups and of the project's, for those that have one.
    pub resolved_groups: Vec<(u32, String)>,
    /// Values of secrets that the session gets as variables, by name.
    pub secrets: Vec<(String, SecretText)>,
    /// What is held of the project (place 0) and of the git directories of the policy, in their order.
    pub held: Vec<HeldPlace>,
}

/// A secret, which no message shows and which is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(pub String);

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret")
    }
}

/// What the supervisor opens before it can make the plan, in the order that [`Facts::found`] answers.
#[must_use]
pub fn wanted(policy: &Policy) -> Vec<Wanted> {
    // A build whose data cannot be read says so when the plan is made.
    items::items(policy).map(|items| items.into_iter().map(|item| item.wanted).collect()).unwrap_or_default()
}

/// The plan of a session.
///
/// # Errors
/// [`PolicyError::Refused`] when something that is not optional is missing or not what it has to be.
pub fn plan(policy: &Policy, facts: &Facts) -> Result<Plan, PolicyError> {
    let items = items::items(policy)?;
    if items.len() != facts.found.len() {
        let what = format!("{} answers for {} wanted paths", facts.found.len(), items.len());
        return Err(PolicyError::Invalid { what });
    }
    let identity = owners::identity(policy, facts)?;
    let base = Base::load()?;
    let (confinement, tree) = if policy.isolation() == Isolation::None {
        (Confinement::None, None)
    } else {
        let scene = tree::Scene { policy, facts, base, items: &items };
        let tree = match policy.filesystem() {
            Filesystem::Listed => listed::tree(&scene)?,
            Filesystem::Host | Filesystem::Shared => shared::tree(&scene)?,
        };
        let sandbox = Sandbox {
            hostname: c_string(made::hostname(facts))?,
            network: match policy.has_gate() {
                true => NetworkNamespace::Prepared,
                false => NetworkNamespace::Empty,
            },
            idmaps: owners::idmaps(policy, facts),
            mounts: tree.mounts()?,
            unix_sockets: policy.filesystem() == Filesystem::Listed,
        };
        (Confinement::Sandbox { sandbox }, Some(tree))
    };
    Ok(Plan {
        session: facts.session.clone(),
        label: told::label(policy),
        identity,
        confinement,
        limits: limits(policy),
        oom_score_adj: OOM_SCORE_ADJ,
        umask: (facts.umask & 0o777) | UMASK_LEAST,
        process: process::process(policy, facts, tree.as_ref())?,
    })
}

/// What a session makes is the person's: private or their group's as they have it, and never everybody's to write,
/// which is hardly meant where it is so.
const UMASK_LEAST: u32 = 0o002;

/// A session is a better victim than what the person works with.
const OOM_SCORE_ADJ: i32 = 200;

fn limits(policy: &Policy) -> Vec<Limit> {
    let same = |kind, value| Limit { kind, soft: value, hard: value };
    let mut limits = Vec::new();
    if let Some(files) = policy.settings.open_files {
        limits.push(same(LimitKind::OpenFiles, files.get()));
    }
    if policy.isolation() == Isolation::None {
        return limits;
    }
    limits.push(same(LimitKind::Core, 0));
    limits.push(same(LimitKind::LockedMemory, 8 << 20));
    limits.push(same(LimitKind::MessageQueues, 819_200));
    // The kernel's own defaults; whoever starts a supervisor by hand may have more from pam_limits(8), as for audio.
    limits.push(same(LimitKind::Niceness, 0));
    limits.push(same(LimitKind::RealTime, 0));
    // RLIMIT_NPROC counts all processes of a uid (getrlimit(2)): under the caller's own it would count
    // the person's whole desktop. The control group holds those sessions.
    if let (Identity::Leased, Some(tasks)) = (policy.identity(), policy.settings.tasks_max) {
        limits.push(same(LimitKind::Processes, tasks.get()));
    }
    limits
}

fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, PolicyError> {
    CString::new(text).map_err(|_| PolicyError::Invalid { what: "a text with a NUL byte".to_owned() })
}

fn inner(path: &str) -> Result<InnerPath, PolicyError> {
    InnerPath::new(path)
        .map_err(|error| PolicyError::Invalid { what: format!("`{}`: {error}", printable(path)) })
}
