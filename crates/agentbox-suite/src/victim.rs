//! A process with secrets and things of its own.

use crate::run::Running;
use anyhow::{Context, Result};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// It runs until dropped.
#[derive(Debug)]
pub struct Victim {
    /// What it holds, in the probe's words.
    pub held: agentbox_probe::Victim,
    running: Option<Running>,
}

impl Victim {
    /// Starts `agentbox-probe victim …`, however that is done.
    ///
    /// # Errors
    /// When it does not say what it holds.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut running = Running::start(command)?;
        let line = running.line(LIMIT)?;
        let held = serde_json::from_str(&line).with_context(|| format!("not what a victim says: {line}"))?;
        Ok(Self { held, running: Some(running) })
    }

    /// What reached it since it was last asked: a line for each signal.
    ///
    /// # Errors
    /// When it ended.
    pub fn signals(&mut self) -> Result<Vec<String>> {
        self.running.as_mut().context("the victim has ended")?.lines_so_far()
    }

    /// Ends it, so that it removes what it made.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.finish(LIMIT)?.success().map(drop)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // What it made lies in places that outlive the test, so it gets to remove it even when the test fails.
        if let Err(error) = self.finish() {
            eprintln!("the victim left things behind: {error:#}");
        }
    }
}
