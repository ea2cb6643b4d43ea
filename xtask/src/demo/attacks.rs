//! Every attack of the probe: outside, where it succeeds; inside, where it must not; and what the host
//! saw of it. A sandbox is judged by the host, not by what the attacker says.

use super::victim::Victim;
use super::{Person, Place, Sessions};
use crate::program;
use crate::table::Table;
use crate::terminal::{Paint, printable};
use agentbox_probe::{Canary, Control, Facts, Host, Judged, Listing, Outcome, Planted, Promise, Record};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether it may be tried here: what could harm a machine runs in a rig only, and without listeners of a
/// lab or an ssh-agent there is nothing that an attack on these could reach.
fn may_be_tried(listing: &Listing) -> bool {
    listing.control != Control::RigOnly && listing.is_for_any_machine()
}

/// Whether L2 says that it is refused.
fn is_promised(listing: &Listing) -> bool {
    matches!(listing.promise, Promise::L1 | Promise::L2)
}

/// What the probe said about its attacks in one place.
struct Tried {
    said: String,
    records: BTreeMap<String, Record>,
}

impl Tried {
    fn run(command: &mut Command) -> Result<Self> {
        let output = command.output().context("cannot run the attacks")?;
        // 1 says that something worked.
        if !matches!(output.status.code(), Some(0 | 1)) {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("the attacks ended with {}: {}", output.status, printable(said.trim()));
        }
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let records = lines::<Record>(&said)?;
        Ok(Self { said, records: records.into_iter().map(|record| (record.id.clone(), record)).collect() })
    }
}

/// Tries them and prints the table; whether every promise was kept.
pub(super) fn show(paint: Paint, place: &Place, person: &Person, sessions: &Sessions) -> Result<bool> {
    paint.headline("the attacks of the threat model, outside and inside");
    let listings = program::capture(person.command(place.probe()).args(["list", "--json"]))?;
    let mut listings: Vec<Listing> = lines(&listings)?;
    listings.retain(may_be_tried);
    listings.sort_by(|one, other| one.threat.cmp(&other.threat));
    let mut victim = Victim::start(place, person)?;

    // Outside first: an attack that fails there would prove nothing inside. In a copy of the project, so
    // that a link which it makes there is not what it finds inside.
    let copy = person.home.join("src/outside");
    program::run(person.command("cp").arg("--archive").arg(&person.project).arg(&copy))?;
    let facts = write_facts(place, person, &victim, "outside", &copy)?;
    let controls = listings.iter().filter(|listing| listing.control == Control::Person);
    let mut outside = person.command(place.probe());
    outside.current_dir(&copy).arg("run").args(controls.map(|listing| &listing.id));
    let outside = Tried::run(outside.args(["--facts", &facts, "--json"]))?;
    // What they left is removed and what they broke is repaired, so that inside everything is new.
    for path in outside.records.values().flat_map(|record| &record.left) {
        program::run(person.command("rm").args(["-f", "--", path]))?;
    }
    program::run(person.command("rm").args(["-rf", "--"]).arg(&copy))?;
    person.plant()?;

    let facts = write_facts(place, person, &victim, "inside", &person.project)?;
    let (files_before, signals_before) = (fingerprints(person)?, victim.signals());
    let mut inside = sessions.start();
    inside.args(["--posture", "L2", "--"]).arg(place.probe()).arg("run");
    inside.args(listings.iter().map(|listing| &listing.id));
    let inside = Tried::run(inside.args(["--facts", &facts, "--json"]))?;
    let files_after = fingerprints(person)?;

    let mut through = judge(&listings, &outside, &inside, person);
    for (path, print) in &files_before {
        if files_after.get(path) != Some(print) {
            through.push(format!("{} changed on the host", path.display()));
        }
    }
    for path in files_after.keys().filter(|path| !files_before.contains_key(*path)) {
        through.push(format!("{} appeared on the host", path.display()));
    }
    if inside.said.contains(&person.canary) {
        through.push("the planted secret was printed by a process inside".to_owned());
    }
    if victim.signals() != signals_before || !victim.is_alive() {
        through.push("a signal from inside reached a process of the person".to_owned());
    }
    if through.is_empty() {
        let count = files_before.len();
        println!("\n{}", paint.good("nothing got through"));
        println!(
            "the {count} files of the person outside the project are as before; no signal reached the person's process"
        );
    } else {
        println!("\n{}", paint.bad("attacks got through:"));
        for line in &through {
            println!("  {}", paint.bad(&printable(line)));
        }
    }
    Ok(through.is_empty())
}

