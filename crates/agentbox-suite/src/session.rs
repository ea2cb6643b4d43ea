//! A session that runs in the background.

use crate::machine::Machine;
use crate::run::Finished;
use anyhow::Result;
use serde_json::Value;

/// One session of a machine.
#[derive(Debug)]
pub struct Session<'a> {
    /// Its id.
    pub id: String,
    machine: &'a Machine,
}

impl<'a> Session<'a> {
    pub(crate) fn new(machine: &'a Machine, id: String) -> Self {
        Self { id, machine }
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

    /// What of the kernel's view differs from the policy.
    ///
    /// # Errors
    /// When the status does not say.
    pub fn posture_diff(&self) -> Result<Vec<String>> {
        let status = self.status()?;
        Ok(serde_json::from_value(status["posture_diff"].clone())?)
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self) -> Result<()> {
        self.machine.ctl(&["stop", &self.id])?.success().map(drop)
    }
}
