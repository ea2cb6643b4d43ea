//! Points at which a test can have the process killed: `agentbox_kernel::kill_point!("d:spawn")`.

/// Kills a process with SIGKILL when `AGENTBOX_TEST_KILL` names this point: this one, or those that
/// `AGENTBOX_TEST_KILL_OF` names: by a process id, such as that of the client of a supervisor, or by the name of
/// children of this one. Says so by removing the file `AGENTBOX_TEST_KILL_MARK`.
#[cfg(feature = "testing")]
pub fn reached(point: &str) {
    use rustix::process::{Pid, Signal, getpid, kill_process};
    if std::env::var_os("AGENTBOX_TEST_KILL").is_none_or(|name| name != *point) {
        return;
    }
    if let Some(mark) = std::env::var_os("AGENTBOX_TEST_KILL_MARK") {
        let _ = std::fs::remove_file(mark);
    }
    let pids = match std::env::var("AGENTBOX_TEST_KILL_OF") {
        Ok(of) => of.parse().map_or_else(|_| children(&of), |pid| vec![pid]),
        Err(_) => vec![getpid().as_raw_nonzero().get()],
    };
    for pid in pids.into_iter().filter_map(Pid::from_raw) {
        // SIGKILL to ourselves cannot fail and does not return; another may have ended already.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Children of this process that have a name.
#[cfg(feature = "testing")]
fn children(name: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> = lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let named = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    pids.into_iter().filter(named).collect()
}

/// Kills the process when a test asks for it at this point; nothing in a build without `testing`.
#[cfg(feature = "testing")]
#[macro_export]
macro_rules! kill_point {
    ($point:expr) => {
        $crate::failpoint::reached($point)
    };
}

/// Kills the process when a test asks for it at this point; nothing in a build without `testing`.
#[cfg(not(feature = "testing"))]
#[macro_export]
macro_rules! kill_point {
    ($point:expr) => {{}};
}

/// Whether a step is in force. Always, but in a build for tests of the tests, where the environment can name
/// steps to leave out, so that at least one test turns red for each.
#[cfg(not(feature = "testing"))]
#[must_use]
pub fn in_force(_step: &str) -> bool {
    true
}

/// Whether a step is in force, unless `AGENTBOX_TEST_SKIP` names it.
#[cfg(feature = "testing")]
#[must_use]
pub fn in_force(step: &str) -> bool {
    let skipped = std::env::var("AGENTBOX_TEST_SKIP").unwrap_or_default();
    !skipped.split(',').any(|name| name == step)
}
