//! Everybody on this host may connect to the embedded supervisor. Who may use nothing takes nothing of it from those
//! who may.

use agentbox_suite::Machine;
use agentbox_suite::bus::connect;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Subordinate ids of somebody's (subuid(5)), of which nobody knows anything.
const FIRST_STRANGER: u32 = 1_900_000_000;
/// How many come.
const STRANGERS: u32 = 200;
/// Those who stay to be told.
const MAX_TOLD: usize = 32;
/// Longest that one of them may stay, with much beside it.
const STAY: Duration = Duration::from_secs(20);
/// What the supervisor may take for all of them.
const MAX_MEMORY_KIB: u64 = 64 << 10;
/// The first bytes of a call whose body has 120 MiB (D-Bus specification, "Message Format").
const LARGE: &[u8] = &[b'l', 1, 0, 1, 0, 0, 0x80, 7, 1, 0, 0, 0, 0, 0, 0, 0];

fn greeted(machine: &Machine, uid: u32) -> Result<UnixStream> {
    let mut stream = connect(machine, uid)?;
    let name: String = uid.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    // One that is closed already is one that was not admitted.
    let _ = stream.write_all(format!("\0AUTH EXTERNAL {name}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n").as_bytes());
    Ok(stream)
}

/// Whether the other side still holds it.
fn is_open(stream: &mut UnixStream) -> Result<bool> {
    stream.set_nonblocking(true)?;
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Ok(error.kind() == ErrorKind::WouldBlock),
        }
    }
}

fn are_open(streams: &mut [UnixStream]) -> Result<usize> {
    let mut open = 0;
    for stream in streams {
        open += usize::from(is_open(stream)?);
    }
    Ok(open)
}

fn eventually_open(streams: &mut [UnixStream], most: usize) -> Result<()> {
    let began = Instant::now();
    while are_open(streams)? > most {
        ensure!(began.elapsed() < STAY, "{} are still connected", are_open(streams)?);
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn who_may_use_nothing_takes_neither_descriptors_nor_memory() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L1", &["sleep", "600"])?;
    let before = machine.supervisor()?;
    let strangers = (0..STRANGERS).map(|at| greeted(&machine, FIRST_STRANGER + at));
    let mut strangers = strangers.collect::<Result<Vec<_>>>()?;
    let list = machine.command_as_person(&["list"]).output()?;
    ensure!(String::from_utf8_lossy(&list.stdout).contains(&session.id), "{list:?}");
    let now = machine.supervisor()?;
    ensure!(now.descriptors <= before.descriptors + MAX_TOLD + 8, "{before:?}, then {now:?}");
    // They go by themselves, and others can be told.
    eventually_open(&mut strangers, 0)?;
    for uid in [FIRST_STRANGER, machine.person.uid, 0] {
        let mut large: Vec<_> = (0..4).map(|_| greeted(&machine, uid)).collect::<Result<_>>()?;
        std::thread::sleep(Duration::from_millis(200));
        ensure!(are_open(&mut large)? > 0, "uid {uid}: nobody was admitted");
        for stream in &mut large {
            stream.set_nonblocking(false)?;
            stream.write_all(LARGE)?;
        }
        std::thread::sleep(Duration::from_millis(500));
        ensure!(are_open(&mut large)? == 0, "uid {uid}: a message of 120 MiB is waited for");
        let now = machine.supervisor()?;
        ensure!(now.memory_kib < before.memory_kib + MAX_MEMORY_KIB, "uid {uid}: {before:?}, then {now:?}");
    }
    // A handshake that is none costs the one who sends it a connection, and nobody the supervisor.
    connect(&machine, FIRST_STRANGER)?.write_all(b"\n")?;
    ensure!(machine.supervisor()?.pid == before.pid);
    session.stop()?;
    machine.ends_without_leftovers()
}

/// What a process has used of a processor.
fn used(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<_> = stat.rsplit(')').next().context("no fields")?.split_whitespace().collect();
    // proc_pid_stat(5): utime and stime, in ticks of which Linux has a hundred in a second.
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

#[test]
fn a_supervisor_without_a_descriptor_left_waits_and_goes_on() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L1", &["sleep", "600"])?;
    let number = machine.supervisor_pid()?;
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw).context("no process id")?;
    let none = Rlimit { current: Some(3), maximum: None };
    let limit = prlimit(Some(pid), Resource::Nofile, Rlimit { maximum: maximum(pid)?, ..none })?;
    let before = used(number)?;
    let _waiting = connect(&machine, 0)?;
    std::thread::sleep(Duration::from_secs(2));
    let took = used(number)?.saturating_sub(before);
    prlimit(Some(pid), Resource::Nofile, limit)?;
    ensure!(took < Duration::from_millis(200), "it took {took:?} of two seconds");
    ensure!(machine.ctl(&["list"])?.success()?.text().contains(&session.id));
    session.stop()?;
    machine.ends_without_leftovers()
}

/// The hard limit of its descriptors.
fn maximum(pid: Pid) -> Result<Option<u64>> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero()))?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit")?;
    Ok(line.split_whitespace().nth(4).and_then(|hard| hard.parse().ok()))
}
