//! A copy of the repository with every mutant in it, and its test programs.

use super::weave::{SWITCH, weave, without_any};
use super::{Crate, Mutant};
use crate::program::Pace;
use crate::workspace::{cargo_at, root, target_directory};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What is no part of a copy.
const LEFT_OUT: &[&str] = &["target", ".git"];

#[derive(Debug)]
pub(super) struct Copy {
    root: PathBuf,
    programs: BTreeMap<String, PathBuf>,
}

impl Copy {
    /// Makes or refreshes the copy, and builds the unit tests of these crates.
    ///
    /// # Errors
    /// When a mutant has no place, a comparison no mutant, or the copy does not build.
    pub(super) fn make(crates: &[(&Crate, Vec<Mutant>)], pace: Pace) -> Result<Self> {
        let (from, to) = (root(), directory().join("tree"));
        let mut woven = BTreeMap::new();
        for (one, mutants) in crates {
            woven.extend(self::woven(&from, one, mutants)?);
        }
        let mut there = BTreeSet::new();
        refresh(&from, &to, &mut woven, &mut there)?;
        ensure!(woven.is_empty(), "no such files: {:?}", woven.keys());
        remove_others(&to, &there)?;
        let names: Vec<&str> = crates.iter().map(|(one, _)| one.name).collect();
        Ok(Self { programs: build(&to, &names, pace)?, root: to })
    }

    /// The program with the unit tests of a crate.
    pub(super) fn tests_of(&self, name: &str) -> Result<PathBuf> {
        self.programs.get(name).cloned().with_context(|| format!("{name} has no unit tests"))
    }

    /// Where a crate is.
    pub(super) fn place_of(&self, name: &str) -> PathBuf {
        self.root.join("crates").join(name)
    }
}

fn directory() -> PathBuf {
    target_directory().join("mutants")
}

/// The files of a crate that have mutants, with them; the paths are those of the repository.
///
/// # Errors
/// Those of [`weave`], and comparisons without a mutant in files that are to have one for each.
pub(super) fn woven(root: &Path, one: &Crate, mutants: &[Mutant]) -> Result<BTreeMap<PathBuf, String>> {
    let source = root.join("crates").join(one.name).join("src");
    let read = |file: &str| {
        fs::read_to_string(source.join(file)).with_context(|| format!("cannot read {file} of {}", one.name))
    };
    let of = |file: &str| mutants.iter().filter(|mutant| mutant.file == file).collect::<Vec<_>>();
    let mut files = BTreeMap::new();
    for file in mutants.iter().map(|mutant| mutant.file).collect::<BTreeSet<_>>() {
        files.insert(source.join(file), weave(&read(file)?, &of(file))?);
    }
    for file in one.whole {
        let without = without_any(&read(file)?, &of(file))?;
        ensure!(without.is_empty(), "{file}: comparisons without a mutant:\n{}", without.join("\n"));
    }
    let library = source.join("lib.rs");
    let text = match files.remove(&library) {
        Some(text) => text,
        None => read("lib.rs")?,
    };
    // A mutant may leave a variable without a use.
    files.insert(library, format!("#![allow(warnings)]\n{text}{SWITCH}"));
    Ok(files)
}

/// What is the same stays untouched, so that cargo finds it as it was.
fn refresh(
    from: &Path,
    to: &Path,
    woven: &mut BTreeMap<PathBuf, String>,
    there: &mut BTreeSet<PathBuf>,
) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        there.insert(copy.clone());
        if entry.file_type()?.is_dir() {
            refresh(&path, &copy, woven, there)?;
            continue;
        }
        let bytes = match woven.remove(&path) {
            Some(text) => text.into_bytes(),
            None => fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        if fs::read(&copy).ok().as_ref() != Some(&bytes) {
            fs::write(&copy, bytes).with_context(|| format!("cannot write {}", copy.display()))?;
        }
    }
    Ok(())
}

/// Removes what is no more in the repository.
#[expect(clippy::disallowed_methods, reason = "a directory below `target`, which is the caller's own")]
fn remove_others(directory: &Path, there: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, is_directory) = (entry.path(), entry.file_type()?.is_dir());
        match (there.contains(&path), is_directory) {
            (true, true) => remove_others(&path, there)?,
            (true, false) => {}
            (false, true) => fs::remove_dir_all(&path)?,
            (false, false) => fs::remove_file(&path)?,
        }
    }
    Ok(())
}

fn build(root: &Path, names: &[&str], pace: Pace) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo_at(pace);
    command.current_dir(root).args(["test", "--quiet", "--no-run", "--lib", "--message-format=json"]);
    // To cargo the crates of the copy are those of the repository: in one directory it would take one for the other.
    command.arg("--target-dir").arg(directory().join("build"));
    for name in names {
        command.args(["--package", name]);
    }
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the copy could not be built");
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().filter_map(program).collect())
}

/// What a line of cargo says of a test program: of which package, and where it is.
fn program(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let executable = message["executable"].as_str()?;
    let name = message["target"]["name"].as_str()?.replace('_', "-");
    Some((name, executable.into()))
}
