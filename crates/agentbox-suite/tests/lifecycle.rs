//! From start to stop: what a session does in between is listed, reachable, recorded, and over afterwards.

use agentbox_suite::{Machine, eventually, fork_bomb, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_session_is_listed_with_what_it_is() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached_with("L2", &["--name", "morning"], &["sleep", "600"])?;
    let list = machine.ctl(&["list", "--json"])?.json()?;
    let one = &list[0];
    ensure!(one["id"] == session.id.as_str() && one["name"] == "morning", "{one}");
    ensure!(one["posture"] == "L2" && one["state"] == "running", "{one}");
    ensure!(one["project"] == machine.project().to_string_lossy().as_ref(), "{one}");
    ensure!(one["owner_uid"] == machine.person.uid, "{one}");
    let table = machine.ctl(&["list"])?.success()?.text();
    ensure!(table.contains(&session.id) && table.contains("L2"), "{table}");
    session.stop()?;
    ensure!(machine.session_ids()?.is_empty());
    Ok(())
}

#[test]
fn a_name_stands_for_its_session_while_that_runs() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached_with("L2", &["--name", "keeper"], &["sleep", "600"])?;
    let status = machine.ctl(&["status", "keeper", "--json"])?.json()?;
    ensure!(status["summary"]["id"] == session.id.as_str(), "{status}");
    ensure!(machine.ctl(&["exec", "keeper", "--", "echo", "here"])?.success()?.text() == "here\n");
    ensure!(machine.ctl(&["log", "keeper"])?.success()?.text().contains("running"));
    let nobody = machine.ctl(&["log", "nobody"])?;
    ensure!(nobody.status != 0 && nobody.error_text().contains("nobody"), "{nobody:?}");
    let again = machine.ctl(&machine.start_arguments("L2", &["--name", "keeper"], &["true"]))?;
    ensure!(again.status == 125 && again.error_text().contains(&session.id), "{again:?}");
    machine.ctl(&["stop", "keeper"])?.success()?;
    ensure!(machine.session_ids()?.is_empty());
    machine.ctl(&machine.start_arguments("L2", &["--name", "keeper"], &["true"]))?.success()?;
    Ok(())
}

#[test]
fn an_interactive_shell_that_is_stopped_ends_as_when_its_terminal_closes() -> Result<()> {
    let machine = Machine::new()?;
    let script =
        "trap 'echo hung up > hung-up; exit' HUP; trap '' TERM; echo rea''dy; while :; do sleep 0.1; done";
    let arguments = machine.start_arguments("L2", &[], &["bash", "-c", script]);
    let mut terminal = machine.terminal(&arguments, 24, 80)?;
    terminal.wait_for("ready", LIMIT)?;
    let session = machine.only_session()?;
    // It is deaf to SIGTERM: with ten minutes to end by itself it does not wait for SIGKILL.
    run(&mut machine.command(&["stop", &session.id, "--timeout", "10m"]), b"", LIMIT)?.success()?;
    ensure!(fs::read_to_string(machine.project().join("hung-up"))? == "hung up\n");
    Ok(())
}

#[test]
fn what_is_asked_about_a_path_is_how_the_session_sees_it() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let ask = |path: &str| machine.ctl(&["why", &session.id, path, "--json"])?.json();
    let key = machine.person.home.join(".ssh/id_ed25519");
    ensure!(key.exists(), "there is no key to be asked about");
    let answer = ask(&key.to_string_lossy())?;
    ensure!(answer["allowed"] == false && answer["access"] == "private", "{answer}");
    let said = machine.ctl(&["why", &session.id, &key.to_string_lossy()])?.success()?.text();
    ensure!(said.contains("of this machine does not exist inside"), "{said}");
    let project = machine.project().to_string_lossy().into_owned();
    for (path, access) in [(project.as_str(), "writable"), ("/usr/bin/env", "read-only")] {
        let answer = ask(path)?;
        ensure!(answer["allowed"] == true && answer["access"] == access, "{answer}");
    }
    session.stop()
}

#[test]
fn a_program_that_only_the_person_sees_is_named_with_where_it_is() -> Result<()> {
    let machine = Machine::new()?;
    let own = machine.person.home.join("tools");
    machine.person.make_directory(&own)?;
    machine.person.write(&own.join("mytool"), b"#!/bin/sh\n", 0o755)?;
    let mut start = machine.command(&machine.start_arguments("L2", &[], &["mytool"]));
    start.env("PATH", format!("{}:/usr/bin:/bin", own.display()));
    let said = run(&mut start, b"", LIMIT)?;
    let words = said.error_text();
    ensure!(said.status == 127 && words.contains("`mytool`"), "{said:?}");
    ensure!(words.contains(&*own.join("mytool").to_string_lossy()) && words.contains("read ="), "{words}");
    Ok(())
}

