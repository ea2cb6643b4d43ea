//! Many starts, one after the other and at once, and disks that take nothing.

use agentbox_suite::{Machine, Person, Session, eventually, run};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
/// Of one test. A machine of the suite can lease ids to a few more than the larger number.
const STARTS: usize = 400;
const STARTS_OF_LONG: usize = 1000;
/// Starts until everything that is kept for the next one is there.
const WARM: usize = 50;
/// What memory may grow by in all the other starts.
const MAX_GROWTH_KIB: u64 = 24 << 10;

fn is_in_a_rig() -> bool {
    std::env::var_os("AGENTBOX_RIG").is_some()
}

/// What is held while one session runs.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    mounts: usize,
    groups: usize,
    rules: usize,
    sessions: usize,
    leases: usize,
}

fn held(machine: &Machine) -> Result<(Held, u64)> {
    let supervisor = machine.supervisor()?;
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", supervisor.pid))?;
    let rules = run(Command::new("nft").args(["--terse", "list", "ruleset"]), b"", LIMIT)?.success()?.text();
    // Others on this machine have rules of their own, in tables of their own.
    let table = format!("agentbox_{}", machine.lease_range().start);
    let rules =
        rules.split("table ").filter(|part| part.contains(&table)).map(|part| part.lines().count()).sum();
    let ours = machine.session_ids()?;
    // They have mounts as well: in directories of their own, and networks by name (ip-netns(8)).
    let own = machine.config().parent().context("no directory")?.display().to_string();
    let is_ours = |line: &&str| line.contains(&own) || line.contains("nsfs") && !line.contains("/run/netns/");
    let held = Held {
        descriptors: supervisor.descriptors,
        mounts: mounts.lines().filter(is_ours).count(),
        groups: ours.len(),
        rules,
        sessions: fs::read_dir(machine.runtime().join("sessions"))?.count(),
        // One file that is replaced, whatever was leased.
        leases: fs::read_dir(machine.state())?.count(),
    };
    Ok((held, supervisor.memory_kib))
}

/// The same when nothing is being cleaned up any more.
fn settled(machine: &Machine) -> Result<(Held, u64)> {
    if let Some(service) = machine.service() {
        service.wait_for_stock()?;
    }
    let mut last = held(machine)?;
    eventually("what is held stays the same", LIMIT, || {
        let now = held(machine)?;
        let is_same = now.0 == last.0;
        last = now;
        Ok(is_same.then_some(()))
    })?;
    Ok(last)
}

/// Starts sessions that end by themselves, two at a time.
fn start_and_end(machine: &Machine, count: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    for _ in 0..count / 2 {
                        machine.inside("L2", &["true"])?.success()?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_panic) => bail!("a worker panicked"),
        })
    })
}

#[test]
fn hundreds_of_starts_hold_no_more_than_fifty() -> Result<()> {
    let machine = Machine::new()?;
    // With it an embedded supervisor stays the same process.
    let session = machine.detached("L2", &["sleep", "600"])?;
    start_and_end(&machine, WARM)?;
    let (before, memory) = settled(&machine)?;
    let pid = machine.supervisor_pid()?;
    let starts = if std::env::var_os("AGENTBOX_TEST_LONG").is_some() { STARTS_OF_LONG } else { STARTS };
    start_and_end(&machine, starts - WARM)?;
    ensure!(machine.supervisor_pid()? == pid, "it is another process");
    let (after, now) = settled(&machine)?;
    println!("{after:?}, memory {memory} KiB, then {now} KiB");
    // Two more or less are connections of clients that are just going.
    ensure!(after.descriptors <= before.descriptors + 2, "{before:?}\n{after:?}");
    ensure!(Held { descriptors: before.descriptors, ..after } == before, "{before:?}");
    ensure!(now < memory + MAX_GROWTH_KIB, "{memory} KiB, then {now} KiB");
    session.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn a_hundred_starts_at_once_are_a_hundred_sessions() -> Result<()> {
    let machine = Machine::new()?;
    // One owner has 64 sessions at most, and an embedded supervisor takes 64 connections of one user.
    let other = if is_in_a_rig() { Some(Person::new()?) } else { None };
    if let Some(other) = &other {
        let mut member = Command::new("usermod");
        run(member.args(["--append", "--groups", "agentbox", &other.name]), b"", LIMIT)?.success()?;
        other.make_directory(&other.home.join("project"))?;
    }
    let first = machine.detached("L2", &["sleep", "600"])?;
    let start_other = |other: &Person| -> Result<String> {
        let mut command = other.command(machine.programs.path("agentboxctl"));
        command.args(["start", ".", "--detach", "--", "sleep", "600"]);
        let started = run(command.current_dir(other.home.join("project")), b"", LIMIT)?.success()?;
        Ok(started.text().trim().to_owned())
    };
    let ids = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| Ok(machine.detached("L2", &["sleep", "600"])?.id.clone())))
            .collect();
        let others: Vec<_> = other
            .iter()
            .flat_map(|other| (0..50).map(|_| scope.spawn(|| start_other(other))).collect::<Vec<_>>())
            .collect();
        let all = starts.into_iter().chain(others);
        all.map(|start| start.join().unwrap_or_else(|_panic| bail!("a start panicked"))).collect()
    });
    let count = if is_in_a_rig() { 100 } else { 50 };
    let ids: Result<BTreeSet<String>> = ids;
    let ids = ids?;
    ensure!(ids.len() == count, "{} ids", ids.len());
    // As root, who sees those of both.
    let ctl = |arguments: &[&str]| {
        let mut command = match machine.service() {
            Some(_) => Command::new(machine.programs.path("agentboxctl")),
            None => machine.command(&[]),
        };
        run(command.args(arguments), b"", LIMIT)
    };
    let uids: Result<BTreeSet<u64>> = ids
        .iter()
        .map(|id| ctl(&["status", id, "--json"])?.json()?["uid"].as_u64().context("no uid"))
        .collect();
    ensure!(uids?.len() == count, "an id was leased twice");
    ctl(&["stop", "--all", "--timeout", "2s"])?.success()?;
    drop(first);
    machine.ends_without_leftovers()
}

