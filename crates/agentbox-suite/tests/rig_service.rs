//! The supervisor as a service: on the system bus, with scopes of the service manager. Runs in a rig, where
//! agentbox is installed as a distribution would; elsewhere there is no such service to look at.

use agentbox_suite::{Machine, Person, Programs, Service, eventually, run};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// The service of the machine; these tests are of no use without one, and a rig says that it is one.
fn service(machine: &Machine) -> Result<&Service> {
    machine.service().context("AGENTBOX_RIG says no rig: run `cargo xtask test`")
}

fn outside_of_rigs() -> bool {
    std::env::var_os("AGENTBOX_RIG").is_none()
}

#[test]
fn a_person_starts_a_session_in_a_scope_of_its_own() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let unit = format!("agentbox-{}.scope", session.id);
    for (property, wanted) in [
        ("ActiveState", "active"),
        ("Slice", "agentbox.slice"),
        ("Delegate", "yes"),
        ("CollectMode", "inactive-or-failed"),
        ("OOMPolicy", "continue"),
    ] {
        ensure!(service.property_of(&unit, property)? == wanted, "{property}");
    }
    let status = session.status()?;
    let group = format!("/agentbox.slice/{unit}");
    ensure!(status["cgroup"] == group.as_str(), "{status}");
    for (process, below) in [("agent_pid", "payload"), ("init_pid", "payload")] {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", status[process]))?;
        ensure!(groups.lines().any(|line| line == format!("0::{group}/{below}")), "{process}: {groups}");
    }
    // Who holds the next session's begins in the supervisor's own unit.
    service.wait_for_stock()?;
    // Nothing of a session is in that: there is what looks at projects for it.
    let own = service.property("ControlGroup")?;
    let pids = std::fs::read_to_string(format!("/sys/fs/cgroup{own}/cgroup.procs"))?;
    let supervisor = service.pid()?.to_string();
    ensure!(pids.lines().any(|pid| pid == supervisor), "{pids}");
    for pid in pids.lines().filter(|pid| *pid != supervisor) {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        ensure!(matches!(name.trim(), "" | "agentbox-look"), "{name}");
    }
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);
    session.stop()?;
    ensure!(service.scopes()?.is_empty(), "{:?}", service.scopes()?);
    Ok(())
}

#[test]
fn the_next_session_gets_the_scope_in_stock() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    machine.configure("[posture.short]\nextends = \"L2\"\nruntime_max = \"10m\"\n")?;
    service.restart()?;
    let start = |posture: &str| machine.detached(posture, &["sleep", "600"]);
    ensure!(service.scope_in_stock()?.is_none(), "there is one before anybody started something");
    let first = start("L2")?;
    let next = service.wait_for_stock()?;
    // It is nobody's session.
    ensure!(machine.session_ids()? == [first.id.clone()], "{:?}", machine.session_ids()?);
    let repaired = machine.ctl(&["doctor"])?;
    ensure!(!repaired.text().contains(&next), "{repaired:?}");
    // With a time that the service manager has to know from the beginning a scope is made.
    let short = start("short")?;
    ensure!(service.wait_for_stock()? == next && short.id != next, "{} {next}", short.id);
    let second = start("L2")?;
    ensure!(second.id == next, "{} {next}", second.id);
    for property in [
        "Description",
        "Slice",
        "MemoryMax",
        "MemorySwapMax",
        "TasksMax",
        "CPUWeight",
        "Delegate",
        "OOMPolicy",
        "CollectMode",
        "After",
        "TimeoutStopUSec",
        "ActiveState",
    ] {
        let of = |id: &str| service.property_of(&format!("agentbox-{id}.scope"), property);
        let (made, taken) = (of(&first.id)?.replace(&first.id, "ID"), of(&next)?.replace(&next, "ID"));
        ensure!(made == taken && !made.is_empty(), "{property}: {made}, from stock {taken}");
    }
    ensure!(service.property_of(&format!("agentbox-{}.scope", short.id), "RuntimeMaxUSec")? == "11min");
    ensure!(second.posture_diff()?.is_empty(), "{:?}", second.posture_diff()?);
    // Who may can end a scope; the next start makes its own.
    let lost = service.wait_for_stock()?;
    service.systemctl(&["stop", &format!("agentbox-{lost}.scope")])?.success()?;
    let third = start("L2")?;
    ensure!(third.id != lost, "{lost} was ended");
    // A supervisor that is killed or ends leaves none.
    service.wait_for_stock()?;
    let pid = service.pid()?;
    service.kill()?;
    service.wait_for_another(pid)?;
    eventually("the scope has gone with its supervisor", LIMIT, || {
        Ok(service.scope_in_stock()?.is_none().then_some(()))
    })?;
    let fourth = start("L2")?;
    service.wait_for_stock()?;
    service.stop()?;
    ensure!(service.scope_in_stock()?.is_none(), "one is left by a supervisor that ended");
    let mut sessions = [&first, &short, &second, &third, &fourth].map(|session| session.id.clone());
    let mut scopes = service.scopes()?;
    sessions.sort();
    scopes.sort();
    ensure!(scopes == sessions.map(|id| format!("agentbox-{id}.scope")), "{scopes:?}");
    service.restart()?;
    for session in [first, short, second, third, fourth] {
        session.stop()?;
    }
    machine.ends_without_leftovers()
}

