//! `nix`: what of the NixOS side can be checked without a NixOS machine.
//!
//! Every file parses; every case of `nixos-modules/tests` is accepted or refused with its words, on a stand-in
//! for nixpkgs' library and, where `AGENTBOX_NIXPKGS` names a tree with the real one, on that as well; what a
//! case renders passes `agentboxctl check`. docs/options.md is written from the evaluated options.
//!
//! | file | holds |
//! |---|---|
//! | `cases` | accepted and refused configurations |
//! | `evaluator` | nix-instantiate(1), without a network and without a store of others |
//! | `flake` | the flake of this repository |
//! | `machines` | tests-vm |
//! | `reference` | docs/options.md |
//! | `rendered` | what the container rig boots with |
//! | `snippets` | examples of the documents |
//! | `twins` | what of the suite runs here and on NixOS, and what only in one place |
//! | `unused` | names in Nix files that nothing uses |
//! | `values` | values that every option takes, and refuses |
//! | `whole` | whole systems, with nixpkgs' own NixOS |

mod cases;
mod evaluator;
mod flake;
mod machines;
mod reference;
mod rendered;
mod snippets;
mod twins;
mod unused;
mod values;
mod whole;

use crate::setup::{self, Verb};
use crate::test::Tally;
use crate::workspace::root;
use anyhow::{Context as _, Result};
use evaluator::Evaluator;
pub(crate) use rendered::{every_option, examples};
pub(crate) use snippets::KINDS;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
pub(crate) use unused::installed as install;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write docs/options.md anew instead of comparing it
    #[arg(long)]
    write: bool,
}

/// Names a tree with nixpkgs' own `lib`.
const NIXPKGS: &str = "AGENTBOX_NIXPKGS";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(&[Verb::Build, Verb::Test])?;
    if arguments.write {
        reference::write(&Evaluator::standin()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let programs = crate::build::build(crate::build::Kind::Debug)?;
    let tally = check(&programs)?;
    println!("{tally}");
    Ok(if tally.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Checks everything; `programs` is a directory with `agentboxctl`.
pub(crate) fn check(programs: &Path) -> Result<Tally> {
    let mut report = Report::default();
    let standin = Evaluator::standin()?;
    let files = files(&["*.nix"])?;
    report.say("every_nix_file_parses", files.iter().try_for_each(|file| standin.parse(file)));
    report.say("nothing_in_a_nix_file_is_unused", unused::check(&files));
    cases::check(&standin, programs, &mut report)?;
    values::check(&standin, programs, &mut report)?;
    snippets::check(&standin, programs, &mut report)?;
    flake::check(&standin, &mut report)?;
    report.say("what_the_container_boots_with_is_rendered", examples(programs).map(drop));
    machines::check(&standin, programs, &mut report)?;
    report.say("the_reference_of_options_is_what_is_evaluated", reference::compare(&standin));
    match std::env::var_os(NIXPKGS) {
        Some(tree) => {
            let tree = PathBuf::from(tree);
            let real = Evaluator::of(tree.join("lib"))?;
            cases::check(&real, programs, &mut report)?;
            values::check(&real, programs, &mut report)?;
            report.say("both_libraries_know_the_same_options", reference::same_names(&standin, &real));
            if tree.join("nixos").is_dir() {
                whole::check(&tree, &standin, &real, &mut report)?;
            } else {
                println!("not run: whole systems, because {} has no nixos", tree.display());
            }
        }
        None => println!(
            "not run: the same on nixpkgs' own library, and in whole systems, because {NIXPKGS} names none"
        ),
    }
    Ok(report.tally)
}

/// What was checked so far.
#[derive(Debug, Default)]
struct Report {
    tally: Tally,
}

impl Report {
    fn say(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                println!("nix {name} ... ok");
                self.tally.passed += 1;
            }
            Err(error) => {
                println!("nix {name} ... FAILED\n  {error:#}");
                self.tally.failed += 1;
            }
        }
    }
}

/// Files of this repository, of these kinds or all.
fn files(kinds: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = std::process::Command::new("git");
    command.arg("-C").arg(root()).args(["ls-files", "-co", "--exclude-standard", "--"]).args(kinds);
    let listed = crate::program::capture(&mut command).context("the files of this repository")?;
    Ok(listed.lines().map(|line| root().join(line)).collect())
}
