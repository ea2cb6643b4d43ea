//! What gate and supervisor say to each other: neither believes the other, both read it.
#![no_main]

use agentbox_fuzz::there_and_back;
use agentbox_plan::gate::{Answer, GatePlan, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 3 {
        0 => there_and_back::<Request>(bytes),
        1 => there_and_back::<Answer>(bytes),
        _ => there_and_back::<GatePlan>(bytes),
    }
});
