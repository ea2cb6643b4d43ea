//! `fuzz`: bytes of strangers, thrown at everything that reads them, with the compiler that builds the rest.
//!
//! | file | does |
//! |---|---|
//! | `seeds`, `kept`, `others` | what each target begins with: fuzz/corpus/, written by `fuzz --seeds` |
//! | `parsers` | which files read bytes of others, and what throws some at them |

mod kept;
mod others;
pub(crate) mod parsers;
mod seeds;

use crate::program::{self, Pace};
use crate::setup::{self, Verb};
use crate::workspace::{cargo_at, host_triple, root, target_directory};
use anyhow::{Context as _, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Writes fuzz/corpus/ again and runs nothing
    #[arg(long, conflicts_with = "targets")]
    seeds: bool,
    /// Only these; default: all
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// What a nightly compiler calls `-Zsanitizer=…` without the sanitizer: counters at every branch, what is
/// compared with what, and where. The names are LLVM's, so a stable compiler takes them.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// An input that takes longer, in seconds, or more memory, in MiB, is a finding: all of them are short.
const INPUT_SECONDS: u32 = 2;
/// The same where a target may have to wait for a processor.
const PATIENT_INPUT_SECONDS: u32 = 30;
const MEMORY_MIB: u32 = 512;
/// Most bytes of an input: above the longest message of gate and supervisor that a stranger shapes.
const INPUT_BYTES: u32 = 20_000;
/// Seconds that a target may take beyond what it was given, before it is ended from outside.
const GRACE_SECONDS: u32 = 60;

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.seeds {
        return seeds::write(&corpus()).map(|()| ExitCode::SUCCESS);
    }
    setup::ensure(&[Verb::Build])?;
    let all = targets()?;
    if let Some(unknown) = arguments.targets.iter().find(|target| !all.contains(target)) {
        bail!("no target is called {unknown}; there are {}", all.join(", "));
    }
    let chosen = if arguments.targets.is_empty() { &all } else { &arguments.targets };
    throw(chosen, arguments.seconds, Pace::Alone, &mut std::io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// Lints the targets and runs them all, each as long, beside what else is done: what they say, and how many ran.
pub(crate) fn beside(seconds: u32) -> (Vec<u8>, Result<u64>) {
    let mut said = Vec::new();
    let result = lint().and_then(|()| throw(&targets()?, seconds, Pace::Beside, &mut said));
    (said, result)
}

/// Builds and runs them, each as long; an error names those that found something. The number that ran. Each is a single
/// thread: there is one for each processor.
fn throw(targets: &[String], seconds: u32, pace: Pace, out: &mut (impl Write + Send)) -> Result<u64> {
    let programs = build(pace)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, state) = (AtomicUsize::new(0), Mutex::new((out, Vec::new())));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = one(&programs, target, seconds, pace);
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let (out, found) = &mut *state;
                    let told = match result {
                        Ok(inputs) => writeln!(out, "test {target} ... ok, {inputs} inputs"),
                        Err(error) => {
                            found.push(target.as_str());
                            writeln!(out, "{target}: {error:#}")
                        }
                    };
                    // Who does not hear of it hears of the error.
                    let _ = told;
                }
            });
        }
    });
    let (_, found) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !found.is_empty() {
        bail!("found something: {}", found.join(", "));
    }
    Ok(targets.len() as u64)
}

/// Every target has a file of its name.
pub(crate) fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/targets")).context("cannot list the targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

/// Format and lints of the targets, which are no member of the workspace.
fn lint() -> Result<()> {
    program::run(&mut cargo_of_targets(Pace::Beside, "fmt", &["--", "--check"])?)?;
    program::run(&mut cargo_of_targets(Pace::Beside, "clippy", &["--release", "--", "-D", "warnings"])?)
}

fn corpus() -> PathBuf {
    root().join("fuzz/corpus")
}

fn cargo_of_targets(pace: Pace, verb: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = cargo_at(pace);
    command.arg(verb).args(["--manifest-path", "fuzz/Cargo.toml"]);
    if verb != "fmt" {
        // With --target the flags are those of the targets only, not of build scripts and macros.
        command.arg("--target").arg(host_triple()?);
        command.arg("--target-dir").arg(target_directory().join("fuzz"));
        command.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    }
    command.args(arguments);
    Ok(command)
}

/// The directory of the programs.
fn build(pace: Pace) -> Result<PathBuf> {
    program::run(&mut cargo_of_targets(pace, "build", &["--release"])?)?;
    Ok(target_directory().join("fuzz").join(host_triple()?).join("release"))
}

/// Runs one, and says how many inputs it tried. What it learns stays below target/ for the next time; the seeds are only read.
fn one(programs: &Path, target: &str, seconds: u32, pace: Pace) -> Result<String> {
    let learned = target_directory().join("fuzz/corpus").join(target);
    let findings = target_directory().join("fuzz/findings").join(target);
    std::fs::create_dir_all(&learned)?;
    std::fs::create_dir_all(&findings)?;
    let seeds = corpus().join(target);
    if !seeds.is_dir() {
        bail!("it has no seeds in {}", seeds.display());
    }
    let patience = if pace == Pace::Alone { INPUT_SECONDS } else { PATIENT_INPUT_SECONDS };
    let mut command = pace.command("timeout");
    command.args(["--kill-after=5", &(seconds + GRACE_SECONDS).to_string()]).arg(programs.join(target));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={patience}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB}")).arg(format!("-max_len={INPUT_BYTES}"));
    command.arg(format!("-artifact_prefix={}/", findings.display())).arg("-print_final_stats=1");
    command.arg(&learned).arg(&seeds).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {target}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let lines: Vec<String> = said.lines().map(crate::terminal::printable).collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        bail!("ended with {}; the input is in {}\n{tail}", output.status, findings.display());
    }
    Ok(inputs(&said).unwrap_or("no").to_owned())
}

/// How many inputs were tried, as it says itself.
fn inputs(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_built_and_has_the_seeds_that_the_command_writes() {
        let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let written = tempfile::tempdir().unwrap();
        seeds::write(written.path()).unwrap();
        let names = |path: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
            names.sort_unstable();
            names
        };
        let targets = targets().unwrap();
        assert!(!targets.is_empty());
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
            let (seeds, kept) = (written.path().join(target), corpus().join(target));
            assert!(!names(&seeds).is_empty(), "{target}");
            for name in names(&seeds) {
                let kept = std::fs::read(kept.join(&name)).unwrap_or_default();
                assert_eq!(std::fs::read(seeds.join(&name)).unwrap(), kept, "{target} {name}");
            }
        }
        assert_eq!(names(written.path()), targets);
    }

    #[test]
    fn the_number_of_inputs_is_read() {
        assert_eq!(inputs("x\nstat::number_of_executed_units: 17\ny"), Some("17"));
        assert_eq!(inputs(""), None);
    }
}
