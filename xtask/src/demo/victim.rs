//! A process of the person outside, with secrets in its memory, for attacks to reach for.

use super::{Person, Place};
use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The process; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Victim {
    child: Child,
    /// What it holds, in the probe's words.
    pub(super) held: agentbox_probe::Victim,
    signals: Arc<AtomicUsize>,
}

impl Victim {
    pub(super) fn start(place: &Place, person: &Person) -> Result<Self> {
        let mut command = person.command(place.probe());
        command.args(["victim", "demo", "/tmp"]).env("AGENTBOX_PROBE_SECRET", &person.canary);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("the victim has no output")?).lines();
        let first = lines.next().context("the victim ended at once")??;
        let signals = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&signals);
        // Ends with the output of the process.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                counted.fetch_add(usize::from(line.starts_with("signal ")), Ordering::SeqCst);
            }
        });
        let held = serde_json::from_str(&first).context("the victim says something unknown")?;
        Ok(Self { child, held, signals })
    }

    /// How many signals have reached it so far.
    pub(super) fn signals(&self) -> usize {
        self.signals.load(Ordering::SeqCst)
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It holds everything until its input ends.
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for the victim: {error}");
        }
    }
}
