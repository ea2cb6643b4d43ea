//! The attacks on the network: aimed at a field, and judged by what arrived at its far sides.

use super::{Battery, Level, Outside, Red, Verdict, fault, lacks_kernel, records};
use crate::lab::{Field, Marks, Side};
use crate::machine::Machine;
use crate::run::{eventually, run};
use crate::session::Session;
use agentbox_probe::{Facts, Judged, NEEDS_NETWORK, Outcome, Record, mark};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest that all attacks take together.
const LIMIT: Duration = Duration::from_secs(900);
/// Limits of the gate, which are its own whatever the mode, and take long to meet: they are tried with `allowlist`.
const ONCE: &[&str] = &["t2.many-connections", "t2.many-silent-connections"];
/// How many attacks are tried at once: most of their time they wait for answers that must not come.
const WORKERS: &str = "4";
/// How an attack begins that had nothing to work with, since nothing at all is reached.
const NOTHING_REACHED: &str = "the allowed site does not answer";
/// Tells whatever comes by streams and datagrams its token, and keeps what came.
const NEIGHBOUR: &str = include_str!("neighbour.py");

/// The mode of a session's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No network.
    None,
    /// What rules allow.
    Allowlist,
    /// All that is public, but for what rules deny: the same names and addresses that no rule allows in the
    /// other mode.
    Public,
}

/// What `public` lets through because it is public.
const PUBLIC: &[(&str, &str)] = &[
    ("t2.literal-of-allowed", "a public address is reached as it is written"),
    ("t2.other-port-of-allowed", "every port of what is public is"),
    ("t2.label-under-allowed", "every public name may be asked for, whatever is written in it"),
];

/// Where a mark may arrive: what is sent to a name that moves reaches the public address that it has first.
const MAY_ARRIVE: &[(&str, &[&str])] = &[("t2.rebinding-name", &["host", "router", "wan"])];

impl Mode {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Allowlist => "allowlist",
            Self::Public => "public",
        }
    }

    /// Options that start a session of it.
    fn options(self) -> Vec<String> {
        let mut options = vec!["--network".to_owned(), self.name().to_owned()];
        let (allowed, refused) = Field::rules();
        let (option, rules) = match self {
            Self::None => return options,
            Self::Allowlist => ("--allow", allowed),
            Self::Public => ("--deny", refused),
        };
        options.extend(rules.into_iter().flat_map(|rule| [option.to_owned(), rule]));
        options
    }

    /// Whether an attack is tried in it.
    fn tries(self, id: &str) -> bool {
        self != Self::Public || !ONCE.contains(&id)
    }

    fn promises(self, id: &str) -> bool {
        self != Self::Public || PUBLIC.iter().all(|(open, _)| *open != id)
    }
}

