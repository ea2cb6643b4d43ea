//! `cargo xtask VERB`: set-up, programs, tests, demonstration and benchmarks of this repository.

mod bench;
mod build;
mod deb;
mod demo;
mod elf;
mod fuzz;
mod host;
mod install;
mod lab;
mod manual;
mod mutants;
mod nix;
mod program;
mod rig;
mod setup;
mod soak;
mod structure;
mod suite;
mod table;
mod terminal;
mod test;
mod verb;
mod workspace;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    verb::Verb::parse().run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
