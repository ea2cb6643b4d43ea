//! Points at which a test can have the process killed: `agentbox_kernel::kill_point!("d:spawn")`.

/// Kills the process with SIGKILL when `AGENTBOX_TEST_KILL` names this point.
#[cfg(feature = "testing")]
pub fn reached(point: &str) {
    if std::env::var_os("AGENTBOX_TEST_KILL").is_some_and(|name| name == *point) {
        // SIGKILL to ourselves cannot fail and does not return.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
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
