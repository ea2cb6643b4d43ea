//! Examples in Nix of every document: every one is evaluated.

use super::Report;
use super::cases::checked;
use super::evaluator::Evaluator;
use crate::workspace::{root, target_directory};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// What an example can be: the word behind its fence.
pub(crate) const KINDS: &[&str] = &["module", "flake"];

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

/// A page that says what it is of: its path, and its text.
type Page = (String, String);

/// README and what is in docs/, in order.
fn pages() -> Result<Vec<Page>> {
    let mut names = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).context("cannot list docs")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    names.sort();
    let read = |name: String| {
        let text =
            std::fs::read_to_string(root().join(&name)).with_context(|| format!("cannot read {name}"))?;
        Ok((name, text))
    };
    names.into_iter().map(read).collect()
}

/// The examples that are modules.
pub(super) fn modules() -> Result<Vec<String>> {
    let pages = pages()?;
    let examples = pages.iter().flat_map(|(_, text)| examples(text));
    Ok(examples.filter(|(kind, _)| *kind == "module").map(|(_, text)| text).collect())
}

pub(super) fn check(evaluator: &Evaluator, programs: &Path, report: &mut Report) -> Result<()> {
    let mut at = 0;
    for (name, text) in pages()? {
        for (number, (kind, text)) in examples(&text).iter().enumerate() {
            let name = format!("{name}: example {}", number + 1);
            report.say(&name, example(evaluator, programs, kind, text, at));
            at += 1;
        }
    }
    let enough = if at < 4 { Err(anyhow::anyhow!("{at} examples")) } else { Ok(()) };
    report.say("the documents have examples", enough);
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
        other => bail!("an example of the kind `{other}`; known: {KINDS:?}"),
    }
}
