//! Points at which a test has the supervisor killed, to see what the next one makes of what is left.
//!
//! Every step of a session has four: before and after it, before and after its revert. Two more lie where
//! a session runs and where it is told to end. A released binary has none of them, nor their names.

use crate::session::Step;

/// Where a point lies.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only a test asks for the step"))]
pub(crate) enum Point {
    /// Nothing of the step is done.
    Before(Step),
    /// The step is done and not yet said to be.
    After(Step),
    /// Nothing of the revert is done.
    BeforeRevert(Step),
    /// The revert is done and not yet said to be.
    AfterRevert(Step),
    /// The agent runs, and who asked does not know it yet.
    Running,
    /// It was asked to end, and was not told yet.
    Stop,
}

/// Kills the process when a test asked for it.
#[cfg(feature = "testing")]
pub(crate) fn reached(point: Point) {
    agentbox_kernel::failpoint::reached(&name(point));
}

/// Nothing.
#[cfg(not(feature = "testing"))]
pub(crate) fn reached(_: Point) {}

#[cfg(feature = "testing")]
fn name(point: Point) -> String {
    match point {
        Point::Before(step) => format!("d:before-{}", step.name()),
        Point::After(step) => format!("d:after-{}", step.name()),
        Point::BeforeRevert(step) => format!("d:before-revert-{}", step.name()),
        Point::AfterRevert(step) => format!("d:after-revert-{}", step.name()),
        Point::Running => "d:running".to_owned(),
        Point::Stop => "d:stop".to_owned(),
    }
}

/// All of them, in the order in which a session that is started and stopped comes by.
#[cfg(feature = "testing")]
pub(crate) fn all() -> Vec<String> {
    let forward = Step::ALL.into_iter().flat_map(|step| [Point::Before(step), Point::After(step)]);
    let back =
        Step::ALL.into_iter().rev().flat_map(|step| [Point::BeforeRevert(step), Point::AfterRevert(step)]);
    forward.chain([Point::Running, Point::Stop]).chain(back).map(name).collect()
}