/// An account with an id that sessions run under, which the bus therefore lets in.
struct Leased {
    uid: u32,
}

impl Leased {
    fn new(uid: u32) -> Result<Self> {
        let mut command = Command::new("useradd");
        command.args(["--no-create-home", "--groups", "agentbox", "--uid", &uid.to_string(), "absleased"]);
        run(&mut command, b"", LIMIT)?.success()?;
        Ok(Self { uid })
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        let _ = run(Command::new("userdel").arg("absleased"), b"", LIMIT);
    }
}

#[test]
fn strangers_and_sessions_are_refused() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let stranger = Person::new()?;
    let program = machine.programs.path("agentboxctl");
    let ask = |uid: u32, arguments: &[&str]| -> Result<_> {
        let uid = uid.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]).arg(&program).args(arguments);
        run(command.current_dir("/"), b"", LIMIT)
    };
    let leased = Leased::new(machine.lease_range().end - 1)?;
    for arguments in [&["list"][..], &["status", &session.id], &["stop", &session.id]] {
        let refused = ask(stranger.uid, arguments)?;
        ensure!(refused.status == 1 && refused.error_text().contains("may not use agentbox"), "{refused:?}");
        // An id that sessions run under: as a rule the bus itself refuses who has no account.
        let refused = ask(machine.lease_range().start, arguments)?;
        ensure!(refused.status == 1, "{refused:?}");
        let refused = ask(leased.uid, arguments)?;
        ensure!(refused.status == 1 && refused.error_text().contains("sessions run under"), "{refused:?}");
    }
    // The control: the person themselves.
    ensure!(machine.ctl(&["list"])?.success()?.text().contains(&session.id));
    session.stop()
}

#[test]
fn sessions_survive_a_supervisor_that_is_killed_and_one_that_is_replaced() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let session = machine.detached("L2", &["sh", "-c", "sleep 600; true"])?;
    let before = session.status()?;
    for what in ["kill", "restart"] {
        let pid = service.pid()?;
        match what {
            "kill" => service.kill()?,
            _ => service.restart()?,
        }
        service.wait_for_another(pid)?;
        let after = session.status()?;
        for same in ["agent_pid", "init_pid", "uid", "policy_hash", "cgroup"] {
            ensure!(before[same] == after[same], "{what}: {same}: {before} {after}");
        }
        ensure!(session.posture_diff()?.is_empty(), "{what}: {:?}", session.posture_diff()?);
        let said = session.exec(&["echo", "still here"])?.success()?;
        ensure!(said.text() == "still here\n", "{said:?}");
    }
    session.stop()
}

#[test]
fn the_service_starts_when_it_is_asked_and_reads_its_configuration_again() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    service.stop()?;
    ensure!(service.pid()? == 0);
    machine.ctl(&["list"])?.success()?;
    let pid = service.pid()?;
    ensure!(pid != 0, "the bus did not start it");
    let file = machine.config().join("agentbox.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, format!("{text}\n[nonsense]\n"))?;
    service.systemctl(&["reload", "agentboxd.service"])?.success()?;
    // What cannot be used does not take the place of what can.
    ensure!(machine.inside("L2", &["true"])?.status == 0);
    std::fs::write(&file, format!("{text}\n[floor]\nnetwork = \"none\"\n"))?;
    service.systemctl(&["reload", "agentboxd.service"])?.success()?;
    let refused = machine.ctl(&["start", ".", "--network", "public", "--", "true"])?;
    ensure!(refused.status == 125 && refused.error_text().contains("floor.network"), "{refused:?}");
    ensure!(service.pid()? == pid, "a reload is no restart");
    Ok(())
}

