//! What the kernel answers root with: names in it are agents'.
#![no_main]

use agentbox_kernel::fuzzing::{guard_record, mount_table, networks, packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = mount_table(bytes);
    assert!(guard_record(bytes).is_none_or(|names| names < bytes.len()));
    assert!(packet(bytes) <= bytes.len());
    let _ = networks(bytes);
});
