//! `test`: every part in order, going on after one that failed, failing at the end.

mod copies;
mod lanes;
mod part;
mod tally;

pub(crate) use copies::Copies;
pub(crate) use tally::Tally;

use crate::build::{Kind, build};
use crate::demo::remove_abandoned;
use crate::program::Pace;
use crate::setup::{self, Verb};
use crate::table::Table;
use crate::terminal::Paint;
use crate::{fuzz, host, mutants, nix, program, rig, structure, workspace};
use anyhow::{Result, anyhow, bail};
use part::{Part, Parts};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::thread::JoinHandle;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only what needs no session: format, lints, structure, unit and doc tests
    #[arg(long)]
    quick: bool,
    /// Only tests whose name holds this; the parts that are no tests are left out
    filter: Option<String>,
}

/// Something that runs beside the suite and the rigs, which wait more than they compute: what it says, and what comes of it.
type Beside<T> = JoinHandle<(Vec<u8>, Result<T>)>;

/// What the parts share.
struct Run {
    filter: Option<String>,
    host_before: BTreeSet<String>,
    programs: Option<Copies>,
    lints: Option<Beside<()>>,
    fuzzers: Option<Beside<u64>>,
    mutants: Option<Beside<(usize, usize)>>,
    machines: Option<Beside<(Tally, Result<()>)>>,
    tally: Tally,
}

impl Run {
    /// Adds checks of something; an error where some failed.
    fn checked(&mut self, tally: Tally, what: &str) -> Result<()> {
        let failed = tally.failed;
        self.tally.add(tally);
        if failed > 0 {
            bail!("{failed} checks of the {what} failed");
        }
        Ok(())
    }
}

const PARTS: &[Part<Run>] = &[
    Part { name: "format", quick: true, filtered: false, run: format },
    Part { name: "structure", quick: true, filtered: false, run: shape },
    Part { name: "unit tests", quick: true, filtered: true, run: unit },
    Part { name: "doc tests", quick: true, filtered: false, run: docs },
    Part { name: "build", quick: false, filtered: true, run: programs },
    Part { name: "suite", quick: false, filtered: true, run: suite },
    Part { name: "nix", quick: false, filtered: false, run: nixos },
    Part { name: "nspawn rig", quick: false, filtered: true, run: nspawn },
    Part { name: "vm rig", quick: false, filtered: true, run: vm },
    Part { name: "lints", quick: true, filtered: false, run: lints },
    Part { name: "mutants", quick: false, filtered: false, run: mutated },
    Part { name: "fuzz", quick: false, filtered: false, run: fuzzing },
    Part { name: "leftovers", quick: false, filtered: true, run: leftovers },
];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    program::need_root("test")?;
    setup::ensure(&[Verb::Build, Verb::Test])?;
    let paint = Paint::for_stdout();
    let mut run = Run {
        filter: arguments.filter.clone(),
        host_before: host::snapshot()?,
        programs: None,
        lints: None,
        fuzzers: None,
        mutants: None,
        machines: None,
        tally: Tally::default(),
    };
    let mut parts = Parts::new(paint);
    for part in PARTS {
        if arguments.quick && !part.quick {
            parts.leave_out(part, "--quick");
        } else if arguments.filter.is_some() && !part.filtered {
            parts.leave_out(part, "a filter was given");
        } else {
            parts.begin(part);
            let before = run.tally.clone();
            let result = (part.run)(&mut run);
            let ran = run.tally.since(&before);
            if result.is_err() && ran.failed == 0 {
                // What failed was no single test: the part itself counts.
                run.tally.failed += 1;
            }
            parts.finish(part, ran, result);
        }
    }
    paint.headline("summary");
    print!("{}", summary(&parts));
    if run.tally.ignored > 0 {
        println!("{} ignored", run.tally.ignored);
    }
    let failed = parts.failed();
    if !failed.is_empty() {
        println!("failed parts: {}", failed.join(", "));
    }
    if run.tally.passed == 0 {
        println!("no test passed");
    }
    print!("{}", run.tally.failures());
    println!("{}", run.tally);
    Ok(if failed.is_empty() && run.tally.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(parts: &Parts) -> String {
    let mut table = Table::new(&["part", "result", "tests", "seconds"]);
    for done in parts.all() {
        table.row([done.name, &done.result, &done.tests, &done.seconds]);
    }
    table.text()
}

fn format(_: &mut Run) -> Result<()> {
    program::run(workspace::cargo().args(["fmt", "--all", "--check"]))
}

fn lints(run: &mut Run) -> Result<()> {
    match run.lints.take() {
        Some(lints) => joined(Some(lints)),
        None => clippy(Pace::Alone),
    }
}

/// Waits for it, and shows what it says.
fn joined<T>(beside: Option<Beside<T>>) -> Result<T> {
    let Some(beside) = beside else { bail!("not run: what it runs beside was not begun") };
    let (said, result) = beside.join().map_err(|_panic| anyhow!("it ended without a word"))?;
    std::io::stdout().write_all(&said)?;
    result
}

fn clippy(pace: Pace) -> Result<()> {
    let clippy = |arguments: &[&str]| {
        let mut command = workspace::cargo_at(pace);
        program::run(command.arg("clippy").args(arguments).args(["--all-targets", "--", "-D", "warnings"]))
    };
    let plain = clippy(&["--workspace"]);
    let testing = clippy(&[
        "--package=agentbox-kernel",
        "--package=agentbox-launch",
        "--package=agentboxd",
        "--features=agentbox-kernel/testing,agentbox-launch/testing,agentboxd/testing",
    ]);
    plain.and(testing)
}

fn shape(run: &mut Run) -> Result<()> {
    run.checked(structure::check()?, "structure")
}

fn unit(run: &mut Run) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["test", "--no-fail-fast", "--workspace", "--exclude", "agentbox-suite"]);
    command.args(["--lib", "--bins", "--tests"]);
    command.arg("--").args(&run.filter);
    run.tally.count(&mut command, u64::from(run.filter.is_none()))
}