#[test]
fn a_list_is_answered_while_a_session_forks_and_strangers_flood_the_bus() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let session = machine.detached(
        "L2",
        &["sh", "-c", "bomb() { while :; do sleep 5 & done 2>/dev/null; }; bomb & bomb & wait; sleep 600"],
    )?;
    let stranger = Person::new()?;
    let flood = "for i in 1 2 3 4; do (while :; do busctl call org.agentbox1 /org/agentbox1 \
                 org.agentbox1.Manager List; done >/dev/null 2>&1) & done; wait";
    let mut flooding = stranger.command("/bin/sh").args(["-c", flood]).spawn()?;
    let answered: Result<Vec<Duration>> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            ensure!(machine.ctl(&["list"])?.success()?.text().contains(&session.id));
            Ok(begun.elapsed())
        })
        .collect();
    flooding.kill()?;
    flooding.wait()?;
    for pid in stranger.processes() {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
    }
    eventually("the flood is over", LIMIT, || Ok(stranger.processes().is_empty().then_some(())))?;
    session.stop()?;
    let mut answered = answered?;
    answered.sort_unstable();
    println!("list: median {:?}, longest {:?}", answered[answered.len() / 2], answered[answered.len() - 1]);
    ensure!(answered[answered.len() / 2] < Duration::from_secs(1), "{answered:?}");
    Ok(())
}

/// Where the supervisor can be killed: the programs say so themselves.
fn kill_points(programs: &Programs) -> Result<Vec<String>> {
    let mut command = Command::new(programs.path("agentboxd"));
    let listed = run(command.arg("--list-kill-points"), b"", LIMIT)?.success()?;
    Ok(listed.text().split_ascii_whitespace().map(str::to_owned).collect())
}

#[test]
fn nothing_is_left_when_the_service_is_killed_at_any_step() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let programs = Programs::testing()?;
    let machine = Machine::with(programs.clone(), &[])?;
    let service = service(&machine)?;
    let points = kill_points(&programs)?;
    ensure!(points.len() >= 10, "{points:?}");
    let mut problems = Vec::new();
    for point in &points {
        service.set(&programs, &[("AGENTBOX_TEST_KILL".to_owned(), point.clone())])?;
        service.restart()?;
        let pid = service.pid()?;
        let started = machine.ctl(&machine.start_arguments("L2", &["--detach"], &["sleep", "600"]))?;
        if started.status == 0 {
            // The point lies on the way to the end.
            let id = started.text().trim().to_owned();
            let stopped = machine.ctl(&["stop", &id, "--timeout", "2s"])?;
            if stopped.status == 0 {
                problems.push(format!("{point}: nothing died there"));
            }
        }
        machine.remember_directories()?;
        // The next one has no reason to die, and is started by the service manager.
        service.set(&programs, &[])?;
        service.wait_for_another(pid)?;
        service.restart()?;
        problems.extend(machine.wrong_after_kill(point)?);
    }
    ensure!(problems.is_empty(), "{problems:#?}");
    Ok(())
}

#[test]
fn a_ledger_that_cannot_be_understood_is_kept_and_reported() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let agent = session.status()?["agent_pid"].to_string();
    let ledger = machine.runtime().join("sessions").join(&session.id).join("ledger");
    let whole = std::fs::read(&ledger)?;
    std::fs::write(&ledger, [b"{\"line\":\"dance\"}\n", whole.as_slice()].concat())?;
    service.restart()?;
    ensure!(ledger.exists() && std::path::Path::new(&format!("/proc/{agent}")).exists());
    let doctor = run(Command::new(machine.programs.path("agentboxctl")).arg("doctor"), b"", LIMIT)?;
    ensure!(doctor.text().contains(&session.id) && doctor.text().contains("left as it is"), "{doctor:?}");
    let mut stop = Command::new(machine.programs.path("agentboxctl"));
    run(stop.args(["stop", &session.id, "--timeout", "2s"]), b"", LIMIT)?.success()?;
    std::fs::write(&ledger, whole).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    service.restart()?;
    machine.ends_without_leftovers()
}
