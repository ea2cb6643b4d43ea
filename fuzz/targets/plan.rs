//! The launcher's plan, and what a person's terminal says to the console of a session.
#![no_main]

use agentbox_plan::console::Hello;
use agentbox_plan::{Plan, Wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(plan) = Plan::from_bytes(bytes) {
        assert_eq!(Plan::from_bytes(&plan.to_bytes()), Ok(plan));
    }
    if let Ok(hello) = Hello::from_bytes(bytes) {
        assert_eq!(Hello::from_bytes(&hello.to_bytes()), Ok(hello));
    }
});
