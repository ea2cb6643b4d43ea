//! The battery: every attack first outside, where it must succeed, then inside, where it must not; and what
//! the host shows afterwards counts for more than what the attacker says.

pub mod network;

use crate::machine::Machine;
use crate::run::{Finished, run};
use crate::victim::Victim;
use agentbox_probe::{Control, Facts, Judged, Listing, OWN_FIRST_PROCESS, Outcome, Promise, Record};
pub use agentbox_verify::Level;
use agentbox_verify::{fault, lacks_kernel};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(600);

/// All attacks with their answers.
#[derive(Debug, Default)]
pub struct Battery {
    listings: Vec<Listing>,
    outside: BTreeMap<String, Record>,
}

/// Who tries an attack outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// The person.
    Person,
    /// Root.
    Root,
    /// Root beside a process 1 of its own, so that none of the machine's is reached for.
    RootInOwnNamespace,
}

impl Outside {
    fn of(listing: &Listing) -> Option<Self> {
        match listing.control {
            Control::Person => Some(Self::Person),
            Control::Root if listing.needs.iter().any(|need| need == OWN_FIRST_PROCESS) => {
                Some(Self::RootInOwnNamespace)
            }
            Control::Root => Some(Self::Root),
            Control::RigOnly | Control::NonePossible(_) => None,
        }
    }
}

/// One attack that did not go as promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Red {
    /// The attack.
    pub id: String,
    /// Why it is red.
    pub why: String,
}

/// What came of the attacks inside.
#[derive(Debug)]
pub struct Verdict {
    /// A line for each attack.
    pub table: String,
    /// What did not go as promised.
    pub red: Vec<Red>,
}

impl Verdict {
    /// Names of what is red.
    #[must_use]
    pub fn red_ids(&self) -> BTreeSet<&str> {
        self.red.iter().map(|red| red.id.as_str()).collect()
    }
}

