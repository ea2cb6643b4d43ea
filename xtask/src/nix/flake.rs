//! The flake of this repository: all of it evaluates, for both machines, with a stand-in for nixpkgs; its lock is whole.

use super::Report;
use super::evaluator::Evaluator;
use crate::program::capture;
use crate::workspace::{root, target_directory};
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// What it has at least.
const OUTPUTS: &[(&str, &[&str])] = &[
    ("packages", &["x86_64-linux", "aarch64-linux"]),
    ("overlays", &["default"]),
    ("nixosModules", &["agentbox", "default"]),
    ("checks", &["package", "clippy", "fmt", "options", "starts-a-session"]),
    ("apps", &["agentboxctl", "demo", "default"]),
    ("formatter", &["x86_64-linux", "aarch64-linux"]),
    ("devShells", &["x86_64-linux", "aarch64-linux"]),
];
/// The stand-in, in the copy.
const STANDIN: &str = "nixos-modules/tests/standin";

pub(super) fn check(evaluator: &Evaluator, report: &mut Report) -> Result<()> {
    let copy = copied()?;
    report.say("the_flake_has_what_it_is_to_have", outputs(evaluator));
    report.say("nix_flake_check_evaluates_everything", whole(evaluator, &copy));
    report.say("the_lock_of_the_flake_is_whole", locked(evaluator, &copy));
    report.say("a_flake_with_a_fault_is_found", found(evaluator, &copy));
    Ok(())
}

fn outputs(evaluator: &Evaluator) -> Result<()> {
    let value = evaluator.value_of("flake.nix", &root().join("flake.nix"))?;
    for (output, names) in OUTPUTS {
        let has = value[output].as_array().map(Vec::as_slice).unwrap_or_default();
        let missing: Vec<_> = names.iter().filter(|name| !has.iter().any(|found| found == *name)).collect();
        ensure!(missing.is_empty(), "{output} has no {missing:?}: {value}");
    }
    Ok(())
}

/// The files of this repository and nothing else: Nix copies all that is there.
#[expect(clippy::disallowed_methods, reason = "below the directory of builds, which nobody else writes to")]
fn copied() -> Result<PathBuf> {
    let copy = target_directory().join("nix/flake");
    if copy.exists() {
        std::fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    for file in super::files(&[])? {
        let to = copy.join(file.strip_prefix(root()).context("a file of another place")?);
        if let (true, Some(parent)) = (file.is_file(), to.parent()) {
            std::fs::create_dir_all(parent)?;
            std::fs::copy(&file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    Ok(copy)
}

fn whole(evaluator: &Evaluator, copy: &Path) -> Result<()> {
    let mut command = evaluator.flakes();
    command.args(["check", "--no-build", "--offline", "--no-write-lock-file", "--override-input", "nixpkgs"]);
    command.arg(format!("path:{}", copy.join(STANDIN).display())).arg(format!("path:{}", copy.display()));
    capture(&mut command).map(drop)
}

/// The lock says of every input what it is: nothing would have to be looked up to use it.
fn locked(evaluator: &Evaluator, copy: &Path) -> Result<()> {
    let mut command = evaluator.flakes();
    command.args(["lock", "--offline", "--no-update-lock-file"]);
    capture(command.arg(format!("path:{}", copy.display()))).map(drop)
}

/// With a package that nixpkgs does not have.
fn found(evaluator: &Evaluator, copy: &Path) -> Result<()> {
    let flake = copy.join("flake.nix");
    let text = std::fs::read_to_string(&flake)?;
    let broken = text.replace("pkgs.clippy", "pkgs.no-such-package");
    ensure!(broken != text, "it names no clippy");
    std::fs::write(&flake, broken)?;
    match whole(evaluator, copy) {
        Ok(()) => bail!("it was taken"),
        Err(error) => {
            ensure!(format!("{error:#}").contains("no-such-package"), "{error:#}");
            Ok(())
        }
    }
}
