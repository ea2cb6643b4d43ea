//! Options and their values: one configuration gives every option a value, and every option refuses one outside of its
//! type; every assertion of the module has a configuration that it refuses.

use super::Report;
use super::cases::checked;
use super::evaluator::Evaluator;
use super::reference;
use crate::workspace::root;
use anyhow::{Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options that nobody gives a value, with the reason.
const WITHOUT_VALUE: &[(&str, &str)] = &[
    ("services.agentbox.configFile", "the module writes it"),
    ("services.agentbox.settings", "is for keys that have no option, and every key has one"),
];

/// Stands for any name in the name of an option.
const ANY: &str = "<name>";

pub(super) fn check(evaluator: &Evaluator, programs: &Path, report: &mut Report) -> Result<()> {
    let names = reference::names(evaluator)?;
    let of = evaluator.name;
    report.say(&format!("{of}: every_option_has_a_value_that_is_taken"), taken(evaluator, programs, &names));
    report.say(&format!("{of}: an_option_that_is_left_out_is_found"), found(evaluator, &names));
    report.say(&format!("{of}: every_option_refuses_what_is_not_of_its_type"), refused(evaluator));
    report.say(&format!("{of}: every_assertion_has_a_configuration_that_it_refuses"), asserted(evaluator));
    Ok(())
}

/// The configuration with every option.
pub(super) fn file() -> PathBuf {
    root().join("nixos-modules/tests/every-option.nix")
}

/// It, as it is written.
fn given(evaluator: &Evaluator) -> Result<Value> {
    let file = file();
    evaluator.expression(&format!("import {} {{ pkgs.agentbox = \"agentbox\"; }}", file.display()))
}

fn taken(evaluator: &Evaluator, programs: &Path, names: &[String]) -> Result<()> {
    let missing = missing(&given(evaluator)?, names);
    ensure!(missing.is_empty(), "without a value: {}", missing.join(", "));
    let value = evaluator.value_of("evaluate.nix", &file())?;
    checked(&value["configuration"], programs, "every-option")
}

/// Options that have no value.
fn missing(given: &Value, names: &[String]) -> Vec<String> {
    let has_reason = |name: &str| WITHOUT_VALUE.iter().any(|(option, _)| *option == name);
    let words = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
    names.iter().filter(|name| !has_reason(name) && !occurs(given, &words(name))).cloned().collect()
}

fn occurs(value: &Value, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let Value::Object(members) = value else { return false };
    members.iter().any(|(name, below)| (first == ANY || first == name) && occurs(below, rest))
}

/// Takes everything away that an option stands for.
fn without(value: &mut Value, path: &[&str]) {
    let (Some((first, rest)), Value::Object(members)) = (path.split_first(), value) else { return };
    if rest.is_empty() {
        members.retain(|name, _| *first != ANY && first != name);
    }
    for (_, below) in members.iter_mut().filter(|(name, _)| *first == ANY || first == name) {
        without(below, rest);
    }
}

fn found(evaluator: &Evaluator, names: &[String]) -> Result<()> {
    let given = given(evaluator)?;
    for name in names.iter().filter(|name| !WITHOUT_VALUE.iter().any(|(option, _)| option == name)) {
        let mut less = given.clone();
        without(&mut less, &name.split('.').collect::<Vec<_>>());
        ensure!(missing(&less, names).contains(name), "nobody misses {name}");
    }
    Ok(())
}

/// What `wrong.nix` says of an option.
#[derive(Debug, Deserialize)]
struct Judged {
    name: String,
    #[serde(rename = "type")]
    takes: String,
    refused: bool,
}

fn refused(evaluator: &Evaluator) -> Result<()> {
    let judged: Vec<Judged> = serde_json::from_value(evaluator.value("wrong.nix", &[])?)?;
    let taken: Vec<_> = judged.iter().filter(|option| !option.refused).map(|option| &option.name).collect();
    ensure!(!judged.is_empty() && taken.is_empty(), "taken: {taken:?}");
    // The words, once for each type.
    let types: BTreeMap<&str, &str> = judged.iter().map(|it| (it.takes.as_str(), it.name.as_str())).collect();
    for name in types.values() {
        let said = evaluator.refusal("wrong.nix", &[("option", name)])?;
        let option = name.replace(ANY, "some");
        ensure!(said.contains(&option) && said.contains("is not of type"), "{name} is refused with: {said}");
    }
    Ok(())
}

fn asserted(evaluator: &Evaluator) -> Result<()> {
    let module = std::fs::read_to_string(root().join("nixos-modules/agentbox.nix"))?;
    let mut messages = Vec::new();
    for case in evaluator.names("refused.nix")? {
        messages.push(evaluator.message(&case)?);
    }
    let bare = without_case(&module, &messages)?;
    ensure!(bare.is_empty(), "nothing is refused with: {}", bare.join(", "));
    // One more would be missed.
    let more = format!("{module}\nassertion = false;\nmessage = \"services.agentbox: no ${{x}}\";");
    ensure!(without_case(&more, &messages)?.len() == 1, "an assertion without a case is not missed");
    Ok(())
}

/// How the messages of assertions begin that no case of those that are refused has.
fn without_case(module: &str, messages: &[String]) -> Result<Vec<String>> {
    let begin = |text: &str| text.split("${").next().unwrap_or_default().trim_end_matches("\";").to_owned();
    let beginnings: Vec<String> =
        module.lines().filter_map(|line| line.trim().strip_prefix("message = \"").map(begin)).collect();
    let assertions = module.lines().filter(|line| line.trim().starts_with("assertion = ")).count();
    if assertions == 0 || assertions != beginnings.len() || beginnings.iter().any(String::is_empty) {
        bail!("{assertions} assertions and messages that begin with {beginnings:?}");
    }
    let has_case = |beginning: &String| {
        messages
            .iter()
            .any(|message| message.starts_with(beginning.as_str()) || beginning.starts_with(message))
    };
    Ok(beginnings.into_iter().filter(|beginning| !has_case(beginning)).collect())
}
