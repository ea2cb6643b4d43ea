//! Colours, for those who want them: the one place that decides.

use crate::terminal::is_terminal;
use std::ffi::OsStr;

/// Whether standard output is shown in colours: on a terminal that knows some, and for a person who has not said that
/// they want none (<https://no-color.org>).
pub(crate) fn wanted() -> bool {
    is_terminal(std::io::stdout())
        && allowed(std::env::var_os("NO_COLOR").as_deref(), std::env::var_os("TERM").as_deref())
}

fn allowed(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// Paints the lines of a diff, which are escaped already: what makes a colour is the beginning of a line, and nothing
/// in a line can end it.
pub(crate) fn diff(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        let code = match body.as_bytes() {
            [b'+', ..] => "32",
            [b'-', ..] => "31",
            [b'@', b'@', ..] => "36",
            // A line that did not change, or none.
            [b' ', ..] | [] => "",
            _ => "1",
        };
        if code.is_empty() {
            out.push_str(line);
        } else {
            out.push_str(&format!("\x1b[{code}m{body}\x1b[0m{end}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_colours_who_wants_none_or_cannot_see_them() {
        let words = |no_color: Option<&'static str>, term: Option<&'static str>| {
            allowed(no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert!(words(None, None) && words(Some(""), Some("xterm-256color")));
        assert!(!words(Some("1"), Some("xterm")) && !words(Some("0"), None));
        assert!(!words(None, Some("dumb")));
    }

    #[test]
    fn a_diff_is_painted_by_the_beginning_of_its_lines() {
        assert_eq!(
            diff("modified a  +1 -1\n@@ -1,1 +1,1 @@\n-old\n+new\n same\n\n1 modified\n"),
            "\x1b[1mmodified a  +1 -1\x1b[0m\n\x1b[36m@@ -1,1 +1,1 @@\x1b[0m\n\x1b[31m-old\x1b[0m\n\x1b[32m+new\x1b[0m\n same\n\n\x1b[1m1 modified\x1b[0m\n"
        );
    }
}
