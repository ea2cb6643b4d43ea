//! Nothing that an agent or a project named reaches a terminal as anything but text.
//!
//! Escaped are: control characters (C0, DEL and C1: the last are obeyed by some terminals), whatever
//! changes the order or the line of text that follows (bidirectional controls, line separators), and
//! what cannot be seen and so makes two names look alike.

use std::fmt::Write;

/// One name: a single line in which a backslash always begins an escape.
pub(crate) fn name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if is_dangerous(character) => push_escaped(character, &mut out),
            _ => out.push(character),
        }
    }
    out
}

/// A message that holds names. It keeps its lines and its backslashes.
pub(crate) fn message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            _ if is_dangerous(character) => push_escaped(character, &mut out),
            _ => out.push(character),
        }
    }
    out
}

/// A line of a file, without its end: tabs are part of how it looks.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\t' => out.push('\t'),
            _ if is_dangerous(character) => push_escaped(character, &mut out),
            _ => out.push(character),
        }
    }
    out
}

/// A JSON text: JSON escapes only C0. Outside of strings it holds nothing that could be dangerous.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_dangerous(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _strings_take_all = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

fn push_escaped(character: char, out: &mut String) {
    let number = u32::from(character);
    let _strings_take_all =
        if number < 0x80 { write!(out, "\\x{number:02x}") } else { write!(out, "\\u{{{number:x}}}") };
}

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            // Zero width space and non-joiner, marks of direction; the joiner (200d) belongs to emoji.
            | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
            // Line and paragraph separators, embeddings and overrides.
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            // Tags: a whole hidden alphabet.
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_one_harmless_line() {
        let table = [
            ("/home/me/src/läuft-日本-👩‍💻", "/home/me/src/läuft-日本-👩‍💻"),
            ("a\\b", "a\\\\b"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("\x1b[2J\x7f\0", "\\x1b[2J\\x7f\\x00"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            ("invoice\u{202e}gpj.exe", "invoice\\u{202e}gpj.exe"),
            ("\u{2066}\u{2069}\u{200f}\u{61c}", "\\u{2066}\\u{2069}\\u{200f}\\u{61c}"),
            ("a\u{200b}b\u{feff}\u{2028}", "a\\u{200b}b\\u{feff}\\u{2028}"),
            ("\u{e0041}\u{ad}", "\\u{e0041}\\u{ad}"),
        ];
        for (text, escaped) in table {
            assert_eq!(name(text), escaped);
        }
    }

    #[test]
    fn every_control_character_is_escaped_everywhere() {
        for character in (0..=0x9f).filter_map(char::from_u32).filter(|character| character.is_control()) {
            let text = character.to_string();
            assert!(!name(&text).contains(character));
            assert!(character == '\n' || !message(&text).contains(character));
            assert!(character == '\n' || !json(&text).contains(character));
        }
    }

    #[test]
    fn messages_keep_their_lines() {
        assert_eq!(message("no \x1b[31m\nrule: C:\\x"), "no \\x1b[31m\nrule: C:\\x");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "a\u{9b}": ["\u{202e}x", "\u{e0041}", "\u{7f}\n", "plain ä"] });
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|character| character == '\n' || !is_dangerous(character)));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
