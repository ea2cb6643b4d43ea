//! SIGKILL at any moment: nothing runs unconfined, and nothing is left once somebody has looked.

use agentbox_suite::{Machine, Programs, Running, eventually, is_gone, run};
use anyhow::{Context, Result, ensure};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);

/// Where the launcher can be killed, in the order of its way.
const LAUNCHER: &[&str] = &[
    "l:plan",
    "l:released",
    "l:cloned",
    "l:detached",
    "l:namespaces",
    "l:tree",
    "l:privileges",
    "l:confined",
];

/// How many of them are passed by its outer half, which knows the client's process id.
const OUTER: usize = 4;

/// All points of the supervisor, and these of the launcher, which takes no arguments, so it cannot be asked.
fn points(programs: &Programs, launcher: &[&str]) -> Result<Vec<String>> {
    let listed =
        run(Command::new(programs.path("agentboxd")).arg("--list-kill-points"), b"", LIMIT)?.success()?;
    let mut points: Vec<String> = listed.text().split_ascii_whitespace().map(str::to_owned).collect();
    ensure!(points.len() >= 10, "only {} points: {points:?}", points.len());
    points.extend(launcher.iter().map(|point| (*point).to_owned()));
    Ok(points)
}

#[test]
fn nothing_is_left_after_a_kill_at_any_step() -> Result<()> {
    let programs = Programs::testing()?;
    let points = points(&programs, LAUNCHER)?;
    let mut problems = Vec::new();
    for point in &points {
        let found = die_at(&programs, point).with_context(|| point.clone())?;
        println!("{point:<32} {}", if found.is_empty() { "clean" } else { "LEFT" });
        problems.extend(found.into_iter().map(|what| format!("{point}: {what}")));
    }
    ensure!(problems.is_empty(), "{problems:#?}");
    Ok(())
}

/// A session whose supervisor or launcher dies there, and what is wrong afterwards.
fn die_at(programs: &Programs, point: &str) -> Result<Vec<String>> {
    let machine = Machine::with(programs.clone(), &[])?;
    let script = "./agentbox-probe self > self.part; mv self.part self.json; exec sleep 600";
    let arguments = machine.start_arguments("L2", &["--detach"], &["sh", "-c", script]);
    let started = run(machine.command(&arguments).env("AGENTBOX_TEST_KILL", point), b"", LIMIT)?;
    machine.remember_directories()?;
    let mut problems = unconfined(&machine);
    let mut reached = started.status != 0;
    if started.status == 0 {
        // The point lies on the way to the end.
        let id = started.text().trim().to_owned();
        let stop = ["stop", &id, "--timeout", "2s"];
        reached = run(machine.command(&stop).env("AGENTBOX_TEST_KILL", point), b"", LIMIT)?.status != 0;
    }
    if !reached {
        problems.push("nothing died there".to_owned());
    }
    problems.extend(unconfined(&machine));
    // Whoever looks next cleans up: without the variable, so that it lives.
    let repaired = machine.ctl(&["doctor", "--repair"])?;
    if repaired.status != 0 {
        problems.push(format!("doctor --repair: {repaired:?}"));
    }
    for id in machine.session_ids()? {
        machine.ctl(&["stop", &id, "--timeout", "2s"])?.success()?;
    }
    machine.wait_until_supervisor_ended()?;
    problems.extend(machine.leftovers());
    // And the next session is none the worse for it.
    let next = machine.inside("L2", &["true"])?;
    if next.status != 0 {
        problems.push(format!("the next start: {next:?}"));
    }
    problems.extend(own_words(&machine)?);
    Ok(problems)
}

#[test]
fn nothing_is_left_after_a_kill_of_the_client_at_any_step() -> Result<()> {
    let programs = Programs::testing()?;
    let mut problems = Vec::new();
    for point in points(&programs, &LAUNCHER[..OUTER])? {
        let found = client_dies_at(&programs, &point).with_context(|| point.clone())?;
        println!("{point:<32} {}", if found.is_empty() { "clean" } else { "LEFT" });
        problems.extend(found.into_iter().map(|what| format!("{point}: {what}")));
    }
    ensure!(problems.is_empty(), "{problems:#?}");
    Ok(())
}

