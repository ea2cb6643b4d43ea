//! Points at which a test can have the process killed: `agentbox_kernel::kill_point!("d:spawn")`.

/// Kills a process with SIGKILL when `AGENTBOX_TEST_KILL` names this point: this one, or the one that
/// `AGENTBOX_TEST_KILL_OF` names by its process id, such as the client of a supervisor.
#[cfg(feature = "testing")]
pub fn reached(point: &str) {
    use rustix::process::{Pid, Signal, getpid, kill_process};
    if std::env::var_os("AGENTBOX_TEST_KILL").is_none_or(|name| name != *point) {
        return;
    }
    let other = std::env::var("AGENTBOX_TEST_KILL_OF").ok().and_then(|pid| pid.parse().ok());
    // SIGKILL to ourselves cannot fail and does not return; another may have ended already.
    let _ = kill_process(other.and_then(Pid::from_raw).unwrap_or_else(getpid), Signal::KILL);
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
