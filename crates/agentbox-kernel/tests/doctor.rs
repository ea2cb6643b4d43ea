//! The doctor on the machine that runs the tests.
#![allow(clippy::unwrap_used)]

use agentbox_kernel::doctor::{State, examine};

#[test]
fn whatever_is_not_fine_comes_with_a_remedy() {
    let findings = examine();
    assert!(findings.len() > 10);
    for finding in &findings {
        assert!(!finding.check.is_empty() && !finding.found.is_empty(), "{finding:?}");
        assert_eq!(finding.state == State::Ok, finding.remedy.is_empty(), "{finding:?}");
    }
}

#[test]
fn what_the_other_tests_need_is_found() {
    let findings = examine();
    let state = |check: &str| findings.iter().find(|finding| finding.check == check).map(|found| found.state);
    for check in ["privilege", "kernel", "mounts", "seccomp", "landlock", "control groups"] {
        assert_eq!(state(check), Some(State::Ok), "{check}");
    }
}
