//! Signals that no agent hears: there is none yet, or it stands still.

use crate::fake::{Fake, Said};
use crate::{on_terminal, read_until, run, text};
use agentbox_plan::Exit;
use agentbox_plan::console::{FromConsole, ToConsole};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Stdio};

fn tell(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn until_asked(fake: &Fake) {
    while fake.said().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn stopped(fake: &Fake) -> Vec<String> {
    let stop = |said: &Said| if let Said::Stop(id, _) = said { Some(id.clone()) } else { None };
    fake.said().iter().filter_map(stop).collect()
}

#[test]
fn a_signal_while_a_start_is_pending_ends_the_session_that_comes_of_it() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)]
    {
        let fake = Fake::new(drop);
        let (master, _terminal, mut child) =
            on_terminal(&fake, &["start", fake.project(), "--profile", "slow"]);
        until_asked(&fake);
        tell(&child, signal);
        let shown = read_until(&master, "session abc was ended");
        assert_eq!(child.wait().unwrap().code(), Some(status), "{shown}");
        assert_eq!(stopped(&fake), ["abc"]);
    }
    let fake = Fake::new(drop);
    let child = fake
        .command(&["start", fake.project(), "--profile", "slow", "--detach"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_asked(&fake);
    tell(&child, Signal::TERM);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stdout)), (Some(143), ""));
    assert_eq!(
        text(&ended.stderr),
        "agentboxctl: session abc was ended: SIGTERM came while it was started\n"
    );
    assert_eq!(stopped(&fake), ["abc"]);
}

#[test]
fn a_signal_for_a_session_that_stands_still_ends_it() {
    let fake = Fake::new(|mut console| {
        console.say(&FromConsole::Output(b"ready".to_vec()));
        console.read_until(|message| *message == ToConsole::Signal(15));
    });
    let begin = |arguments: &[&str]| {
        let mut child = fake
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        child
    };
    let child = begin(&["attach", "still"]);
    tell(&child, Signal::TERM);
    let ended = child.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(143), "{said}");
    assert!(said.starts_with("agentbox still: it stands still: a file \\x1b[2J\n"), "{said}");
    assert!(said.contains("agentboxctl thaw still\n"), "{said}");
    assert!(said.ends_with("session still was ended: SIGTERM came while it stood still\n"), "{said}");
    assert_eq!(stopped(&fake), ["still"]);
    // A program beside the agent is left, and the session is not ended for it.
    let child = begin(&["exec", "still", "--", "x"]);
    tell(&child, Signal::TERM);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143));
    assert!(text(&ended.stderr).contains("left the program on SIGTERM: session still stands still"));
    assert_eq!(stopped(&fake), ["still"]);
}

#[test]
fn a_session_that_is_attached_to_by_its_name_is_asked_about_by_its_id() {
    let fake = Fake::new(|mut console| console.say(&FromConsole::Exited(Exit::Code { status: 0 })));
    let ended = run(&fake, &["attach", "named"]);
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), ""));
    assert!(matches!(&fake.said()[..], [Said::Attach(id)] if id == "abc"), "{:?}", fake.said());
}

#[test]
fn a_session_that_is_started_detached_from_a_terminal_has_one() {
    let fake = Fake::new(drop);
    let (_master, _terminal, mut child) = on_terminal(&fake, &["start", fake.project(), "--detach"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let Said::Start(request) = &fake.said()[0] else { panic!() };
    assert_eq!((request.streams, request.rows, request.columns), ([true; 3], 30, 101));
}

#[test]
fn a_name_of_a_session_that_has_ended_finds_what_it_left_or_says_how_to() {
    let fake = Fake::new(drop);
    let missing = run(&fake, &["report", "work"]);
    assert!(text(&missing.stderr).contains("goes by its id: `agentboxctl log`"), "{}", text(&missing.stderr));
    let running = run(&fake, &["diff", "was"]);
    assert!(text(&running.stderr).contains("no changes of newer"), "{}", text(&running.stderr));
    // What cannot be taken back is asked about by its id.
    let several = run(&fake, &["discard", "was", "--yes"]);
    assert!(text(&several.stderr).contains("several sessions were called `was`: older, newer"));
    // Before anybody is asked to agree.
    let unknown = run(&fake, &["discard", "nope"]);
    assert!(text(&unknown.stderr).contains("no session `nope` left changes"), "{}", text(&unknown.stderr));
}

#[test]
fn habits_from_elsewhere_are_told_how_it_is_written_here() {
    let fake = Fake::new(drop);
    let start = run(&fake, &["start", "sh"]);
    assert!(text(&start.stderr).contains("agentboxctl start -- sh"), "{}", text(&start.stderr));
    let exec = run(&fake, &["exec", "-it", "abc", "sh"]);
    assert!(text(&exec.stderr).contains("agentboxctl exec ID -- COMMAND"), "{}", text(&exec.stderr));
}
