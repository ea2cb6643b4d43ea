//! What several targets look at.

use agentbox_plan::Wire;

/// Reads a message and writes it again: each has one encoding, so that nothing can be said in two ways that are judged
/// differently.
pub fn there_and_back<T: Wire>(bytes: &[u8]) {
    if let Ok(message) = T::from_bytes(bytes) {
        assert_eq!(message.to_bytes(), bytes);
    }
}

/// Reads something and writes what was understood; what is written is read as that again.
pub fn stays(rewritten: impl Fn(&[u8]) -> Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(text) = rewritten(bytes) {
        assert_eq!(rewritten(&text).as_deref(), Some(&text[..]), "{}", text.escape_ascii());
    }
}
