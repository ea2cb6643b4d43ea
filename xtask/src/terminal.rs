//! Colour, where there is a terminal that wants it (<https://no-color.org>).

use std::io::IsTerminal as _;

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    colour: bool,
}

impl Paint {
    /// For standard output.
    pub(crate) fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: !refused && std::io::stdout().is_terminal() }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
    pub(crate) fn quiet(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// A headline with a line of air above it.
    pub(crate) fn headline(self, text: &str) {
        println!("\n{}", self.bold(&format!("== {text}")));
    }
}

/// Makes bytes that another program chose safe to print: control characters become visible.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control() || matches!(character, '\u{202a}'..='\u{202e}');
            let plain = (!escaped).then_some(character);
            plain.into_iter().chain(escaped.then(|| character.escape_default()).into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_a_session_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b]0;x\x07b\u{202e}"), "a\\u{1b}]0;x\\u{7}b\\u{202e}");
        assert_eq!(printable("größe"), "größe");
    }
}
