//! Whether an audit trail is whole.
//!
//! The chain shows edits, removals and reordering; the head, a file of its own, shows that lines were cut
//! off at the end. Who can write both as root can forge both, or put others in their place: the heads that the
//! journal holds show that.

use super::chain::{Hash, Head, MAX_LINE_BYTES, read};
use agentbox_ipc::LogVerdict;
use std::collections::BTreeMap;

/// Most problems that are listed.
const MAX_PROBLEMS: usize = 50;

/// Checks the bytes of a trail against its head, and against heads from the journal where there is one. `head` is
/// `None` when there is no readable one.
pub(crate) fn verify(trail: &[u8], head: Option<&Head>, anchors: Option<&[Head]>) -> LogVerdict {
    let mut problems = Vec::new();
    let mut anchored: BTreeMap<u64, Vec<&Hash>> = BTreeMap::new();
    for Head { seq, hash } in anchors.unwrap_or_default() {
        anchored.entry(*seq).or_default().push(hash);
    }
    let known = anchored.len() as u64;
    let mut last = Head::empty();
    let mut lines = 0;
    for line in trail.split_inclusive(|byte| *byte == b'\n') {
        lines += 1;
        let Some(line) = line.strip_suffix(b"\n") else {
            problems.push(format!("line {lines}: cut off"));
            continue;
        };
        if line.len() > MAX_LINE_BYTES {
            problems.push(format!("line {lines}: longer than {MAX_LINE_BYTES} bytes"));
            continue;
        }
        let Some(link) = read(line) else {
            problems.push(format!("line {lines}: changed, or not written by agentboxd"));
            continue;
        };
        if link.seq != last.seq + 1 {
            problems.push(format!("line {lines}: event {} follows event {}", link.seq, last.seq));
        } else if link.prev != last.hash {
            problems.push(format!("line {lines}: event {} does not continue the line before", link.seq));
        }
        // A number may stand there twice: of this trail and of one that was here before.
        if anchored.remove(&link.seq).is_some_and(|hashes| hashes.iter().any(|hash| **hash != link.hash)) {
            problems.push(format!("line {lines}: the journal knows another event {}", link.seq));
        }
        last = Head { seq: link.seq, hash: link.hash };
    }
    if let (Some(first), Some(end)) = (anchored.keys().next(), anchored.keys().next_back()) {
        let missing =
            if first == end { format!("event {end}") } else { format!("events between {first} and {end}") };
        problems.push(format!("the journal knows {missing}, {} of them missing here", anchored.len()));
    }
    match head {
        None if lines > 0 => problems.push("the head is missing: lines may have been cut off the end".into()),
        Some(head) if head.seq > last.seq => {
            problems.push(format!(
                "line {lines}: the trail ends at event {}, the head says {}",
                last.seq, head.seq
            ));
        }
        Some(head) if head.seq == last.seq && head.hash != last.hash => {
            problems.push(format!("line {lines}: event {} is not the one that the head names", last.seq));
        }
        _ => {}
    }
    let whole = problems.is_empty();
    if problems.len() > MAX_PROBLEMS {
        let more = problems.len() - MAX_PROBLEMS;
        problems.truncate(MAX_PROBLEMS);
        problems.push(format!("and {more} more"));
    }
    LogVerdict { whole, lines, last: last.seq, anchors: anchors.map(|_| known), problems }
}

#[cfg(test)]
mod tests {
    use super::super::chain::write;
    use super::*;
    use serde_json::json;

    fn trail(count: u64) -> (Vec<Vec<u8>>, Head) {
        let mut head = Head::empty();
        let mut lines = Vec::new();
        for seq in 1..=count {
            let (line, next) = write(&head, seq, 1000 + seq, json!({ "event": "x", "number": seq }));
            lines.push(line);
            head = next;
        }
        (lines, head)
    }

    #[test]
    fn an_untouched_trail_is_whole() {
        let (lines, head) = trail(20);
        let verdict = verify(&lines.concat(), Some(&head), None);
        assert!(verdict.whole, "{verdict:?}");
        assert_eq!((verdict.lines, verdict.last), (20, 20));
        assert!(verify(&[], None, None).whole);
    }

