//! The audit trail and the journal that knows it too. Runs in a rig.

use agentbox_suite::{Machine, Service, eventually, run};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Of the event `start`: fixed for ever.
const START_ID: &str = "2e0466a6d9054cd898c80509f75911ce";

fn outside_of_rigs() -> bool {
    std::env::var_os("AGENTBOX_RIG").is_none()
}

fn service(machine: &Machine) -> Result<&Service> {
    machine.service().context("no service")
}

/// Entries of the journal.
fn journal(matches: &[&str]) -> Result<Vec<Value>> {
    run(Command::new("journalctl").arg("--sync"), b"", LIMIT)?.success()?;
    let mut command = Command::new("journalctl");
    let read = run(command.args(["--no-pager", "--quiet", "--output=json"]).args(matches), b"", LIMIT)?;
    read.text().lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The lines of the trail.
fn trail(machine: &Machine) -> Result<Vec<String>> {
    let text = fs::read_to_string(machine.logs().join("audit.jsonl"))?;
    Ok(text.split_inclusive('\n').map(str::to_owned).collect())
}

/// Has the trail consist of these lines, with a head that fits.
fn forge(machine: &Machine, lines: &[String]) -> Result<()> {
    let last: Value = serde_json::from_str(lines.last().context("no line")?)?;
    let head = serde_json::json!({ "seq": last["seq"], "hash": last["hash"] }).to_string();
    fs::write(machine.logs().join("audit.jsonl"), lines.concat())?;
    Ok(fs::write(machine.logs().join("audit.head"), format!("{head:<127}\n"))?)
}

fn verify(machine: &Machine) -> Result<Value> {
    let mut command = Command::new(machine.programs.path("agentboxctl"));
    let said = run(command.args(["log", "--verify", "--json"]), b"", LIMIT)?;
    Ok(serde_json::from_slice(&said.stdout)?)
}

/// What a supervisor says that is started with the trail as it is now.
fn started_and_verified(machine: &Machine, service: &Service) -> Result<Value> {
    service.restart()?;
    verify(machine)
}

#[test]
fn every_event_is_in_the_journal_with_its_id_and_entries_of_others_count_for_nothing() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let ours = ["_UID=0", "_SYSTEMD_UNIT=agentboxd.service", "_TRANSPORT=journal"];
    let of_session = format!("AGENTBOX_SESSION={}", session.id);
    let entries = journal(&[&ours[..], &[of_session.as_str()]].concat())?;
    let start = entries.iter().find(|entry| entry["AGENTBOX_EVENT"] == "start").context("no start")?;
    ensure!(start["MESSAGE_ID"] == START_ID, "{start}");
    let owner = start["AGENTBOX_OWNER_UID"].as_str().and_then(|uid| uid.parse().ok());
    ensure!(owner == Some(machine.person.uid), "{start}");
    // The entry is the line of the trail itself.
    let line = start["AGENTBOX_LINE"].as_str().context("no line")?;
    ensure!(trail(&machine)?.iter().any(|of_trail| of_trail.trim_end() == line), "{line}");
    let before = verify(&machine)?;
    ensure!(before["whole"] == true && before["anchors"].as_u64().is_some_and(|known| known > 0), "{before}");
    // A person, and root outside of the service, write entries with our fields about an event that never was.
    let forge = "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(\
                 b'MESSAGE=forged\\nAGENTBOX_SEQ=9000\\nAGENTBOX_HASH=' + b'a' * 64 + b'\\n_UID=0\\n\
                 _SYSTEMD_UNIT=agentboxd.service\\n', '/run/systemd/journal/socket')";
    run(machine.person.command("python3").args(["-c", forge]), b"", LIMIT)?.success()?;
    run(Command::new("python3").args(["-c", forge]), b"", LIMIT)?.success()?;
    eventually("both are in the journal", LIMIT, || {
        Ok((journal(&["AGENTBOX_SEQ=9000"])?.len() == 2).then_some(()))
    })?;
    let after = verify(&machine)?;
    ensure!(after["whole"] == true, "{after}");
    session.stop()
}

#[test]
fn what_is_changed_with_everything_that_belongs_to_it_is_found_by_the_journal() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let service = service(&machine)?;
    machine.inside("L2", &["true"])?.success()?;
    service.stop()?;
    // The control: it is whole when a supervisor starts with it.
    let verdict = started_and_verified(&machine, service)?;
    ensure!(verdict["whole"] == true, "{verdict}");
    service.stop()?;
    let whole = trail(&machine)?;
    ensure!(whole.len() > 5, "{whole:?}");
    // The end is cut off, and the head says that this is the end.
    forge(&machine, &whole[..whole.len() - 2])?;
    let verdict = started_and_verified(&machine, service)?;
    ensure!(verdict["problems"].to_string().contains("the journal knows"), "{verdict}");
    // All of it is replaced by another trail, which is whole in itself.
    service.stop()?;
    for name in ["audit.jsonl", "audit.head"] {
        fs::remove_file(machine.logs().join(name))?;
    }
    let verdict = started_and_verified(&machine, service)?;
    ensure!(verdict["problems"].to_string().contains("the journal knows another event 1"), "{verdict}");
    Ok(())
}
