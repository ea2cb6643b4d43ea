//! The program between a person and a supervisor, both played by the test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod complete;
mod confirm;
mod early;
mod escaping;
mod fake;
mod follow;
mod network;

use agentbox_plan::console::{FromConsole, ToConsole};
use agentbox_plan::{Exit, TerminalSize};
use fake::{Fake, Said};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Output, Stdio};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Starts a command that reads nothing.
fn run(fake: &Fake, arguments: &[&str]) -> Output {
    fake.command(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn bytes_and_status_pass_as_if_nothing_were_between() {
    let fake = Fake::new(|mut console| {
        let typed = console.read_until(|message| *message == ToConsole::InputEnd);
        for message in typed {
            if let ToConsole::Input(bytes) = message {
                console.say(&FromConsole::Output(bytes));
            }
        }
        console.say(&FromConsole::Error(b"\x00\xff".to_vec()));
        console.say(&FromConsole::Exited(Exit::Code { status: 7 }));
    });
    let sent: Vec<u8> = (0..3_000_000u32).map(|at| (at % 253) as u8).collect();
    let mut child = fake
        .command(&["start", fake.project(), "--posture", "L1", "--name", "n", "--", "cat", "-u"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let expected = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let ended = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.stdout == expected);
    assert_eq!(ended.stderr, b"\x00\xff", "no banner where standard error is the agent's");
    let Said::Start(request) = &fake.said()[0] else { panic!() };
    assert_eq!(request.options.posture.as_deref(), Some("L1"));
    assert_eq!(request.options.name.as_deref(), Some("n"));
    assert_eq!(request.options.command, ["cat", "-u"]);
    assert_eq!(request.streams, [false; 3]);
    assert_eq!(request.environment.get("AB_MARK").map(String::as_str), Some("1"));
}

#[test]
fn every_end_has_its_status() {
    for (exit, status, words) in [
        (Exit::Code { status: 0 }, 0, ""),
        (Exit::Signal { number: 15 }, 143, ""),
        (Exit::NotExecuted { errno: 2 }, 127, "No such file"),
        (Exit::NotExecuted { errno: 13 }, 126, "Permission denied"),
    ] {
        let fake = Fake::new(move |mut console| console.say(&FromConsole::Exited(exit)));
        let ended = run(&fake, &["start", fake.project(), "--", "prog"]);
        assert_eq!(ended.status.code(), Some(status), "{exit:?}");
        assert!(text(&ended.stderr).contains(words) && text(&ended.stderr).is_empty() == words.is_empty());
    }
    let lost = Fake::new(drop);
    let ended = run(&lost, &["attach", "abc"]);
    assert_eq!(ended.status.code(), Some(125));
    assert!(text(&ended.stderr).contains("lost"));
}

#[test]
fn a_reader_that_has_enough_ends_the_producer() {
    let fake = Fake::new(|mut console| {
        let piece = FromConsole::Output(b"line\n".repeat(1000));
        while !console.heard(&ToConsole::OutputClosed) {
            console.say(&piece);
        }
        console.say(&FromConsole::Exited(Exit::Signal { number: 13 }));
    });
    let mut child = fake
        .command(&["exec", "abc", "--", "yes"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn signals_reach_the_agent() {
    let fake = Fake::new(|mut console| {
        console.say(&FromConsole::Output(b"ready".to_vec()));
        let signals = console.read_until(|message| *message == ToConsole::Signal(15));
        assert!(signals.contains(&ToConsole::Signal(2)));
        console.say(&FromConsole::Exited(Exit::Code { status: 3 }));
    });
    let mut child = fake
        .command(&["start", fake.project(), "--", "x"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

fn on_terminal(fake: &Fake, arguments: &[&str]) -> (OwnedFd, OwnedFd, Child) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let size = rustix::termios::Winsize { ws_row: 30, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).unwrap();
    let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
    let end = || Stdio::from(terminal.try_clone().unwrap());
    let child = fake.command(arguments).stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    (master, terminal, child)
}

fn read_until(master: &OwnedFd, words: &str) -> String {
    let (mut shown, mut piece) = (Vec::new(), [0; 512]);
    let mut master = File::from(master.try_clone().unwrap());
    while !String::from_utf8_lossy(&shown).contains(words) {
        let count = master.read(&mut piece).unwrap();
        shown.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn a_terminal_is_raw_meanwhile_and_itself_again_after_leaving() {
    let fake = Fake::new(|mut console| {
        console.say(&FromConsole::Output(b"\x1b[?1049hready".to_vec()));
        let heard = console.read_until(|message| *message == ToConsole::Detach);
        assert_eq!(heard[0], ToConsole::Resize(TerminalSize { rows: 30, columns: 101 }));
        assert!(heard.contains(&ToConsole::Input(b"\x03ls\r".to_vec())), "{heard:?}");
        console.say(&FromConsole::Detached);
    });
    let (master, terminal, mut child) = on_terminal(&fake, &["start", fake.project()]);
    let canonical = || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON);
    let banner = read_until(&master, "ready");
    assert!(banner.contains("agentbox abc:"), "{banner}");
    assert!(!canonical());
    rustix::io::write(&master, b"\x03ls\r").unwrap();
    rustix::io::write(&master, b"\x1d\x1d").unwrap();
    let left = read_until(&master, "agentboxctl attach abc");
    assert!(left.contains("\x1b[?1049l"), "{left:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(canonical());
    let Said::Start(request) = &fake.said()[0] else { panic!() };
    assert_eq!((request.streams, request.rows, request.columns), ([true; 3], 30, 101));
}

#[test]
fn a_killed_conversation_restores_the_terminal() {
    let fake = Fake::new(|mut console| {
        console.say(&FromConsole::Output(b"ready".to_vec()));
        console.read_until(|message| *message == ToConsole::Detach);
    });
    let (master, terminal, mut child) = on_terminal(&fake, &["attach", "abc"]);
    read_until(&master, "ready");
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(129));
    assert!(tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON));
}

#[test]
fn no_confinement_wants_a_word_typed() {
    let fake = Fake::new(|mut console| console.say(&FromConsole::Exited(Exit::Code { status: 0 })));
    let (master, _terminal, mut child) = on_terminal(&fake, &["start", fake.project(), "--posture", "L0"]);
    read_until(&master, "go on:");
    rustix::io::write(&master, b"yes\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(125));
    assert!(fake.said().is_empty());
    let (master, _terminal, mut child) = on_terminal(&fake, &["start", fake.project(), "--posture", "L0"]);
    read_until(&master, "go on:");
    rustix::io::write(&master, b"unconfined\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let Said::Start(request) = &fake.said()[0] else { panic!() };
    assert!(request.options.allow_unconfined);
}

#[test]
fn a_detached_start_prints_the_id_and_nothing_else() {
    let fake = Fake::new(drop);
    let plain = run(&fake, &["start", fake.project(), "--detach"]);
    assert_eq!((plain.status.code(), text(&plain.stdout), text(&plain.stderr)), (Some(0), "abc\n", ""));
    let json = run(&fake, &["start", fake.project(), "--detach", "--json"]);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap()["id"], "abc");
}

#[test]
fn refusals_are_told_in_their_lines_and_harmless() {
    let fake = Fake::new(drop);
    let refused = run(&fake, &["start", fake.project(), "--profile", "refuse"]);
    assert_eq!(refused.status.code(), Some(125));
    let expected =
        "agentboxctl: refused: \\x1b[2J\n  rule: /etc/agentbox/agentbox.toml: floor.network\n  do this\n";
    assert_eq!(text(&refused.stderr), expected);
    let missing = run(&fake, &["status", "gone"]);
    assert_eq!((missing.status.code(), text(&missing.stderr)), (Some(1), "agentboxctl: no session gone\n"));
}

/// What root reads for somebody else it reads as that person. Needs root to mean anything: for anybody else
/// the same files are just not readable.
#[test]
fn files_are_read_as_their_owner() {
    let fake = Fake::new(|mut console| console.say(&FromConsole::Exited(Exit::Code { status: 0 })));
    let file = format!("{}/.agentbox.toml", fake.project());
    fs::write(&file, "network = \"none\"\n").unwrap();
    if rustix::process::geteuid().is_root() {
        // `daemon`, the first account after root everywhere.
        std::os::unix::fs::chown(fake.project(), Some(1), Some(1)).unwrap();
    }
    let read = run(&fake, &["start", fake.project(), "--", "x"]);
    assert_eq!(read.status.code(), Some(0), "{}", text(&read.stderr));
    let Said::Start(request) = &fake.said()[0] else { panic!() };
    assert_eq!(request.project_file.as_ref().unwrap().file, file);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let refused = run(&fake, &["start", fake.project(), "--", "x"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(text(&refused.stderr).contains("Permission denied"), "{}", text(&refused.stderr));
}

#[test]
fn a_session_started_with_nohup_outlives_its_terminal() {
    let fake = Fake::new(|mut console| {
        console.say(&FromConsole::Output(b"ready".to_vec()));
        let heard = console.read_until(|message| matches!(message, ToConsole::Signal(_)));
        assert_eq!(heard, [ToConsole::InputEnd, ToConsole::Signal(15)]);
        console.say(&FromConsole::Exited(Exit::Code { status: 5 }));
    });
    let mut nohup = fake.command(&[]);
    let mut command = std::process::Command::new("nohup");
    command.arg(nohup.get_program()).args(["start", fake.project(), "--", "x"]);
    command.envs(nohup.stdin(Stdio::null()).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}
