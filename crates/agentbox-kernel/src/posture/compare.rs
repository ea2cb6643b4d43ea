//! Compares what was observed with what was expected; mounts are in [`mounts`](super::mounts).

use super::{Difference, Expected, Observed, mounts};
use std::fmt::Debug;

/// Namespaces that every sandbox has for itself. `user` is not among them: the agent has the host's, in
/// which its ids own nothing.
const OWN_NAMESPACES: [&str; 6] = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
/// Namespaces that a session shares with the host.
const SHARED_NAMESPACES: [&str; 2] = ["time", "user"];
/// Seccomp filters that a launcher loads for a session; those of the machine's first process, such as a
/// container's, come on top. More come from a supervisor's unit, and break programs inside.
const FILTERS: u32 = 1;

/// Deviations in what a process cannot loosen by itself: ids, capabilities, seccomp, namespaces, mounts,
/// hard limits, out-of-memory preference, control group. Empty when the kernel shows what the plan says.
#[must_use]
pub fn diff(expected: &Expected, observed: &Observed) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    ids(expected, observed, &mut found);
    if expected.sandboxed {
        privileges(expected, observed, &mut found);
        found.0.extend(mounts::diff(&expected.steps, observed));
    } else {
        found.compare("seccomp mode", &0, &observed.seccomp);
    }
    namespaces(expected, observed, &mut found);
    found.compare("control group", &expected.cgroup.as_str(), &observed.cgroup.as_str());
    for (name, limit) in &expected.limits {
        match observed.limits.get(*name) {
            None => found.add(*name, number(limit.hard), "missing"),
            // A process may lower its hard limits, and a launcher may not be allowed to raise its own.
            Some(seen) if seen.hard <= limit.hard => {}
            Some(seen) => found.add(format!("{name} (hard)"), number(limit.hard), number(seen.hard)),
        }
    }
    // Raising it needs no privilege (proc_pid_oom_score_adj(5)); it only makes the process a likelier
    // victim.
    if observed.oom_score_adj < expected.oom_score_adj {
        found.add("oom_score_adj", expected.oom_score_adj, observed.oom_score_adj);
    }
    found.0
}

/// Deviations of an agent that was just started, in what it may change afterwards: descriptors, umask,
/// environment, soft limits, out-of-memory preference, directory. Use it on a process that has not run its
/// own program yet, or one that is known to change nothing.
#[must_use]
pub fn diff_started(expected: &Expected, observed: &Observed) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    let numbers: Vec<u32> = observed.descriptors.keys().copied().collect();
    found.compare("open descriptors", &[0, 1, 2].as_slice(), &numbers.as_slice());
    if observed.umask != expected.umask {
        found.add("umask", format!("{:04o}", expected.umask), format!("{:04o}", observed.umask));
    }
    found.compare("environment", &expected.environment, &observed.environment);
    found.compare("oom_score_adj", &expected.oom_score_adj, &observed.oom_score_adj);
    for (name, limit) in &expected.limits {
        let Some(seen) = observed.limits.get(*name) else { continue };
        let own = expected.own_limits.get(*name).map_or(u64::MAX, |own| own.hard);
        for (which, wanted, is) in [("soft", limit.soft, seen.soft), ("hard", limit.hard, seen.hard)] {
            // The launcher takes its own hard limit where it may not raise it (plan::Limit::hard).
            if is != wanted && is != wanted.min(own) {
                found.add(format!("{name} ({which})"), number(wanted), number(is));
            }
        }
    }
    found.compare("working directory", &expected.directory.as_str(), &observed.directory.as_str());
    found.0
}

/// Files of the host that the first process of a session still has open. It needs none once everything is in force: what it
/// has are its streams, its terminal and what the kernel makes for it.
///
/// # Errors
/// [`PostureError`](super::PostureError) when it has ended or cannot be read.
pub fn held_open(first_pid: u32) -> Result<Vec<Difference>, super::PostureError> {
    const HARMLESS: &[&str] =
        &["socket:", "pipe:", "anon_inode:", "/dev/null", "/dev/pts/", "/dev/ptmx", "/ptmx"];
    let open = super::observed::descriptors(first_pid)?;
    let files =
        open.into_iter().filter(|(_, target)| !HARMLESS.iter().any(|start| target.starts_with(start)));
    Ok(files
        .map(|(number, target)| Difference::new(format!("first process holds {number}"), "nothing", target))
        .collect())
}

fn ids(expected: &Expected, observed: &Observed, found: &mut Found) {
    found.compare("user ids", &[expected.uid; 4], &observed.uids);
    found.compare("group ids", &[expected.gid; 4], &observed.gids);
    // Whether a process has its primary group among the supplementary ones changes nothing.
    let rest = |groups: &[u32]| -> Vec<u32> {
        groups.iter().copied().filter(|group| *group != expected.gid).collect()
    };
    found.compare("supplementary groups", &rest(&expected.groups), &rest(&observed.groups));
}

fn privileges(expected: &Expected, observed: &Observed, found: &mut Found) {
    let sets = &observed.capabilities;
    for (name, set) in [
        ("inheritable", sets.inheritable),
        ("permitted", sets.permitted),
        ("effective", sets.effective),
        ("bounding", sets.bounding),
        ("ambient", sets.ambient),
    ] {
        if set != 0 {
            found.add(format!("{name} capabilities"), "none", format!("{set:016x}"));
        }
    }
    found.compare("no_new_privs", &true, &observed.no_new_privs);
    found.compare("seccomp mode", &2, &observed.seccomp);
    let wanted = FILTERS + expected.own_filters.min(observed.machine_filters);
    if let Some(count) = observed.seccomp_filters.filter(|count| *count != wanted) {
        found.add("seccomp filters", wanted, count);
    }
}

fn namespaces(expected: &Expected, observed: &Observed, found: &mut Found) {
    let (own, shared): (&[&str], &[&str]) =
        if expected.sandboxed { (&OWN_NAMESPACES, &SHARED_NAMESPACES) } else { (&[], &OWN_NAMESPACES) };
    for (names, wanted) in [(own, "its own"), (shared, "the host's")] {
        for name in names {
            let pair = (observed.namespaces.get(*name), observed.own_namespaces.get(*name));
            let is = match pair {
                (Some(inside), Some(outside)) if inside == outside => "the host's",
                (Some(_), _) => "its own",
                // A kernel without this kind of namespace shares it.
                (None, None) => "the host's",
                (None, Some(_)) => "unknown",
            };
            if is != wanted {
                found.add(format!("{name} namespace"), wanted, is);
            }
        }
    }
}

fn number(value: u64) -> String {
    if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() }
}

struct Found(Vec<Difference>);

impl Found {
    fn add(
        &mut self,
        what: impl Into<String>,
        expected: impl std::fmt::Display,
        observed: impl std::fmt::Display,
    ) {
        self.0.push(Difference::new(what, expected, observed));
    }

    fn compare<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, observed: &T) {
        if expected != observed {
            self.add(what, format!("{expected:?}"), format!("{observed:?}"));
        }
    }
}
