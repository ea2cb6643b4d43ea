//! A session's first bytes on a TLS connection.
#![no_main]

use agentbox_gate::tls::{Hello, Outcome, Skim, Skimmed};
use libfuzzer_sys::fuzz_target;

// First byte: how long the pieces are in which the rest comes.
fuzz_target!(|bytes: &[u8]| {
    let Some((length, stream)) = bytes.split_first() else { return };
    let mut whole = Hello::new();
    let at_once = whole.feed(stream);
    let (mut pieces, mut skim, mut skimmed) = (Hello::new(), Skim::new(), Skimmed::NeedMore);
    let mut last = Outcome::NeedMore;
    for piece in stream.chunks(usize::from(*length).max(1)) {
        last = pieces.feed(piece);
        skimmed = skim.feed(piece);
    }
    // Who reads over a hello finds its end where who reads it does.
    match &at_once {
        Outcome::Name(_) => assert_eq!(skimmed, Skimmed::Hello),
        Outcome::NeedMore => assert_ne!(skimmed, Skimmed::Hello),
        Outcome::Malformed => assert_ne!(skimmed, Skimmed::NeedMore),
    }
    // Whoever cuts a hello in pieces gains nothing, and what goes on is what came.
    assert_eq!(last, at_once);
    assert_eq!(whole.into_bytes(), stream);
    assert_eq!(pieces.into_bytes(), stream);
});
