//! `bench`: side by side, in one run, medians and ratios; docs/BENCHMARKS.md.
//!
//! Nothing here is a test: times depend on the machine and on what else it does.
//!
//! | file | does |
//! |---|---|
//! | `peer` | other sandboxes: how each is installed and asked to run `true` |
//! | `launcher` | the launcher alone, with the plan of a real session |
//! | `round` | interleaved rounds, medians |
//! | `start` | how long `true` takes in each of them |
//! | `files` | file work in a project, inside against outside |
//! | `network` | names, connections, throughput, a thousand sessions |
//! | `report` | the document |
//! | `plot` | its plots |

mod files;
mod launcher;
pub(crate) mod network;
mod peer;
mod plot;
mod report;
mod round;
mod start;

use crate::build::{Kind, build};
use crate::demo::{Person, Place, Sessions, remove_abandoned};
use crate::setup::{self, Verb};
use crate::{program, rig};
use anyhow::Result;
use report::Report;
use std::path::Path;
use std::process::ExitCode;

/// What fits into the time of the virtual machine where it is emulated.
const MOST_GUARD_ROUNDS: usize = 7;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Rounds of starts; file work takes half of them
    #[arg(long, short, default_value_t = 20, global = true)]
    n: usize,
    /// Put what was measured into docs/BENCHMARKS.md, and draw its plots again
    #[arg(long, global = true)]
    write: bool,
}

/// What is measured; default: everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
enum What {
    /// Start of `true`, whole command, against other sandboxes
    Start,
    /// Start of `true` by an ordinary user through the bus, against bubblewrap, in the container
    Bus,
    /// File work in a project, inside against outside
    Files,
    /// Names, connections, throughput, and many sessions at once
    Network,
    /// What the kernel's guard costs a session, in the virtual machine
    Guard,
    /// Draws the plots of the document again
    Plot,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.what == Some(What::Plot) {
        plot::write()?;
        return Ok(ExitCode::SUCCESS);
    }
    program::need_root("bench")?;
    let wants = |what| arguments.what.is_none_or(|wanted| wanted == what);
    let mut verbs = vec![Verb::Build, Verb::Bench];
    if wants(What::Bus) || wants(What::Guard) {
        verbs.push(Verb::Rig);
    }
    setup::ensure(&verbs)?;
    let programs = build(Kind::Release)?;
    let what = arguments.what.map(|what| format!(" {what:?}").to_lowercase()).unwrap_or_default();
    let mut report = Report::new(&format!("cargo xtask bench{what} -n {}", arguments.n))?;
    if wants(What::Start) || wants(What::Files) || wants(What::Network) {
        in_a_lab(&programs, arguments.n, wants, &mut report)?;
    }
    if wants(What::Bus) {
        report.say(report::BUS, &rig::bench_bus(&programs, arguments.n)?);
    }
    if wants(What::Guard) {
        let rounds = arguments.n.min(MOST_GUARD_ROUNDS);
        report.say(report::GUARD, &rig::bench_guard(&build(Kind::Debug)?, rounds)?);
    }
    print!("{}", report.markdown());
    if arguments.write {
        report.write()?;
        plot::write()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sessions live in a lab: nothing of the network or the rules of this host is touched.
fn in_a_lab(programs: &Path, n: usize, wants: impl Fn(What) -> bool, report: &mut Report) -> Result<()> {
    remove_abandoned(programs)?;
    let place = Place::make("bench", programs)?;
    let lab = network::lab()?;
    let mut person = Person::make("bench", &place)?;
    person.network = Some(lab.host.path());
    let sessions = Sessions::new(&place, &person);
    let allowed = network::allowed();
    sessions.configure(&allowed.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    let mut measure = || -> Result<()> {
        if wants(What::Start) {
            let starts = start::measure(&place, &person, &sessions, n)?;
            report.say(report::START, &report::start_section(&starts));
        }
        if wants(What::Files) {
            let rows = files::measure(&place, &person, &sessions, n.div_ceil(2))?;
            report.say(report::FILES, &report::files_section(&rows));
        }
        if wants(What::Network) {
            let measured = network::measure(&lab, &place, &person, &sessions, n)?;
            report.say(report::NETWORK, &measured.markdown());
        }
        Ok(())
    };
    let measured = measure();
    let ended = sessions.end();
    measured.and(ended)
}
