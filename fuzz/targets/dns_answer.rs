//! What upstream resolvers answer: bytes of the network, and of whoever owns a name.
#![no_main]

use agentbox_gate::resolve::{Asked, Family, Reply, read_answer, wire_name};
use libfuzzer_sys::fuzz_target;

const ALIASES: u8 = 16;

// The id is taken from the message, so that bytes are not refused for it alone. First byte: the family.
fuzz_target!(|bytes: &[u8]| {
    let Some((which, message)) = bytes.split_first() else { return };
    let Some(id) = message.first_chunk() else { return };
    let Some(name) = "a.example.org".parse().ok().and_then(|name| wire_name(&name)) else { return };
    let family = if which % 2 == 0 { Family::V4 } else { Family::V6 };
    let asked = Asked { id: u16::from_be_bytes(*id), name, family, aliases: ALIASES };
    match read_answer(message, &asked) {
        Ok(Reply::Addresses { addresses, .. }) => {
            assert!(!addresses.is_empty());
            assert!(addresses.iter().all(|address| address.is_ipv4() == (family == Family::V4)));
        }
        // Following never begins again: each alias leaves fewer.
        Ok(Reply::Alias { aliases, .. }) => assert!(aliases < ALIASES),
        _ => {}
    }
    let other = Asked { id: asked.id ^ 1, ..asked };
    assert!(read_answer(message, &other).is_err());
});
