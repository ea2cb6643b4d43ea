//! Everything that persons, agents and accidents do to sessions, at random: what has to be so is so all the time, the trail
//! tells each of it once, and in the end nothing is left and nothing has grown.
//!
//! `cargo xtask soak --minutes 120` runs it for long; `--seed` repeats the acts of a run.

use agentbox_suite::lab::Lab;
use agentbox_suite::{Machine, Requests, Soak};
use anyhow::{Result, ensure};
use std::time::Duration;

/// Both tests together, where nobody says how long.
const SECONDS: u64 = 180;
/// What the requests have of it: one part of so many.
const REQUESTS: u64 = 6;
/// Fewer acts of a kind, on average, are no proof of anything.
const LEAST_ACTS: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn how_long() -> (u64, u64) {
    let seconds = number("AGENTBOX_SOAK_SECONDS").unwrap_or(SECONDS);
    let seed = number("AGENTBOX_SOAK_SEED").unwrap_or(20_261_126);
    println!("AGENTBOX_SOAK_SECONDS={seconds} AGENTBOX_SOAK_SEED={seed}");
    (seconds, seed)
}

#[test]
fn whatever_happens_to_sessions_at_random_leaves_nothing_and_is_told_once() -> Result<()> {
    let (seconds, seed) = how_long();
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let told = Soak::run(&guest, seed, Duration::from_secs(seconds - seconds / REQUESTS))?;
    let acts: u64 = told.acts.values().sum();
    println!("{acts} acts, {} lines of the trail", told.lines);
    println!("{:?}\n{:?}\n{:?}", told.first, told.before, told.after);
    told.acts.iter().for_each(|(act, count)| println!("{count:>7} {act}"));
    ensure!(acts >= LEAST_ACTS, "{acts} acts are too few");
    Ok(())
}

#[test]
fn no_order_of_requests_from_several_connections_has_an_answer_that_may_not_be() -> Result<()> {
    let (seconds, seed) = how_long();
    let machine = Machine::new()?;
    let kept = machine.detached("L2", &["sleep", "infinity"])?;
    let before = machine.supervisor()?;
    let users = [machine.person.uid, 0, machine.person.uid];
    let answered = Requests::run(&machine, &users, seed, Duration::from_secs(seconds / REQUESTS))?;
    answered.iter().for_each(|(method, (asked, good))| println!("{good:>7} of {asked:>7} {method}"));
    ensure!(answered.len() > 8 && answered["Start"].1 > 10 && answered["Status"].1 > 30, "{answered:?}");
    ensure!(machine.supervisor_pid()? == before.pid, "the supervisor is another one");
    ensure!(machine.session_ids()?.contains(&kept.id), "the first session is gone");
    let log = std::fs::read_to_string(machine.logs().join("agentboxd.log"))?;
    ensure!(!log.contains("panicked"), "{log}");
    machine.ctl(&["stop", "--all", "--timeout", "1s"])?.success()?;
    machine.ends_without_leftovers()
}
