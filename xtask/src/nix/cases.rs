//! Configurations of the module: accepted ones render a file that passes, refused ones say why.

use super::Report;
use super::evaluator::Evaluator;
use crate::program::capture;
use crate::workspace::target_directory;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

pub(super) fn check(evaluator: &Evaluator, programs: &Path, report: &mut Report) -> Result<()> {
    for case in evaluator.names("accepted.nix")? {
        report.say(&format!("{}: accepted: {case}", evaluator.name), accepted(evaluator, programs, &case));
    }
    for case in evaluator.names("refused.nix")? {
        report.say(&format!("{}: refused: {case}", evaluator.name), refused(evaluator, &case));
    }
    Ok(())
}

fn accepted(evaluator: &Evaluator, programs: &Path, case: &str) -> Result<()> {
    let value = evaluator.value("evaluate.nix", &[("case", case), ("kind", "accepted")])?;
    let configuration = &value["configuration"];
    if configuration.is_null() {
        if value["etc"] != serde_json::json!([]) {
            bail!("switched off, and yet it makes {}", value["etc"]);
        }
        return Ok(());
    }
    checked(configuration, programs, case)
}

/// Whether the supervisor would take a configuration.
pub(super) fn checked(configuration: &Value, programs: &Path, name: &str) -> Result<()> {
    let file = target_directory().join("nix").join(format!("{name}.json"));
    std::fs::write(&file, configuration.to_string())
        .with_context(|| format!("cannot write {}", file.display()))?;
    capture(Command::new(programs.join("agentboxctl")).args(["check", "--system"]).arg(&file)).map(drop)
}

fn refused(evaluator: &Evaluator, case: &str) -> Result<()> {
    let expected = evaluator.message(case)?;
    let said = evaluator.refusal("evaluate.nix", &[("case", case), ("kind", "refused")])?;
    if !said.contains(&expected) {
        bail!("expected `{expected}`, and it said: {said}");
    }
    Ok(())
}
