//! Whether bytes have the shape of one JSON object (RFC 8259), told by counting: nothing is built from them,
//! nothing is nested in this program however deep they are, and nothing of them is remembered.

/// Deepest nesting. What is kept has three levels.
const MAX_DEPTH: usize = 32;

/// Whether these are one object and nothing else; if not, why.
pub(crate) fn is_object(bytes: &[u8]) -> Result<(), &'static str> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?.trim_matches([' ', '\t', '\n', '\r']);
    if !text.starts_with('{') {
        return Err("it is no JSON object");
    }
    let mut open: Vec<u8> = Vec::with_capacity(MAX_DEPTH);
    let mut in_text = false;
    let mut escaped = false;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match (*byte, in_text) {
            _ if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => in_text = !in_text,
            (0..0x20, true) => return Err("a control character stands in a text"),
            (_, true) => {}
            (b'{' | b'[', false) if open.len() == MAX_DEPTH => return Err("it is nested too deep"),
            (b'{', false) => open.push(b'}'),
            (b'[', false) => open.push(b']'),
            (b'}' | b']', false) => {
                if open.pop() != Some(*byte) {
                    return Err("its brackets do not match");
                }
                if open.is_empty() && at + 1 != bytes.len() {
                    return Err("something follows the object");
                }
            }
            (byte, false) if is_between(byte) => {}
            _ => return Err("it is no JSON"),
        }
    }
    if open.is_empty() && !in_text { Ok(()) } else { Err("it ends too early") }
}

/// What may stand outside of texts and brackets: numbers, `true`, `false`, `null`, and what separates.
fn is_between(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r'
    ) || b"truefalsn".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_shape_and_programs_have_not() {
        for good in ["{}", " {\"a\":{\"b\":[1,-2.5e3,true,null,\"x\\\"}\"]}}\n", "{\"a\":\"{[\"}"] {
            assert_eq!(is_object(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [
            "",
            "[]",
            "null",
            "#!/bin/sh",
            "{",
            "{]",
            "{}{}",
            "{} x",
            "{\"a\":\"\n\"}",
            "{\"a",
            "{\"a\":`id`}",
            "\u{feff}{}",
            "{x:1}",
        ] {
            assert!(is_object(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(is_object(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(is_object(deep.as_bytes()).is_err());
    }
}
