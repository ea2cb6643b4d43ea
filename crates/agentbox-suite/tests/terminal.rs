//! A terminal inside behaves like the one outside.

use agentbox_suite::{Machine, Terminal};
use anyhow::{Result, ensure};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const LEAVE: &str = "\u{1d}\u{1d}";

fn start(machine: &Machine, command: &[&str]) -> Result<Terminal> {
    machine.terminal(&machine.start_arguments("L2", &["--quiet"], command), 24, 80)
}

/// A shell whose prompt is known, and which has printed it.
fn shell(machine: &Machine) -> Result<Terminal> {
    let mut terminal = start(machine, &["env", "PS1=pro''mpt> ", "bash", "--norc", "--noprofile", "-i"])?;
    // bash shows PS1 as it is, quotes included.
    terminal.wait_for("pro''mpt> ", LIMIT)?;
    Ok(terminal)
}

#[test]
fn the_size_is_the_callers_and_follows_it() -> Result<()> {
    let machine = Machine::new()?;
    let mut terminal = shell(&machine)?;
    terminal.send("stty size\r")?;
    terminal.wait_for("24 80", LIMIT)?;
    terminal.send("trap 'stty size' WINCH; echo tra''pped\r")?;
    terminal.wait_for("trapped", LIMIT)?;
    terminal.resize(50, 132)?;
    // An interactive bash runs a trap when its line ends.
    agentbox_suite::eventually("the new size has arrived", LIMIT, || {
        terminal.send("stty size\r")?;
        Ok(terminal.wait_for("50 132", Duration::from_secs(2)).ok())
    })?;
    terminal.send("exit 5\r")?;
    ensure!(terminal.finish(LIMIT)? == 5);
    ensure!(terminal.is_cooked()?, "the caller's terminal was not put back");
    Ok(())
}

#[test]
fn ctrl_c_interrupts_the_program_and_not_the_session() -> Result<()> {
    let machine = Machine::new()?;
    let mut terminal = shell(&machine)?;
    // Printed by the job itself, so that it and not the shell has the terminal by then.
    terminal.send("sh -c \"echo sta''rted; exec sleep 600\"\r")?;
    terminal.wait_for("started", LIMIT)?;
    terminal.send("\u{3}")?;
    terminal.wait_for("pro''mpt> ", LIMIT)?;
    terminal.send("echo status=$?\r")?;
    terminal.wait_for("status=130", LIMIT)?;
    terminal.send("exit 0\r")?;
    ensure!(terminal.finish(LIMIT)? == 0);
    Ok(())
}

#[test]
fn ctrl_z_stops_a_job_that_fg_continues() -> Result<()> {
    let machine = Machine::new()?;
    let mut terminal = shell(&machine)?;
    terminal.send("sh -c \"echo rea''dy; exec cat\"\r")?;
    terminal.wait_for("ready", LIMIT)?;
    terminal.send("before\r")?;
    terminal.wait_for("before\r\nbefore", LIMIT)?;
    terminal.send("\u{1a}")?;
    terminal.wait_for("Stopped", LIMIT)?;
    terminal.send("jobs; fg\r")?;
    terminal.wait_for("Stopped", LIMIT)?;
    terminal.send("after\r")?;
    terminal.wait_for("after\r\nafter", LIMIT)?;
    terminal.send("\u{4}")?;
    terminal.wait_for("pro''mpt> ", LIMIT)?;
    terminal.send("exit 0\r")?;
    ensure!(terminal.finish(LIMIT)? == 0);
    Ok(())
}

