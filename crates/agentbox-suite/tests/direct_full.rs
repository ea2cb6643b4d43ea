//! A project that is changed in place on a disk without any room: what may not be in force is not, and the person
//! is told.

use agentbox_suite::{Disk, Machine, eventually};
use anyhow::{Result, ensure};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Fills the disk to its last byte, and then changes what needs no more room: a line at the end of a file, a link.
const FILL: &str = "while ! [ -e /tmp/go ]; do sleep 0.05; done; mkdir -p .git/config.agentbox-new/x\n\
     cat /dev/zero > bomb 2>/dev/null; ln -s bomb .envrc; printf '\\tfsmonitor = touch ran\\n' >> .git/config\n\
     sleep 1000";

#[test]
fn on_a_full_disk_nothing_that_is_refused_is_in_force() -> Result<()> {
    let machine = Machine::new()?;
    let project = machine.project();
    // Without the least room, nobody would be held before the disk is full.
    machine
        .configure("[posture.full]\nextends = \"L2\"\non_trigger = \"report\"\ndisk_free_min = \"1M\"\n")?;
    let disk = Disk::mount(project, "4M", (machine.person.uid, machine.person.gid))?;
    machine
        .person
        .shell(project, "git init -q .; git config core.bare false; echo x > a; git add a")?
        .success()?;
    let session = machine.detached("full", &["sh", "-c", FILL])?;
    session.exec(&["touch", "/tmp/go"])?.success()?;
    let config = project.join(".git/config");
    let aside = || {
        let names = fs::read_dir(project.join(".git"))?.flatten().map(|entry| entry.file_name());
        Ok::<_, std::io::Error>(
            names.filter(|name| name.to_string_lossy().starts_with("config.agentbox-refused")).count(),
        )
    };
    eventually("the configuration is put back or moved aside", LIMIT, || {
        Ok((project.join(".envrc").symlink_metadata().is_ok() && aside()? > 0).then_some(()))
    })?;
    ensure!(!fs::read_to_string(&config).is_ok_and(|text| text.contains("fsmonitor")), "it is in force");
    ensure!(rustix::fs::statvfs(project)?.f_bavail == 0, "the disk is not full");
    // The person's git works, and obeys nothing of it.
    let status = machine.person.shell(project, "git --no-optional-locks status --porcelain")?.success()?;
    ensure!(status.text().contains("A  a") && !project.join("ran").exists(), "{status:?}");
    let held =
        eventually("it stands still", LIMIT, || Ok(session.status()?["frozen"].as_str().map(str::to_owned)))?;
    ensure!(held.contains("bytes are free"), "{held}");
    session.stop()?;
    let report = machine.ctl(&["report", &session.id])?.text();
    for words in [".envrc", "core.fsmonitor", "moved"] {
        ensure!(report.contains(words), "{words}: {report}");
    }
    // What starts there has no room either, and says so or works.
    let again = machine.inside("full", &["sh", "-c", "echo x > b || echo no room"])?;
    ensure!(again.text().contains("no room") || again.error_text().contains("free"), "{again:?}");
    machine.wait_until_supervisor_ended()?;
    drop(disk);
    machine.ends_without_leftovers()
}
