//! Text for people: escaped, so that what somebody else wrote cannot speak to a terminal.

use std::fmt::Write;

/// Longest piece of a message, in characters.
const LONGEST: usize = 300;

/// The text without anything that a terminal obeys, cut where it is very long.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (at, character) in text.chars().enumerate() {
        if at == LONGEST {
            out.push('…');
            break;
        }
        // Marks of direction reorder what is shown around them.
        let reorders =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || reorders || matches!(character, '\u{2028}' | '\u{2029}') {
            // Writing into a string cannot fail.
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// The nearest of `known` to `text`, when one is near.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A key of a megabyte would cost a million comparisons for each known one.
    if text.len() > 64 {
        return None;
    }
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(text, known), known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

/// "did you mean" the nearest one, else which ones there are.
pub(crate) fn suggestion<'a>(text: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(text, known.clone()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => {
            let known: Vec<_> = known.into_iter().map(|known| format!("`{known}`")).collect();
            if known.is_empty() {
                "there are none".to_owned()
            } else {
                format!("known: {}", known.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_is_obeyed_by_a_terminal() {
        assert_eq!(printable("a\u{1b}]0;x\u{7}\nb"), "a\\u{1b}]0;x\\u{7}\\nb");
        assert_eq!(printable("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
        assert_eq!(printable(&"x".repeat(9000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["network", "workspace", "state"];
        assert_eq!(suggestion("netwrok", known), "did you mean `network`?");
        assert_eq!(suggestion("zzz", known), "known: `network`, `workspace`, `state`");
        assert_eq!(suggestion("zzz", []), "there are none");
    }
}