#[test]
fn an_embedded_supervisor_reads_its_configuration_again_when_it_is_told_to() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let first = machine.supervisor_pid()?;
    let start = || machine.ctl(&machine.start_arguments("new", &[], &["true"]));
    machine.configure("[posture.new]\nextends = \"L2\"\n")?;
    if machine.service().is_none() {
        let early = start()?;
        let words = early.error_text();
        ensure!(early.status == 125 && words.contains(&format!("kill -HUP {first}")), "{early:?}");
        let pid = rustix::process::Pid::from_raw(first.cast_signed()).context("no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::HUP)?;
        eventually("the new posture counts", LIMIT, || Ok((start()?.status == 0).then_some(())))?;
        ensure!(machine.supervisor_pid()? == first, "it is another supervisor");
    }
    start()?.success()?;
    session.stop()
}

#[test]
fn status_names_every_value_with_its_origin() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let status = session.status()?;
    let values = status["values"].as_array().context("no values")?;
    ensure!(!values.is_empty());
    for value in values {
        let row = value.as_array().context("no row")?;
        ensure!(
            row.len() == 3 && row.iter().all(|cell| cell.as_str().is_some_and(|text| !text.is_empty())),
            "{value}"
        );
    }
    ensure!(status["policy_hash"].as_str().is_some_and(|hash| hash.len() == 16), "{status}");
    let supervisor = machine.ctl(&["status", "--json"])?.json()?;
    ensure!(supervisor["pid"].as_u64().is_some(), "{supervisor}");
    session.stop()
}

#[test]
fn stop_ends_the_whole_tree_however_it_hides() -> Result<()> {
    let machine = Machine::new()?;
    // Two hundred processes: daemons, sessions of their own, deaf to SIGTERM and SIGHUP.
    let script = "trap '' TERM HUP INT; i=0; while [ $i -lt 200 ]; do setsid sh -c 'trap \"\" TERM HUP; sleep 600' & \
                  i=$((i+1)); done; echo started > started; sleep 600; sleep 600";
    let session = machine.detached("L2", &["sh", "-c", script])?;
    eventually("all have started", LIMIT, || Ok(machine.project().join("started").exists().then_some(())))?;
    let begun = std::time::Instant::now();
    machine.ctl(&["stop", &session.id, "--timeout", "1s"])?.success()?;
    ensure!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    ensure!(machine.leftovers().is_empty(), "{:#?}", machine.leftovers());
    Ok(())
}

#[test]
fn a_session_that_ends_by_itself_leaves_nothing() -> Result<()> {
    let machine = Machine::new()?;
    for posture in ["L0", "L1", "L2"] {
        machine.inside(posture, &["sh", "-c", "setsid sleep 600 & exit 0"])?.success()?;
        eventually("nothing is listed", LIMIT, || Ok(machine.session_ids()?.is_empty().then_some(())))?;
        machine.wait_until_supervisor_ended()?;
        ensure!(machine.leftovers().is_empty(), "{posture}: {:#?}", machine.leftovers());
        ensure!(machine.person.processes().is_empty(), "{posture}: {:?}", machine.person.processes());
    }
    Ok(())
}

#[test]
fn a_fork_bomb_meets_its_limit_and_the_supervisor_answers() -> Result<()> {
    let machine = Machine::new()?;
    let (session, made) = fork_bomb(&machine, "L2", 6000, LIMIT)?;
    ensure!((1000..=4096).contains(&made), "{made} processes");
    let begun = std::time::Instant::now();
    machine.ctl(&["list"])?.success()?;
    ensure!(begun.elapsed() < Duration::from_secs(10), "list took {:?}", begun.elapsed());
    session.stop()?;
    ensure!(machine.leftovers().is_empty(), "{:#?}", machine.leftovers());
    Ok(())
}

#[test]
fn exec_runs_beside_the_agent_with_streams_and_status_of_its_own() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let said = session.exec_with(&["sh", "-c", "cat; pwd >&2; exit 42"], b"input")?;
    ensure!((said.status, said.stdout.as_slice()) == (42, b"input".as_slice()), "{said:?}");
    ensure!(said.error_text().trim() == machine.project().to_string_lossy(), "{said:?}");
    ensure!(session.exec(&["no-such-program-anywhere"])?.status == 127);
    ensure!(session.exec(&["./README"])?.status == 126);
    ensure!(session.exec(&["sh", "-c", "kill -9 $$"])?.status == 137);
    ensure!(session.status()?["summary"]["state"] == "running", "the session ended with its second program");
    session.stop()
}