impl Battery {
    /// The attacks that the probe knows on the network.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn of_network(machine: &Machine) -> Result<Self> {
        Self::listed(machine, |listing| listing.needs.iter().any(|need| need.starts_with(NEEDS_NETWORK)))
    }

    /// Tries every attack from the field's host, where nothing holds it. Returns those that should have
    /// succeeded and did not.
    ///
    /// # Errors
    /// When the probe fails.
    pub fn try_from_host(&mut self, machine: &Machine, field: &Field) -> Result<Vec<Red>> {
        let network = field.facts(Side::Host);
        let tag = network.tag.clone();
        let facts = Facts { network: Some(network), ..machine.facts(&tag)? };
        self.try_these(machine, &facts, WORKERS, &|_| true)?;
        let red = self.unshown(&field.marks(), &tag);
        if red.is_empty() {
            return Ok(red);
        }
        // What was lost among others is shown by itself: a packet is sent once, and nobody sends it again.
        self.try_these(machine, &facts, "1", &|id| red.iter().any(|red| red.id == id))?;
        Ok(self.unshown(&field.marks(), &tag))
    }

    fn try_these(
        &mut self,
        machine: &Machine,
        facts: &Facts,
        workers: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        for who in [Outside::Person, Outside::Root] {
            let mine = self.listings.iter().filter(|listing| Outside::of(listing) == Some(who));
            let ids: Vec<&str> = mine.map(|listing| listing.id.as_str()).filter(|id| wanted(id)).collect();
            // A probe that is told of none tries all.
            if ids.is_empty() {
                continue;
            }
            let mut command = machine.probe_outside(who);
            command.args(["run", "--json", "--workers", workers, "--facts", "-"]).args(&ids);
            let said = run(&mut command, &serde_json::to_vec(facts)?, LIMIT)?;
            self.outside.extend(records(&said)?);
        }
        Ok(())
    }

    /// Attacks that did not work from the host.
    fn unshown(&self, marks: &Marks, tag: &str) -> Vec<Red> {
        let mut red = Vec::new();
        for listing in &self.listings {
            let Some(record) = self.outside.get(&listing.id) else { continue };
            let worked = match listing.judged {
                Judged::Outcome => record.outcome == Outcome::Succeeded,
                // What leaves the host is seen there as well; it has to have arrived elsewhere.
                Judged::OnHost => {
                    let places = marks.get(&mark(tag, &listing.id));
                    places.is_some_and(|places| places.iter().any(|place| *place != "host"))
                }
            };
            if !worked && !lacks_kernel(listing, record) {
                let why = format!("its control outside: {:?}: {}", record.outcome, record.detail);
                red.push(Red { id: listing.id.clone(), why });
            }
        }
        red
    }

    /// Tries all attacks in a session of this posture and mode, beside another session when one is attacked, and judges them by
    /// their answers and by what arrived.
    ///
    /// # Errors
    /// When a session does not start or the probe fails.
    pub fn try_from_session(
        &self,
        machine: &Machine,
        field: &Field,
        level: Level,
        mode: Mode,
    ) -> Result<Verdict> {
        let options = mode.options();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let aims_at_neighbour = self.listings.iter().any(|listing| listing.id.starts_with("t5.session"));
        let neighbour = aims_at_neighbour.then(|| neighbour(machine, field, &options)).transpose()?;
        let network = field.facts(Side::Session);
        let tag = network.tag.clone();
        let facts = Facts { network: Some(network), ..machine.facts(&tag)? };
        let is_tried = |id: &&str| mode != Mode::Public || !ONCE.contains(id);
        let ids: Vec<&str> =
            self.listings.iter().map(|listing| listing.id.as_str()).filter(is_tried).collect();
        let command =
            [&["./agentbox-probe", "run", "--json", "--workers", WORKERS, "--facts", "-"][..], &ids].concat();
        let arguments = machine.start_arguments(level.name(), &options, &command);
        let said = run(&mut machine.command(&arguments), &serde_json::to_vec(&facts)?, LIMIT)?;
        let records = records(&said)?;
        if let Some(neighbour) = neighbour {
            field.heard_elsewhere("session", &std::fs::read(received(machine))?);
            neighbour.stop()?;
        }
        Ok(self.judge_network(&records, &field.marks(), &tag, level, mode))
    }

    fn judge_network(
        &self,
        inside: &BTreeMap<String, Record>,
        marks: &Marks,
        tag: &str,
        level: Level,
        mode: Mode,
    ) -> Verdict {
        let column = format!("{} {}", level.name(), mode.name());
        let mut table = format!("{:<34} {:<16} {column}\n", "attack", "outside");
        let mut red = Vec::new();
        let effects: BTreeSet<PathBuf> = marks.keys().map(PathBuf::from).collect();
        for listing in self.listings.iter().filter(|listing| mode.tries(&listing.id)) {
            let Some(record) = inside.get(&listing.id) else {
                red.push(Red { id: listing.id.clone(), why: "no answer from inside".to_owned() });
                continue;
            };
            let is_promised = level.promises(listing) && mode.promises(&listing.id);
            let may =
                MAY_ARRIVE.iter().find(|(id, _)| *id == listing.id).map_or(&[][..], |(_, places)| places);
            let arrived = marks
                .get(&mark(tag, &listing.id))
                .filter(|places| places.iter().any(|place| !may.contains(place)));
            let why = match arrived {
                Some(places) => Some(format!("its mark arrived: {places:?}; {}", record.detail)),
                // Where nothing is reached, what needs something to work with has nothing.
                None if mode == Mode::None && record.detail.starts_with(NOTHING_REACHED) => None,
                None => fault(listing, record, &|left| effects.contains(Path::new(left)), level),
            };
            let why = why.filter(|_| is_promised);
            super::line(&mut table, self.control_word(listing), listing, record, why.as_deref(), is_promised);
            red.extend(why.map(|why| Red { id: listing.id.clone(), why }));
        }
        Verdict { table, red }
    }

    /// Forgets all attacks but these.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn only(&mut self, ids: &[&str]) -> Result<()> {
        self.listings.retain(|listing| ids.contains(&listing.id.as_str()));
        ensure!(self.listings.len() == ids.len(), "there are only {:?} of {ids:?}", self.listings);
        Ok(())
    }
}

/// A machine whose host is the field's, with the field's resolver.
///
/// # Errors
/// As [`Machine::new`].
pub fn machine_in(field: &Field, programs: crate::Programs, environment: &[(&str, &str)]) -> Result<Machine> {
    let machine = Machine::in_network(programs, environment, Some(field.host().path()))?;
    machine.configure(&format!("resolvers = [{:?}]", field.resolver()))?;
    Ok(machine)
}

fn received(machine: &Machine) -> PathBuf {
    machine.project().join(".received-by-neighbour")
}

/// Another session of the same person, which listens. That it does is seen from within it.
fn neighbour<'a>(machine: &'a Machine, field: &Field, options: &[&str]) -> Result<Session<'a>> {
    let script = machine.project().join(".planted-neighbour.py");
    machine.person.write(&script, NEIGHBOUR.as_bytes(), 0o644)?;
    machine.person.write(&received(machine), b"", 0o644)?;
    let (script, port) = (script.to_string_lossy(), field.session_port().to_string());
    let received = received(machine);
    let received = received.to_string_lossy();
    let python = "/usr/bin/python3";
    let listen = [python, &script, "listen", &port, field.internal_token(), &received];
    let session = machine.detached_with("L2", options, &listen)?;
    let ask = [python, &*script, "ask", &port, field.internal_token()];
    let mut said = None;
    let listens = eventually("the other session listens", Duration::from_secs(60), || {
        Ok((said.insert(session.exec(&ask)?).status == 0).then_some(()))
    });
    listens.with_context(|| format!("{said:?}"))?;
    Ok(session)
}

/// Whether the allowed name is reached at every address that it has inside: both families are equal.
///
/// # Errors
/// When it is not, with what was seen.
pub fn is_reached_by_both_families(machine: &Machine, mode: Mode) -> Result<()> {
    let options = mode.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let script = machine.project().join(".planted-neighbour.py");
    machine.person.write(&script, NEIGHBOUR.as_bytes(), 0o644)?;
    let (script, (allowed, _)) = (script.to_string_lossy(), Field::rules());
    let command = ["/usr/bin/python3", &script, "families", &allowed[0]];
    let said = machine.ctl(&machine.start_arguments("L2", &options, &command))?;
    ensure!(said.text().trim() == "4 6", "reached by: {said:?}");
    Ok(())
}
