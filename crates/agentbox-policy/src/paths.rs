//! Comparisons of paths as text. All of them are absolute and in normal form; nothing is looked up.

use crate::HostPath;
use agentbox_plan::InnerPath;

/// Whether `path` is `top` or lies below it.
pub(crate) fn is_within(path: &str, top: &str) -> bool {
    if top == "/" {
        return true;
    }
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether `path` lies below `top` and is not `top`.
pub(crate) fn is_below(path: &str, top: &str) -> bool {
    path != top && is_within(path, top)
}

/// Whether one of the two is the other or lies below it.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    is_within(a, b) || is_within(b, a)
}

/// Whether the text is an absolute path in normal form.
pub(crate) fn is_normal(path: &str) -> bool {
    InnerPath::new(path).is_ok()
}

/// The path with the home in place of `~`.
pub(crate) fn expand(path: &HostPath, home: &str) -> String {
    expand_text(path.as_str(), home)
}

/// As [`expand`], for a text in which only a leading `~` or `~/` means the home.
pub(crate) fn expand_text(text: &str, home: &str) -> String {
    match text.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => format!("{home}{rest}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_counts_whole_names() {
        assert!(is_within("/a/b", "/a/b") && is_within("/a/b/c", "/a/b") && is_within("/a", "/"));
        assert!(!is_within("/a/bc", "/a/b") && !is_within("/a", "/a/b"));
        assert!(!is_below("/a", "/a") && is_below("/a/b", "/a"));
        assert!(overlap("/a", "/a/b") && overlap("/a/b", "/a") && !overlap("/a/b", "/a/c"));
    }

    #[test]
    fn only_a_leading_tilde_is_the_home() {
        for (text, path) in [("~", "/h"), ("~/a", "/h/a"), ("~a", "~a"), ("/~/a", "/~/a"), ("a ~/b", "a ~/b")]
        {
            assert_eq!(expand_text(text, "/h"), path);
        }
    }
}
