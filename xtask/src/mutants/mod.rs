//! `mutants`: of each judgement of the crates without privilege a mutant that judges otherwise, and the test that has
//! to notice it. A switch beside every comparison would be in the way of whoever reads them, and could be reached by
//! nobody but a test; so the mutants are woven into a copy of the repository, all of them at once and asleep, the copy is
//! built once, and each is woken by its name. What a launcher, a gate or a supervisor does as a program is left out by
//! the tests `mutation` and `mutation_daemon` of the suite.
//!
//! | file | responsible for |
//! |---|---|
//! | `daemon`, `gate`, `plan`, `policy` | the mutants of those crates |
//! | `weave` | putting them into the text of a file |
//! | `copy` | the copy of the repository and its test programs |

mod copy;
mod daemon;
mod gate;
mod plan;
mod policy;
mod weave;

use crate::program::Pace;
use crate::table::Table;
use anyhow::{Context as _, Result, anyhow, bail};
use copy::Copy;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The variable that names the mutant that is awake.
const AWAKE: &str = "AGENTBOX_TEST_MUTANT";
/// Longest time of one test. One that does not end any more has noticed nothing.
const LIMIT_SECONDS: &str = "60";
/// The same where it may have to wait for a processor.
const PATIENT_LIMIT_SECONDS: &str = "300";
/// Tests at once.
const WORKERS: usize = 4;
/// What timeout(1) ends with when it had to end something.
const TIMED_OUT: i32 = 124;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only mutants of whose crate, file or name this is a part
    filter: Option<String>,
}

/// The mutants of a crate.
struct Crate {
    name: &'static str,
    mutants: fn() -> Vec<Mutant>,
    /// Files of which every comparison has one.
    whole: &'static [&'static str],
    /// Left out of `test`: building its test program takes minutes.
    long: bool,
}

const CRATES: &[Crate] = &[
    Crate { name: "agentbox-policy", mutants: policy::mutants, whole: policy::WHOLE, long: false },
    Crate { name: "agentbox-plan", mutants: plan::mutants, whole: plan::WHOLE, long: false },
    Crate { name: "agentbox-gate", mutants: gate::mutants, whole: &[], long: false },
    Crate { name: "agentboxd", mutants: daemon::mutants, whole: &[], long: true },
];

/// A judgement that judges otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mutant {
    /// What it does: no two have the same.
    name: String,
    /// The file, from the `src` of its crate.
    file: &'static str,
    /// The expression as it is written, once in the file. Where that would be several times, what is around it, and
    /// the expression between `«` and `»`.
    text: &'static str,
    /// What stands there instead; `IT` is the expression itself.
    instead: String,
    /// The unit test of the crate that turns red.
    by: &'static str,
}

/// What a row of a file says: name, text, what stands there instead, test.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// The mutants of a file.
fn of(file: &'static str, rows: &[Row]) -> Vec<Mutant> {
    let mutant = |(name, text, instead, by): &Row| Mutant {
        name: (*name).to_owned(),
        file,
        text,
        instead: (*instead).to_owned(),
        by,
    };
    rows.iter().map(mutant).collect()
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (red, all) = check(CRATES, arguments.filter.as_deref(), Pace::Alone, &mut std::io::stdout())?;
    Ok(if red == all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All but the long ones, beside what else is done: what is said of them, how many are noticed, and how many there are.
pub(crate) fn beside() -> (Vec<u8>, Result<(usize, usize)>) {
    let mut said = Vec::new();
    let crates: Vec<_> = CRATES.iter().filter(|one| !one.long).collect();
    let result = check(crates, None, Pace::Beside, &mut said);
    (said, result)
}

/// How many are noticed, and how many there are.
///
/// # Errors
/// When a mutant has no place in its file, when a comparison has no mutant, when the copy cannot be built, or when a
/// test is red while every mutant is asleep.
fn check<'a>(
    crates: impl IntoIterator<Item = &'a Crate>,
    filter: Option<&str>,
    pace: Pace,
    out: &mut impl Write,
) -> Result<(usize, usize)> {
    let crates: Vec<(&Crate, Vec<Mutant>)> = crates.into_iter().map(|one| (one, (one.mutants)())).collect();
    let copy = Copy::make(&crates, pace)?;
    let (mut red, mut all) = (0, 0);
    for (one, mut mutants) in crates {
        mutants.retain(|mutant| {
            filter.is_none_or(|part| {
                [one.name, mutant.file, &mutant.name].iter().any(|text| text.contains(part))
            })
        });
        if mutants.is_empty() {
            continue;
        }
        let program = copy.tests_of(one.name)?;
        let place = copy.place_of(one.name);
        let tests = Tests { program: &program, place: &place, pace };
        tests.asleep(&mutants).with_context(|| one.name)?;
        let mut table = Table::new(&["file", "judgement", "", "test"]);
        let mut noticed = 0;
        for (mutant, seen) in mutants.iter().zip(tests.all_noticed(&mutants)?) {
            noticed += usize::from(seen);
            let word = if seen { "noticed by" } else { "MISSED by" };
            table.row([mutant.file, &mutant.name, word, mutant.by]);
        }
        writeln!(out, "{}{}: {noticed} of {} red\n", table.text(), one.name, mutants.len())?;
        (red, all) = (red + noticed, all + mutants.len());
    }
    if all == 0 {
        bail!("no mutant is called so");
    }
    writeln!(out, "{red} of {all} red")?;
    Ok((red, all))
}

/// The unit tests of a crate of the copy.
#[derive(Clone, Copy)]
struct Tests<'a> {
    program: &'a Path,
    place: &'a Path,
    pace: Pace,
}