#[test]
fn detaching_leaves_the_session_and_attaching_returns_to_it() -> Result<()> {
    let machine = Machine::new()?;
    let mut terminal = shell(&machine)?;
    terminal.send("kept=va''lue\r")?;
    terminal.wait_for("pro''mpt> ", LIMIT)?;
    terminal.send(LEAVE)?;
    terminal.finish(LIMIT)?;
    ensure!(terminal.is_cooked()?, "the caller's terminal was not put back");

    let session = machine.only_session()?;
    ensure!(session.status()?["summary"]["state"] == "running");
    let mut again = machine.terminal(&["attach", &session.id], 30, 100)?;
    again.send("\recho $kept; stty size\r")?;
    again.wait_for("value\r\n30 100", LIMIT)?;
    again.send("exit 6\r")?;
    ensure!(again.finish(LIMIT)? == 6);
    Ok(())
}

#[test]
fn a_second_client_takes_over_from_the_first() -> Result<()> {
    let machine = Machine::new()?;
    let mut first = shell(&machine)?;
    let session = machine.only_session()?;
    let mut second = machine.terminal(&["attach", &session.id], 24, 80)?;
    second.send("\recho se''cond\r")?;
    second.wait_for("second", LIMIT)?;
    first.finish(LIMIT)?;
    ensure!(first.is_cooked()?, "the first terminal was not put back");
    second.send("exit 0\r")?;
    ensure!(second.finish(LIMIT)? == 0);
    Ok(())
}

#[test]
fn lines_of_an_agent_without_a_terminal_end_as_they_do_outside() -> Result<()> {
    let machine = Machine::new()?;
    let script = "while printf 'one\\ntwo\\n'; do sleep 0.2; done";
    let session = machine.detached("L2", &["sh", "-c", script])?;
    ensure!(session.status()?["streams"] == serde_json::json!([false, false, false]));
    let mut terminal = machine.terminal(&["attach", &session.id], 24, 80)?;
    terminal.wait_for("one\r\ntwo\r\n", LIMIT)?;
    // The keys that leave it are heard all the same.
    terminal.send(LEAVE)?;
    terminal.finish(LIMIT)?;
    ensure!(terminal.is_cooked()?, "the caller's terminal was not put back");
    ensure!(session.status()?["summary"]["state"] == "running");
    session.stop()
}

#[test]
fn a_terminal_that_disappears_leaves_the_session_running() -> Result<()> {
    let machine = Machine::new()?;
    let terminal = shell(&machine)?;
    let session = machine.only_session()?;
    drop(terminal);
    let mut again = machine.terminal(&["attach", &session.id], 24, 80)?;
    again.send("\recho he''re\r")?;
    again.wait_for("here", LIMIT)?;
    again.send("exit 0\r")?;
    ensure!(again.finish(LIMIT)? == 0);
    Ok(())
}

#[test]
fn what_would_command_the_callers_terminal_does_not_reach_it() -> Result<()> {
    let machine = Machine::new()?;
    // Clipboard, font, device control, application program, privacy message, status queries, file transfer.
    let bad: &[(&str, &str)] = &[
        ("\\033]52;c;Y2FuYXJ5\\007", "\u{1b}]52"),
        ("\\033]52;c;Y2FuYXJ5\\033\\\\", "]52"),
        ("\\033]50;font\\007", "\u{1b}]50"),
        ("\\033P+q544e\\033\\\\", "\u{1b}P"),
        ("\\033_Gpayload\\033\\\\", "\u{1b}_"),
        ("\\033^payload\\033\\\\", "\u{1b}^"),
        ("\\033[21t", "\u{1b}[21t"),
        ("\\033]1337;File=name=eA==:eA==\\007", "1337;File"),
        ("\\302\\23552;c;Y2FuYXJ5\\007", "\u{9d}52"),
    ];
    for (printed, forbidden) in bad {
        let script = format!("printf 'be''gin{printed}\\033[31mred\\033[0m e''nd\\n'");
        let mut terminal = start(&machine, &["sh", "-c", &script])?;
        terminal.wait_for("end", LIMIT)?;
        ensure!(terminal.finish(LIMIT)? == 0);
        let seen = terminal.seen_text();
        ensure!(!seen.contains(forbidden), "{printed}: {}", seen.escape_debug());
        // What follows an introducer that was taken away is text like any other.
        let obeyed = seen.contains("Y2FuYXJ5") && printed.starts_with("\\033");
        ensure!(!obeyed, "{printed}: {}", seen.escape_debug());
        ensure!(seen.contains("\u{1b}[31mred"), "colour is lost: {}", seen.escape_debug());
    }
    Ok(())
}