/// What is wrong after the client that waits for this point was killed there: the one that starts a session
/// on pipes, or on the way back the one that stops it.
fn client_dies_at(programs: &Programs, point: &str) -> Result<Vec<String>> {
    let machine = Machine::with(programs.clone(), &[])?;
    let script = "./agentbox-probe self > self.part; mv self.part self.json; exec sleep 600";
    let way_back = point == "d:stop" || point.contains("-revert-");
    let victim = if way_back {
        // A client whose process id is known before the supervisor is started, and which is told later what to stop.
        let mut stop = Running::start(&mut in_shell(
            &machine,
            "read id; exec \"$@\" \"$id\"",
            &["stop", "--timeout", "2s"],
        ))?;
        let start = machine.start_arguments("L2", &["--detach"], &["sh", "-c", script]);
        let mut start = machine.command(&start);
        start.env("AGENTBOX_TEST_KILL", point).env("AGENTBOX_TEST_KILL_OF", stop.pid().to_string());
        let id = run(&mut start, b"", LIMIT)?.success()?.text();
        machine.remember_directories()?;
        stop.send(id.as_bytes());
        stop
    } else {
        let start = machine.start_arguments("L2", &[], &["sh", "-c", script]);
        let mut start = in_shell(&machine, "AGENTBOX_TEST_KILL_OF=$$ exec \"$@\"", &start);
        Running::start(start.env("AGENTBOX_TEST_KILL", point))?
    };
    let finished = victim.finish(LIMIT)?;
    let mut problems = unconfined(&machine);
    if finished.status != 128 + Signal::KILL.as_raw() {
        problems.push(format!("the client was not killed there: {finished:?}"));
    }
    machine.remember_directories()?;
    eventually("no session is listed", LIMIT, || Ok(machine.session_ids()?.is_empty().then_some(())))?;
    machine.wait_until_supervisor_ended()?;
    problems.extend(machine.leftovers());
    problems.extend(own_words(&machine)?);
    Ok(problems)
}

#[test]
fn nothing_is_left_after_a_kill_of_the_gates_at_any_step() -> Result<()> {
    let programs = Programs::testing()?;
    let (mut problems, mut killed) = (Vec::new(), 0);
    for point in points(&programs, &[])? {
        let (found, died) = gates_die_at(&programs, &point).with_context(|| point.clone())?;
        println!("{point:<32} {}", if found.is_empty() { "clean" } else { "LEFT" });
        killed += usize::from(died);
        problems.extend(found.into_iter().map(|what| format!("{point}: {what}")));
    }
    ensure!(problems.is_empty(), "{problems:#?}");
    ensure!(killed > 5, "a gate died at {killed} points only");
    Ok(())
}

/// A session whose gates die there, what is wrong afterwards, and whether one died.
fn gates_die_at(programs: &Programs, point: &str) -> Result<(Vec<String>, bool)> {
    let machine = Machine::with(programs.clone(), &[])?;
    let mark = machine.runtime().join("not-reached");
    fs::create_dir_all(machine.runtime())?;
    fs::write(&mark, "")?;
    let start = machine.start_arguments("L2", &["--network", "public", "--detach"], &["sleep", "600"]);
    let mut start = machine.command(&start);
    start.env("AGENTBOX_TEST_KILL", point).env("AGENTBOX_TEST_KILL_OF", "agentbox-gate");
    let started = run(start.env("AGENTBOX_TEST_KILL_MARK", &mark), b"", LIMIT)?;
    machine.remember_directories()?;
    let mut problems = unconfined(&machine);
    for id in machine.session_ids()? {
        let stop = ["stop", &id, "--timeout", "2s"];
        run(machine.command(&stop).env("AGENTBOX_TEST_KILL_MARK", &mark), b"", LIMIT)?.success()?;
    }
    machine.wait_until_supervisor_ended()?;
    problems.extend(machine.leftovers());
    if started.status != 0 && started.error_text().trim().is_empty() {
        problems.push(format!("a start that failed says nothing: {started:?}"));
    }
    if mark.exists() {
        problems.push("nobody came by".to_owned());
        fs::remove_file(&mark)?;
    }
    // Before it is there nothing dies; while it ends, nobody minds.
    let trail = fs::read_to_string(machine.logs().join("audit.jsonl"))?;
    let died = started.status != 0 || trail.contains("gate-lost");
    let next = machine.inside("L2", &["true"])?;
    if next.status != 0 {
        problems.push(format!("the next start: {next:?}"));
    }
    Ok((problems, died))
}

