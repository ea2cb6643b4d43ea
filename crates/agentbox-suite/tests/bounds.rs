//! Bounds of a session that runs: its time, idleness, room on the disk.

use agentbox_suite::{Disk, Machine, eventually};
use anyhow::{Result, ensure};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(150);

#[test]
fn a_session_ends_when_its_time_is_over_or_when_it_does_nothing() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(
        "[posture.short]\nextends = \"L2\"\nruntime_max = \"1m\"\n[posture.idle]\nextends = \"L2\"\nidle_stop = \"1m\"\n",
    )?;
    let busy = ["sh", "-c", "while :; do :; done"];
    let (over, idle) = (machine.detached("short", &busy)?, machine.detached("idle", &["sleep", "600"])?);
    // The control: one that works is not idle.
    let works = machine.detached("idle", &busy)?;
    eventually("both have ended", LIMIT, || {
        let left = machine.session_ids()?;
        Ok((!left.contains(&over.id) && !left.contains(&idle.id)).then_some(()))
    })?;
    ensure!(machine.session_ids()? == [works.id.clone()], "one that works was stopped");
    for (session, why) in [(&over, "runtime_max"), (&idle, "idle_stop")] {
        let log = machine.ctl(&["log", &session.id])?.success()?.text();
        ensure!(log.contains(why), "{log}");
    }
    works.stop()?;
    machine.ends_without_leftovers()
}

#[test]
fn everything_stands_still_while_there_is_too_little_room() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[posture.roomy]\nextends = \"L2\"\ndisk_free_min = \"32M\"\n")?;
    let small = machine.person.home.join("small");
    machine.person.make_directory(&small)?;
    let disk = Disk::mount(&small, "64M", (machine.person.uid, machine.person.gid))?;
    let script = "i=0; while [ $i -lt 30 ]; do head -c 2M /dev/zero >> bomb; i=$((i+1)); sleep 0.2; done; \
                  echo full > done; sleep 600";
    let project = disk.path().to_string_lossy().into_owned();
    let arguments = ["start", &project, "--posture", "roomy", "--detach", "--", "sh", "-c", script];
    let id = machine.ctl(&arguments)?.success()?.text().trim().to_owned();
    let frozen = || -> Result<Option<String>> {
        let status = machine.ctl(&["status", &id, "--json"])?.json()?;
        Ok(status["frozen"].as_str().map(str::to_owned))
    };
    let why = eventually("it stands still", LIMIT, frozen)?;
    ensure!(why.contains("bytes are free"), "{why}");
    let size = || Ok::<_, anyhow::Error>(std::fs::metadata(disk.path().join("bomb"))?.len());
    let before = size()?;
    // Asked for again, it is still so, and nothing was written meanwhile.
    ensure!(frozen()?.is_some() && size()? == before && before < 60 << 20, "{before}");
    // Emptied and not removed: who stands still may have it open, and would keep its room.
    std::fs::File::create(disk.path().join("bomb"))?;
    eventually("it goes on", LIMIT, || Ok(frozen()?.is_none().then_some(())))?;
    eventually("it has written more", LIMIT, || Ok((size()? > 0).then_some(())))?;
    machine.ctl(&["stop", &id, "--timeout", "1s"])?.success()?;
    drop(disk);
    machine.ends_without_leftovers()
}
