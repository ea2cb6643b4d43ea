//! A session that runs in the background.

use crate::machine::Machine;
use crate::run::Finished;
use anyhow::Result;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One session of a machine.
#[derive(Debug)]
pub struct Session<'a> {
    /// Its id.
    pub id: String,
    machine: &'a Machine,
    accounts: Accounts,
}

/// Which files the host's accounts were in: names in /etc and numbers.
type Accounts = Vec<(&'static str, u64)>;

/// Those of now.
pub(crate) fn accounts() -> Accounts {
    let number = |name| Some((name, fs::metadata(Path::new("/etc").join(name)).ok()?.ino()));
    ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"].into_iter().filter_map(number).collect()
}

impl<'a> Session<'a> {
    pub(crate) fn new(machine: &'a Machine, id: String, accounts: Accounts) -> Self {
        Self { id, machine, accounts }
    }

    /// Runs a program beside the agent.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn exec(&self, command: &[&str]) -> Result<Finished> {
        self.exec_with(command, b"")
    }

    /// The same with standard input.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn exec_with(&self, command: &[&str], input: &[u8]) -> Result<Finished> {
        let mut arguments = vec!["exec", &self.id, "--"];
        arguments.extend(command);
        self.machine.ctl_with(&arguments, input)
    }

    /// `agentboxctl status ID --json`.
    ///
    /// # Errors
    /// When there is none.
    pub fn status(&self) -> Result<Value> {
        self.machine.ctl(&["status", &self.id, "--json"])?.json()
    }

    /// What of the kernel's view differs from the policy, but for masks of files of accounts that were replaced since, as
    /// useradd(8) does for another test's person: the mount went with the file (rename(2)).
    ///
    /// # Errors
    /// When the status does not say.
    pub fn posture_diff(&self) -> Result<Vec<String>> {
        let status = self.status()?;
        let mut diff: Vec<String> = serde_json::from_value(status["posture_diff"].clone())?;
        let now = accounts();
        for (name, _) in now.iter().filter(|file| !self.accounts.contains(file)) {
            diff.retain(|line| *line != format!("mount /etc/{name}: expected mounted, found not mounted"));
        }
        Ok(diff)
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self) -> Result<()> {
        self.machine.ctl(&["stop", &self.id])?.success().map(drop)
    }
}
