//! Base64 as ssh writes it (RFC 4648, section 4): fingerprints without `=`, keys with it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of these bytes, without `=` at the end.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}

/// The bytes of a text; `=` at its end may be missing. There is one text for each bytes: bits that stand for
/// nothing are 0.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let stripped = text.trim_end_matches('=');
    let padding = text.len() - stripped.len();
    if stripped.len() % 4 == 1 || (padding > 0 && (padding > 2 || !text.len().is_multiple_of(4))) {
        return None;
    }
    let mut bytes = Vec::with_capacity(stripped.len() * 3 / 4);
    for chunk in stripped.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for letter in chunk {
            let value = ALPHABET.iter().position(|known| known == letter)?;
            group = group << 6 | u32::try_from(value).ok()?;
        }
        let bits = 6 * chunk.len();
        let whole = bits / 8;
        let rest = bits % 8;
        if group & ((1 << rest) - 1) != 0 {
            return None;
        }
        let group = group >> rest;
        bytes.extend_from_slice(&group.to_be_bytes()[4 - whole..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_of_the_standard_are_read_and_written() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(encode(bytes.as_bytes()), text.trim_end_matches('='));
        }
        for bad in ["Z", "Zh", "Zg=", "Zg===", "Z g=", "Zm8==", "====", "=Zg=", "Zm9vYh", "ä"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_bytes_have_one_text(bytes in proptest::collection::vec(any::<u8>(), 0..70), text in "[A-Za-z0-9+/=]{0,12}") {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text.trim_end_matches('='));
            }
        }
    }
}