/// `agentboxctl` behind a shell that becomes it.
fn in_shell(machine: &Machine, script: &str, arguments: &[&str]) -> Command {
    let program = machine.command(arguments);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    shell.current_dir(machine.project()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// Processes under leased ids that are not held.
fn unconfined(machine: &Machine) -> Vec<String> {
    let mut problems = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(status) = fs::read_to_string(path.join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
        let uid = field("Uid:").split_ascii_whitespace().next().and_then(|uid| uid.parse::<u32>().ok());
        // Only the first id of a block is an agent's; the console half runs no program of the session.
        let is_agent = uid.is_some_and(|uid| {
            machine.lease_range().contains(&uid) && uid % 4 == machine.lease_range().start % 4
        });
        let held =
            field("NoNewPrivs:") == "1" && field("Seccomp:") == "2" && field("CapEff:") == "0000000000000000";
        if is_agent && !held && !field("State:").starts_with('Z') {
            let name = field("Name:");
            // The launcher itself is on its way there and runs nothing else yet.
            if name != "agentbox-launch" {
                problems.push(format!("{name} runs unconfined"));
            }
        }
    }
    problems
}

/// If the agent ran at all, it was held.
fn own_words(machine: &Machine) -> Result<Vec<String>> {
    let Ok(bytes) = fs::read(machine.project().join("self.json")) else { return Ok(Vec::new()) };
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let state: agentbox_probe::State = serde_json::from_slice(&bytes)?;
    let held = state.no_new_privs && state.seccomp_mode == 2 && state.capabilities.effective == 0;
    Ok(if held { Vec::new() } else { vec!["the agent ran unconfined".to_owned()] })
}

fn number(value: &serde_json::Value) -> Result<i32> {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).context("no process id")
}

fn kill(pid: i32) -> Result<()> {
    Ok(kill_process(Pid::from_raw(pid).context("no process id")?, Signal::KILL)?)
}

#[test]
fn a_session_outlives_its_supervisor_and_is_taken_up_again() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", "while :; do date > alive; sleep 0.1; done"])?;
    let supervisor = machine.supervisor_pid()?;
    kill(supervisor.cast_signed())?;
    eventually("the supervisor is gone", LIMIT, || Ok(is_gone(supervisor).then_some(())))?;
    let agent = |machine: &Machine| -> Result<i32> {
        number(&machine.ctl(&["status", &session.id, "--json"])?.json()?["agent_pid"])
    };
    ensure!(!is_gone(agent(&machine)?.cast_unsigned()), "the agent died with the supervisor");
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);
    ensure!(session.exec(&["echo", "here"])?.success()?.text() == "here\n");
    session.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn output_that_nobody_reads_holds_up_neither_a_supervisor_nor_the_next_one() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let quick = |what: &str| -> Result<()> {
        let begun = Instant::now();
        machine.ctl(&["list"])?.success()?;
        ensure!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", begun.elapsed());
        Ok(())
    };
    // Its console takes no connection, and as many wait as can.
    let console = machine.runtime().join("sessions").join(&session.id).join("console");
    let launcher = outer_half(&session.status()?)?;
    kill_process(launcher, Signal::STOP)?;
    let socket =
        || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None);
    let address = SocketAddrUnix::new(&console)?;
    let mut waiting = Vec::new();
    loop {
        let one = socket()?;
        if rustix::net::connect(&one, &address).is_err() {
            break;
        }
        waiting.push(one);
    }
    let exec = session.exec(&["true"])?;
    ensure!(exec.status != 0 && exec.error_text().contains("is busy"), "{exec:?}");
    quick("the console is busy")?;
    let supervisor = machine.supervisor_pid()?;
    kill(supervisor.cast_signed())?;
    eventually("the supervisor is gone", LIMIT, || Ok(is_gone(supervisor).then_some(())))?;
    quick("another supervisor")?;
    // When it takes connections again it is taken over whole.
    kill_process(launcher, Signal::CONT)?;
    drop(waiting);
    eventually("its processes are known", LIMIT, || {
        Ok((session.status()?["agent_pid"].as_u64().unwrap_or(0) != 0).then_some(()))
    })?;
    ensure!(session.exec(&["echo", "here"])?.success()?.text() == "here\n");
    session.stop()?;
    machine.ends_without_leftovers()
}

