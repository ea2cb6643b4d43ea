//! Taking both what a session and what the project has changed in a file, from what both began with.
//!
//! What both began with is the file in the commit that the project's `HEAD` was at when the layer was made. Lines
//! that only one of them changed are taken from that one; where both changed the same lines in different ways,
//! the file is a conflict and not touched. git only hands out the bytes of that commit.

use super::Review;
use super::apply::{Left, Selection, Why};
use super::change::{Change, RelPath};
use super::lines::{Edit, edits, is_binary, lines};
use super::repository::Repository;
use super::show;
use super::tree::Kind;
use crate::errors::Failure;

/// Most bytes of a file that is merged.
const MAX_BYTES: u64 = 4 << 20;

/// Merges what a selection left for it.
pub(crate) fn merge(review: &Review, selection: &mut Selection) -> Result<(), Failure> {
    for change in std::mem::take(&mut selection.to_merge) {
        match merged(review, &change) {
            Ok(content) => selection.take_merged(&change, content),
            Err(why) => selection.left.push(Left { path: change.path, why: Why::Unmerged(why) }),
        }
    }
    Ok(())
}

fn merged(review: &Review, change: &Change) -> Result<Vec<u8>, &'static str> {
    let is_file = |entry: Option<super::tree::Entry>| entry.is_some_and(|entry| entry.kind == Kind::File);
    if change.renamed_from.is_some() || !is_file(change.before) || !is_file(change.after) {
        return Err("only the content of a file can be merged; choose --theirs or --mine");
    }
    let read = |root, path: &RelPath| show::content(root, path, MAX_BYTES).ok().flatten();
    let ours =
        read(&review.trees.project, &change.path).ok_or("it cannot be read, or is too large to be merged")?;
    let theirs =
        read(&review.trees.merged, &change.path).ok_or("it cannot be read, or is too large to be merged")?;
    let commit = review.facts.base_commit.as_deref();
    let base = commit
        .and_then(|commit| Repository::make(review, commit).ok()?.blob(commit, &change.path, MAX_BYTES));
    let base = base
        .ok_or("what both began with is not known: the file was in no commit; choose --theirs or --mine")?;
    if [&base, &ours, &theirs].into_iter().any(|text| is_binary(text)) {
        return Err("it is no text; choose --theirs or --mine");
    }
    three_way(&base, &ours, &theirs).ok_or("both changed the same lines; choose --theirs or --mine")
}

/// What both made of a text; `None` where they made different things of the same lines.
pub(crate) fn three_way(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    let (base, ours, theirs) = (lines(base), lines(ours), lines(theirs));
    let (our_edits, their_edits) = (edits(&base, &ours), edits(&base, &theirs));
    let (mut mine, mut other) = (our_edits.iter().peekable(), their_edits.iter().peekable());
    let mut out: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    loop {
        let (edit, from) = match (mine.peek(), other.peek()) {
            (None, None) => break,
            (Some(one), Some(two)) if touch(one, two) => {
                let same = one.old == two.old && ours[one.new.clone()] == theirs[two.new.clone()];
                if !same {
                    return None;
                }
                other.next();
                (mine.next()?, &ours)
            }
            (Some(one), Some(two)) if one.old.start > two.old.start => (other.next()?, &theirs),
            (Some(_), _) => (mine.next()?, &ours),
            (None, Some(_)) => (other.next()?, &theirs),
        };
        out.extend_from_slice(&base[at..edit.old.start]);
        out.extend_from_slice(&from[edit.new.clone()]);
        at = edit.old.end;
    }
    out.extend_from_slice(&base[at..]);
    Some(out.concat())
}

/// Whether two edits concern the same lines, or lines beside each other.
fn touch(one: &Edit, other: &Edit) -> bool {
    one.old.start <= other.old.end && other.old.start <= one.old.end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn merged(base: &str, ours: &str, theirs: &str) -> Option<String> {
        three_way(base.as_bytes(), ours.as_bytes(), theirs.as_bytes())
            .map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn lines_that_one_side_changed_are_taken_and_lines_that_both_changed_are_a_conflict() {
        let base = "1\n2\n3\n4\n5\n";
        assert_eq!(merged(base, "one\n2\n3\n4\n5\n", "1\n2\n3\n4\nfive\n").unwrap(), "one\n2\n3\n4\nfive\n");
        assert_eq!(
            merged(base, "1\n2\n3\n4\n5\n6\n", "0\n1\n2\n3\n4\n5\n").unwrap(),
            "0\n1\n2\n3\n4\n5\n6\n"
        );
        assert_eq!(merged(base, "1\nX\n3\n4\n5\n", "1\nY\n3\n4\n5\n"), None);
        assert_eq!(merged(base, "1\nX\n3\n4\n5\n", "1\nX\n3\n4\n5\n").unwrap(), "1\nX\n3\n4\n5\n");
        // Beside each other: which comes first is for a person to say.
        assert_eq!(merged(base, "1\nX\n3\n4\n5\n", "1\n2\nY\n4\n5\n"), None);
        assert_eq!(merged(base, "", "1\n2\nY\n4\n5\n"), None);
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(0u8..4, 0..20)
            .prop_map(|numbers| numbers.iter().map(|number| format!("{number}\n")).collect())
    }

    proptest! {
        #[test]
        fn a_side_that_changed_nothing_gives_the_other_one(base in text(), side in text()) {
            prop_assert_eq!(merged(&base, &base, &side), Some(side.clone()));
            prop_assert_eq!(merged(&base, &side, &base), Some(side.clone()));
            prop_assert_eq!(merged(&base, &side, &side), Some(side));
        }

        #[test]
        fn it_does_not_matter_whose_side_is_which(base in text(), ours in text(), theirs in text()) {
            prop_assert_eq!(merged(&base, &ours, &theirs), merged(&base, &theirs, &ours));
        }
    }
}
