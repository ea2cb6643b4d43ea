//! Whether an audit trail is whole.
//!
//! The chain shows edits, removals and reordering; the head, a file of its own, shows that lines were cut
//! off at the end. Whoever can write both as root can forge both: that needs an anchor elsewhere.

use super::chain::{Head, MAX_LINE_BYTES, read};
use agentbox_ipc::LogVerdict;

/// Most problems that are listed.
const MAX_PROBLEMS: usize = 50;

/// Checks the bytes of a trail against its head. `head` is `None` when there is no readable one.
pub(crate) fn verify(trail: &[u8], head: Option<&Head>) -> LogVerdict {
    let mut problems = Vec::new();
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
        last = Head { seq: link.seq, hash: link.hash };
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
    LogVerdict { whole, lines, last: last.seq, problems }
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
        let verdict = verify(&lines.concat(), Some(&head));
        assert!(verdict.whole, "{verdict:?}");
        assert_eq!((verdict.lines, verdict.last), (20, 20));
        assert!(verify(&[], None).whole);
    }

    #[test]
    fn an_edit_is_found_with_its_line() {
        let (mut lines, head) = trail(5);
        let text = String::from_utf8(lines[2].clone()).unwrap();
        lines[2] = text.replace("\"number\":3", "\"number\":4").into_bytes();
        let verdict = verify(&lines.concat(), Some(&head));
        assert!(verdict.problems[0].starts_with("line 3:"), "{verdict:?}");
    }

    #[test]
    fn an_edit_with_a_new_hash_breaks_the_next_line() {
        let (mut lines, head) = trail(5);
        let before = read(&lines[1][..lines[1].len() - 1]).unwrap();
        let forged =
            write(&Head { seq: 2, hash: before.hash }, 3, 1003, json!({ "event": "x", "number": 9 })).0;
        lines[2] = forged;
        let verdict = verify(&lines.concat(), Some(&head));
        assert!(verdict.problems[0].starts_with("line 4:"), "{verdict:?}");
    }

    #[test]
    fn a_removed_line_is_found() {
        let (mut lines, head) = trail(5);
        lines.remove(2);
        let verdict = verify(&lines.concat(), Some(&head));
        assert_eq!(verdict.problems, ["line 3: event 4 follows event 2"]);
    }

    #[test]
    fn reordered_lines_are_found() {
        let (mut lines, head) = trail(5);
        lines.swap(1, 2);
        assert!(!verify(&lines.concat(), Some(&head)).whole);
    }

    #[test]
    fn a_trail_that_was_cut_off_is_found() {
        let (lines, head) = trail(5);
        for keep in 0..5 {
            assert!(!verify(&lines[..keep].concat(), Some(&head)).whole, "{keep} lines");
        }
        assert!(!verify(&lines.concat(), None).whole);
        let bytes = lines.concat();
        assert!(!verify(&bytes[..bytes.len() - 5], Some(&head)).whole);
    }
}