impl Battery {
    /// The attacks that the probe knows.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn list(machine: &Machine) -> Result<Self> {
        Self::listed(machine, Listing::is_for_any_machine)
    }

    fn listed(machine: &Machine, wanted: impl Fn(&Listing) -> bool) -> Result<Self> {
        let mut command = Command::new(machine.programs.path("agentbox-probe"));
        let listed = run(command.args(["list", "--json"]), b"", LIMIT)?.success()?;
        let mut listings: Vec<Listing> =
            listed.text().lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        listings.retain(wanted);
        Ok(Self { listings, outside: BTreeMap::new() })
    }

    /// Keeps the attacks of one threat of the threat model, such as `t1`.
    ///
    /// # Errors
    /// When there is none.
    pub fn only_of(&mut self, threat: &str) -> Result<()> {
        self.listings.retain(|listing| listing.id.split_once('.').is_some_and(|(of, _)| of == threat));
        ensure!(!self.is_empty(), "no attack of {threat}");
        Ok(())
    }

    /// The threats that there are attacks of.
    #[must_use]
    pub fn threats(&self) -> BTreeSet<&str> {
        self.listings.iter().map(|listing| listing.id.split('.').next().unwrap_or_default()).collect()
    }

    /// What was seen outside, a line for each attack.
    #[must_use]
    pub fn outside_table(&self) -> String {
        let mut table = String::new();
        for record in self.outside.values() {
            let _ =
                writeln!(table, "{:<34} {:?}: {}", record.id, record.outcome, record.detail.escape_debug());
        }
        table
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.listings.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listings.is_empty()
    }

    /// Tries every attack outside whose control may run on any machine. Returns those that should have
    /// succeeded and did not.
    ///
    /// # Errors
    /// When the probe fails.
    pub fn try_outside(&mut self, machine: &Machine) -> Result<Vec<Red>> {
        // A supervisor that has run once has files of its own to try.
        machine.ctl(&["list"])?.success()?;
        let tag = format!("outside-{}", machine.person.name);
        let victim = machine.victim(&tag)?;
        let facts = facts_with(machine, &victim, &tag)?;
        let mut red = Vec::new();
        for who in [Outside::Person, Outside::Root, Outside::RootInOwnNamespace] {
            let mine = self.listings.iter().filter(|listing| Outside::of(listing) == Some(who));
            let ids: Vec<&str> = mine.map(|listing| listing.id.as_str()).collect();
            // A probe that is told of none tries all, also those that may not be tried by this one.
            if ids.is_empty() {
                continue;
            }
            let mut command = machine.probe_outside(who);
            command.args(["run", "--json", "--facts", "-"]).args(&ids);
            let said = run(&mut command, &serde_json::to_vec(&facts)?, LIMIT)?;
            self.outside.extend(records(&said)?);
        }
        let effects = take_effects(&tag, machine)?;
        for listing in &self.listings {
            let Some(record) = self.outside.get(&listing.id) else { continue };
            if matches!(listing.promise, Promise::None(_)) {
                continue;
            }
            let worked = match listing.judged {
                Judged::Outcome => record.outcome == Outcome::Succeeded,
                Judged::OnHost => {
                    let there = |path: &String| effects.contains(Path::new(path));
                    !record.left.is_empty() && record.left.iter().all(there)
                }
            };
            if !worked && !lacks_kernel(listing, record) {
                let why = format!("its control outside: {:?}: {}", record.outcome, record.detail);
                red.push(Red { id: listing.id.clone(), why });
            }
        }
        victim.end()?;
        Ok(red)
    }

    /// Tries all attacks in a session of this posture and judges them.
    ///
    /// # Errors
    /// When the session does not start or the probe fails.
    pub fn try_inside(&self, machine: &Machine, level: Level) -> Result<Verdict> {
        let tag = format!("inside-{}-{}", level.name(), machine.person.name);
        let mut victim = machine.victim(&tag)?;
        let facts = facts_with(machine, &victim, &tag)?;
        let before = fingerprint(machine)?;
        let ids = self.listings.iter().map(|listing| listing.id.as_str());
        let command: Vec<_> =
            ["./agentbox-probe", "run", "--json", "--facts", "-"].into_iter().chain(ids).collect();
        let said = machine.inside_with(level.name(), &command, &serde_json::to_vec(&facts)?)?;
        let records = records(&said)?;
        let effects = take_effects(&tag, machine)?;
        let mut verdict = self.judge(&records, &effects, level);

        let mut host = Vec::new();
        host.extend(victim.signals()?.into_iter().map(|line| format!("the process on the host got {line}")));
        host.extend(effects.iter().map(|path| format!("{} holds what was written inside", path.display())));
        let after = fingerprint(machine)?;
        for (path, print) in &before {
            if after.get(path) != Some(print) {
                host.push(format!("{} changed: {print} → {:?}", path.display(), after.get(path)));
            }
        }
        if machine.planted.canary_in(&said.stdout) || machine.planted.canary_in(&said.stderr) {
            host.push("the secret was printed".to_owned());
        }
        verdict.red.extend(host.into_iter().map(|why| Red { id: "host".to_owned(), why }));
        victim.end()?;
        Ok(verdict)
    }

    fn judge(&self, inside: &BTreeMap<String, Record>, effects: &BTreeSet<PathBuf>, level: Level) -> Verdict {
        let mut table = format!("{:<34} {:<16} {}\n", "attack", "outside", level.name());
        let mut red = Vec::new();
        for listing in &self.listings {
            let control = self.control_word(listing);
            let Some(record) = inside.get(&listing.id) else {
                red.push(Red { id: listing.id.clone(), why: "no answer from inside".to_owned() });
                continue;
            };
            let why = level
                .promises(listing)
                .then(|| fault(listing, record, &|path| effects.contains(Path::new(path)), level))
                .flatten();
            line(&mut table, control, listing, record, why.as_deref(), level.promises(listing));
            red.extend(why.map(|why| Red { id: listing.id.clone(), why }));
        }
        Verdict { table, red }
    }

    fn control_word(&self, listing: &Listing) -> &'static str {
        match (&listing.control, self.outside.get(&listing.id)) {
            (Control::RigOnly, _) => "rig only",
            (Control::NonePossible(_), _) => "none possible",
            (_, Some(record)) if record.outcome == Outcome::Succeeded => "succeeded",
            (_, Some(record)) if lacks_kernel(listing, record) => "not in kernel",
            (_, Some(_)) => "FAILED",
            (_, None) => "not tried",
        }
    }
}

