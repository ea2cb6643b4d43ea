//! Whole systems and tests, where `AGENTBOX_NIXPKGS` names a tree that has NixOS as well: nothing is built, all of it is
//! evaluated, and what comes of it for agentbox is what the stand-in says.

use super::Report;
use super::evaluator::Evaluator;
use super::machines::All;
use crate::workspace::target_directory;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const FILE: &str = "whole/default.nix";

pub(super) fn check(tree: &Path, standin: &Evaluator, real: &Evaluator, report: &mut Report) -> Result<()> {
    let words = words(&tree.join("nixos"))?;
    let words = words.to_str().context("a directory with odd letters")?;
    let shown = |kind: &str, case: &str| {
        real.value_with(FILE, &[("kind", kind), ("case", case)], &[("words", words)])
    };
    let says = |case: &str| standin.value("evaluate.nix", &[("case", case), ("kind", "accepted")]);
    for case in real.names("accepted.nix")? {
        let same = shown("accepted", &case).and_then(|whole| same(&whole, &says(&case)?));
        report.say(&format!("NixOS: accepted: {case}"), same);
    }
    for case in real.names("refused.nix")? {
        let message = real.message(&case)?;
        let refused = || {
            let arguments = [("kind", "refused"), ("case", case.as_str())];
            let said = real.refusal_with(FILE, &arguments, &[("words", words)])?;
            ensure!(said.contains(&message), "expected `{message}`: {said}");
            Ok(())
        };
        report.say(&format!("NixOS: refused: {case}"), refused());
    }
    let every = super::values::file();
    let every = every.to_str().context("a directory with odd letters")?;
    let whole = real.value_with(FILE, &[("kind", "file")], &[("words", words), ("file", every)]);
    let alike = whole.and_then(|whole| same(&whole, &standin.value_of("evaluate.nix", Path::new(every))?));
    report.say("NixOS: every_option", alike);
    report.say("NixOS: nothing_is_opened_or_forwarded", opens_nothing(&shown));

    let all = All::of(standin)?;
    for (name, expected) in &all.tests {
        let test = shown("test", name).and_then(|test| {
            let script = test["script"].as_str().context("no script")?;
            ensure!(
                without_hashes(script) == without_hashes(&expected.test_script),
                "another script: {script}"
            );
            let nodes: BTreeSet<&String> = test["nodes"].as_object().context("no nodes")?.keys().collect();
            ensure!(nodes == expected.nodes.keys().collect(), "other machines: {nodes:?}");
            for (node, configurations) in &expected.nodes {
                let here = configurations.first().context("no configuration")?;
                ensure!(test["nodes"][node] == *here, "{node}: {} and not {here}", test["nodes"][node]);
            }
            Ok(())
        });
        report.say(&format!("NixOS: tests-vm: {name}"), test);
    }
    for name in all.builds.keys() {
        report.say(&format!("NixOS: tests-vm: {name}"), shown("test", name).map(drop));
    }
    Ok(())
}

/// Whether a whole system has the configuration that the stand-in says.
fn same(whole: &Value, standin: &Value) -> Result<()> {
    ensure!(
        whole["configuration"] == standin["configuration"],
        "{} and not {}",
        whole["configuration"],
        standin["configuration"]
    );
    ensure!(whole["derivation"].is_string(), "nothing would be built");
    Ok(())
}

/// A system with agentbox has the same holes as one without.
fn opens_nothing(shown: &impl Fn(&str, &str) -> Result<Value>) -> Result<()> {
    let (with, without) = (shown("accepted", "smallest")?, shown("accepted", "off")?);
    ensure!(with["opened"] == without["opened"], "{} and not {}", with["opened"], without["opened"]);
    ensure!(with["derivation"] != without["derivation"], "it is the same system");
    Ok(())
}

/// A text without the hashes of places in the store.
fn without_hashes(text: &str) -> String {
    const HASH: usize = 32;
    let mut pieces = text.split("/store/");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| all + "/store/" + piece.get(HASH..).unwrap_or(piece))
}

/// Writes every word of the files of a directory to a file.
fn words(directory: &Path) -> Result<PathBuf> {
    let mut words = BTreeSet::new();
    collect(directory, &mut words)?;
    ensure!(!words.is_empty(), "no words in {}", directory.display());
    let file = target_directory().join("nix/words.json");
    std::fs::write(&file, serde_json::to_string(&words)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn collect(directory: &Path, words: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| format!("no {}", directory.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, words)?;
        } else if path.extension().is_some_and(|extension| extension == "nix") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
            let begins = |word: &&str| word.starts_with(|letter: char| letter.is_ascii_alphabetic());
            words.extend(text.split(|letter| !of_word(letter)).filter(begins).map(str::to_owned));
        }
    }
    Ok(())
}