#[test]
fn a_second_program_signals_and_traces_the_agent() -> Result<()> {
    let machine = Machine::new()?;
    // A process that entered from outside would have a Landlock domain beside the agent's, and could do neither.
    for posture in ["L1", "L2"] {
        let script = "trap 'echo heard > heard' USR1; echo $$ > agent; while :; do sleep 0.1; done";
        let session = machine.detached(posture, &["sh", "-c", script])?;
        let agent = machine.project().join("agent");
        let pid = eventually("the agent has begun", LIMIT, || {
            Ok(fs::read_to_string(&agent).ok().filter(|text| text.ends_with('\n')))
        })?;
        let pid = pid.trim();
        let kill = format!(
            "kill -USR1 {pid}; grep -c . /proc/{pid}/maps > /dev/null && ls -l /proc/{pid}/fd > /dev/null"
        );
        session.exec(&["sh", "-c", &kill])?.success()?;
        eventually("the signal has arrived", LIMIT, || {
            Ok(machine.project().join("heard").exists().then_some(()))
        })?;
        let parent = session.exec(&["sh", "-c", "echo $PPID"])?.success()?.text();
        ensure!(parent == "1\n", "{posture}: forked by process {parent}");
        session.stop()?;
        fs::remove_file(&agent)?;
        fs::remove_file(machine.project().join("heard"))?;
    }
    Ok(())
}

#[test]
fn bombs_meet_their_limits_and_the_supervisor_answers() -> Result<()> {
    let machine = Machine::new()?;
    // Descriptors up to the limit; a shared-memory file, a file in /tmp and one in the home up to their file systems'
    // sizes; 2 GiB of memory. Each is bounded by itself as well, should the limit not hold.
    let bomb = "\
import os, resource, time
held = []
try:
    while len(held) < 600000:
        held.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error:
    said = 'descriptors %d %s' % (len(held), error.errno)
for one in held: os.close(one)
for place in ('/dev/shm', '/tmp', os.path.expanduser('~')):
    size, piece, name = 0, b'x' * (1 << 20), place + '/bomb'
    try:
        with open(name, 'wb', 0) as file:
            while size < 6 << 30:
                size += file.write(piece)
    except OSError as error:
        said += '\\n%s %d %s' % (place, size >> 20, error.errno)
    os.remove(name)
memory = [bytearray(64 << 20) for _ in range(32)]
open('said', 'w').write(said + '\\n')
time.sleep(600)";
    let session = machine.detached("L2", &["python3", "-c", bomb])?;
    let said = eventually("all limits have been met", LIMIT, || {
        let begun = std::time::Instant::now();
        machine.ctl(&["list"])?.success()?;
        ensure!(begun.elapsed() < Duration::from_secs(10), "list took {:?}", begun.elapsed());
        Ok(fs::read_to_string(machine.project().join("said")).ok().filter(|text| text.ends_with('\n')))
    })?;
    // EMFILE, and ENOSPC three times.
    let ends: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next_back()).collect();
    ensure!(ends == ["24", "28", "28", "28"], "{said}");
    session.stop()?;
    ensure!(machine.leftovers().is_empty(), "{:#?}", machine.leftovers());
    Ok(())
}

#[test]
fn what_does_not_exist_is_said_to_be_so() -> Result<()> {
    let machine = Machine::new()?;
    for arguments in [vec!["status", "nosuchid"], vec!["stop", "nosuchid"]] {
        let finished = machine.ctl(&arguments)?;
        ensure!(finished.status == 1 && finished.error_text().contains("nosuchid"), "{finished:?}");
    }
    for arguments in [vec!["attach", "nosuchid"], vec!["exec", "nosuchid", "--", "true"]] {
        let finished = machine.ctl(&arguments)?;
        ensure!(finished.status == 125 && finished.error_text().contains("nosuchid"), "{finished:?}");
    }
    Ok(())
}

