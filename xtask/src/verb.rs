//! The verbs, and who does each.

use crate::{bench, build, deb, demo, fuzz, install, mutants, nix, rig, setup, soak, structure, test};
use anyhow::Result;
use std::process::ExitCode;

#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask", about, long_about = None, max_term_width = 100)]
pub(crate) enum Verb {
    /// Installs what the other verbs need on this machine
    Setup(setup::Arguments),
    /// Builds the programs and collects them in one directory
    Build(build::Arguments),
    /// Installs programs, units, policies, manual pages and completions below a root
    Install(install::Arguments),
    /// Makes a package for Debian of the same
    Deb(deb::Arguments),
    /// Writes the files in dist/ and docs/dbus.md, which are made of tables in the code
    Dist,
    /// Boots a place with a real service manager and runs a program there
    Rig(rig::Arguments),
    /// Runs every test there is
    Test(test::Arguments),
    /// Checks the shape of the repository: edges between crates, unsafe, sizes, licences, links
    Structure,
    /// Checks the NixOS side: files, cases of the module, the reference of its options
    Nix(nix::Arguments),
    /// Does everything that can happen to sessions, at random, for hours
    Soak(soak::Arguments),
    /// Lets each judgement judge otherwise, and demands that its test turns red
    Mutants(mutants::Arguments),
    /// Throws bytes of strangers at everything that reads them
    Fuzz(fuzz::Arguments),
    /// Shows a session at work, then attacks it, on this machine
    Demo(demo::Arguments),
    /// Measures, and writes docs/BENCHMARKS.md
    Bench(bench::Arguments),
    /// The client of the benchmark, run by it inside and outside of sessions
    #[command(hide = true)]
    Measure(bench::network::client::Arguments),
}

impl Verb {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Setup(arguments) => setup::run(&arguments),
            Self::Build(arguments) => build::run(&arguments),
            Self::Install(arguments) => install::run(&arguments),
            Self::Deb(arguments) => deb::run(&arguments),
            Self::Dist => install::write_dist(),
            Self::Rig(arguments) => rig::run(&arguments),
            Self::Test(arguments) => test::run(&arguments),
            Self::Structure => structure::run(),
            Self::Nix(arguments) => nix::run(&arguments),
            Self::Soak(arguments) => soak::run(&arguments),
            Self::Mutants(arguments) => mutants::run(&arguments),
            Self::Fuzz(arguments) => fuzz::run(&arguments),
            Self::Demo(arguments) => demo::run(&arguments),
            Self::Bench(arguments) => bench::run(&arguments),
            Self::Measure(arguments) => bench::network::client::run(&arguments),
        }
    }
}
