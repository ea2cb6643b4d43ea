//! The Debian package: installed, replaced by itself under a session that lives, and gone without a trace. Runs
//! in a rig, after everything else there: it takes away what the rig came with.

use agentbox_suite::{Machine, Programs, eventually, run};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn dpkg(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("dpkg");
    Ok(run(command.args(arguments), b"", LIMIT)?.success()?.text())
}

#[test]
fn the_package_installs_upgrades_under_a_session_and_purges_clean() -> Result<()> {
    let Some(package) = std::env::var_os("AGENTBOX_DEB") else { return Ok(()) };
    let package = package.into_string().ok().context("an odd path")?;
    dpkg(&["--install", &package])?;
    let files: Vec<String> = dpkg(&["--listfiles", "agentbox"])?.lines().map(str::to_owned).collect();
    let files: Vec<&String> = files.iter().filter(|file| Path::new(file).is_file()).collect();
    for wanted in [
        "/usr/bin/agentboxctl",
        "/usr/share/bash-completion/completions/agentboxctl",
        "/usr/share/man/man1/agentboxctl.1",
        "/usr/share/man/man5/agentbox.toml.5",
        "/usr/share/man/man7/agentbox.7",
        "/usr/share/man/man7/agentbox-audit.7",
        "/usr/share/man/man8/agentboxd.8",
    ] {
        ensure!(files.iter().any(|file| *file == wanted), "{wanted}: {files:?}");
    }
    let group = run(Command::new("getent").args(["group", "agentbox"]), b"", LIMIT)?;
    ensure!(group.status == 0, "no group: {group:?}");
    {
        // The programs of the package themselves.
        let machine = Machine::with(Programs::installed()?, &[])?;
        let service = machine.service().context("no service")?;
        let session = machine.detached("L2", &["sleep", "600"])?;
        let (before, pid) = (session.status()?, service.pid()?);
        dpkg(&["--install", &package])?;
        service.wait_for_another(pid)?;
        let after = session.status()?;
        ensure!(before["agent_pid"] == after["agent_pid"], "{before} {after}");
        ensure!(session.posture_diff()?.is_empty(), "{:?}", session.posture_diff()?);
        session.stop()?;
    }
    let person = agentbox_suite::Person::new()?;
    let mut add = Command::new("usermod");
    run(add.args(["--append", "--groups", "agentbox", &person.name]), b"", LIMIT)?.success()?;
    let project = person.home.join("project");
    person.make_directory(&project)?;
    let mut start = Command::new("runuser");
    start.args(["-u", &person.name, "--", "agentboxctl", "start", ".", "--detach", "--", "sleep", "600"]);
    let started = run(start.current_dir(&project), b"", LIMIT)?.success()?;
    let scope = format!("agentbox-{}.scope", started.text().trim());
    let active = |unit: &str| -> Result<bool> {
        let mut command = Command::new("systemctl");
        Ok(run(command.args(["is-active", "--quiet", unit]), b"", LIMIT)?.status == 0)
    };
    ensure!(active(&scope)?, "{scope} does not run");
    dpkg(&["--purge", "agentbox"])?;
    // Ended with the package.
    eventually("the session has ended", LIMIT, || Ok((!active(&scope)?).then_some(())))?;
    let mut left: Vec<String> =
        files.iter().filter(|file| Path::new(file).exists()).map(ToString::to_string).collect();
    for directory in
        ["/etc/agentbox", "/run/agentbox", "/usr/libexec/agentbox", "/var/lib/agentbox", "/var/log/agentbox"]
    {
        left.extend(Path::new(directory).exists().then(|| directory.to_owned()));
    }
    let group = run(Command::new("getent").args(["group", "agentbox"]), b"", LIMIT)?;
    left.extend((group.status == 0).then(|| "the group agentbox".to_owned()));
    let tables = run(Command::new("nft").args(["list", "tables"]), b"", LIMIT)?.success()?.text();
    left.extend(tables.lines().filter(|line| line.contains("agentbox")).map(str::to_owned));
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}
