//! A step of confinement and why it failed.

use std::fmt::Display;
use std::io;

/// A step that could not be carried out; with it the whole start fails.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {detail}")]
pub(crate) struct StepError {
    /// The step, in the words of the plan.
    pub(crate) step: String,
    /// What was refused or missing.
    pub(crate) detail: String,
}

impl StepError {
    pub(crate) fn new(step: impl Into<String>, detail: impl Display) -> Self {
        Self { step: step.into(), detail: detail.to_string() }
    }
}

/// Names the step that an error belongs to.
pub(crate) trait InStep<T> {
    fn step(self, step: &str) -> Result<T, StepError>;
    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> InStep<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, StepError> {
        self.step_with(|| step.to_owned())
    }
    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(step(), error.into()))
    }
}

/// Whether a confinement step is in force. Always, but in a build for tests of the tests, where the
/// environment can name steps to leave out, so that at least one test turns red for each.
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

/// A point at which a build for tests can be told to die as by kill -9.
#[cfg(not(feature = "testing"))]
pub(crate) fn kill_point(_name: &str) {}

#[cfg(feature = "testing")]
pub(crate) fn kill_point(name: &str) {
    if std::env::var("AGENTBOX_TEST_KILL").is_ok_and(|point| point == name) {
        // Another process that is meant, such as the client. Only the outer half knows it by this number.
        let other = std::env::var("AGENTBOX_TEST_KILL_OF").ok().and_then(|pid| pid.parse::<i32>().ok());
        if let Some(other) = other.filter(|pid| *pid > 1) {
            crate::sys::kill(other, 9);
            return;
        }
        crate::sys::kill(std::process::id() as i32, 9);
        // PID 1 of a pid namespace cannot kill itself (pid_namespaces(7)).
        crate::sys::exit_now(137);
    }
}
