//! Texts as lines, and which of them differ.

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Longest that two texts are compared. Then what is left of them counts as one difference.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lines around a difference that are shown.
const CONTEXT: usize = 3;

/// Lines of a text, each with the newline at its end.
pub(crate) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Whether somebody would call it a text: git's rule, no NUL byte near its front.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(8000).any(|byte| *byte == 0)
}

/// A stretch of lines that another stretch takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) old: Range<usize>,
    pub(crate) new: Range<usize>,
}

/// The edits that make one text of the other, in order, none beside another.
pub(crate) fn edits(old: &[&[u8]], new: &[&[u8]]) -> Vec<Edit> {
    let deadline = Some(Instant::now() + PATIENCE);
    let operations = capture_diff_slices_deadline(Algorithm::Myers, old, new, deadline);
    let mut edits: Vec<Edit> = Vec::new();
    let (mut old_at, mut new_at) = (0, 0);
    // What lies between two equal stretches is an edit, whatever it was made of.
    let equal = operations.into_iter().filter_map(|operation| match operation {
        DiffOp::Equal { old_index, new_index, len } => Some((old_index, new_index, len)),
        _ => None,
    });
    for (old_index, new_index, length) in equal.chain([(old.len(), new.len(), 0)]) {
        if old_index > old_at || new_index > new_at {
            edits.push(Edit { old: old_at..old_index, new: new_at..new_index });
        }
        (old_at, new_at) = (old_index + length, new_index + length);
    }
    edits
}

/// A line of a difference as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Where what follows is: first line and count, before and after.
    Place(usize, usize, usize, usize),
    /// In both.
    Same(&'a [u8]),
    /// Only before.
    Old(&'a [u8]),
    /// Only after.
    New(&'a [u8]),
}

/// A difference with a few lines around each edit.
pub(crate) fn hunks<'a>(old: &[&'a [u8]], new: &[&'a [u8]]) -> Vec<Line<'a>> {
    let edits = edits(old, new);
    let mut shown = Vec::new();
    let mut at = 0;
    while at < edits.len() {
        let mut end = at + 1;
        while end < edits.len() && edits[end].old.start - edits[end - 1].old.end <= 2 * CONTEXT {
            end += 1;
        }
        let (first, last) = (&edits[at], &edits[end - 1]);
        let before = first.old.start.min(CONTEXT);
        let after = (old.len() - last.old.end).min(CONTEXT);
        let (old_start, new_start) = (first.old.start - before, first.new.start - before);
        let (old_end, new_end) = (last.old.end + after, last.new.end + after);
        shown.push(Line::Place(old_start, old_end - old_start, new_start, new_end - new_start));
        let mut here = old_start;
        for edit in &edits[at..end] {
            shown.extend(old[here..edit.old.start].iter().map(|line| Line::Same(line)));
            shown.extend(old[edit.old.clone()].iter().map(|line| Line::Old(line)));
            shown.extend(new[edit.new.clone()].iter().map(|line| Line::New(line)));
            here = edit.old.end;
        }
        shown.extend(old[here..old_end].iter().map(|line| Line::Same(line)));
        at = end;
    }
    shown
}

/// How many lines an edit adds and takes away.
pub(crate) fn count(old: &[u8], new: &[u8]) -> (usize, usize) {
    let edits = edits(&lines(old), &lines(new));
    edits.iter().fold((0, 0), |(added, removed), edit| (added + edit.new.len(), removed + edit.old.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patched<'a>(old: &[&'a [u8]], shown: &[Line<'a>]) -> Vec<&'a [u8]> {
        let mut new = Vec::new();
        let mut at = 0;
        for line in shown {
            match *line {
                Line::Place(start, ..) => {
                    new.extend_from_slice(&old[at..start]);
                    at = start;
                }
                Line::Same(line) => {
                    assert_eq!(line, old[at]);
                    new.push(line);
                    at += 1;
                }
                Line::Old(line) => {
                    assert_eq!(line, old[at]);
                    at += 1;
                }
                Line::New(line) => new.push(line),
            }
        }
        new.extend_from_slice(&old[at..]);
        new
    }

    #[test]
    fn a_difference_has_three_lines_around_it() {
        let old = lines(b"1\n2\n3\n4\n5\n6\n7\n8\n9\n");
        let new = lines(b"1\n2\n3\n4\nfive\n6\n7\n8\n9\n");
        let shown = hunks(&old, &new);
        assert_eq!(shown[0], Line::Place(1, 7, 1, 7));
        assert_eq!(shown.len(), 9);
        assert_eq!(count(b"a\nb\n", b"a\nc\nd\n"), (2, 1));
        assert!(hunks(&old, &old).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_shown_makes_the_one_of_the_other(
            old in proptest::collection::vec(0u8..5, 0..40),
            new in proptest::collection::vec(0u8..5, 0..40),
        ) {
            let text = |numbers: &[u8]| numbers.iter().flat_map(|number| [b'a' + number, b'\n']).collect::<Vec<u8>>();
            let (old, new) = (text(&old), text(&new));
            let (old, new) = (lines(&old), lines(&new));
            prop_assert_eq!(patched(&old, &hunks(&old, &new)), new);
        }

        #[test]
        fn lines_are_the_text(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(lines(&text).concat(), text);
        }
    }
}