/// Prints the table and returns what got through.
fn judge(listings: &[Listing], outside: &Tried, inside: &Tried, person: &Person) -> Vec<String> {
    let mut table = Table::new(&["", "attack", "outside", "inside", "what the host saw"]);
    let mut through = Vec::new();
    let mut without_control: BTreeMap<&str, usize> = BTreeMap::new();
    for listing in listings.iter().filter(|listing| is_promised(listing)) {
        let Some(result) = inside.records.get(&listing.id) else {
            through.push(format!("{}: the probe did not report it", listing.id));
            continue;
        };
        let seen = seen_on_host(listing, result, person);
        // Judged on the host alone, what the attacker believes does not count.
        let got_through =
            seen.is_some() || (listing.judged != Judged::OnHost && result.outcome == Outcome::Succeeded);
        if got_through {
            through.push(format!("{} ({}): {}", listing.id, listing.title, result.detail));
        }
        let worked_outside =
            outside.records.get(&listing.id).is_some_and(|control| control.outcome == Outcome::Succeeded);
        if !worked_outside {
            *without_control.entry(word(result.outcome)).or_default() += 1;
            continue;
        }
        if result.outcome == Outcome::NotApplicable {
            through.push(format!("{}: worked outside, not tried inside: {}", listing.id, result.detail));
        }
        let answer = match (got_through, listing.judged, result.outcome) {
            (true, ..) => "SUCCEEDED".to_owned(),
            // It wrote into a file system of the session's own, which is gone by now.
            (false, Judged::OnHost, Outcome::Succeeded) => "only inside".to_owned(),
            _ => format!("{}: {}", word(result.outcome), brief(&result.detail)),
        };
        let seen = seen.unwrap_or_else(|| "nothing".to_owned());
        table.row([listing.threat.clone(), listing.title.clone(), "succeeded".to_owned(), answer, seen]);
    }
    print!("{}", table.text());
    if !without_control.is_empty() {
        let counts: Vec<String> =
            without_control.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        println!(
            "\nwithout a control here, because outside they need root or something this machine lacks: {} \
             (`cargo xtask test` tries them against their controls)",
            counts.join(", ")
        );
    }
    for listing in listings {
        if let Promise::None(reason) = &listing.promise {
            println!("not promised: {} ({reason})", listing.title);
        }
    }
    through
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Refused => "refused",
        Outcome::NotApplicable => "not applicable",
    }
}

/// The beginning of a detail, safe to print.
fn brief(detail: &str) -> String {
    const MOST: usize = 44;
    let safe = printable(detail);
    if safe.chars().count() <= MOST { safe } else { safe.chars().take(MOST - 1).chain(['…']).collect() }
}

/// Writes what was planted, in the probe's words, where sessions can read it.
fn write_facts(place: &Place, person: &Person, victim: &Victim, tag: &str, project: &Path) -> Result<String> {
    let text = |path: &Path| path.display().to_string();
    let namespaces = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"].iter().filter_map(|name| {
        let status = rustix::fs::stat(format!("/proc/self/ns/{name}")).ok()?;
        Some(((*name).to_owned(), status.st_ino))
    });
    let secrets = person
        .secrets()
        .into_iter()
        .map(|(class, paths)| (class.to_owned(), paths.iter().map(|path| text(path)).collect()));
    let facts = Facts {
        canary: Canary::new(&person.canary),
        planted_unix_s: person.planted_unix_s,
        tag: format!("tag-{tag}-{}", person.name),
        person: agentbox_probe::Person { uid: person.uid, gid: person.gid, home: text(&person.home) },
        project: text(project),
        planted: Planted {
            secrets: secrets.collect(),
            other_project: Some(text(&person.other_secret())),
            own_file: Some(text(&person.home.join("notes.txt"))),
            ..Planted::default()
        },
        victim: Some(victim.held.clone()),
        host: Host {
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            namespaces: namespaces.collect(),
            groups: Vec::new(),
            supervisor_files: Vec::new(),
        },
        secret_names: vec!["AWS_SECRET_ACCESS_KEY".to_owned(), "GITHUB_TOKEN".to_owned()],
        oom_score_adj: None,
        network: None,
        agent: None,
    };
    let facts = serde_json::to_string(&facts)?;
    let path = place.shared().join("facts.json");
    std::fs::write(&path, facts).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