    #[test]
    fn an_edit_is_found_with_its_line() {
        let (mut lines, head) = trail(5);
        let text = String::from_utf8(lines[2].clone()).unwrap();
        lines[2] = text.replace("\"number\":3", "\"number\":4").into_bytes();
        let verdict = verify(&lines.concat(), Some(&head), None);
        assert!(verdict.problems[0].starts_with("line 3:"), "{verdict:?}");
    }

    #[test]
    fn an_edit_with_a_new_hash_breaks_the_next_line() {
        let (mut lines, head) = trail(5);
        let before = read(&lines[1][..lines[1].len() - 1]).unwrap();
        let forged =
            write(&Head { seq: 2, hash: before.hash }, 3, 1003, json!({ "event": "x", "number": 9 })).0;
        lines[2] = forged;
        let verdict = verify(&lines.concat(), Some(&head), None);
        assert!(verdict.problems[0].starts_with("line 4:"), "{verdict:?}");
    }

    #[test]
    fn a_removed_line_is_found() {
        let (mut lines, head) = trail(5);
        lines.remove(2);
        let verdict = verify(&lines.concat(), Some(&head), None);
        assert_eq!(verdict.problems, ["line 3: event 4 follows event 2"]);
    }

    #[test]
    fn reordered_lines_are_found() {
        let (mut lines, head) = trail(5);
        lines.swap(1, 2);
        assert!(!verify(&lines.concat(), Some(&head), None).whole);
    }

    #[test]
    fn a_trail_that_was_cut_off_is_found() {
        let (lines, head) = trail(5);
        for keep in 0..5 {
            assert!(!verify(&lines[..keep].concat(), Some(&head), None).whole, "{keep} lines");
        }
        assert!(!verify(&lines.concat(), None, None).whole);
        let bytes = lines.concat();
        assert!(!verify(&bytes[..bytes.len() - 5], Some(&head), None).whole);
    }

    #[test]
    fn what_is_rewritten_with_its_head_is_found_by_the_journal() {
        let heads = |lines: &[Vec<u8>]| -> Vec<Head> {
            let links = lines.iter().map(|line| read(line.strip_suffix(b"\n").unwrap()).unwrap());
            links.map(|link| Head { seq: link.seq, hash: link.hash }).collect()
        };
        let (lines, head) = trail(9);
        let anchors = heads(&lines);
        let verdict = verify(&lines.concat(), Some(&head), Some(&anchors));
        assert!(verdict.whole && verdict.anchors == Some(9), "{verdict:?}");
        // The journal has lost some, or all.
        assert!(verify(&lines.concat(), Some(&head), Some(&anchors[4..6])).whole);
        assert!(verify(&lines.concat(), Some(&head), Some(&[])).whole);
        // Cut off, with a head that fits.
        for keep in 0..9 {
            let cut = &lines[..keep];
            let end = heads(cut).pop().unwrap_or_else(Head::empty);
            assert!(verify(&cut.concat(), Some(&end), None).whole, "the control");
            let verdict = verify(&cut.concat(), Some(&end), Some(&anchors));
            assert!(!verdict.whole && verdict.problems[0].contains("missing here"), "{keep}: {verdict:?}");
            // What is lost to the journal as well is vouched for by the head behind it only.
            assert!(!verify(&cut.concat(), Some(&end), Some(&anchors[8..])).whole);
        }
        // Another trail, whole in itself, and longer.
        let mut forged = (Vec::new(), Head::empty());
        for seq in 1..=20 {
            let (line, next) = write(&forged.1, seq, 7, json!({ "event": "y" }));
            forged.0.push(line);
            forged.1 = next;
        }
        assert!(verify(&forged.0.concat(), Some(&forged.1), None).whole, "the control");
        let verdict = verify(&forged.0.concat(), Some(&forged.1), Some(&anchors));
        assert!(verdict.problems.iter().any(|said| said.contains("another event 1")), "{verdict:?}");
        // Another first event, with everything after it made to fit.
        let verdict = verify(&forged.0.concat(), Some(&forged.1), Some(&anchors[..1]));
        assert!(!verdict.whole);
    }
}
