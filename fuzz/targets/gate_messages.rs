//! What gate and supervisor say to each other: neither believes the other, both read it.
#![no_main]

use agentbox_plan::Wire;
use agentbox_plan::gate::{Answer, GatePlan, Request};
use libfuzzer_sys::fuzz_target;

fn there_and_back<T: Wire>(bytes: &[u8]) {
    if let Ok(message) = T::from_bytes(bytes) {
        // One encoding for each message: nothing can be said in two ways that are judged differently.
        assert_eq!(message.to_bytes(), bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 3 {
        0 => there_and_back::<Request>(bytes),
        1 => there_and_back::<Answer>(bytes),
        _ => there_and_back::<GatePlan>(bytes),
    }
});