#[test]
fn a_sequence_that_comes_in_pieces_is_filtered_too() -> Result<()> {
    let machine = Machine::new()?;
    let script = "for piece in '\\033' ']' '5' '2;c;' 'Y2FuYXJ5' '\\007'; do printf \"$piece\"; sleep 0.05; done; echo e''nd";
    let mut terminal = start(&machine, &["sh", "-c", script])?;
    terminal.wait_for("end", LIMIT)?;
    ensure!(terminal.finish(LIMIT)? == 0);
    ensure!(!terminal.seen_text().contains("Y2FuYXJ5"), "{}", terminal.seen_text().escape_debug());
    Ok(())
}

#[test]
fn full_screen_programs_draw_and_leave() -> Result<()> {
    let machine = Machine::new()?;
    let programs: &[(&str, &[&str], &str, &str)] = &[
        ("/usr/bin/vim", &["vim", "-u", "NONE", "README"], "hello", ":q!\r"),
        ("/usr/bin/less", &["less", "README"], "hello", "q"),
        ("/usr/bin/top", &["top"], "PID", "q"),
    ];
    for (path, command, shown, leave) in programs {
        ensure!(std::path::Path::new(path).exists(), "no {path}: `cargo xtask setup test` installs it");
        let mut terminal = start(&machine, command)?;
        terminal.wait_for(shown, LIMIT)?;
        terminal.send(leave)?;
        ensure!(terminal.finish(LIMIT)? == 0, "{path}: {}", terminal.seen_text().escape_debug());
        ensure!(terminal.is_cooked()?, "{path}: the terminal was not put back");
    }
    Ok(())
}

#[test]
fn a_terminal_and_a_pipe_each_stay_what_they_are() -> Result<()> {
    let machine = Machine::new()?;
    let script = "for n in 0 1 2; do test -t $n && echo $n yes >&2 || echo $n no >&2; done; echo to-output";
    let inside = machine.start_arguments("L2", &["--quiet"], &["sh", "-c", script]);
    // Output into a pipe, input and errors on the terminal.
    let mut terminal = machine.shell_on_terminal("\"$@\" | tee copy | sed s/to-/from-/", &inside)?;
    ensure!(terminal.finish(LIMIT)? == 0 && terminal.is_cooked()?, "{}", terminal.seen_text());
    // Two streams: which comes first is open.
    let seen = terminal.seen_text().replace('\r', "");
    ensure!(seen.contains("0 yes\n1 no\n2 yes\n") && seen.contains("from-output\n"), "{seen:?}");
    ensure!(std::fs::read(machine.project().join("copy"))? == b"to-output\n", "a pipe carries bytes");
    // Input from a file, output on the terminal.
    let cat = format!("{script}; cat");
    let cat = machine.start_arguments("L2", &["--quiet"], &["sh", "-c", &cat]);
    let mut terminal = machine.shell_on_terminal("\"$@\" < README", &cat)?;
    ensure!(terminal.finish(LIMIT)? == 0 && terminal.is_cooked()?, "{}", terminal.seen_text());
    // Nobody types into the session, so the terminal stays cooked, and adds its own returns to those from inside.
    let seen = terminal.seen_text().replace('\r', "");
    ensure!(seen.contains("0 no\n1 yes\n2 yes\nto-output\nhello\n"), "{seen:?}");
    // Errors into a file.
    let mut terminal = machine.shell_on_terminal("\"$@\" 2> errors; echo status=$?", &inside)?;
    terminal.wait_for("to-output\r\n", LIMIT)?;
    terminal.wait_for("status=0", LIMIT)?;
    ensure!(terminal.finish(LIMIT)? == 0 && terminal.is_cooked()?, "{}", terminal.seen_text());
    ensure!(std::fs::read(machine.project().join("errors"))? == b"0 yes\n1 yes\n2 no\n");
    Ok(())
}

