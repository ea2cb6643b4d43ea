//! docs/options.md: every option of the module.

use super::evaluator::Evaluator;
use crate::workspace::root;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    takes: String,
    description: String,
}

fn entries(evaluator: &Evaluator) -> Result<Vec<Entry>> {
    serde_json::from_value(evaluator.value("options.nix", &[])?).context("the list of options")
}

fn page(evaluator: &Evaluator) -> Result<String> {
    let mut page = String::from(
        "# Options of the NixOS module\n\nWritten by `cargo xtask nix --write` from the evaluated options. Where an option is named like a key of the \
         configuration, [configuration.md](configuration.md) says what it does.\n",
    );
    for Entry { name, takes, description } in entries(evaluator)? {
        write!(page, "\n### `{name}`\n\n{}\n\n*Type:* {takes}\n", description.trim())?;
    }
    Ok(page)
}

fn place() -> PathBuf {
    root().join("docs/options.md")
}

pub(super) fn write(evaluator: &Evaluator) -> Result<()> {
    std::fs::write(place(), page(evaluator)?).context("cannot write docs/options.md")
}

pub(super) fn compare(evaluator: &Evaluator) -> Result<()> {
    let written = std::fs::read_to_string(place()).context("cannot read docs/options.md")?;
    if written != page(evaluator)? {
        bail!("docs/options.md is stale: cargo xtask nix --write");
    }
    Ok(())
}

/// The names of all options.
pub(super) fn names(evaluator: &Evaluator) -> Result<Vec<String>> {
    Ok(entries(evaluator)?.into_iter().map(|entry| entry.name).collect())
}

pub(super) fn same_names(one: &Evaluator, other: &Evaluator) -> Result<()> {
    let (one, other) = (names(one)?, names(other)?);
    if one != other {
        bail!("{} options against {}", one.len(), other.len());
    }
    Ok(())
}
