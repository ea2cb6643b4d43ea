//! Points at which a test can have the process killed.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::kill_point;
#[cfg(feature = "testing")]
use std::os::unix::process::ExitStatusExt;

#[test]
fn the_name_of_a_point_is_only_in_builds_for_tests() {
    kill_point!("t:a-name-in-builds-for-tests");
    // Put together at run time, so that looking for it does not put it there.
    let name = ["t:a-name", "in-builds", "for-tests"].join("-");
    let program = std::fs::read("/proc/self/exe").unwrap();
    let found = program.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert_eq!(found, cfg!(feature = "testing"));
}

#[cfg(feature = "testing")]
#[test]
fn the_process_ends_at_the_point_that_is_named_and_at_no_other() {
    let signal_at = |point: &str| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_name_of_a_point_is_only_in_builds_for_tests"])
            .env("AGENTBOX_TEST_KILL", point)
            .output()
            .unwrap()
            .status
            .signal()
    };
    assert_eq!(signal_at("t:a-name-in-builds-for-tests"), Some(9));
    assert_eq!(signal_at("t:another"), None);
}
