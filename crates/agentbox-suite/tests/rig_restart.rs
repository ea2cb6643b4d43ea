//! What outlives a supervisor that is a service, and what a reload changes at once. Runs in a rig.

use agentbox_suite::{Machine, Service, eventually, run};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn outside_of_rigs() -> bool {
    std::env::var_os("AGENTBOX_RIG").is_none()
}

fn service(machine: &Machine) -> Result<&Service> {
    machine.service().context("no service")
}

#[test]
fn published_ports_outlive_the_supervisor_and_the_gate() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let server = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "3000"];
    let session = machine.detached_with("L2", &["--publish", "3217:3000"], &server)?;
    let answers = || -> Result<Option<()>> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "5", "--output", "/dev/null", "http://127.0.0.1:3217/"]);
        Ok((run(&mut command, b"", LIMIT)?.status == 0).then_some(()))
    };
    eventually("the port answers", LIMIT, answers)?;
    ensure!(service.property("NFileDescriptorStore")? != "0", "nothing is kept");
    let pid = service.pid()?;
    service.kill()?;
    service.wait_for_another(pid)?;
    let gate = || -> Result<u64> {
        session.status()?["network"]["gate_pid"].as_u64().context("no gate in the status")
    };
    let before = eventually("its gate is known again", LIMIT, || Ok(Some(gate()?).filter(|pid| *pid != 0)))?;
    let mut kill = Command::new("kill");
    run(kill.args(["-KILL", &before.to_string()]), b"", LIMIT)?.success()?;
    eventually("it has another gate", LIMIT, || Ok((![0, before].contains(&gate()?)).then_some(())))?;
    eventually("the port answers again", LIMIT, answers)?;
    session.stop()?;
    ensure!(service.property("NFileDescriptorStore")? == "0", "something is kept for nobody");
    ensure!(answers()?.is_none(), "the port answers without a session");
    Ok(())
}

#[test]
fn a_reload_closes_at_once_what_is_denied_from_now_on() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let profile = "[profile.w]\nallow = [\"a.example.org\", \"b.example.org\"]\nnetwork = \"allowlist\"\n";
    machine.configure(profile)?;
    let session = machine.detached_with("L2", &["--profile", "w"], &["sleep", "600"])?;
    let reaches = |name: &str| -> Result<bool> {
        let why = machine.ctl(&["why", &session.id, name, "--json"])?;
        why.json()?["allowed"].as_bool().context("no answer")
    };
    ensure!(reaches("a.example.org")? && reaches("b.example.org")?);
    let file = machine.config().join("agentbox.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("[profile.w]", "[profile.w]\ndeny = [\"a.example.org\"]"))?;
    service.systemctl(&["reload", "agentboxd.service"])?.success()?;
    ensure!(!reaches("a.example.org")? && reaches("b.example.org")?);
    // What is no longer denied waits for the next session.
    std::fs::write(&file, &text)?;
    service.systemctl(&["reload", "agentboxd.service"])?.success()?;
    ensure!(!reaches("a.example.org")?);
    // What is no longer allowed does not.
    std::fs::write(&file, text.replace(", \"b.example.org\"", ""))?;
    service.systemctl(&["reload", "agentboxd.service"])?.success()?;
    ensure!(!reaches("b.example.org")?);
    session.stop()
}

