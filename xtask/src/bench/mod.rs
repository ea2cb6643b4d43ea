//! `bench`: side by side, in one run, medians and ratios; writes docs/BENCHMARKS.md.
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
use crate::lab::Lab;
use crate::setup::{self, Verb};
use crate::{program, rig};
use anyhow::Result;
use report::Report;
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
}

/// What is measured; default: everything, and the document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
enum What {
    /// Start of `true`, whole command, against other sandboxes
    Start,
    /// File work in a project, inside against outside
    Files,
    /// Names, connections, throughput, and many sessions at once
    Network,
    /// Start of `true` by an ordinary user through the bus, against bubblewrap, in the container; no part of the document
    Bus,
    /// Draws the plots of the document again
    Plot,
    /// What the kernel's guard costs a session, in the virtual machine; no part of the document
    Guard,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.what == Some(What::Plot) {
        plot::write()?;
        return Ok(ExitCode::SUCCESS);
    }
    program::need_root("bench")?;
    if arguments.what == Some(What::Guard) {
        setup::ensure(&[Verb::Build, Verb::Rig])?;
        rig::bench_guard(&build(Kind::Debug)?, arguments.n.min(MOST_GUARD_ROUNDS))?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.what == Some(What::Bus) {
        setup::ensure(&[Verb::Build, Verb::Rig])?;
        rig::bench_bus(&build(Kind::Release)?, arguments.n)?;
        return Ok(ExitCode::SUCCESS);
    }
    setup::ensure(&[Verb::Build, Verb::Bench])?;
    let programs = build(Kind::Release)?;
    remove_abandoned(&programs)?;
    let place = Place::make("bench", &programs)?;
    // Sessions live in a lab: nothing of the network or the rules of this host is touched.
    let lab = network::lab()?;
    let mut person = Person::make("bench", &place)?;
    person.network = Some(lab.host.path());
    let sessions = Sessions::new(&place, &person);
    let allowed = network::allowed();
    sessions.configure(&allowed.iter().map(String::as_str).collect::<Vec<_>>(), "")?;
    let measured = measure(arguments, &lab, &place, &person, &sessions);
    let ended = sessions.end();
    let report = measured?;
    ended?;
    print!("{}", report.markdown());
    if arguments.what.is_none() {
        report.write()?;
        plot::write()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(
    arguments: &Arguments,
    lab: &Lab,
    place: &Place,
    person: &Person,
    sessions: &Sessions,
) -> Result<Report> {
    let mut report = Report::new(arguments.n)?;
    let wants = |what| arguments.what.is_none_or(|wanted| wanted == what);
    if wants(What::Start) {
        report.starts = Some(start::measure(place, person, sessions, arguments.n)?);
    }
    if wants(What::Files) {
        report.files = Some(files::measure(place, person, sessions, arguments.n.div_ceil(2))?);
    }
    if wants(What::Network) {
        report.network = Some(network::measure(lab, place, person, sessions, arguments.n)?);
    }
    Ok(report)
}
