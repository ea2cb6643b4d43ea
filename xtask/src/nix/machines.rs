//! tests-vm: every test evaluates, its script is Python, each machine's configuration is one that the supervisor
//! takes, and the list names every file.

use super::Report;
use super::cases::checked;
use super::evaluator::Evaluator;
use super::twins;
use crate::program::capture;
use crate::workspace::{root, target_directory};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Longest time that a test may have.
const LIMIT_SECONDS: u64 = 300;
/// Longest file of a test.
const MOST_LINES: usize = 80;
/// Files of tests-vm that are no tests: the list.
const LIST: &str = "default";

/// What `vm.nix` says.
#[derive(Debug, Deserialize)]
pub(super) struct All {
    pub(super) tests: BTreeMap<String, Test>,
    /// Scripts of tests that build instead of booting.
    pub(super) builds: BTreeMap<String, String>,
    refused: Refused,
}

impl All {
    pub(super) fn of(evaluator: &Evaluator) -> Result<Self> {
        serde_json::from_value(evaluator.value("vm.nix", &[])?).context("what vm.nix says")
    }
}

/// A test on machines.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Test {
    name: String,
    global_timeout: u64,
    pub(super) test_script: String,
    parts: Vec<Part>,
    /// Configurations of each machine: its own, and those that it can be switched to.
    pub(super) nodes: BTreeMap<String, Vec<Value>>,
}

/// A part of the suite that a test runs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Part {
    pub(super) program: String,
    /// Tests whose names hold one of these; none: all.
    pub(super) only: Vec<String>,
    /// Whether it speaks of the service.
    pub(super) service: bool,
    pub(super) environment: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    message: String,
    accepted: Value,
    refused: Value,
}

pub(super) fn check(evaluator: &Evaluator, programs: &Path, report: &mut Report) -> Result<()> {
    let all = All::of(evaluator)?;
    for (name, test) in &all.tests {
        report.say(&format!("tests-vm: {name}"), one(name, test, programs));
    }
    report
        .say("tests-vm: a bad policy is refused, and the other one is not", refused(&all.refused, programs));
    report.say("python_that_is_none_is_found", found());
    let names: BTreeSet<String> = all.tests.keys().chain(all.builds.keys()).cloned().collect();
    report.say("every_file_of_tests_vm_is_on_its_list", same_files(&names));
    let parts: BTreeMap<String, Vec<Part>> =
        all.tests.into_iter().map(|(name, test)| (name, test.parts)).collect();
    report.say("nothing_is_proved_in_one_place_only", twins::compare(&names, &parts));
    Ok(())
}

fn one(name: &str, test: &Test, programs: &Path) -> Result<()> {
    let file = root().join("tests-vm").join(format!("{name}.nix"));
    bounded(name, test, std::fs::read_to_string(file)?.lines().count())?;
    for (node, configurations) in &test.nodes {
        for (at, configuration) in configurations.iter().enumerate() {
            checked(configuration, programs, &format!("vm-{name}-{node}-{at}"))
                .with_context(|| node.clone())?;
        }
    }
    python(name, &test.test_script)
}

/// Whether a test is as short as one has to be.
fn bounded(name: &str, test: &Test, lines: usize) -> Result<()> {
    ensure!(test.name == name, "its name is {}", test.name);
    ensure!(test.global_timeout <= LIMIT_SECONDS, "it may take {} s", test.global_timeout);
    ensure!(!test.nodes.is_empty(), "it has no machine");
    ensure!(lines <= MOST_LINES, "{lines} lines");
    Ok(())
}

/// Whether Python reads a script.
fn python(name: &str, script: &str) -> Result<()> {
    let file = target_directory().join("nix").join(format!("vm-{name}.py"));
    std::fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    capture(Command::new("python3").args(["-m", "py_compile"]).arg(&file)).map(drop)
}

fn found() -> Result<()> {
    if python("wrong", "machine.succeed(\n").is_ok() {
        bail!("a call without an end was taken");
    }
    Ok(())
}

fn refused(case: &Refused, programs: &Path) -> Result<()> {
    checked(&case.accepted, programs, "vm-accepted")?;
    match checked(&case.refused, programs, "vm-refused") {
        Ok(()) => bail!("it was taken"),
        Err(error) => {
            let said = format!("{error:#}");
            ensure!(said.contains(&case.message), "it was refused with: {said}");
            Ok(())
        }
    }
}

fn same_files(names: &BTreeSet<String>) -> Result<()> {
    let entries = std::fs::read_dir(root().join("tests-vm")).context("no tests-vm")?;
    let files: BTreeSet<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".nix").map(str::to_owned))
        .filter(|name| name != LIST)
        .collect();
    listed(&files, names)
}

/// Whether the list names every file and nothing else.
fn listed(files: &BTreeSet<String>, names: &BTreeSet<String>) -> Result<()> {
    let odd: Vec<_> = files.symmetric_difference(names).collect();
    ensure!(odd.is_empty(), "only one of files and list has {odd:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_of_nixos_that_is_long_or_takes_long_is_found() {
        let test = Test {
            name: "a".to_owned(),
            global_timeout: LIMIT_SECONDS,
            test_script: String::new(),
            parts: Vec::new(),
            nodes: BTreeMap::from([("machine".to_owned(), Vec::new())]),
        };
        let said = |name, test: &Test, lines| bounded(name, test, lines).err().map(|error| error.to_string());
        assert_eq!(said("a", &test, MOST_LINES), None);
        assert_eq!(said("a", &test, MOST_LINES + 1).as_deref(), Some("81 lines"));
        assert_eq!(said("b", &test, 1).as_deref(), Some("its name is a"));
        let slow = Test { global_timeout: LIMIT_SECONDS + 1, ..test };
        assert_eq!(said("a", &slow, 1).as_deref(), Some("it may take 301 s"));
        let empty = Test { global_timeout: 1, nodes: BTreeMap::new(), ..slow };
        assert_eq!(said("a", &empty, 1).as_deref(), Some("it has no machine"));
    }

    #[test]
    fn a_file_without_a_line_and_a_line_without_a_file_are_found() {
        let of = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        assert!(listed(&of(&["a", "b"]), &of(&["a", "b"])).is_ok());
        assert!(listed(&of(&["a", "b"]), &of(&["a"])).is_err());
        assert!(listed(&of(&["a"]), &of(&["a", "b"])).is_err());
    }
}
