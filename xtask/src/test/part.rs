//! The parts of a test run and what became of each.

use super::tally::Tally;
use crate::terminal::Paint;
use anyhow::Result;
use std::time::Instant;

/// One part.
pub(super) struct Part<Run> {
    pub(super) name: &'static str,
    /// Runs with `--quick`.
    pub(super) quick: bool,
    /// Runs when only some tests are asked for.
    pub(super) filtered: bool,
    pub(super) run: fn(&mut Run) -> Result<()>,
}

/// A part that has run or was left out.
pub(super) struct Done {
    pub(super) name: &'static str,
    pub(super) result: String,
    pub(super) tests: String,
    pub(super) seconds: String,
    failed: bool,
}

/// All parts so far.
pub(super) struct Parts {
    paint: Paint,
    started: Instant,
    done: Vec<Done>,
}

impl Parts {
    pub(super) fn new(paint: Paint) -> Self {
        Self { paint, started: Instant::now(), done: Vec::new() }
    }

    pub(super) fn all(&self) -> &[Done] {
        &self.done
    }

    pub(super) fn failed(&self) -> Vec<&'static str> {
        self.done.iter().filter(|done| done.failed).map(|done| done.name).collect()
    }

    pub(super) fn begin<Run>(&mut self, part: &Part<Run>) {
        self.started = Instant::now();
        self.paint.headline(part.name);
    }

    pub(super) fn leave_out<Run>(&mut self, part: &Part<Run>, why: &str) {
        println!("\n{}", self.paint.quiet(&format!("== {}: left out ({why})", part.name)));
        let result = format!("left out ({why})");
        self.push(Done {
            name: part.name,
            result,
            tests: String::new(),
            seconds: String::new(),
            failed: false,
        });
    }

    pub(super) fn finish<Run>(&mut self, part: &Part<Run>, ran: Tally, result: Result<()>) {
        let seconds = format!("{:.1}", self.started.elapsed().as_secs_f64());
        let tests = if ran == Tally::default() { String::new() } else { ran.to_string() };
        let behind = if tests.is_empty() { String::new() } else { format!(", {tests}") };
        let failed = match &result {
            Ok(()) => {
                println!("{} {}: ok{behind} ({seconds} s)", self.paint.good("=="), part.name);
                false
            }
            Err(error) => {
                println!("{} {}: failed{behind} ({seconds} s): {error:#}", self.paint.bad("=="), part.name);
                true
            }
        };
        let result = if failed { "failed" } else { "ok" }.to_owned();
        self.push(Done { name: part.name, result, tests, seconds, failed });
    }

    fn push(&mut self, done: Done) {
        self.done.push(done);
    }
}
