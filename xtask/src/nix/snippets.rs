//! Examples of docs/nixos.md: every one is evaluated.

use super::Report;
use super::cases::checked;
use super::evaluator::Evaluator;
use crate::workspace::{root, target_directory};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// What stands behind the fence of an example, and its lines.
fn examples(page: &str) -> Vec<(&str, String)> {
    let mut examples = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```nix ") else { continue };
        let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        examples.push((info, body.join("\n")));
    }
    examples
}

fn page() -> Result<String> {
    std::fs::read_to_string(root().join("docs/nixos.md")).context("cannot read docs/nixos.md")
}

/// The examples that are modules.
pub(super) fn modules() -> Result<Vec<String>> {
    let page = page()?;
    Ok(examples(&page).into_iter().filter(|(kind, _)| *kind == "module").map(|(_, text)| text).collect())
}

pub(super) fn check(evaluator: &Evaluator, programs: &Path, report: &mut Report) -> Result<()> {
    let page = page()?;
    let examples = examples(&page);
    for (at, (kind, text)) in examples.iter().enumerate() {
        let name = format!("docs/nixos.md: example {}", at + 1);
        report.say(&name, example(evaluator, programs, kind, text, at));
    }
    let enough =
        if examples.len() < 4 { Err(anyhow::anyhow!("{} examples", examples.len())) } else { Ok(()) };
    report.say("docs/nixos.md has examples", enough);
    Ok(())
}

fn example(evaluator: &Evaluator, programs: &Path, kind: &str, text: &str, at: usize) -> Result<()> {
    let file = target_directory().join("nix").join(format!("example-{at}.nix"));
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    match kind {
        "module" => {
            let value = evaluator.value_of("evaluate.nix", &file)?;
            checked(&value["configuration"], programs, &format!("example-{at}"))
        }
        "flake" => {
            let value = evaluator.value_of("flake.nix", &file)?;
            if value["nixosConfigurations"].as_array().is_none_or(Vec::is_empty) {
                bail!("it has no configuration: {value}");
            }
            Ok(())
        }
        other => bail!("an example of the kind `{other}`; known: module, flake"),
    }
}
