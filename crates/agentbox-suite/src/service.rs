//! The supervisor as the service of a rig: one for the whole place, so one test at a time has it.

use crate::programs::Programs;
use crate::run::{Finished, eventually, run};
use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const UNIT: &str = "agentboxd.service";
/// What a test says about the unit, gone with the next boot.
const DROP_IN: &str = "/run/systemd/system/agentboxd.service.d/suite.conf";
/// What the service manager calls the scope of the next session.
const IN_STOCK: &str = "Held for the next session";
/// Its directories, whose content belongs to the test that has the service.
pub(crate) const RUNTIME: &str = "/run/agentbox";
pub(crate) const STATE: &str = "/var/lib/agentbox";
pub(crate) const LOGS: &str = "/var/log/agentbox";
pub(crate) const CONFIGURATION: &str = "/etc/agentbox";

/// The service, as long as a test has it.
#[derive(Debug)]
pub struct Service {
    _alone: File,
}

impl Service {
    /// The service of the rig that this runs in; none elsewhere. Waits until no other test has it, and begins
    /// with empty directories.
    ///
    /// # Errors
    /// When it cannot be stopped or cleared.
    pub(crate) fn take() -> Result<Option<Self>> {
        if std::env::var_os("AGENTBOX_RIG").is_none() {
            return Ok(None);
        }
        let alone = File::create("/run/lock/agentbox-suite-service")?;
        flock(&alone, FlockOperation::LockExclusive)?;
        let service = Self { _alone: alone };
        service.stop()?;
        for directory in [RUNTIME, STATE, LOGS, CONFIGURATION] {
            clear(Path::new(directory))?;
        }
        // The journal knows the trail that was there.
        for arguments in [&["--sync"][..], &["--rotate", "--vacuum-files=1"]] {
            run(Command::new("journalctl").args(arguments), b"", LIMIT)?.success()?;
        }
        Ok(Some(service))
    }

    /// What runs is these programs with these variables, from the next start on.
    ///
    /// # Errors
    /// When the manager does not take it.
    pub fn set(&self, programs: &Programs, environment: &[(String, String)]) -> Result<()> {
        let daemon = programs.path("agentboxd");
        let mut text = format!("[Service]\nExecStart=\nExecStart={}\n", daemon.display());
        for (name, value) in environment {
            text.push_str(&format!("Environment=\"{name}={value}\"\n"));
        }
        // A test has it die as often as it likes.
        text.push_str("[Unit]\nStartLimitIntervalSec=0\n");
        let path = Path::new(DROP_IN);
        fs::create_dir_all(path.parent().context("no parent")?)?;
        fs::write(path, text)?;
        self.systemctl(&["daemon-reload"])?.success().map(drop)
    }

    /// Starts it anew.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart(&self) -> Result<()> {
        let restarted = self.systemctl(&["restart", UNIT])?;
        ensure!(restarted.status == 0, "{restarted:?}\n{}", self.journal()?);
        Ok(())
    }

    /// Ends it; sessions live on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self) -> Result<()> {
        self.systemctl(&["stop", UNIT])?.success().map(drop)
    }

    /// Has it killed.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn kill(&self) -> Result<()> {
        self.systemctl(&["kill", "--signal=KILL", UNIT])?.success().map(drop)
    }

    /// Waits until another process than this one is the service.
    ///
    /// # Errors
    /// When none is in time.
    pub fn wait_for_another(&self, pid: u32) -> Result<u32> {
        eventually("another supervisor runs", LIMIT, || {
            let now = self.pid()?;
            let active = self.property("ActiveState")? == "active";
            Ok((active && now != pid && now != 0).then_some(now))
        })
    }

    /// Process id of the service; 0 when it does not run.
    ///
    /// # Errors
    /// When the manager does not say.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.property("MainPID")?.parse()?)
    }

    /// A property of the unit.
    ///
    /// # Errors
    /// When the manager does not say.
    pub fn property(&self, name: &str) -> Result<String> {
        self.property_of(UNIT, name)
    }

    /// A property of another unit.
    ///
    /// # Errors
    /// When the manager does not say.
    pub fn property_of(&self, unit: &str, name: &str) -> Result<String> {
        let shown = self.systemctl(&["show", "--value", "--property", name, unit])?.success()?;
        Ok(shown.text().trim().to_owned())
    }

    /// Names of the scopes of sessions that there are.
    ///
    /// # Errors
    /// When the manager does not say.
    pub fn scopes(&self) -> Result<Vec<String>> {
        self.scopes_where(|line| !line.contains(IN_STOCK))
    }

    /// Name of the scope of the next session, when there is one.
    ///
    /// # Errors
    /// When the manager does not say.
    pub fn scope_in_stock(&self) -> Result<Option<String>> {
        let mut held = self.scopes_where(|line| line.contains(IN_STOCK))?;
        ensure!(held.len() <= 1, "{held:?}");
        Ok(held.pop())
    }

    /// Waits until there is one, and says the id of the session that it is for.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn wait_for_stock(&self) -> Result<String> {
        let unit = eventually("a scope is in stock", LIMIT, || self.scope_in_stock())?;
        let id = unit.strip_prefix("agentbox-").and_then(|unit| unit.strip_suffix(".scope"));
        Ok(id.with_context(|| unit.clone())?.to_owned())
    }

    fn scopes_where(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let arguments = ["list-units", "--all", "--full", "--plain", "--no-legend", "agentbox-*.scope"];
        let text = self.systemctl(&arguments)?.success()?.text();
        let lines = text.lines().filter(|line| wanted(line));
        Ok(lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// What the service said last.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn journal(&self) -> Result<String> {
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "--lines=40", "--unit", UNIT]);
        Ok(run(&mut command, b"", LIMIT)?.text())
    }

    /// systemctl(1).
    ///
    /// # Errors
    /// When it takes too long.
    pub fn systemctl(&self, arguments: &[&str]) -> Result<Finished> {
        run(Command::new("systemctl").args(arguments), b"", LIMIT)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(DROP_IN);
        let _ = self.systemctl(&["daemon-reload"]);
        let _ = self.stop();
    }
}

/// Removes what is in a directory of the rig's.
#[allow(clippy::disallowed_methods, reason = "directories of root's in a rig that belongs to the tests")]
fn clear(directory: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
