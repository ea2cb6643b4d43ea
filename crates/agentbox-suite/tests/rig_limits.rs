//! Limits of memory and tasks, of a session that is a scope: they need control groups with these controllers, which
//! the virtual machine has.

use agentbox_suite::{Machine, Session, fork_bomb};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);
const SMALL: &str = "[posture.small]\nextends = \"L2\"\nmemory_max = \"64M\"\ntasks_max = 64\nio_weight = 50\n\
    cpu_weight = 50\n[posture.short]\nextends = \"small\"\nruntime_max = \"2m\"\n";
/// Whether this place says that its control groups limit everything.
fn has_limits() -> bool {
    std::env::var_os("AGENTBOX_TEST_LIMITS").is_some()
}

/// A session that runs beside, and everything about it that must not change.
struct Beside<'a> {
    session: Session<'a>,
    supervisor: u32,
    agent: u64,
}

impl<'a> Beside<'a> {
    fn new(machine: &'a Machine) -> Result<Self> {
        let session = machine.detached("L2", &["sleep", "600"])?;
        let agent = session.status()?["agent_pid"].as_u64().context("no agent")?;
        Ok(Self { session, supervisor: supervisor(machine)?, agent })
    }

    fn is_whole(&self, machine: &Machine) -> Result<()> {
        ensure!(self.session.status()?["agent_pid"].as_u64() == Some(self.agent), "another agent");
        ensure!(supervisor(machine)? == self.supervisor, "another supervisor");
        ensure!(self.session.posture_diff()?.is_empty(), "{:?}", self.session.posture_diff()?);
        Ok(())
    }
}

fn supervisor(machine: &Machine) -> Result<u32> {
    machine.service().context("no service: run `cargo xtask rig vm`")?.pid()
}

#[test]
fn a_session_that_takes_more_memory_than_it_may_ends_with_words_and_nobody_else_does() -> Result<()> {
    if !has_limits() {
        return Ok(());
    }
    let machine = Machine::new()?;
    machine.configure(SMALL)?;
    let beside = Beside::new(&machine)?;
    // A child of the agent takes it: what is left would be of no use, so all of it ends.
    let take = |mib: u32| {
        let script = format!("python3 -c 'print(len(bytearray({mib} << 20)))'; echo alive; sleep 2; echo on");
        machine.inside("small", &["sh", "-c", &script])
    };
    let enough = take(8)?.success()?.text();
    ensure!(enough == format!("{}\nalive\non\n", 8 << 20), "{enough}");
    let killed = take(256)?;
    ensure!(killed.status == 137 && !killed.text().contains("on\n"), "{killed:?}");
    ensure!(killed.error_text().contains("more memory than `memory_max` allows, which is 64M"), "{killed:?}");
    let log = machine.ctl(&["log", "--json"])?.success()?.text();
    ensure!(log.lines().filter(|line| line.contains("\"memory-exceeded\"")).count() == 1, "{log}");
    beside.is_whole(&machine)?;
    beside.session.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn a_fork_bomb_is_held_by_its_own_limit_and_the_scope_has_what_was_configured() -> Result<()> {
    if !has_limits() {
        return Ok(());
    }
    let machine = Machine::new()?;
    machine.configure(SMALL)?;
    let beside = Beside::new(&machine)?;
    let (bomb, made) = fork_bomb(&machine, "small", 1000, LIMIT)?;
    ensure!((32..64).contains(&made), "{made} processes");
    beside.is_whole(&machine)?;
    ensure!(machine.ctl(&["list"])?.success()?.text().contains(&bomb.id));
    let service = machine.service().context("no service")?;
    // A session that has a time makes its scope; one without takes what is in stock, as soon as something is.
    let short = machine.detached("short", &["sleep", "600"])?;
    service.wait_for_stock()?;
    let taken = machine.detached("small", &["sleep", "600"])?;
    for session in [&short, &taken, &bomb] {
        let unit = format!("agentbox-{}.scope", session.id);
        for (property, wanted) in [
            ("MemoryMax", (64 << 20) + (256 << 20)),
            ("MemorySwapMax", 0),
            ("TasksMax", 64 + 64),
            ("CPUWeight", 50),
            ("IOWeight", 50),
        ] {
            let is = service.property_of(&unit, property)?;
            ensure!(is == wanted.to_string(), "{property}: {is}");
        }
        let maximum = std::fs::read_to_string(format!("/sys/fs/cgroup/agentbox.slice/{unit}/memory.max"))?;
        ensure!(maximum.trim() == ((64 << 20) + (256 << 20)).to_string(), "{maximum}");
    }
    // A minute after the supervisor's own: it holds without one.
    let unit = format!("agentbox-{}.scope", short.id);
    ensure!(service.property_of(&unit, "RuntimeMaxUSec")? == "3min");
    for session in [short, taken, bomb] {
        session.stop()?;
    }
    beside.session.stop()?;
    machine.ends_without_leftovers()
}