fn line(
    table: &mut String,
    control: &str,
    listing: &Listing,
    record: &Record,
    why: Option<&str>,
    is_promised: bool,
) {
    let promised = if is_promised { "" } else { " (not promised)" };
    let mark = if why.is_some() { "RED " } else { "" };
    let _ = writeln!(
        table,
        "{:<34} {control:<16} {mark}{:?}: {}{promised}",
        listing.id,
        record.outcome,
        record.detail.escape_debug()
    );
}

impl crate::Planted {
    /// Whether these bytes hold the secret.
    #[must_use]
    pub fn canary_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(self.canary.len()).any(|window| window == self.canary.as_bytes())
    }
}

fn records(said: &Finished) -> Result<BTreeMap<String, Record>> {
    // 1 says that something succeeded.
    ensure!(matches!(said.status, 0 | 1), "the probe failed: {said:?}");
    let parse = |line: &str| {
        let record: Record = serde_json::from_str(line).with_context(|| format!("not a record: {line}"))?;
        Ok((record.id.clone(), record))
    };
    said.text().lines().map(parse).collect()
}

fn facts_with(machine: &Machine, victim: &Victim, tag: &str) -> Result<Facts> {
    let mut facts = machine.facts(tag)?;
    facts.planted.agent_socket = victim.held.path_sockets.first().cloned();
    facts.victim = Some(victim.held.clone());
    Ok(facts)
}

/// Files of the home and of shared directories that hold the tag; they are put back as they were.
fn take_effects(tag: &str, machine: &Machine) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut files = files_below(&machine.person.home, Some(machine.project()))?;
    files.push(PathBuf::from(format!("/tmp/agentbox-probe-{tag}")));
    for path in files {
        let Ok(bytes) = fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        if text.contains(tag) {
            let rest: String =
                text.lines().filter(|line| !line.contains(tag)).map(|line| format!("{line}\n")).collect();
            if rest.is_empty() {
                fs::remove_file(&path)?
            } else {
                fs::write(&path, rest)?
            }
            found.insert(path);
        }
    }
    Ok(found)
}

/// Size, mode, owner and content of the person's files outside the project, and of a few of the system's.
fn fingerprint(machine: &Machine) -> Result<BTreeMap<PathBuf, String>> {
    use std::os::unix::fs::MetadataExt;
    let mut files = files_below(&machine.person.home, Some(machine.project()))?;
    files.extend(
        ["/etc/passwd", "/etc/hostname", "/usr/bin/id", "/proc/sys/kernel/core_pattern"].map(PathBuf::from),
    );
    let mut prints = BTreeMap::new();
    for path in files {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        // Accounts come and go with other tests' machines; only who owns that file counts.
        let content =
            if path.starts_with("/etc/passwd") { Vec::new() } else { fs::read(&path).unwrap_or_default() };
        let sum = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        prints.insert(path, format!("{:o} {}:{} {sum:x}", metadata.mode(), metadata.uid(), metadata.gid()));
    }
    Ok(prints)
}

fn files_below(directory: &Path, but: Option<&Path>) -> Result<Vec<PathBuf>> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() && Some(path.as_path()) != but {
                directories.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    Ok(files)
}
