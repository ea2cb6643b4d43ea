//! Large projects and full disks under an overlay.

use agentbox_suite::overlay::{changes, layers, review, session};
use agentbox_suite::{Disk, Finished, Machine, run};
use anyhow::{Result, ensure};
use std::fs;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

fn shell(script: &str) -> Result<Finished> {
    run(Command::new("sh").args(["-ec", script]), b"", LIMIT)?.success()
}

#[test]
fn a_diff_looks_only_at_what_was_touched() -> Result<()> {
    let machine = Machine::new()?;
    let project = machine.project();
    machine.person.shell(
        project,
        "mkdir big; cd big; for d in $(seq 100); do mkdir $d; (cd $d; seq 1000 | xargs touch); done",
    )?;
    // What the file system counts as read. A start looks for secrets to hide, within its limits.
    let stamp =
        |path: &str| -> Result<std::time::SystemTime> { Ok(fs::metadata(project.join(path))?.accessed()?) };
    shell(&format!("mount --bind {0} {0}; mount -o remount,bind,strictatime {0}", project.display()))?;
    let bound = Disk::mounted(project);
    let (id, _) = session(&machine, "L2", "echo x > big/7/7; echo y > big/7/new")?;
    let after: Vec<_> = (1..=100).map(|number| stamp(&format!("big/{number}"))).collect::<Result<_>>()?;
    let found = changes(&machine, &id)?;
    ensure!(found.len() == 2 && found["big/7/new"] == "added", "{found:?}");
    let again: Vec<_> = (1..=100).map(|number| stamp(&format!("big/{number}"))).collect::<Result<_>>()?;
    let read = after.iter().zip(&again).filter(|(before, after)| before != after).count();
    ensure!(read <= 1, "{read} directories were read by diff");
    drop(bound);
    Ok(())
}

#[test]
fn a_hundred_thousand_files_are_reviewed_and_applied() -> Result<()> {
    let machine = Machine::new()?;
    let (id, _) = session(
        &machine,
        "L2",
        "mkdir many; cd many; for d in $(seq 100); do mkdir $d; (cd $d; seq 1000 | xargs touch); done",
    )?;
    let shown = review(&machine, "diff", &id, &["--stat"])?.success()?;
    ensure!(shown.text().ends_with("100101 added\n"), "{}", shown.text().lines().last().unwrap_or_default());
    review(&machine, "apply", &id, &["--all"])?.success()?;
    ensure!(
        shell(&format!("find {} -type f | wc -l", machine.project().join("many").display()))?.text().trim()
            == "100000"
    );
    review(&machine, "discard", &id, &["--yes"])?.success()?;
    ensure!(layers(&machine)?.is_empty());
    Ok(())
}

/// How much a session writes to a layer on a disk of 32 MiB of which half is kept for root.
fn written_to_reserved(machine: &Machine) -> Result<u64> {
    let (image, state) = (machine.config().join("image"), machine.state());
    shell(&format!(
        "truncate -s 32M {0}; mkfs.ext4 -q -m 50 {0}; mount -o loop {0} {1}; rmdir {1}/lost+found",
        image.display(),
        state.display()
    ))?;
    let mounted = Disk::mounted(&state);
    let (id, said) = session(
        machine,
        "L2",
        "dd if=/dev/zero of=large bs=64k count=480 2> /dev/null || true; stat -c %s large",
    )?;
    review(machine, "discard", &id, &["--yes"])?.success()?;
    machine.wait_until_supervisor_ended()?;
    drop(mounted);
    Ok(said.text().trim().parse()?)
}

#[test]
fn room_that_a_disk_keeps_for_root_is_not_a_sessions() -> Result<()> {
    let half = 16 << 20;
    let written = written_to_reserved(&Machine::new()?)?;
    ensure!(written > 1 << 20 && written < half, "{written} bytes");
    Ok(())
}

#[test]
fn a_full_disk_under_the_layer_harms_nothing() -> Result<()> {
    let machine = Machine::new()?;
    let state = machine.state();
    let small = Disk::mount(&state, "2m", (0, 0))?;
    let (id, said) = session(
        &machine,
        "L2",
        "echo first > small; if dd if=/dev/zero of=large bs=64k 2> /dev/null; then echo fits; fi; echo more >> small || true",
    )?;
    ensure!(!said.text().contains("fits"), "{said:?}");
    review(&machine, "diff", &id, &["--stat"])?.success()?;
    // Nothing can be remembered on a disk that is full, so nothing is taken.
    let full = review(&machine, "apply", &id, &["small"])?;
    ensure!(full.status != 0 && !machine.project().join("small").exists(), "{full:?}");
    ensure!(!machine.project().join(format!(".agentbox-apply-{id}")).exists());
    review(&machine, "discard", &id, &["--yes"])?.success()?;
    // There is room again.
    let (id, _) = session(&machine, "L2", "echo second > small")?;
    review(&machine, "apply", &id, &["--all"])?.success()?;
    ensure!(fs::read_to_string(machine.project().join("small"))? == "second\n");
    review(&machine, "discard", &id, &["--yes"])?.success()?;
    machine.wait_until_supervisor_ended()?;
    drop(small);
    Ok(())
}

#[test]
fn a_full_disk_under_the_project_leaves_it_as_it_was() -> Result<()> {
    let machine = Machine::new()?;
    let project = machine.project();
    let small = Disk::mount(project, "1m", (machine.person.uid, machine.person.gid))?;
    machine
        .person
        .shell(project, "echo old > file; dd if=/dev/zero of=filling bs=1k count=700 2> /dev/null")?;
    let (id, _) = session(
        &machine,
        "L2",
        "echo new > file; echo a > a; dd if=/dev/zero of=z bs=1k count=600 2> /dev/null",
    )?;
    let applied = review(&machine, "apply", &id, &["--all"])?;
    ensure!(applied.status != 0 && applied.error_text().contains("No space left"), "{applied:?}");
    ensure!(fs::read_to_string(project.join("file"))? == "old\n");
    let names: Vec<_> = fs::read_dir(project)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    ensure!(names.len() == 2, "{names:?}");
    review(&machine, "apply", &id, &["file", "a"])?.success()?;
    ensure!(fs::read_to_string(project.join("file"))? == "new\n");
    review(&machine, "discard", &id, &["--yes"])?.success()?;
    machine.wait_until_supervisor_ended()?;
    drop(small);
    Ok(())
}
