//! `cargo xtask VERB`: set-up, programs, tests, demonstration and benchmarks of this repository.

mod bench;
mod build;
mod demo;
mod elf;
mod host;
mod lab;
mod program;
mod setup;
mod structure;
mod table;
mod terminal;
mod test;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about, long_about = None, max_term_width = 100)]
enum Verb {
    /// Installs what the other verbs need on this machine
    Setup(setup::Arguments),
    /// Builds the programs and collects them in one directory
    Build(build::Arguments),
    /// Runs every test there is
    Test(test::Arguments),
    /// Checks the shape of the repository: edges between crates, unsafe, sizes, licences, links
    Structure,
    /// Shows a session at work, then attacks it, on this machine
    Demo(demo::Arguments),
    /// Measures, and writes docs/BENCHMARKS.md
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let result = match Verb::parse() {
        Verb::Setup(arguments) => setup::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Structure => structure::run(),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
