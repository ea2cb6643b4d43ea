//! What the kernel shows of a session is what its policy says, for every posture and every way to start one.

use agentbox_probe::State;
use agentbox_suite::held::{console_holds, held_open, missing, own_state};
use agentbox_suite::{Machine, accounts_unchanged};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const POSTURES: &[&str] = &["L0", "L1", "L2"];

#[test]
fn nothing_differs_from_the_policy_of_a_detached_session() -> Result<()> {
    for posture in POSTURES {
        let machine = Machine::new()?;
        let _accounts = accounts_unchanged()?;
        let session = machine.detached(posture, &["sleep", "600"])?;
        ensure!(session.posture_diff()?.is_empty(), "{posture}: {:#?}", session.posture_diff()?);
        session.stop()?;
    }
    Ok(())
}

#[test]
fn nothing_differs_from_the_policy_of_a_session_on_pipes() -> Result<()> {
    for posture in POSTURES {
        let machine = Machine::new()?;
        let _accounts = accounts_unchanged()?;
        let mut running = machine.attached(posture, &["sh", "-c", "echo ready; read word; exit 7"])?;
        ensure!(running.line(LIMIT)? == "ready");
        let session = machine.only_session()?;
        ensure!(session.posture_diff()?.is_empty(), "{posture}: {:#?}", session.posture_diff()?);
        running.send(b"word\n");
        ensure!(running.finish(LIMIT)?.status == 7);
    }
    Ok(())
}

#[test]
fn nothing_differs_from_the_policy_of_a_session_on_a_terminal() -> Result<()> {
    for posture in POSTURES {
        let machine = Machine::new()?;
        let _accounts = accounts_unchanged()?;
        let script = ["sh", "-c", "echo rea''dy; read word; exit 7"];
        let mut terminal = machine.terminal(&machine.start_arguments(posture, &[], &script), 24, 80)?;
        terminal.wait_for("ready", LIMIT)?;
        let session = machine.only_session()?;
        ensure!(session.posture_diff()?.is_empty(), "{posture}: {:#?}", session.posture_diff()?);
        terminal.send("word\r")?;
        ensure!(terminal.finish(LIMIT)? == 7, "{}", terminal.seen_text());
    }
    Ok(())
}

#[test]
fn nothing_differs_from_the_policy_while_a_second_program_runs() -> Result<()> {
    for posture in POSTURES {
        let machine = Machine::new()?;
        let _accounts = accounts_unchanged()?;
        let session = machine.detached(posture, &["sleep", "600"])?;
        let mut command = machine.command(&["exec", &session.id, "--", "sh", "-c", "echo ready; read word"]);
        let mut running = agentbox_suite::Running::start(&mut command)?;
        ensure!(running.line(LIMIT)? == "ready");
        ensure!(session.posture_diff()?.is_empty(), "{posture}: {:#?}", session.posture_diff()?);
        running.finish(LIMIT)?;
        session.stop()?;
    }
    Ok(())
}

#[test]
fn a_process_in_l2_finds_itself_without_any_privilege() -> Result<()> {
    let machine = Machine::new()?;
    let state = own_state(&machine, "L2")?;
    ensure!(missing(&machine, &state)?.is_empty(), "{:#?}", missing(&machine, &state)?);
    let leased = machine.lease_range();
    ensure!(state.uids.iter().all(|uid| leased.contains(uid)), "uids {:?}", state.uids);
    ensure!(state.gids.iter().all(|gid| leased.contains(gid)), "gids {:?}", state.gids);
    ensure!(state.groups.iter().all(|gid| leased.contains(gid)), "groups {:?}", state.groups);
    Ok(())
}

#[test]
fn a_process_in_l1_is_the_person_without_any_privilege() -> Result<()> {
    let machine = Machine::new()?;
    let state = own_state(&machine, "L1")?;
    ensure!(missing(&machine, &state)?.is_empty(), "{:#?}", missing(&machine, &state)?);
    ensure!(state.uids.iter().all(|uid| *uid == machine.person.uid), "uids {:?}", state.uids);
    Ok(())
}

#[test]
fn a_process_in_l0_is_the_person_on_the_host() -> Result<()> {
    let machine = Machine::new()?;
    let state = own_state(&machine, "L0")?;
    ensure!(state.uids.iter().all(|uid| *uid == machine.person.uid), "uids {:?}", state.uids);
    ensure!(state.gids.iter().all(|gid| *gid == machine.person.gid), "gids {:?}", state.gids);
    let facts = machine.facts("posture")?;
    for name in ["mnt", "pid", "net", "ipc", "uts"] {
        ensure!(state.namespaces.get(name) == facts.host.namespaces.get(name), "{name} is not the host's");
    }
    Ok(())
}

#[test]
fn the_first_process_and_the_console_hold_nothing_of_the_host() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        let session = machine.detached(posture, &["sleep", "600"])?;
        let init = session.status()?["init_pid"].as_i64().context("no pid")?;
        ensure!(held_open(init)?.is_empty(), "{posture}: {:#?}", held_open(init)?);
        let console = console_holds(&machine, init)?;
        ensure!(console.is_empty(), "{posture}: {console:#?}");
        session.stop()?;
    }
    Ok(())
}

#[test]
fn a_second_program_is_held_as_the_first_is() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        let _accounts = accounts_unchanged()?;
        let session =
            machine.detached(posture, &["sh", "-c", "./agentbox-probe self > self.json; exec sleep 600"])?;
        let path = machine.project().join("self.json");
        let first = agentbox_suite::eventually("the agent has written its state", LIMIT, || {
            Ok(std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok()))
        })?;
        let second = session.exec(&["sh", "-c", "exec ./agentbox-probe self"])?.success()?;
        let second: State = serde_json::from_slice(&second.stdout)?;
        ensure!(first.uids == second.uids && first.gids == second.gids && first.groups == second.groups);
        ensure!(first.capabilities == second.capabilities);
        ensure!(first.no_new_privs == second.no_new_privs);
        ensure!((first.seccomp_mode, first.seccomp_filters) == (second.seccomp_mode, second.seccomp_filters));
        ensure!(
            first.landlock_left == second.landlock_left,
            "{:?} {:?}",
            first.landlock_left,
            second.landlock_left
        );
        ensure!(first.namespaces == second.namespaces);
        ensure!((first.umask, first.oom_score_adj) == (second.umask, second.oom_score_adj));
        ensure!(first.limits == second.limits);
        let differ: Vec<_> =
            first.mounts.iter().zip(&second.mounts).filter(|(one, other)| one != other).collect();
        ensure!(first.mounts == second.mounts, "{posture}: {differ:#?}");
        ensure!(first.environment == second.environment, "{:?} {:?}", first.environment, second.environment);
        session.stop()?;
    }
    Ok(())
}
