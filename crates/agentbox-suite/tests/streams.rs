//! Standard streams pass through as if nothing were between, and the exit status is the agent's.

use agentbox_suite::{Machine, Running, run};
use anyhow::{Result, ensure};
use std::fs::File;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
const BYTES: usize = 10 * 1024 * 1024;

fn pattern(modulus: usize) -> Vec<u8> {
    (0..BYTES).map(|index| (index % modulus) as u8).collect()
}

#[test]
fn ten_megabytes_arrive_exactly_and_apart_on_both_outputs() -> Result<()> {
    let machine = Machine::new()?;
    let finished = machine.inside("L2", &["./agentbox-probe", "emit", &BYTES.to_string()])?;
    ensure!(finished.status == 0, "status {}", finished.status);
    ensure!(finished.stdout == pattern(251), "standard output differs: {} bytes", finished.stdout.len());
    ensure!(finished.stderr == pattern(241), "standard error differs: {} bytes", finished.stderr.len());
    Ok(())
}

#[test]
fn nothing_is_cut_off_of_a_pipe_that_a_program_enlarged() -> Result<()> {
    let machine = Machine::new()?;
    // 1031 is F_SETPIPE_SZ: most of it is still in the pipe when the program ends, as nobody reads until then.
    let program = "import fcntl, os; fcntl.fcntl(1, 1031, 1 << 20); \
                   sent = sum(os.write(1, b'x' * 65536) for _ in range(16)); open('sent', 'w').write(str(sent))";
    for posture in ["L1", "L2"] {
        let script = "rm -f sent; \"$0\" start . --posture \"$1\" -- python3 -c \"$2\" | \
                      { timeout 60 sh -c 'until grep -q 1048576 sent; do sleep 0.1; done' 2> /dev/null; sleep 1; wc -c; }";
        let mut shell = machine.shell(script);
        shell.args([posture, program]);
        let finished = run(&mut shell, b"", LIMIT)?.success()?;
        ensure!(finished.text().trim() == "1048576", "{posture}: {finished:?}");
    }
    Ok(())
}

#[test]
fn ten_megabytes_of_input_arrive_exactly() -> Result<()> {
    let machine = Machine::new()?;
    let input = pattern(249);
    let finished = machine.inside_with("L2", &["sh", "-c", "cat; echo done >&2"], &input)?.success()?;
    ensure!(finished.stdout == input, "{} bytes came back", finished.stdout.len());
    ensure!(finished.stderr == b"done\n");
    Ok(())
}

#[test]
fn files_and_pipes_of_the_caller_work_as_without_a_sandbox() -> Result<()> {
    let machine = Machine::new()?;
    let (input, output, errors) =
        (machine.logs().join("input"), machine.logs().join("output"), machine.logs().join("errors"));
    std::fs::write(&input, "first\nsecond\n")?;
    let arguments = machine.start_arguments("L2", &[], &["sh", "-c", "cat; echo trouble >&2"]);
    let mut command = machine.command(&arguments);
    command.stdin(File::open(&input)?).stdout(File::create(&output)?).stderr(File::create(&errors)?);
    ensure!(command.status()?.success());
    ensure!(std::fs::read(&output)? == b"first\nsecond\n");
    ensure!(std::fs::read(&errors)? == b"trouble\n");
    Ok(())
}

#[test]
fn a_reader_that_goes_away_early_ends_the_session() -> Result<()> {
    let machine = Machine::new()?;
    let mut running = machine.attached("L2", &["sh", "-c", "while echo line; do :; done; exit 9"])?;
    ensure!(running.line(LIMIT)? == "line");
    running.close_output();
    let finished = running.finish(LIMIT)?;
    ensure!(finished.status != 0, "{finished:?}");
    Ok(())
}

#[test]
fn the_status_of_the_agent_is_the_status_of_start() -> Result<()> {
    let machine = Machine::new()?;
    for posture in ["L0", "L1", "L2"] {
        for (script, status) in
            [("exit 0", 0), ("exit 3", 3), ("exit 125", 125), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
        {
            let finished = machine.inside(posture, &["sh", "-c", script])?;
            ensure!(finished.status == status, "{posture}, {script}: {finished:?}");
        }
        let missing = machine.inside(posture, &["no-such-program-anywhere"])?;
        ensure!(missing.status == 127, "{posture}: {missing:?}");
        let not_executable = machine.inside(posture, &["./README"])?;
        ensure!(not_executable.status == 126, "{posture}: {not_executable:?}");
    }
    Ok(())
}

#[test]
fn a_refused_start_ends_with_125_and_says_why() -> Result<()> {
    let machine = Machine::new()?;
    for (arguments, word) in [
        (vec!["start", "/usr", "--allow-root-project", "--posture", "L2", "--", "true"], "/usr"),
        (vec!["start", "/", "--allow-root-project", "--posture", "L2", "--", "true"], "/"),
        (vec!["start", ".", "--posture", "L3", "--", "true"], "L3"),
        (vec!["start", ".", "--posture", "no-such", "--", "true"], "no-such"),
        (vec!["start", ".", "--profile", "../other", "--", "true"], "profile"),
        (vec!["start", ".", "--profile", "nosuchprofile", "--", "true"], "nosuchprofile"),
        (vec!["start", "./no-such-directory", "--", "true"], "no-such-directory"),
        (vec!["start", ".", "--posture", "L0", "--", "true"], "L0"),
    ] {
        let finished = machine.ctl(&arguments)?;
        ensure!(finished.status == 125, "{arguments:?}: {finished:?}");
        ensure!(finished.stdout.is_empty(), "{arguments:?}: {finished:?}");
        ensure!(finished.error_text().contains(word), "{arguments:?}: {finished:?}");
        let lines = finished.error_text().lines().count();
        ensure!((1..=3).contains(&lines), "{lines} lines: {finished:?}");
    }
    Ok(())
}

#[test]
fn a_pipeline_of_two_sessions_carries_bytes() -> Result<()> {
    let machine = Machine::new()?;
    let script = "\"$0\" start . --posture L2 -- ./agentbox-probe emit 100000 2>/dev/null | \"$0\" start . --posture L2 -- wc -c";
    let finished = run(&mut machine.shell(script), b"", LIMIT)?.success()?;
    ensure!(finished.text().trim() == "100000", "{finished:?}");
    Ok(())
}

#[test]
fn input_that_arrives_late_is_not_lost() -> Result<()> {
    let machine = Machine::new()?;
    let mut running: Running =
        machine.attached("L2", &["sh", "-c", "echo ready; read a; echo $a; read b; echo $b"])?;
    ensure!(running.line(LIMIT)? == "ready");
    running.send(b"one\n");
    ensure!(running.line(LIMIT)? == "one");
    running.send(b"two\n");
    ensure!(running.line(LIMIT)? == "two");
    ensure!(running.finish(LIMIT)?.status == 0);
    Ok(())
}

#[test]
fn a_loop_keeps_its_input_where_it_says_so() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    for (verb, place) in [("exec", session.id.as_str()), ("start --posture L2", ".")] {
        for (option, expected) in [("-n", "one\ntwo\n"), ("--no-stdin", "one\ntwo\n"), ("", "two\none\n")] {
            let script = format!(
                "printf 'one\\ntwo\\n' | while read x; do \"$0\" {verb} {option} {place} -- sh -c \"cat; echo $x\"; done"
            );
            let finished = run(&mut machine.shell(&script), b"", LIMIT)?.success()?;
            ensure!(finished.text() == expected, "{verb} {option}: {finished:?}");
        }
    }
    session.stop()
}
