//! T6 in the project: trigger files that a session leaves, by every way that the battery knows. Outside each is there
//! afterwards; from a session none is in force that the person was not told of or did not take.

use agentbox_probe::{Listing, NEEDS_TRIGGERS, Outcome, Promise, Record};
use agentbox_suite::battery::Outside;

use agentbox_suite::{Finished, Machine, Session, run};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Nobody is frozen, so that all are tried.
const POSTURE: &str =
    "[floor]\nnetwork = \"none\"\n[posture.told]\nextends = \"L2\"\non_trigger = \"report\"\n";

/// The attacks, and what each said.
struct Trials {
    listings: Vec<Listing>,
    tag: String,
}

impl Trials {
    fn new(machine: &Machine, tag: &str) -> Result<Self> {
        let mut command = Command::new(machine.programs.path("agentbox-probe"));
        let listed = run(command.args(["list", "--json"]), b"", LIMIT)?.success()?.text();
        let all = listed.lines().map(serde_json::from_str).collect::<Result<Vec<Listing>, _>>()?;
        let mine = |listing: &Listing| listing.needs.iter().any(|need| need.starts_with(NEEDS_TRIGGERS));
        let listings: Vec<_> = all.into_iter().filter(mine).collect();
        ensure!(listings.len() > 10, "{listings:?}");
        Ok(Self { listings, tag: format!("{tag}-{}", machine.person.name) })
    }

    fn arguments(&self) -> Vec<&str> {
        let ids = self.listings.iter().map(|listing| listing.id.as_str());
        ["run", "--json", "--facts", "-"].into_iter().chain(ids).collect()
    }

    fn facts(&self, machine: &Machine) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&machine.facts(&self.tag)?)?)
    }

    fn inside(&self, machine: &Machine, session: &Session<'_>) -> Result<BTreeMap<String, Record>> {
        let command = [&["./agentbox-probe"], &self.arguments()[..]].concat();
        records(&session.exec_with(&command, &self.facts(machine)?)?)
    }

    /// The files of an attack that are in force on the host.
    fn in_force<'a>(&self, record: &'a Record) -> Vec<&'a str> {
        let holds = |path: &&str| std::fs::read_to_string(path).is_ok_and(|text| text.contains(&self.tag));
        record.left.iter().map(String::as_str).filter(holds).collect()
    }
}

fn records(said: &Finished) -> Result<BTreeMap<String, Record>> {
    let records = said.text().lines().map(serde_json::from_str).collect::<Result<Vec<Record>, _>>();
    let records = records.with_context(|| format!("{said:?}"))?;
    Ok(records.into_iter().map(|record| (record.id.clone(), record)).collect())
}

/// Outside every file of every attack is there afterwards.
fn control(machine: &Machine) -> Result<()> {
    let trials = Trials::new(machine, "outside")?;
    let mut command = machine.probe_outside(Outside::Person);
    let said = run(command.args(trials.arguments()), &trials.facts(machine)?, LIMIT)?;
    for (id, record) in records(&said)? {
        ensure!(!record.left.is_empty() && trials.in_force(&record) == record.left, "{id}: {record:?}");
    }
    machine
        .person
        .shell(machine.project(), "git clean -q -f -d -x -e agentbox-probe; rm -rf nested node_modules")?
        .success()?;
    Ok(())
}

/// Paths that the report of a session names, and which of them are grave.
fn told(machine: &Machine, session: &Session<'_>) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let report = machine.ctl(&["report", &session.id, "--json"])?.json()?;
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let of = |grave: bool| {
        let these = findings.iter().filter(move |finding| !grave || finding["grave"] == true);
        these.filter_map(|finding| Some(finding["path"].as_str()?.to_owned())).collect()
    };
    Ok((of(false), of(true)))
}

#[test]
fn what_a_live_project_is_left_with_was_refused_or_is_told() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(POSTURE)?;
    control(&machine)?;
    let trials = Trials::new(&machine, "inside")?;
    let session = machine.detached("told", &["sleep", "1000"])?;
    let guarded = session.status()?["guard"] == "kernel";
    ensure!(guarded == std::env::var_os("AGENTBOX_TEST_GUARD").is_some(), "{}", session.status()?);
    let records = trials.inside(&machine, &session)?;
    session.stop()?;
    let (all, grave) = told(&machine, &session)?;
    let mut wrong = Vec::new();
    for listing in &trials.listings {
        let record = records.get(&listing.id).context("no answer")?;
        let promised = !matches!(listing.promise, Promise::None(_));
        let in_force = trials.in_force(record);
        println!("{:<28} {:?} {}: {in_force:?}", listing.id, record.outcome, record.detail);
        ensure!(record.outcome != Outcome::NotApplicable, "{record:?}");
        for path in &in_force {
            let path = Path::new(path).strip_prefix(machine.project())?;
            // A link that stands for a directory is told, and not what it leads to.
            let named = |told: &BTreeSet<String>| {
                path.ancestors().any(|path| told.contains(path.to_string_lossy().as_ref()))
            };
            if guarded && promised {
                wrong.push(format!("{} is in force: {}", listing.id, path.display()));
            } else if !named(if promised { &grave } else { &all }) {
                wrong.push(format!("{} is not told: {}", listing.id, path.display()));
            }
        }
        // Otherwise this would show nothing.
        if in_force.is_empty() && !(guarded && promised) {
            wrong.push(format!("{} did nothing: {}", listing.id, record.detail));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}\n{all:#?}");
    machine.ends_without_leftovers()
}

#[test]
fn what_a_layer_holds_is_not_in_force() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(POSTURE)?;
    control(&machine)?;
    let trials = Trials::new(&machine, "inside")?;
    let session = machine.detached_with("told", &["--workspace", "overlay"], &["sleep", "1000"])?;
    let records = trials.inside(&machine, &session)?;
    session.stop()?;
    for (id, record) in &records {
        ensure!(trials.in_force(record).is_empty(), "{id}: {record:?}");
        // In its own view it has done what it tried.
        ensure!(record.outcome == Outcome::Succeeded, "{id}: {record:?}");
    }
    Ok(())
}