#[test]
fn a_reload_narrows_the_network_of_sessions_that_run_and_says_what_waits() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let other = machine.detached_with("L2", &["--allow", "kept.example.org"], &["sleep", "600"])?;
    let reaches = |id: &str, name: &str| -> Result<bool> {
        let why = machine.ctl(&["why", id, name, "--json"])?;
        why.json()?["allowed"].as_bool().context("no answer")
    };
    ensure!(reaches(&session.id, "elsewhere.org")?, "the control: public names are reached");
    let file = machine.config().join("agentbox.toml");
    let text = std::fs::read_to_string(&file)?;
    let reload = |more: &str| -> Result<()> {
        std::fs::write(&file, format!("{text}\n{more}\n"))?;
        service.systemctl(&["reload", "agentboxd.service"])?.success().map(drop)
    };
    let place = machine.project().display();
    reload(&format!("[project.p]\npath = \"{place}\"\ndeny = [\"denied.example.org\"]"))?;
    ensure!(!reaches(&session.id, "denied.example.org")? && reaches(&session.id, "elsewhere.org")?);
    reload("resolvers = [\"9.9.9.9\"]\n[floor]\nnetwork = \"allowlist\"")?;
    ensure!(!reaches(&session.id, "elsewhere.org")? && !reaches(&other.id, "elsewhere.org")?);
    ensure!(reaches(&other.id, "kept.example.org")?, "what a rule allows is reached");
    reload("[floor]\nnetwork = \"none\"")?;
    ensure!(!reaches(&other.id, "kept.example.org")?);
    // It opens nothing again.
    reload("")?;
    ensure!(!reaches(&other.id, "kept.example.org")? && !reaches(&session.id, "elsewhere.org")?);
    let trail = run(Command::new("cat").arg(machine.logs().join("audit.jsonl")), b"", LIMIT)?.text();
    let waits = trail.lines().any(|line| line.contains("resolvers") && line.contains("waits for a restart"));
    ensure!(waits && trail.contains("network-narrowed") && trail.contains("floor.network"), "{trail}");
    session.stop()?;
    other.stop()
}

#[test]
fn a_ceiling_that_comes_down_and_internal_names_that_go_are_closed_at_once() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let text = "[ceiling]\nallow = [\"*.example.org\"]\ninternal = [\"10.20.0.0/16:443\"]\n\
        [profile.w]\nnetwork = \"allowlist\"\nallow = [\"system.example.net\"]\ninternal = [\"wiki.corp:443\"]\n";
    machine.configure(text)?;
    let hosts = ["a.example.org", "b.example.org", "10.20.0.0/16:443"];
    let allowed: Vec<&str> = hosts.iter().flat_map(|host| ["--allow", host]).collect();
    let session =
        machine.detached_with("L2", &[&["--profile", "w"], &allowed[..]].concat(), &["sleep", "600"])?;
    let reached = |names: &[&str]| -> Result<Vec<String>> {
        let mut reached = Vec::new();
        for name in names {
            let why = machine.ctl(&["why", &session.id, name, "--json"])?.json()?;
            if why["allowed"].as_bool().context("no answer")? {
                reached.push((*name).to_owned());
            }
        }
        Ok(reached)
    };
    let all = ["a.example.org", "b.example.org", "10.20.0.1", "system.example.net", "wiki.corp"];
    ensure!(reached(&all)? == all, "the control: {:?}", reached(&all)?);
    let file = machine.config().join("agentbox.toml");
    let whole = std::fs::read_to_string(&file)?;
    let reload = |from: &str, to: &str| -> Result<Vec<String>> {
        let text = std::fs::read_to_string(&file)?;
        ensure!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to))?;
        service.systemctl(&["reload", "agentboxd.service"])?.success()?;
        reached(&all)
    };
    // The system's own lists are not the person's: no ceiling holds for them.
    let left = reload("*.example.org", "a.example.org")?;
    ensure!(left == ["a.example.org", "10.20.0.1", "system.example.net", "wiki.corp"], "{left:?}");
    let left = reload("\ninternal = [\"10.20.0.0/16:443\"]", "\ninternal = []")?;
    ensure!(left == ["a.example.org", "system.example.net", "wiki.corp"], "{left:?}");
    let left = reload("\ninternal = [\"wiki.corp:443\"]", "")?;
    ensure!(left == ["a.example.org", "system.example.net"], "{left:?}");
    // It opens nothing again.
    std::fs::write(&file, whole)?;
    service.systemctl(&["reload", "agentboxd.service"])?.success()?;
    ensure!(reached(&all)? == ["a.example.org", "system.example.net"], "{:?}", reached(&all)?);
    session.stop()
}

#[test]
fn a_client_that_is_attached_notices_nothing_of_another_supervisor() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    let mut running = machine.attached("L2", &["sh", "-c", "echo first; read line; echo got $line"])?;
    running.wait_for(b"first", LIMIT)?;
    let pid = service.pid()?;
    service.kill()?;
    service.wait_for_another(pid)?;
    running.send(b"word\n");
    let finished = running.finish(LIMIT)?;
    ensure!(finished.status == 0 && finished.text().contains("got word"), "{finished:?}");
    machine.ends_without_leftovers()
}
