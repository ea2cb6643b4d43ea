//! What the supervisor holds.

use crate::machine::Machine;
use anyhow::{Context, Result};
use std::fs;

/// The supervisor's process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Its process id.
    pub pid: u32,
    /// How many descriptors it has open.
    pub descriptors: usize,
    /// Its resident memory.
    pub memory_kib: u64,
}

impl Machine {
    /// Process id of the supervisor, which is started when there is none.
    ///
    /// # Errors
    /// When it does not say.
    pub fn supervisor_pid(&self) -> Result<u32> {
        match self.service() {
            Some(service) => service.pid(),
            None => {
                let pid = self.ctl(&["status", "--json"])?.json()?["pid"].as_u64().context("no pid")?;
                Ok(pid.try_into()?)
            }
        }
    }

    /// What the supervisor holds now.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn supervisor(&self) -> Result<Holding> {
        let pid = self.supervisor_pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory")?;
        let memory_kib = memory.trim().trim_end_matches(" kB").parse()?;
        Ok(Holding { pid, descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(), memory_kib })
    }
}
