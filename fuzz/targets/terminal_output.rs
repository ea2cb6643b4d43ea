//! What a session writes to a person's terminal.
#![no_main]

use agentbox_launch::shown;
use libfuzzer_sys::fuzz_target;

// First byte: how long the pieces are in which the rest comes.
fuzz_target!(|bytes: &[u8]| {
    let Some((length, stream)) = bytes.split_first() else { return };
    let (whole, danger) = shown(&[stream]);
    assert_eq!(danger, None, "{}", whole.escape_ascii());
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*length).max(1)).collect();
    assert_eq!(shown(&pieces).0, whole, "where it is cut makes a difference");
});
