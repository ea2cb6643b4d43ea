//! The audit trail: whatever is done to its bytes is found, and nothing that is asked for is left out.
#![no_main]

use agentboxd::fuzzing::{Trail, no_trail};
use libfuzzer_sys::fuzz_target;

/// Most bytes of an edit: what is done, to which line, at which byte, with which bits.
const EDIT_BYTES: usize = 4;
const MOST_EDITS: usize = 8;

fn edit(lines: &mut Vec<Vec<u8>>, edit: &[u8]) {
    let [what, line, byte, bits] = [0, 1, 2, 3].map(|at| edit[at]);
    let line = usize::from(line) % lines.len().max(1);
    let other = usize::from(byte) % lines.len().max(1);
    let Some(found) = lines.get_mut(line) else { return };
    match what % 6 {
        0 => {
            let at = usize::from(byte) * found.len() / 256;
            found[at] ^= bits;
        }
        1 => drop(lines.remove(line)),
        2 => lines.swap(line, other),
        3 => {
            let copy = found.clone();
            lines.insert(other, copy);
        }
        4 => found.truncate(1 + usize::from(byte) * found.len() / 256),
        _ => lines.truncate(line),
    }
}

// Texts of events up to a byte that is none of UTF-8, one a line; behind it what is done to their trail.
fuzz_target!(|bytes: &[u8]| {
    no_trail(bytes);
    let (texts, edits) = bytes.split_at(bytes.iter().position(|byte| *byte == 0xff).unwrap_or(bytes.len()));
    let Ok(texts) = std::str::from_utf8(texts) else { return };
    let trail = Trail::of(texts.lines().take(40));
    trail.heads_stay();
    let whole = trail.lines.concat();
    assert!(trail.finds_whole(&whole));
    let all: Vec<u64> = (1..=trail.lines.len() as u64).collect();
    for after in [0, all.len() / 2, all.len()] {
        assert_eq!(trail.numbers(&whole, after as u64), all[after..]);
    }
    let mut changed = trail.lines.clone();
    for one in edits.get(1..).unwrap_or_default().chunks_exact(EDIT_BYTES).take(MOST_EDITS) {
        edit(&mut changed, one);
    }
    let changed = changed.concat();
    assert_eq!(trail.finds_whole(&changed), changed == whole);
});
