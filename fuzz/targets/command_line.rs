//! What a person's program reads: a project that anybody wrote, other programs, what is typed, what it kept itself.
#![no_main]

use agentbox_fuzz::stays;
use agentboxctl::fuzzing::{KEPT, merge, repository, settings, terminal, words};
use libfuzzer_sys::fuzz_target;

// First byte: who wrote it.
fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match usize::from(*which) % (5 + KEPT.len()) {
        0 => repository(bytes),
        1 => settings(bytes),
        2 => words(bytes),
        3 => {
            let Some((piece, bytes)) = bytes.split_first() else { return };
            terminal(bytes, usize::from(*piece).max(1));
        }
        4 => {
            let mut texts = bytes.splitn(3, |byte| *byte == 0);
            let mut next = || texts.next().unwrap_or_default();
            merge(next(), next(), next());
        }
        which => stays(KEPT[which - 5], bytes),
    }
});
