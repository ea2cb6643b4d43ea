//! File systems that do not answer, and removals that take long: nobody else waits for them.

use agentbox_suite::overlay::{layers, review, session};
use agentbox_suite::{Machine, Silent, run};
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};

/// What a call takes while nothing is in its way, and ten times as long.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a start may wait for a file system, and what it takes besides.
const START_LIMIT: Duration = Duration::from_secs(30);
/// So many that their removal takes seconds.
const FILES: u32 = 100_000;
/// After it a removal has begun, and a list that began before has ended.
const BEGUN: Duration = Duration::from_millis(300);

fn in_time<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let done = work()?;
    ensure!(began.elapsed() < LIMIT, "{what} took {:?}", began.elapsed());
    Ok(done)
}

#[test]
fn a_file_system_that_does_not_answer_is_waited_for_by_nobody_but_who_named_it() -> Result<()> {
    let machine = Machine::new()?;
    let (uid, gid) = (machine.person.uid, machine.person.gid);
    let place = machine.person.home.join("m");
    // A project is in one profile at a time.
    let project = machine.person.home.join("second");
    for path in [&place, &project] {
        machine.person.make_directory(path)?;
    }
    machine.configure(
        "[profile.read]\nread = [\"~/m/data\"]\n[profile.secret.env]\nTOKEN = { file = \"~/m/token\" }\n",
    )?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let silent = Silent::mount(&place, (uid, gid))?;
    for (profile, path) in [("read", "m/data"), ("secret", "m/token")] {
        let ended = std::thread::scope(|scope| -> Result<_> {
            let start = scope.spawn(|| {
                let began = Instant::now();
                let arguments = machine.start_arguments("L2", &["--profile", profile], &["true"]);
                let mut command = machine.command(&arguments);
                run(command.current_dir(&project), b"", START_LIMIT)
                    .map(|finished| (finished, began.elapsed()))
            });
            std::thread::sleep(Duration::from_secs(1));
            for _ in 0..3 {
                let list = in_time("a list", || machine.ctl(&["list"])?.success())?;
                ensure!(list.text().contains(&session.id), "{list:?}");
                in_time("a status", || session.status())?;
            }
            let waits = !start.is_finished();
            let ended = start.join().unwrap_or_else(|_panic| bail!("the start panicked"))?;
            ensure!(waits, "it did not wait: {ended:?}");
            Ok(ended)
        });
        let (finished, took) = ended?;
        ensure!(finished.status != 0 && took < START_LIMIT, "{finished:?} after {took:?}");
        let said = finished.error_text();
        ensure!(said.contains(path) && said.contains("does not answer"), "{said}");
    }
    in_time("a stop", || session.stop())?;
    drop(silent);
    // Who waited is answered now, and what they had is free again.
    let another = machine.detached("L2", &["sleep", "600"])?;
    another.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn a_project_that_does_not_answer_is_waited_for_by_nobody_but_who_starts_there() -> Result<()> {
    let machine = Machine::new()?;
    let (uid, gid) = (machine.person.uid, machine.person.gid);
    let place = machine.person.home.join("m");
    machine.person.make_directory(&place)?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let silent = Silent::mount_against(&place, (uid, gid), "agentbox-look")?;
    let (finished, took) = std::thread::scope(|scope| -> Result<_> {
        let start = scope.spawn(|| {
            let began = Instant::now();
            let arguments = machine.start_arguments("L2", &[], &["true"]);
            let mut command = machine.command(&arguments);
            run(command.current_dir(&place), b"", START_LIMIT).map(|finished| (finished, began.elapsed()))
        });
        while !start.is_finished() {
            in_time("a status", || session.status())?;
        }
        start.join().unwrap_or_else(|_panic| bail!("the start panicked"))
    })?;
    ensure!(finished.status != 0 && took < START_LIMIT, "{finished:?} after {took:?}");
    ensure!(finished.error_text().contains("a look at the project took too long"), "{finished:?}");
    in_time("a stop", || session.stop())?;
    drop(silent);
    machine.ends_without_leftovers()
}

#[test]
fn a_removal_that_takes_long_keeps_nobody_waiting_and_nothing_begins_with_what_goes() -> Result<()> {
    let machine = Machine::new()?;
    let beside = machine.detached("L2", &["sleep", "600"])?;
    let script = format!(
        "for d in $(seq 0 9); do mkdir m$d; done; seq {FILES} | sed 's,.*\\(.\\)$,m\\1/&,' | xargs touch"
    );
    let (id, _) = session(&machine, "L2", &script)?;
    let lists = std::thread::scope(|scope| -> Result<_> {
        let began = Instant::now();
        let discard = scope.spawn(|| review(&machine, "discard", &id, &["--yes"])?.success());
        let mut lists = 0;
        loop {
            let list = (began.elapsed(), machine.ctl(&["list", "--all"])?.success()?);
            if discard.is_finished() {
                break;
            }
            if list.0 > BEGUN {
                lists += 1;
                ensure!(!list.1.text().contains(&id), "{:?}", list.1);
                let again = machine.ctl(&["start", "--resume", &id, "--network", "none", "--", "true"])?;
                ensure!(again.status != 0 && again.error_text().contains("left changes"), "{again:?}");
            }
        }
        discard.join().unwrap_or_else(|_panic| bail!("it panicked")).context("the discard")?;
        Ok(lists)
    })?;
    ensure!(lists > 0, "no list was answered meanwhile");
    ensure!(layers(&machine)?.is_empty());
    beside.stop()?;
    machine.ends_without_leftovers()
}