fn docs(run: &mut Run) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["test", "--no-fail-fast", "--workspace", "--exclude", "agentbox-suite", "--doc"]);
    run.tally.count(&mut command, 0)
}

fn programs(run: &mut Run) -> Result<()> {
    let (debug, testing) = (build(Kind::Debug)?, build(Kind::Testing)?);
    println!("{}\n{}", debug.display(), testing.display());
    remove_abandoned(&debug)?;
    run.programs = Some(Copies::make(&debug, &testing)?);
    Ok(())
}

fn nixos(run: &mut Run) -> Result<()> {
    let Some(Copies { debug, .. }) = &run.programs else { bail!("not run: the programs were not built") };
    let tally = nix::check(debug)?;
    run.checked(tally, "NixOS side")
}

/// Seconds of each target.
const FUZZ_SECONDS: u32 = 30;

fn suite(run: &mut Run) -> Result<()> {
    let Some(Copies { debug, testing, .. }) = &run.programs else {
        bail!("not run: the programs were not built")
    };
    let mut own = workspace::cargo();
    own.args(["test", "--no-fail-fast", "--package", "agentbox-suite", "--lib", "--"]).args(&run.filter);
    let own = run.tally.count(&mut own, 0);
    let programs = crate::suite::programs("agentbox-suite", &[])?;
    // From here on nobody builds where the lints do.
    if run.filter.is_none() {
        run.lints = Some(std::thread::spawn(|| (Vec::new(), clippy(Pace::Beside))));
        run.mutants = Some(std::thread::spawn(mutants::beside));
        run.fuzzers = Some(std::thread::spawn(|| {
            if let Err(error) = nix::install() {
                println!("{error:#}; it is tried again");
            }
            fuzz::beside(FUZZ_SECONDS)
        }));
    }
    let prepare = |command: &mut std::process::Command| {
        command.env("AGENTBOX_BIN_DIR", debug).env("AGENTBOX_TESTING_BIN_DIR", testing);
        command.arg("--test-threads=2").args(&run.filter);
    };
    let lanes = lanes::run(programs, &prepare, &mut run.tally);
    own.and(lanes)
}

fn nspawn(run: &mut Run) -> Result<()> {
    let Some(Copies { debug, testing, .. }) = &run.programs else {
        bail!("not run: the programs were not built")
    };
    // Most of what runs in the container waits.
    let machines = rig::Machines::prepare(debug, testing, run.filter.as_deref());
    run.machines = Some(std::thread::spawn(|| {
        let mut said = Vec::new();
        let ran = machines.map(|machines| machines.run(&mut said));
        (said, ran)
    }));
    rig::run_suite(debug, testing, run.filter.as_deref(), &mut run.tally)
}

fn vm(run: &mut Run) -> Result<()> {
    let (ran, result) = joined(run.machines.take())?;
    run.tally.add(ran);
    result
}

fn mutated(run: &mut Run) -> Result<()> {
    let (red, all) = joined(run.mutants.take())?;
    run.tally.passed += red as u64;
    run.tally.failed += (all - red) as u64;
    if red < all {
        bail!("{} mutants are noticed by no test", all - red);
    }
    Ok(())
}

fn fuzzing(run: &mut Run) -> Result<()> {
    run.tally.passed += joined(run.fuzzers.take())?;
    Ok(())
}

fn leftovers(run: &mut Run) -> Result<()> {
    let after = host::snapshot()?;
    let left: Vec<&String> = after.difference(&run.host_before).collect();
    for line in &left {
        println!("left over: {line}");
    }
    if !left.is_empty() {
        bail!("{} things of agentbox are left on this host", left.len());
    }
    println!("no control group, process, mount, user or directory of agentbox is left on this host");
    run.tally.passed += 1;
    Ok(())
}