/// The process that keeps the console of a session: the parent of its first one.
fn outer_half(status: &serde_json::Value) -> Result<Pid> {
    let init = number(&status["init_pid"])?;
    let status = fs::read_to_string(format!("/proc/{init}/status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
    Pid::from_raw(parent.trim().parse()?).context("no process id")
}

#[test]
fn what_is_tightened_between_two_supervisors_holds_for_what_runs() -> Result<()> {
    let machine = Machine::new()?;
    let profile = |lists: &str| format!("[profile.w]\nnetwork = \"allowlist\"\n{lists}\n");
    machine.configure(&profile("allow = [\"a.example.org\", \"b.example.org\"]"))?;
    let session = machine.detached_with("L2", &["--profile", "w"], &["sleep", "600"])?;
    let reached = || -> Result<Vec<&str>> {
        let mut reached = Vec::new();
        for name in ["a.example.org", "b.example.org", "c.example.org"] {
            let why = machine.ctl(&["why", &session.id, name, "--json"])?.json()?;
            reached.extend(why["allowed"].as_bool().context("no answer")?.then_some(name));
        }
        Ok(reached)
    };
    let another = |lists: &str| -> Result<()> {
        let supervisor = machine.supervisor_pid()?;
        kill(supervisor.cast_signed())?;
        eventually("the supervisor is gone", LIMIT, || Ok(is_gone(supervisor).then_some(())))?;
        machine.configure(&profile(lists))
    };
    ensure!(reached()? == ["a.example.org", "b.example.org"], "{:?}", reached()?);
    // Taken away, and what is new is for sessions that start.
    another("allow = [\"a.example.org\", \"c.example.org\"]")?;
    ensure!(reached()? == ["a.example.org"], "{:?}", reached()?);
    another("allow = [\"a.example.org\", \"b.example.org\"]\ndeny = [\"a.example.org\"]")?;
    ensure!(reached()?.is_empty(), "{:?}", reached()?);
    session.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn what_a_person_froze_waits_for_a_person_also_after_a_crash() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", "while :; do date > alive; sleep 0.1; done"])?;
    let state = || -> Result<String> {
        let status = session.status()?;
        Ok(status["summary"]["state"].as_str().context("no state")?.to_owned())
    };
    machine.ctl(&["freeze", &session.id])?.success()?;
    ensure!(state()? == "frozen", "{}", state()?);
    let supervisor = machine.supervisor_pid()?;
    kill(supervisor.cast_signed())?;
    eventually("the supervisor is gone", LIMIT, || Ok(is_gone(supervisor).then_some(())))?;
    eventually("it is known to be frozen", LIMIT, || Ok((state()? == "frozen").then_some(())))?;
    machine.ctl(&["thaw", &session.id])?.success()?;
    ensure!(state()? == "running", "{}", state()?);
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);
    session.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn a_session_that_ended_without_a_supervisor_is_cleaned_up_by_the_next() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let status = session.status()?;
    let supervisor = machine.supervisor_pid()?;
    kill(supervisor.cast_signed())?;
    eventually("the supervisor is gone", LIMIT, || Ok(is_gone(supervisor).then_some(())))?;
    let init = number(&status["init_pid"])?;
    kill(init)?;
    eventually("the session is gone", LIMIT, || Ok(is_gone(init.cast_unsigned()).then_some(())))?;
    eventually("the dead session is not listed any more", LIMIT, || {
        Ok(machine.session_ids()?.is_empty().then_some(()))
    })?;
    machine.ends_without_leftovers()
}

#[test]
fn a_session_ends_with_its_launcher() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", "setsid sleep 600 & sleep 600"])?;
    let init = number(&session.status()?["init_pid"])?;
    let status = fs::read_to_string(format!("/proc/{init}/status"))?;
    let outer = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
    kill(outer.trim().parse()?)?;
    eventually("the session is not listed any more", LIMIT, || {
        Ok(machine.session_ids()?.is_empty().then_some(()))
    })?;
    machine.ends_without_leftovers()
}

