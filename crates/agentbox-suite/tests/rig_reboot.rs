//! A reboot: sessions end with the machine, and what was kept on disk is whole. Two halves, before and after, in a
//! rig that is rebooted in between.

use agentbox_suite::{Finished, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const PERSON: &str = "absreboot";
/// What the first half has to tell the second.
const NOTE: &str = "/var/lib/agentbox-suite-reboot";

fn as_person(arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new("runuser");
    command.args(["-u", PERSON, "--", "agentboxctl"]).args(arguments);
    run(command.current_dir(format!("/home/{PERSON}/project")), b"", LIMIT)
}

fn start() -> Result<(String, u64)> {
    let started = as_person(&["start", ".", "--detach", "--", "sleep", "600"])?.success()?;
    let id = started.text().trim().to_owned();
    let status = as_person(&["status", &id, "--json"])?.json()?;
    Ok((id, status["uid"].as_u64().context("no uid")?))
}

#[test]
fn what_is_kept_on_disk_outlives_a_reboot_and_sessions_do_not() -> Result<()> {
    match std::env::var("AGENTBOX_BOOT").as_deref() {
        Ok("first") => before(),
        Ok("second") => after(),
        _ => Ok(()),
    }
}

fn before() -> Result<()> {
    let mut add = Command::new("useradd");
    run(add.args(["--create-home", "--groups", "agentbox", PERSON]), b"", LIMIT)?.success()?;
    let project = format!("/home/{PERSON}/project");
    let mut make = Command::new("install");
    run(make.args(["-d", "-o", PERSON, "-g", PERSON, &project]), b"", LIMIT)?.success()?;
    let (id, uid) = start()?;
    Ok(fs::write(NOTE, format!("{id} {uid}"))?)
}

fn after() -> Result<()> {
    let note = fs::read_to_string(NOTE)?;
    let (id, uid) = note.split_once(' ').context("no note")?;
    ensure!(!as_person(&["list"])?.success()?.text().contains(id));
    ensure!(as_person(&["status", id])?.status != 0);
    for left in
        [format!("/run/agentbox/sessions/{id}"), format!("/sys/fs/cgroup/agentbox.slice/agentbox-{id}.scope")]
    {
        ensure!(!Path::new(&left).exists(), "{left}");
    }
    // The trail goes on where it was, and no id is given twice.
    let log = as_person(&["log", id])?.success()?.text();
    ensure!(log.contains("start"), "{log}");
    as_person(&["log", "--verify"])?.success()?;
    let (next, later) = start()?;
    ensure!(later > uid.parse()?, "{later} after {uid}");
    as_person(&["stop", &next])?.success()?;
    fs::remove_file(NOTE)?;
    run(Command::new("userdel").args(["--remove", PERSON]), b"", LIMIT).map(drop)
}
