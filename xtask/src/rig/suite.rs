//! Tests of the suite, built on this machine and run in a rig.

use super::nspawn::Nspawn;
use crate::test::Tally;
use crate::workspace::cargo;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where they lie inside.
const TESTS: &str = "/opt/agentbox/tests";
const PROGRAMS: &str = "/opt/agentbox/programs";
const TESTING_PROGRAMS: &str = "/opt/agentbox/testing";
/// Longest time of one test program.
const LIMIT_SECONDS: &str = "900";
/// Test programs that drive a supervisor which is a service: whole files of the suite. Those of the other
/// files speak of what only the embedded supervisor does, or need the internet of the lab.
const PARTS: &[&str] = &["rig_service"];

/// Boots a container and runs there what belongs there.
pub(crate) fn run(programs: &Path, testing: &Path, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let tests = build()?;
    let prepare = |place: &super::place::Place| -> Result<()> {
        place.copy_programs(TESTS, tests.iter().map(PathBuf::as_path))?;
        for (from, to) in [(programs, PROGRAMS), (testing, TESTING_PROGRAMS)] {
            let files: Vec<PathBuf> = std::fs::read_dir(from)?.flatten().map(|entry| entry.path()).collect();
            place.copy_programs(to, files.iter().map(PathBuf::as_path))?;
        }
        Ok(())
    };
    let rig = Nspawn::boot(programs, Some(&prepare))?;
    let mut failed = Vec::new();
    for test in &tests {
        let name = test.file_name().context("a test without a name")?.to_string_lossy().into_owned();
        let mut command = rig.command("timeout");
        command.args(["--kill-after=10", LIMIT_SECONDS]).arg(format!("{TESTS}/{name}"));
        command.env("AGENTBOX_BIN_DIR", PROGRAMS).env("AGENTBOX_TESTING_BIN_DIR", TESTING_PROGRAMS);
        command.env("AGENTBOX_RIG", "nspawn").arg("--test-threads=1").args(filter);
        if let Err(error) = tally.count(&mut command, 0) {
            failed.push(format!("{name}: {error:#}"));
        }
    }
    if !failed.is_empty() {
        // What the service said belongs to the failure.
        let mut journal = rig.command("journalctl");
        let _ = journal.args(["--no-pager", "--lines=200", "--unit=agentboxd.service"]).status();
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// Builds the test programs of [`PARTS`].
fn build() -> Result<Vec<PathBuf>> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format=json", "--package", "agentbox-suite"]);
    for part in PARTS {
        command.args(["--test", part]);
    }
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the tests of the rig could not be built");
    }
    let programs: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect();
    if programs.len() != PARTS.len() {
        bail!("{} test programs were built, not {}", programs.len(), PARTS.len());
    }
    Ok(programs)
}