#[test]
fn a_session_without_a_terminal_ends_with_its_client() -> Result<()> {
    let machine = Machine::new()?;
    let mut running: Running =
        machine.attached("L2", &["sh", "-c", "trap '' HUP; echo ready; sleep 600; sleep 600"])?;
    ensure!(running.line(LIMIT)? == "ready");
    ensure!(machine.session_ids()?.len() == 1);
    running.signal(Signal::KILL)?;
    eventually("the session is not listed any more", LIMIT, || {
        Ok(machine.session_ids()?.is_empty().then_some(()))
    })?;
    machine.ends_without_leftovers()
}

#[test]
fn a_client_that_is_killed_during_a_start_leaves_nothing() -> Result<()> {
    let machine = Machine::new()?;
    for moment in 0..25 {
        let running: Running = machine.attached("L2", &["sleep", "600"])?;
        // Spread over the whole of a start: the moment itself is what is varied, and none may matter.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2 * moment) {
            std::hint::spin_loop();
        }
        running.signal(Signal::KILL)?;
        drop(running);
        // The next call is the next supervisor where the client died before it had one.
        eventually("no session is listed", LIMIT, || Ok(machine.session_ids()?.is_empty().then_some(())))?;
        machine.wait_until_supervisor_ended()?;
        ensure!(machine.leftovers().is_empty(), "after {} ms: {:#?}", 2 * moment, machine.leftovers());
    }
    // A session on a terminal would go on without its client, which the key that ends everything tells it not to.
    for moment in 0..25 {
        let mut terminal =
            machine.terminal(&machine.start_arguments("L2", &[], &["sleep", "600"]), 24, 80)?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(5 * moment) {
            std::hint::spin_loop();
        }
        // Typed into a session whose program does not run yet, it is for nobody: a person presses it again.
        eventually("the client is gone", LIMIT, || {
            terminal.send("\x03")?;
            Ok(terminal.finish(Duration::from_millis(200)).ok())
        })?;
        ensure!(machine.session_ids()?.is_empty(), "after {} ms: {}", 5 * moment, terminal.seen_text());
    }
    machine.ends_without_leftovers()
}

#[test]
fn a_session_on_a_terminal_outlives_its_client() -> Result<()> {
    let machine = Machine::new()?;
    let script = ["sh", "-c", "echo rea''dy; sleep 600"];
    let mut terminal = machine.terminal(&machine.start_arguments("L2", &[], &script), 24, 80)?;
    terminal.wait_for("ready", LIMIT)?;
    let session = machine.only_session()?;
    drop(terminal);
    ensure!(session.exec(&["echo", "here"])?.success()?.text() == "here\n");
    session.stop()
}

#[test]
fn a_file_of_the_host_that_is_replaced_while_a_session_begins_costs_that_start_and_nothing_else() -> Result<()>
{
    let machine = Machine::new()?;
    machine.configure("[profile.work]\nread = [\"~/settled\"]\n")?;
    let file = machine.person.home.join("settled");
    machine.person.write(&file, b"settled\n", 0o644)?;
    let script = ["sh", "-c", "cat ~/settled"];
    let arguments = machine.start_arguments("L2", &["--profile", "work"], &script);
    let replacing = AtomicBool::new(true);
    let refused = std::thread::scope(|scope| {
        let replacer = scope.spawn(|| -> Result<()> {
            let next = file.with_extension("next");
            while replacing.load(Ordering::Relaxed) {
                machine.person.write(&next, b"settled\n", 0o644)?;
                fs::rename(&next, &file)?;
            }
            Ok(())
        });
        let refused = eventually("a start meets a file that was just replaced", LIMIT, || {
            let started = machine.ctl(&arguments)?;
            if started.status == 0 {
                ensure!(started.text() == "settled\n", "{started:?}");
                return Ok(None);
            }
            Ok(Some(started))
        });
        replacing.store(false, Ordering::Relaxed);
        replacer.join().map_err(|_panic| anyhow::anyhow!("the replacer panicked"))??;
        refused
    })?;
    let text = refused.error_text();
    ensure!(text.contains("settled: it was replaced while the session began; start again"), "{text}");
    ensure!(machine.ctl(&arguments)?.success()?.text() == "settled\n");
    machine.ends_without_leftovers()
}