impl Tests<'_> {
    fn command(self) -> Command {
        let limit = if self.pace == Pace::Alone { LIMIT_SECONDS } else { PATIENT_LIMIT_SECONDS };
        let mut command = self.pace.command("timeout");
        command.args(["--kill-after=10", limit]).arg(self.program).stdin(Stdio::null());
        // Where cargo would run it. A panic that is wanted needs no trace.
        command.current_dir(self.place).env("CARGO_MANIFEST_DIR", self.place);
        command.env("RUST_BACKTRACE", "0").env_remove(AWAKE);
        command
    }

    /// Every test that has to notice something exists once, and is green while nothing is to be noticed.
    fn asleep(self, mutants: &[Mutant]) -> Result<()> {
        let names: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.by).collect();
        let output = self.command().args(&names).output().context("cannot run the tests")?;
        let said = String::from_utf8_lossy(&output.stdout);
        for name in names {
            let green = said.lines().filter(|line| line.ends_with(&format!("{name} ... ok"))).count();
            if green != 1 {
                bail!("{green} tests {name} are green while no mutant is awake:\n{said}");
            }
        }
        Ok(())
    }

    /// Of each mutant whether it is noticed. Most tests of the gate wait more than they compute.
    fn all_noticed(self, mutants: &[Mutant]) -> Result<Vec<bool>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let take = || {
                let at = next.fetch_add(1, Ordering::Relaxed);
                mutants.get(at).map(|mutant| (at, mutant))
            };
            let seen = |(at, mutant)| Ok((at, self.notices(mutant)?));
            std::iter::from_fn(take).map(seen).collect::<Result<Vec<_>>>()
        };
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                all.extend(worker.join().map_err(|_panic| anyhow!("a worker ended"))??);
            }
            Ok::<_, anyhow::Error>(())
        })?;
        all.sort_unstable();
        Ok(all.into_iter().map(|(_, seen)| seen).collect())
    }

    fn notices(self, mutant: &Mutant) -> Result<bool> {
        let mut command = self.command();
        let output = command.arg(mutant.by).env(AWAKE, &mutant.name).output().context("cannot run a test")?;
        if output.status.code() == Some(TIMED_OUT) {
            println!("{}: {} does not end", mutant.name, mutant.by);
            return Ok(false);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.lines().any(|line| line.ends_with(&format!("{} ... FAILED", mutant.by))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_a_name_of_its_own_and_a_place_in_its_file() {
        let mut names = BTreeSet::new();
        for one in CRATES {
            for mutant in (one.mutants)() {
                assert!(names.insert(mutant.name.clone()), "{}", mutant.name);
            }
            if let Err(error) = copy::woven(&crate::workspace::root(), one, &(one.mutants)()) {
                panic!("{}: {error:#}", one.name);
            }
        }
    }
}
