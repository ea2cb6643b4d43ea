//! `rig`: places with a real service manager, booted for tests and gone afterwards.
//!
//! One suite for every rig: a rig only boots a place, installs what `install` would install, and runs
//! programs there. Their root file systems are made from packages by name and kept below `target/rigs`.
//!
//! | file | responsible for |
//! |---|---|
//! | `root` | a root file system made of packages, made again when the list of them changes |
//! | `place` | a copy of it for one run, with the programs and tests; removed afterwards |
//! | `nspawn` | a container with systemd as PID 1 |
//! | `group` | the control group that it runs in |
//! | `bench` | starts through the bus, timed there |
//! | `suite` | tests of the suite, built here and run there |
//! | `vm` | a virtual machine with a kernel of its own |

mod bench;
mod group;
mod nspawn;
mod place;
mod root;
mod suite;
mod vm;

use crate::build::{Kind, build};
use crate::setup::{self, Verb};
use crate::terminal::Paint;
use crate::{program, test::Tally};
use anyhow::Result;
pub(crate) use bench::run as bench_bus;
use nspawn::Nspawn;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
pub(crate) use suite::{PARTS as SUITE_PARTS, run as run_suite};
pub(crate) use vm::{Machines, bench as bench_guard, runs as runs_in_vm};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    rig: Rig,
}

#[derive(Debug, clap::Subcommand)]
enum Rig {
    /// A container with systemd, a system bus, polkit and a journal
    Nspawn {
        /// Runs there as root, after agentbox was installed and started; default: a shell
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// The part of `test` that runs in the container
    Suite {
        /// Only tests whose name holds this
        filter: Option<String>,
    },
    /// A virtual machine with Debian's kernel: runs the tests that belong there
    Vm {
        /// Only tests whose name holds this
        filter: Option<String>,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    program::need_root("rig")?;
    setup::ensure(&[Verb::Build, Verb::Rig])?;
    let programs = build(Kind::Debug)?;
    let mut tally = Tally::default();
    let result = match &arguments.rig {
        Rig::Nspawn { command } => return interactive(&programs, command),
        Rig::Suite { filter } => run_suite(&programs, &build(Kind::Testing)?, filter.as_deref(), &mut tally),
        Rig::Vm { filter } => vm::run(&programs, &build(Kind::Testing)?, filter.as_deref(), &mut tally),
    };
    println!("{tally}");
    result.map(|()| ExitCode::SUCCESS)
}

fn interactive(programs: &Path, command: &[OsString]) -> Result<ExitCode> {
    let rig = Nspawn::boot(programs, |_| Ok(()))?;
    let paint = Paint::for_stdout();
    println!("{}", paint.quiet("the container is up"));
    let shell = ["/bin/bash".into(), "-l".into()];
    let line = if command.is_empty() { &shell[..] } else { command };
    let mut inside: Command = rig.command(&line[0]);
    let status = inside.args(&line[1..]).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
