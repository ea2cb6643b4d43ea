//! What a plan says that `/proc` should show of the agent.

use super::{PostureError, ResourceLimit};
use agentbox_plan::{Confinement, InnerPath, LimitKind, Mount, Plan};
use std::collections::BTreeMap;

/// What the plan of a session says of its agent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Expected {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups, in order.
    pub groups: Vec<u32>,
    /// Whether the session is held in a sandbox; false for one that runs on the host as its caller.
    pub sandboxed: bool,
    /// Resource limits by the names of `/proc/PID/limits`.
    pub limits: BTreeMap<&'static str, ResourceLimit>,
    /// Hard limits of this process: a launcher that may not raise its own takes them as they are.
    pub own_limits: BTreeMap<String, ResourceLimit>,
    /// Seccomp filters of this process, which what it starts has as well.
    pub own_filters: u32,
    /// Preference of the out-of-memory killer.
    pub oom_score_adj: i32,
    /// File mode creation mask.
    pub umask: u32,
    /// Names of the environment, in order.
    pub environment: Vec<String>,
    /// Control group.
    pub cgroup: String,
    /// Working directory inside.
    pub directory: String,
    /// Steps that build its file system.
    pub(crate) steps: Vec<Mount>,
}

/// What the plan says. `payload_path` is that of the session's
/// [`payload`](crate::cgroup::SessionGroup::payload_path).
///
/// # Errors
/// [`PostureError`] when the limits or filters of this process cannot be read.
pub fn expected(plan: &Plan, payload_path: &str) -> Result<Expected, PostureError> {
    let agent = &plan.identity.agent;
    let mut groups = agent.groups.clone();
    groups.sort_unstable();
    let (sandboxed, steps) = match &plan.confinement {
        Confinement::None => (false, Vec::new()),
        Confinement::Sandbox { sandbox } => (true, sandbox.mounts.clone()),
    };
    let mut environment: Vec<String> = plan
        .process
        .environment
        .iter()
        .map(|entry| entry.to_string_lossy().split('=').next().unwrap_or_default().to_owned())
        .collect();
    environment.sort();
    let limits = plan
        .limits
        .iter()
        .map(|limit| (limit_name(limit.kind), ResourceLimit { soft: limit.soft, hard: limit.hard }));
    Ok(Expected {
        uid: agent.uid,
        gid: agent.gid,
        groups,
        sandboxed,
        limits: limits.collect(),
        own_limits: super::observed::own_limits()?,
        own_filters: super::observed::own_filters()?,
        oom_score_adj: plan.oom_score_adj,
        umask: plan.umask,
        environment,
        cgroup: payload_path.to_owned(),
        directory: shown(&plan.process.directory),
        steps,
    })
}

fn shown(path: &InnerPath) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

/// The name in `/proc/PID/limits`.
fn limit_name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Core => "Max core file size",
        LimitKind::OpenFiles => "Max open files",
        LimitKind::Processes => "Max processes",
        LimitKind::LockedMemory => "Max locked memory",
        LimitKind::MessageQueues => "Max msgqueue size",
        LimitKind::Niceness => "Max nice priority",
        LimitKind::RealTime => "Max realtime priority",
    }
}
