//! T8: one session cannot see, reach or disturb another, whatever the person shares between them.

use agentbox_probe::{Outcome, Record};
use agentbox_suite::{Machine, Victim};
use anyhow::{Context, Result, ensure};

/// Attacks on a neighbour; the others are the battery's.
const ATTACKS: &[&str] = &[
    "t1.through-proc-fd",
    "t4.other-environments",
    "t4.trace-process",
    "t4.read-memory",
    "t4.write-memory",
    "t4.memory-file",
    "t4.take-descriptor",
    "t8.process-exists",
    "t8.process-listed",
    "t8.signal",
    "t8.signal-by-descriptor",
    "t8.signal-thread",
    "t8.signal-everybody",
    "t8.resource-limits",
    "t8.scheduling",
    "t8.shared-memory",
    "t8.semaphores",
    "t8.message-queue",
    "t8.posix-queue",
    "t8.ipc-listed",
    "t8.abstract-socket",
    "t8.path-sockets",
    "t8.datagram-sockets",
    "t8.sockets-listed",
    "t8.shared-files",
];

#[test]
fn a_session_in_l2_cannot_reach_its_neighbour() -> Result<()> {
    neighbours("L2")
}

#[test]
fn a_session_in_l1_cannot_reach_its_neighbour() -> Result<()> {
    neighbours("L1")
}

fn neighbours(posture: &str) -> Result<()> {
    let machine = Machine::new()?;
    let tag = format!("neighbour-{}", machine.person.name);
    let secret = format!("AGENTBOX_PROBE_SECRET={}", machine.planted.canary);
    let command = ["env", &secret, "./agentbox-probe", "victim", &tag, "/tmp", "/var/tmp", "/dev/shm"];
    let arguments = machine.start_arguments(posture, &[], &command);
    let mut first = Victim::start(&mut machine.command(&arguments))?;
    let session = machine.only_session()?;
    let mut held = first.held.clone();
    held.pid =
        session.status()?["agent_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).context("no pid")?;
    attack(&machine, posture, &held, &tag)?;
    ensure!(first.signals()?.is_empty(), "a signal reached the neighbour");
    first.end()
}

fn attack(machine: &Machine, posture: &str, held: &agentbox_probe::Victim, tag: &str) -> Result<()> {
    let mut facts = machine.facts(tag)?;
    facts.victim = Some(held.clone());
    let mut command = vec!["./agentbox-probe", "run", "--json", "--facts", "-"];
    // Where the neighbour cannot make sockets, there are none to reach.
    let attacks = ATTACKS.iter().filter(|id| !held.path_sockets.is_empty() || !id.contains("socket"));
    command.extend(attacks);
    let said = machine.inside_with(posture, &command, &serde_json::to_vec(&facts)?)?;
    let records: Vec<Record> = said.text().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(records.len() == command.len() - 5, "{} answers: {said:?}", records.len());
    ensure!(posture == "L1" || !held.path_sockets.is_empty(), "the neighbour could make no socket");
    for record in records {
        ensure!(record.outcome == Outcome::Refused, "{posture}: {record:?}");
    }
    Ok(())
}

#[test]
fn each_session_has_ids_of_its_own_that_do_not_come_back() -> Result<()> {
    let machine = Machine::new()?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let session = machine.detached("L2", &["sleep", "600"])?;
        let uid = session.status()?["uid"].as_u64().context("no uid")?;
        ensure!(machine.lease_range().contains(&u32::try_from(uid)?), "{uid} is outside the range");
        ensure!(!seen.contains(&uid), "{uid} came back: {seen:?}");
        seen.push(uid);
        if seen.len() == 2 {
            session.stop()?;
        }
    }
    machine.ctl(&["stop", "--all"])?.success()?;
    machine.wait_until_supervisor_ended()?;
    // Another supervisor goes on where the first one ended.
    let session = machine.detached("L2", &["sleep", "600"])?;
    let uid = session.status()?["uid"].as_u64().context("no uid")?;
    ensure!(!seen.contains(&uid), "{uid} came back after a restart: {seen:?}");
    session.stop()
}

#[test]
fn two_sessions_of_one_project_share_its_files_and_nothing_else() -> Result<()> {
    let machine = Machine::new()?;
    let first =
        machine.detached("L2", &["sh", "-c", "echo one > /tmp/private; echo one > shared; sleep 600"])?;
    let second = machine.detached("L2", &["sleep", "600"])?;
    agentbox_suite::eventually("the first has written", std::time::Duration::from_secs(60), || {
        Ok((first.exec(&["cat", "shared"])?.text() == "one\n").then_some(()))
    })?;
    ensure!(second.exec(&["cat", "shared"])?.text() == "one\n");
    ensure!(second.exec(&["test", "-e", "/tmp/private"])?.status == 1);
    ensure!(second.exec(&["sh", "-c", "echo two >> shared"])?.status == 0);
    ensure!(first.exec(&["cat", "shared"])?.text() == "one\ntwo\n");
    Ok(())
}