#[test]
fn ctrl_c_reaches_a_program_whose_output_is_a_pipe() -> Result<()> {
    let machine = Machine::new()?;
    let script = "trap 'echo interrupted; exit 3' INT; echo rea''dy >&2; while :; do sleep 0.1; done";
    let inside = machine.start_arguments("L2", &["--quiet"], &["sh", "-c", script]);
    let mut terminal = machine.shell_on_terminal("\"$@\" | tee copy", &inside)?;
    terminal.wait_for("ready", LIMIT)?;
    terminal.send("\u{3}")?;
    terminal.wait_for("interrupted", LIMIT)?;
    terminal.finish(LIMIT)?;
    ensure!(std::fs::read(machine.project().join("copy"))? == b"interrupted\n");
    ensure!(terminal.is_cooked()?, "the caller's terminal was not put back");
    Ok(())
}

#[test]
fn l0_is_agreed_to_by_a_word_that_is_typed() -> Result<()> {
    let machine = Machine::new()?;
    for (answer, status) in [("yes\r", 125), ("\r", 125), ("unconfined\r", 0)] {
        let mut terminal =
            machine.terminal(&["start", ".", "--posture", "L0", "--", "echo", "r\u{fc}n"], 24, 80)?;
        terminal.wait_for("to go on: ", LIMIT)?;
        ensure!(machine.session_ids()?.is_empty(), "it was not waited for");
        terminal.send(answer)?;
        ensure!(terminal.finish(LIMIT)? == status, "{answer:?}: {}", terminal.seen_text());
        ensure!(terminal.seen_text().contains("r\u{fc}n") == (status == 0), "{answer:?}");
    }
    Ok(())
}

#[test]
fn a_session_goes_on_when_the_shell_it_was_started_from_is_killed() -> Result<()> {
    let machine = Machine::new()?;
    let inside = machine.start_arguments("L2", &["--quiet"], &["sh", "-c", "echo rea''dy; sleep 600"]);
    // As tmux and terminal emulators do with a pane: the parent goes, then the terminal.
    let mut terminal = machine.shell_on_terminal("\"$@\"; true", &inside)?;
    terminal.wait_for("ready", LIMIT)?;
    let session = machine.only_session()?;
    drop(terminal);
    ensure!(session.exec(&["echo", "here"])?.success()?.text() == "here\n");
    session.stop()
}

#[test]
fn only_the_streams_that_are_a_terminal_outside_are_one_inside() -> Result<()> {
    let machine = Machine::new()?;
    let script = "for n in 0 1 2; do test -t $n && echo $n yes >&2 || echo $n no >&2; done";
    let finished = machine.inside("L2", &["sh", "-c", script])?.success()?;
    ensure!(finished.error_text() == "0 no\n1 no\n2 no\n", "{finished:?}");
    let mut terminal = start(&machine, &["sh", "-c", script])?;
    terminal.wait_for("0 yes\r\n1 yes\r\n2 yes", LIMIT)?;
    ensure!(terminal.finish(LIMIT)? == 0);
    Ok(())
}

#[test]
fn a_session_takes_no_more_terminals_than_are_its_own() -> Result<()> {
    let machine = Machine::new()?;
    let program = "import errno, os\ntaken = 0\ntry:\n    while taken < 300:\n        \
                   os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)\n        taken += 1\n\
                   except OSError as error:\n    print(taken, errno.errorcode[error.errno])";
    for posture in ["L1", "L2"] {
        let said = machine.inside(posture, &["python3", "-c", program])?.success()?.text();
        ensure!(said.trim() == "256 ENOSPC", "{posture}: {said}");
    }
    Ok(())
}
