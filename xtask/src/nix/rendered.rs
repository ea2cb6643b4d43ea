//! What the module renders for the container rig: of the examples of the documents, all of them in one machine, with which
//! it boots; and of a configuration with every option.

use super::cases::checked;
use super::evaluator::Evaluator;
use super::{snippets, values};
use crate::workspace::target_directory;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::Path;

/// Renders the examples. `programs` check what comes of it, as a build of a system would.
pub(crate) fn examples(programs: &Path) -> Result<Value> {
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

/// Renders the configuration with every option.
pub(crate) fn every_option(programs: &Path) -> Result<Value> {
    let configuration =
        Evaluator::standin()?.value_of("evaluate.nix", &values::file())?["configuration"].take();
    checked(&configuration, programs, "every-option")?;
    Ok(configuration)
}