fn lines<T: for<'a> Deserialize<'a>>(text: &str) -> Result<Vec<T>> {
    let parsed = text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().context("the probe says something unknown")
}

/// What of the attack is on the host: a file that it says it left, outside the project, with its tag.
fn seen_on_host(listing: &Listing, record: &Record, person: &Person) -> Option<String> {
    if listing.judged != Judged::OnHost {
        return None;
    }
    let tag = format!("tag-inside-{}", person.name);
    let found = record.left.iter().find(|path| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(tag.len()).any(|window| window == tag.as_bytes()))
    });
    found.map(|path| format!("it is in {path}"))
}

/// Length and content of every file of the person outside the project.
fn fingerprints(person: &Person) -> Result<BTreeMap<PathBuf, (u64, u64)>> {
    let mut found = BTreeMap::new();
    let mut open = vec![person.home.clone()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let status = std::fs::symlink_metadata(&path)?;
            if path == person.project {
                continue;
            }
            if status.is_dir() {
                open.push(path);
            } else if status.is_file() {
                let print = fingerprint(&path)?;
                found.insert(path, (status.len(), print));
            } else {
                found.insert(path, (0, 0));
            }
        }
    }
    Ok(found)
}

/// FNV-1a: these files are the demonstration's own, nobody forges them.
fn fingerprint(path: &Path) -> Result<u64> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Tried {
        let records = lines::<Record>(text).unwrap();
        Tried {
            said: text.to_owned(),
            records: records.into_iter().map(|one| (one.id.clone(), one)).collect(),
        }
    }

    #[test]
    fn what_works_inside_or_is_on_the_host_got_through() {
        let listing = |id: &str, judged: &str| {
            let text = format!(
                r#"{{"id":"{id}","threat":"T6","title":"t","needs":[],"control":"person","promise":"l2","judged":"{judged}"}}"#
            );
            lines::<Listing>(&text).unwrap().remove(0)
        };
        let person = Person::imaginary();
        let directory = tempfile::tempdir().unwrap();
        let left = directory.path().join("left");
        let answer = |id: &str, outcome: &str| {
            format!(
                r#"{{"id":"{id}","outcome":"{outcome}","detail":"d","left":[{:?}]}}"#,
                left.display().to_string()
            )
        };
        let through = |judged: &str, outcome: &str| {
            let (outside, inside) = (records(&answer("a", "succeeded")), records(&answer("a", outcome)));
            judge(&[listing("a", judged)], &outside, &inside, &person).len()
        };
        assert_eq!(through("outcome", "refused"), 0);
        assert_eq!(through("outcome", "succeeded"), 1);
        assert_eq!(through("outcome", "not-applicable"), 1);
        assert_eq!(through("on-host", "succeeded"), 0);
        std::fs::write(&left, format!("tag-inside-{}", person.name)).unwrap();
        assert_eq!(through("on-host", "refused"), 1);
        assert_eq!(judge(&[listing("b", "outcome")], &records(""), &records(""), &person).len(), 1);
    }

    #[test]
    fn only_attacks_that_may_be_tried_here_are_tried() {
        let listing = |control: &str, promise: &str| {
            let text = format!(
                r#"{{"id":"a","threat":"T1","title":"t","needs":[],"control":{control},"promise":{promise},"judged":"outcome"}}"#
            );
            lines::<Listing>(&text).unwrap().remove(0)
        };
        assert!(!may_be_tried(&listing(r#""rig-only""#, r#""l2""#)));
        assert!(may_be_tried(&listing(r#"{"none-possible":"x"}"#, r#""l1""#)));
        assert!(is_promised(&listing(r#""root""#, r#""l2""#)));
        assert!(!is_promised(&listing(r#""person""#, r#"{"none":"a residual"}"#)));
    }
}
