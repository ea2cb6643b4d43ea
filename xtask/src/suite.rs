//! Tests of the suite: their names, and their programs as cargo builds them, for rigs, which run them elsewhere.

use crate::workspace::cargo;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;

/// Names of the tests of a file.
pub(crate) fn test_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != "#[test]" {
            continue;
        }
        let function = lines.by_ref().find_map(|line| line.strip_prefix("fn "));
        names.extend(function.and_then(|rest| rest.split_once('(')).map(|(name, _)| name.to_owned()));
    }
    names
}

/// Builds test programs of a package, and says of each its name and where it is. No names: all of them.
pub(crate) fn programs(package: &str, names: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format=json", "--package", package]);
    if names.is_empty() {
        command.args(["--test", "*"]);
    }
    for name in names {
        command.args(["--test", name]);
    }
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the tests of {package} could not be built");
    }
    let built: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().filter_map(test_program).collect();
    if let Some(missing) = names.iter().find(|name| built.iter().all(|(built, _)| built != *name)) {
        bail!("{package}: no test program {missing}");
    }
    Ok(built)
}

/// What a line of cargo says of a test program.
fn test_program(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_test = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
    let name = message["target"]["name"].as_str()?.to_owned();
    Some((name, message["executable"].as_str()?.into())).filter(|_| is_test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_and_words_about_them_are_not() {
        let text = "#[test]\nfn one() {}\n#[test]\n#[ignore]\nfn two() {\n    '#[test] fn three() {}'\n}\nfn four() {}";
        assert_eq!(test_names(text), ["one", "two"]);
    }

    #[test]
    fn of_all_that_cargo_says_test_programs_are_taken() {
        let line = |kind: &str| {
            format!(r#"{{"target":{{"kind":["{kind}"],"name":"work"}},"executable":"/t/work-0123"}}"#)
        };
        assert_eq!(test_program(&line("test")), Some(("work".to_owned(), "/t/work-0123".into())));
        for other in [line("lib"), line("test").replace("\"/t/work-0123\"", "null"), "no JSON".to_owned()] {
            assert_eq!(test_program(&other), None, "{other}");
        }
    }
}
