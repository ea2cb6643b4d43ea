//! What the module renders of the examples of the documents, all of them in one machine: for the container rig, which
//! boots with it.

use super::cases::checked;
use super::evaluator::Evaluator;
use super::snippets;
use crate::workspace::target_directory;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::Path;

/// Renders it. `programs` check it, as a build of a system would.
pub(crate) fn rendered(programs: &Path) -> Result<Value> {
    let evaluator = Evaluator::standin()?;
    let modules: Vec<String> =
        snippets::modules()?.into_iter().map(|module| format!("(\n{module}\n)")).collect();
    let file = target_directory().join("nix/examples.nix");
    std::fs::write(&file, format!("{{ imports = [\n{}\n]; }}\n", modules.join("\n")))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let configuration = evaluator.value_of("evaluate.nix", &file)?["configuration"].take();
    checked(&configuration, programs, "examples").context("the examples of the documents together")?;
    Ok(configuration)
}
