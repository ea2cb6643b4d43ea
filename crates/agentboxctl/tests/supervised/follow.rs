//! A trail that is followed, and signatures that wait.

use crate::fake::Fake;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// How soon a new line is to be seen.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Returns when it was seen that there is nothing new: what is added now is found by the next look.
fn until_it_waits(fake: &Fake) {
    let before = fake.in_vain();
    while fake.in_vain() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Follows, up to the end of what is there already.
fn follow(fake: &Fake, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = fake.command(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        assert!(lines.next().unwrap().unwrap().contains("started"));
    }
    (child, lines)
}

#[test]
fn new_lines_are_shown_at_once_until_the_key_that_ends_it() {
    for (arguments, words) in [
        (&["log", "abc", "-f"][..], "net-allowed   a.org:443; rule a.org"),
        (&["log", "--follow", "--json"], r#""event":"net-allowed""#),
    ] {
        let fake = Fake::new(drop);
        let (mut child, mut lines) = follow(&fake, arguments);
        for _ in 0..3 {
            until_it_waits(&fake);
            let since = Instant::now();
            fake.event(r#""event":"net-allowed","destination":"a.org","port":443,"rule":"a.org","count":1"#);
            let line = lines.next().unwrap().unwrap();
            assert!(since.elapsed() <= AT_ONCE, "{:?}", since.elapsed());
            assert!(line.contains(words), "{line}");
            assert_eq!(
                arguments.contains(&"--json"),
                serde_json::from_str::<serde_json::Value>(&line).is_ok()
            );
        }
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(2), "as everything that Ctrl-C ends");
        assert!(lines.next().is_none());
    }
}

#[test]
fn a_quiet_trail_is_asked_for_a_few_times_a_second() {
    let fake = Fake::new(drop);
    let (mut child, _lines) = follow(&fake, &["log", "-f"]);
    until_it_waits(&fake);
    let before = fake.in_vain();
    std::thread::sleep(AT_ONCE);
    let asked = fake.in_vain() - before;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((1..=4).contains(&asked), "{asked}");
}

#[test]
fn a_trail_is_not_followed_for_a_reader_that_has_left() {
    let fake = Fake::new(drop);
    let (mut child, lines) = follow(&fake, &["log", "-f"]);
    until_it_waits(&fake);
    drop(lines);
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > 10 * AT_ONCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it goes on for nobody");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_waits_is_shown_once_as_long_as_somebody_reads() {
    let fake = Fake::new(drop);
    let arguments = ["confirm", "--follow", "--json"];
    let mut child = fake.command(&arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let shown = lines.next().unwrap().unwrap();
    assert!(!shown.contains(['\x1b', '\u{202e}']));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["session"], &shown["number"]), (&"abc".into(), &3.into()));
    until_it_waits(&fake);
    until_it_waits(&fake);
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2));
    assert!(lines.next().is_none(), "it was shown twice");
}