#[test]
fn the_trail_tells_start_and_end_and_an_edit_is_found() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    session.exec(&["true"])?;
    session.stop()?;
    let log = machine.ctl(&["log", &session.id, "--json"])?.success()?.text();
    ensure!(log.lines().count() >= 2, "{log}");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(event.to_string().contains(&session.id), "{line}");
    }
    machine.ctl(&["log", "--verify"])?.success()?;
    machine.wait_until_supervisor_ended()?;

    let (path, head) = (machine.logs().join("audit.jsonl"), machine.logs().join("audit.head"));
    let (whole, anchor) = (fs::read_to_string(&path)?, fs::read(&head)?);
    let lines: Vec<&str> = whole.lines().collect();
    ensure!(lines.len() >= 2, "{whole}");
    let edited = |text: &str| -> Result<i32> {
        // A supervisor that starts adds to both.
        fs::write(&path, text)?;
        fs::write(&head, &anchor)?;
        let status = machine.ctl(&["log", "--verify"])?.status;
        machine.wait_until_supervisor_ended()?;
        Ok(status)
    };
    let join = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    ensure!(edited(&whole.replacen("L2", "L1", 1))? != 0, "a changed line was not found");
    ensure!(edited(&join(&lines[1..]))? != 0, "a line that is missing in front was not found");
    ensure!(edited(&join(&lines[..lines.len() - 1]))? != 0, "a line that was cut off was not found");
    let mut swapped = lines.clone();
    swapped.swap(0, 1);
    ensure!(edited(&join(&swapped))? != 0, "lines in another order were not found");
    ensure!(edited(&whole)? == 0, "the trail as it was is refused");
    Ok(())
}

#[test]
fn the_trail_is_out_of_reach_for_everybody_but_root() -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let machine = Machine::new()?;
    machine.inside("L2", &["true"])?.success()?;
    let metadata = fs::metadata(machine.logs().join("audit.jsonl"))?;
    ensure!(metadata.uid() == 0 && metadata.mode() & 0o777 == 0o600, "mode {:o}", metadata.mode());
    Ok(())
}

#[test]
fn a_person_uses_the_supervisor_and_others_do_not() -> Result<()> {
    let machine = Machine::new()?;
    let stranger = Machine::new()?;
    let roots = machine.detached("L2", &["sleep", "600"])?;
    let own =
        run(&mut machine.command_as_person(&["start", ".", "--detach", "--", "sleep", "600"]), b"", LIMIT)?;
    let own = own.success()?.text().trim().to_owned();
    // Both belong to the owner of the project.
    let list = run(&mut machine.command_as_person(&["list", "--json"]), b"", LIMIT)?.json()?;
    ensure!(list.as_array().is_some_and(|list| list.len() == 2), "{list}");
    run(&mut machine.command_as_person(&["stop", &own]), b"", LIMIT)?.success()?;
    // Another person's program at this machine's socket.
    let mut others = stranger.command_as_person(&["list"]);
    others.env("RUNTIME_DIRECTORY", machine.runtime());
    let refused = run(&mut others, b"", LIMIT)?;
    ensure!(refused.status != 0 && refused.stdout.is_empty(), "{refused:?}");
    // A process under a leased id, as an agent that got out would be.
    let lease = machine.lease_range().start.to_string();
    let mut escaped = std::process::Command::new("setpriv");
    escaped.args(["--reuid", &lease, "--regid", &lease, "--clear-groups"]);
    escaped.arg(machine.programs.path("agentboxctl")).arg("list").env_clear();
    escaped.env("RUNTIME_DIRECTORY", machine.runtime()).current_dir("/");
    let refused = run(&mut escaped, b"", LIMIT)?;
    ensure!(refused.status != 0 && refused.stdout.is_empty(), "{refused:?}");
    roots.stop()
}

#[test]
fn the_client_cannot_be_looked_into_by_what_runs_as_the_same_person() -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let machine = Machine::new()?;
    let keeper = machine.detached("L2", &["sleep", "600"])?;
    let mut client = machine.command_as_person(&["start", ".", "--", "sh", "-c", "echo ready; cat"]);
    let mut running = agentbox_suite::Running::start(&mut client)?;
    ensure!(running.line(LIMIT)? == "ready");
    let pid = running.pid();
    // The files of a process belong to root when it is not dumpable (proc(5)); the control is a shell.
    ensure!(fs::metadata(format!("/proc/{pid}/status"))?.uid() == 0, "it is dumpable");
    let look = |pid: &str| {
        machine.person.shell(&machine.person.home, &format!("cat /proc/{pid}/environ > /dev/null"))
    };
    ensure!(look("$$").is_ok() && look(&pid.to_string()).is_err(), "its environment can be read");
    ensure!(running.finish(LIMIT)?.status == 0);
    keeper.stop()
}

#[test]
fn explain_starts_nothing_and_agrees_with_the_session() -> Result<()> {
    let machine = Machine::new()?;
    let explained =
        machine.ctl(&["explain", ".", "--posture", "L2", "--json", "--", "sleep", "600"])?.json()?;
    ensure!(machine.session_ids()?.is_empty(), "explain started something");
    let session = machine.detached("L2", &["sleep", "600"])?;
    ensure!(explained["hash"] == session.status()?["policy_hash"], "{explained}");
    ensure!(explained["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{explained}");
    session.stop()
}
