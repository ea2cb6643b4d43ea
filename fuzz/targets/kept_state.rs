//! What a supervisor keeps for the next one, and what it reads of the host: a file that was changed is an error, and
//! what is written is what is read.
#![no_main]

use agentbox_fuzz::stays;
use agentbox_kernel::fuzzing::leases;
use agentboxd::fuzzing::{KEPT, host, ledger, pinned};
use libfuzzer_sys::fuzz_target;

// First byte: whose file it is.
fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match usize::from(*which) % (4 + KEPT.len()) {
        0 => ledger(bytes),
        1 => leases(bytes),
        2 => pinned(bytes),
        3 => host(bytes),
        which => stays(KEPT[which - 4], bytes),
    }
});
