use super::*;
use std::fs;
use tempfile::TempDir;

fn open(dir: &TempDir) -> Audit {
    Audit::open(File::open(dir.path()).unwrap().into(), None)
}

fn record(audit: &mut Audit, count: u64) {
    for number in 0..count {
        audit
            .record(json!({ "event": "start", "number": number, "session": "abc", "owner_uid": 7 }))
            .unwrap();
    }
}

#[test]
fn a_trail_goes_on_where_it_ended() {
    let dir = TempDir::new().unwrap();
    for _ in 0..3 {
        record(&mut open(&dir), 4);
    }
    let verdict = open(&dir).reading().unwrap().verify(None).unwrap();
    assert!(verdict.whole, "{verdict:?}");
    assert_eq!(verdict.last, 12);
}

#[test]
fn a_crash_between_line_and_head_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let mut audit = open(&dir);
    record(&mut audit, 3);
    let head = fs::read(dir.path().join(HEAD)).unwrap();
    record(&mut audit, 1);
    fs::write(dir.path().join(HEAD), head).unwrap();
    let mut audit = open(&dir);
    assert!(audit.problem().is_none());
    record(&mut audit, 1);
    let verdict = audit.reading().unwrap().verify(None).unwrap();
    assert!(verdict.whole, "{verdict:?}");
    assert_eq!(verdict.last, 5);
}

#[test]
fn half_a_line_is_taken_off_and_said() {
    let dir = TempDir::new().unwrap();
    record(&mut open(&dir), 3);
    let path = dir.path().join(TRAIL);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"seq\":4,\"even");
    fs::write(&path, bytes).unwrap();
    let mut audit = open(&dir);
    let verdict = audit.reading().unwrap().verify(None).unwrap();
    assert!(verdict.whole, "{verdict:?}");
    let lines = audit.reading().unwrap().lines(Reader::Root, None, 3).unwrap();
    assert!(lines[0].contains("trail-repaired"), "{lines:?}");
}

#[test]
fn a_trail_that_was_cut_off_stays_marked() {
    let dir = TempDir::new().unwrap();
    record(&mut open(&dir), 5);
    let path = dir.path().join(TRAIL);
    let text = fs::read_to_string(&path).unwrap();
    let kept: String = text.split_inclusive('\n').take(2).collect();
    fs::write(&path, kept).unwrap();
    let mut audit = open(&dir);
    assert!(audit.problem().unwrap().contains("ends at event 2, its head says 5"));
    record(&mut audit, 2);
    assert!(!audit.reading().unwrap().verify(None).unwrap().whole);
    drop(audit);
    let mut audit = open(&dir);
    assert!(!audit.reading().unwrap().verify(None).unwrap().whole, "opening it again does not heal it");
}

#[test]
fn a_trail_without_its_head_is_not_whole() {
    let dir = TempDir::new().unwrap();
    record(&mut open(&dir), 5);
    fs::remove_file(dir.path().join(HEAD)).unwrap();
    let mut audit = open(&dir);
    assert!(audit.problem().is_some());
    assert!(!audit.reading().unwrap().verify(None).unwrap().whole);
}

#[test]
fn owners_read_their_own_lines() {
    let dir = TempDir::new().unwrap();
    let mut audit = open(&dir);
    record(&mut audit, 3);
    audit.record(json!({ "event": "stop", "session": "other", "owner_uid": 8 })).unwrap();
    audit.record(json!({ "event": "daemon-started" })).unwrap();
    assert_eq!(audit.reading().unwrap().lines(Reader::Root, None, 0).unwrap().len(), 5);
    assert_eq!(audit.reading().unwrap().lines(Reader::Owner(7), None, 0).unwrap().len(), 3);
    assert_eq!(audit.reading().unwrap().lines(Reader::Owner(7), Some("other"), 0).unwrap().len(), 0);
    assert_eq!(audit.reading().unwrap().lines(Reader::Owner(7), Some("abc"), 2).unwrap().len(), 1);
}

#[test]
fn a_trail_that_cannot_be_written_is_an_error_and_a_problem() {
    let dir = TempDir::new().unwrap();
    let mut audit = open(&dir);
    audit.trail().unwrap().file = File::open(dir.path().join(TRAIL)).unwrap();
    assert!(audit.record(json!({ "event": "start" })).is_err());
    assert!(audit.problem().unwrap().contains("every start is refused"));
    audit.trail = None;
    audit.record(json!({ "event": "start" })).unwrap();
    assert!(audit.problem().is_none());
}

#[test]
fn a_trail_that_is_replaced_under_a_running_supervisor_is_found() {
    let dir = TempDir::new().unwrap();
    let mut audit = open(&dir);
    record(&mut audit, 3);
    let path = dir.path().join(TRAIL);
    // A copy is as whole as the original, and another file.
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    record(&mut audit, 1);
    assert!(audit.reading().unwrap().verify(None).unwrap().whole, "nothing was lost");
    for forged in [Some(&bytes[..0]), None] {
        fs::remove_file(&path).unwrap();
        if let Some(forged) = forged {
            fs::write(&path, forged).unwrap();
        }
        record(&mut audit, 1);
        assert!(!audit.reading().unwrap().verify(None).unwrap().whole);
        assert!(
            audit.problem().unwrap().contains("another file stood in its place"),
            "{:?}",
            audit.problem()
        );
    }
}

#[test]
fn a_head_that_is_changed_under_a_running_supervisor_is_found() {
    let dir = TempDir::new().unwrap();
    let mut audit = open(&dir);
    record(&mut audit, 2);
    let (trail, head) = (dir.path().join(TRAIL), dir.path().join(HEAD));
    let (two, said) = (fs::read(&trail).unwrap(), fs::read(&head).unwrap());
    record(&mut audit, 1);
    // Back to what was whole a moment ago, in place.
    fs::write(&trail, two).unwrap();
    fs::write(&head, said).unwrap();
    assert!(!audit.reading().unwrap().verify(None).unwrap().whole);
}

/// Texts in the code of this crate that stand where an event is named, and all others.
fn code() -> String {
    fn add(directory: &std::path::Path, text: &mut String) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                add(&path, text);
            } else {
                let file = fs::read_to_string(&path).unwrap();
                text.push_str(file.split("#[cfg(test)]\nmod ").next().unwrap());
            }
        }
    }
    let mut text = String::new();
    add(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut text);
    text
}

#[test]
fn the_table_of_events_is_what_the_code_writes() {
    let code = code();
    for named in code.split("\"event\": \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(Event::named(named).is_some(), "{named} is not in the table");
    }
    for event in agentbox_ipc::EVENTS {
        assert!(code.contains(&format!("\"{}\"", event.name)), "nobody writes {}", event.name);
    }
}

#[test]
fn lines_behind_a_number_are_found_in_a_long_trail() {
    let dir = TempDir::new().unwrap();
    let mut audit = open(&dir);
    record(&mut audit, 3000);
    let reading = audit.reading().unwrap();
    assert!(reading.length > 500_000);
    for after in [0, 1, 17, 1499, 1500, 2998, 2999, 3000, 9000] {
        let lines = reading.lines(Reader::Root, None, after).unwrap();
        let first =
            lines.first().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap());
        assert_eq!(first, (after < 3000).then_some(after + 1), "after {after}");
        assert_eq!(lines.len() as u64, 3000_u64.saturating_sub(after), "after {after}");
    }
}