/// A file system of a directory's own, with what was in the directory. The supervisor sees it from its next start on.
struct Disk(PathBuf);

impl Disk {
    fn mount(machine: &Machine, path: PathBuf, options: &str, read_only: bool) -> Result<Self> {
        if let Some(service) = machine.service() {
            service.stop()?;
        }
        let kept = tempfile::tempdir()?;
        let copy = |from: &Path, to: &Path| {
            run(Command::new("cp").arg("-a").arg(from.join(".")).arg(to), b"", LIMIT)?.success().map(drop)
        };
        copy(&path, kept.path())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "tmpfs"]).arg(&path);
        run(&mut mount, b"", LIMIT)?.success()?;
        let disk = Self(path);
        copy(kept.path(), &disk.0)?;
        if read_only {
            let mut remount = Command::new("mount");
            run(remount.args(["-o", "remount,ro"]).arg(&disk.0), b"", LIMIT)?.success()?;
        }
        Ok(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0), b"", LIMIT);
    }
}

/// A session that outlives what is done to disks: its supervisor's end as well, where that is a service.
fn running(machine: &Machine) -> Result<(Session<'_>, u64)> {
    let session = machine.detached("L2", &["sh", "-c", "while :; do sleep 1; done"])?;
    let agent = session.status()?["agent_pid"].as_u64().context("no agent")?;
    Ok((session, agent))
}

fn is_whole(session: &Session<'_>, agent: u64) -> Result<()> {
    ensure!(session.status()?["agent_pid"].as_u64() == Some(agent), "another agent");
    ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);
    Ok(())
}

/// How many processes have ended that their parent, this one, has not waited for.
fn ended_children(parent: u32) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    // proc_pid_stat(5): the name in brackets, the state, the parent.
    let wanted = format!("Z {parent} ");
    stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(&wanted))).count()
}

#[test]
fn what_cannot_be_recorded_is_not_started() -> Result<()> {
    // A full disk: a session that runs goes on, and there is room again.
    let machine = Machine::new()?;
    let disk = Disk::mount(&machine, machine.logs(), "size=256K", false)?;
    let (session, agent) = running(&machine)?;
    let filler = disk.0.join("filler");
    // Larger than all that is free; what fits is written.
    let _no_space = fs::write(&filler, vec![0; 1 << 20]);
    // The last page of the trail has room for some lines.
    let mut attempt = 0;
    let refused = eventually("a start is refused", LIMIT, || {
        attempt += 1;
        let tried = machine.inside("L2", &["touch", &format!("ran-{attempt}")])?;
        Ok((tried.status != 0).then_some(tried))
    })?;
    ensure!(refused.status == 125 && refused.error_text().contains("audit trail"), "{refused:?}");
    ensure!(!machine.project().join(format!("ran-{attempt}")).exists(), "it was started");
    ensure!(machine.ctl(&["status"])?.text().contains("every start is refused"));
    // Whoever held the scope for it was waited for.
    let supervisor = machine.supervisor_pid()?;
    eventually("what has ended was waited for", LIMIT, || {
        Ok((ended_children(supervisor) == 0).then_some(()))
    })?;
    ensure!(
        session.exec(&["true"]).is_err() || session.exec(&["true"])?.status != 0,
        "exec was not recorded"
    );
    is_whole(&session, agent)?;
    fs::remove_file(&filler)?;
    machine.inside("L2", &["true"])?.success()?;
    machine.ctl(&["log", "--verify"])?.success()?;
    is_whole(&session, agent)?;
    session.stop()?;
    machine.wait_until_supervisor_ended()?;
    Ok(())
}

#[test]
fn on_disks_that_are_read_only_nothing_is_started_and_what_runs_is_whole() -> Result<()> {
    let machine = Machine::new()?;
    for place in [machine.logs(), machine.state()] {
        // An embedded supervisor that runs has its files open; the next one is that of the next session.
        let before = machine.service().map(|_| running(&machine)).transpose()?;
        let disk = Disk::mount(&machine, place.clone(), "size=4M", true)?;
        let refused = machine.inside("L2", &["touch", "it-ran"])?;
        ensure!(refused.status == 125, "{}: {refused:?}", place.display());
        ensure!(
            refused.error_text().to_lowercase().contains("read-only"),
            "{}: {refused:?}",
            place.display()
        );
        ensure!(!machine.project().join("it-ran").exists(), "it was started");
        if let Some((_, agent)) = &before {
            ensure!(Path::new(&format!("/proc/{agent}")).exists(), "it ended");
        } else {
            // One that could not begin leaves its socket to the next.
            let bus = machine.runtime().join("bus");
            eventually("no supervisor runs", LIMIT, || Ok(UnixStream::connect(&bus).is_err().then_some(())))?;
        }
        drop(disk);
        if let Some(service) = machine.service() {
            service.restart()?;
        }
        machine.inside("L2", &["true"])?.success()?;
        if let Some((session, agent)) = before {
            is_whole(&session, agent)?;
            session.stop()?;
        }
        machine.wait_until_supervisor_ended()?;
    }
    machine.ends_without_leftovers()
}
