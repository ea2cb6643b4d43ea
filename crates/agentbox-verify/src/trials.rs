//! The order of it all: what is planted, what is tried outside, what is tried inside, and what the host shows afterwards.

use crate::holder;
use crate::judge::{Level, fault, lacks_kernel};
use crate::program::{self, Next, Running};
use crate::report::{Chosen, Control, Report, Trial, Verdict};
use crate::scene::Scene;
use crate::{Error, residual, terminal};
use agentbox_probe::{
    Control as Shown, Judged, Listing, NEEDS_AGENT, NEEDS_NETWORK, NEEDS_TRIGGERS, Outcome, Promise, Record,
    State, mark,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Longest that a program may be silent, and that `agentboxctl` may take.
const PATIENCE: Duration = Duration::from_secs(100);
/// How often somebody looks whether a session stands still.
const LOOK: Duration = Duration::from_millis(400);

/// In each project: what is planted, for the probe.
const FACTS: &str = ".facts.json";

/// Attacks on the network whose far ends may be on this machine. All others need a network of a test's own: their traffic
/// would leave the machine, or reach what is not ours.
const ON_THIS_MACHINE: &[&str] = &[
    "t2.add-address",
    "t2.add-device",
    "t2.add-route",
    "t2.add-rule",
    "t2.bind-to-device",
    "t2.change-filter",
    "t2.change-settings",
    "t2.datagram",
    "t2.datagram-mapped",
    "t2.fast-open",
    "t2.flow-label",
    "t2.literal-mapped",
    "t2.literal-v4",
    "t2.literal-v6",
    "t2.loopback-spelled",
    "t2.multipath",
    "t2.namespace-of-socket",
    "t2.source-free",
    "t2.urgent-data",
    "t5.abstract-socket",
    "t5.host-address",
    "t5.host-address-datagram",
    "t5.host-by-name",
    "t5.host-by-nothing",
    "t5.host-loopback",
    "t5.host-loopback-datagram",
];
/// What a person can try outside and what is nevertheless not tried on a person's machine: they start programs that ask for
/// passwords.
const ONLY_IN_RIGS: &[&str] = &["t7.system-set-id-programs"];

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// `agentboxctl`.
    pub ctl: PathBuf,
    /// `agentbox-probe`.
    pub probe: PathBuf,
    /// Home of whoever runs this.
    pub home: PathBuf,
    /// Whose configuration is used: a project's name or directory; none: the directory that this runs in.
    pub project: Option<OsString>,
    /// Options of `start` that go before that configuration.
    pub options: Vec<OsString>,
    /// Version of agentbox.
    pub version: String,
}

/// Tries everything. `progress` is told how many of how many attacks have been tried.
///
/// # Errors
/// When there is no supervisor, the session does not start or what is needed cannot be made here.
pub fn run(wanted: &Wanted, progress: &mut dyn FnMut(usize, usize)) -> Result<Report, Error> {
    let (begun, clock) = (SystemTime::now(), Instant::now());
    let configured = Configured::read(wanted)?;
    let listings = listings(&wanted.probe)?;
    let scene = Scene::plant(&wanted.home, &wanted.probe, configured.level, &configured.passed)?;
    let mut trying = Trying { wanted, configured, scene, listings, tried: 0, all: 0, progress };
    let (trials, posture_diff) = trying.all()?;
    let chosen = trying.configured.chosen.clone();
    Ok(Report {
        version: wanted.version.clone(),
        begun_unix_s: begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        took_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        residual: residual::of(&chosen),
        chosen,
        trials,
        posture_diff,
    })
}

/// What the person's configuration says of the project.
#[derive(Debug)]
struct Configured {
    chosen: Chosen,
    level: Level,
    on_trigger: String,
    /// Variables that pass.
    passed: Vec<String>,
    /// Paths of the host that the configuration grants, with the origin of each.
    granted: Vec<(String, String)>,
    supervisor_files: Vec<String>,
}

impl Configured {
    fn read(wanted: &Wanted) -> Result<Self, Error> {
        let mut command = Command::new(&wanted.ctl);
        command.arg("explain").args(&wanted.project).arg("--json").args(&wanted.options);
        // Only asked about: what nothing holds is refused below, in words that fit.
        command.arg("--yes-unconfined");
        let answer = json(&mut command)?;
        let rows: Vec<[String; 3]> = serde_json::from_value(answer["values"].clone())
            .map_err(|error| Error::new(format!("explain says something else than expected: {error}")))?;
        let value =
            |key: &str| rows.iter().find(|row| row[0] == key).map_or("", |row| row[1].as_str()).to_owned();
        if value("isolation") == "none" {
            return Err(Error::new(format!(
                "posture {} holds nothing: there is nothing to verify\nuse --posture L2",
                value("posture")
            )));
        }
        let level = if value("filesystem") == "listed" && value("identity") == "leased" {
            Level::L2
        } else {
            Level::L1
        };
        let profile = Some(value("profile")).filter(|profile| profile != "none").unwrap_or_default();
        let granted = rows
            .iter()
            .filter(|row| row[0].starts_with("read") || row[0].starts_with("write"))
            .map(|row| (row[1].clone(), row[2].clone()));
        let status = json(Command::new(&wanted.ctl).args(["status", "--json"]))?;
        let place = |key: &str, file: &str| {
            Some(Path::new(status[key].as_str()?).join(file).to_string_lossy().into_owned())
        };
        let files =
            [place("logs_dir", "audit.jsonl"), place("state_dir", "leases"), place("runtime_dir", "lock")];
        Ok(Self {
            level,
            on_trigger: value("on_trigger"),
            passed: rows.iter().filter_map(|row| row[0].strip_prefix("env.").map(str::to_owned)).collect(),
            granted: granted.collect(),
            supervisor_files: files.into_iter().flatten().collect(),
            chosen: Chosen {
                project: value("path"),
                posture: value("posture"),
                profile,
                network: value("network"),
                workspace: value("workspace"),
                ..Chosen::default()
            },
        })
    }
}

/// Everything that the probe knows.
fn listings(probe: &Path) -> Result<Vec<Listing>, Error> {
    let lines = program::lines(Command::new(probe).args(["list", "--json"]), PATIENCE)?;
    let parsed: Result<Vec<Listing>, _> = lines.iter().map(|line| serde_json::from_str(line)).collect();
    parsed.map_err(|error| Error::new(format!("the probe is of another version: {error}")))
}

/// Where an attack can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the first session.
    Session,
    /// In one of its own, which may be left standing still by it.
    Triggers,
    /// Not on a person's machine.
    Rig,
}

fn place(listing: &Listing) -> Place {
    let needs = |what: &str| listing.needs.iter().any(|need| need.starts_with(what));
    if needs(NEEDS_TRIGGERS) {
        Place::Triggers
    } else if needs(NEEDS_AGENT)
        || needs(NEEDS_NETWORK) && !ON_THIS_MACHINE.contains(&listing.id.as_str())
        || needs("planted.set_id_program")
    {
        Place::Rig
    } else {
        Place::Session
    }
}

struct Trying<'a> {
    wanted: &'a Wanted,
    configured: Configured,
    scene: Scene,
    listings: Vec<Listing>,
    tried: usize,
    all: usize,
    progress: &'a mut dyn FnMut(usize, usize),
}

type Records = BTreeMap<String, Record>;
type Verdicts = BTreeMap<String, (Verdict, String)>;

impl Trying<'_> {
    fn all(&mut self) -> Result<(Vec<Trial>, Vec<String>), Error> {
        self.scene.facts.host.supervisor_files.clone_from(&self.configured.supervisor_files);
        let outside =
            self.ids(|one| one.control == Shown::Person && place(one) != Place::Rig && may_outside(one));
        let session = self.ids(|one| place(one) == Place::Session);
        let triggers = self.ids(|one| place(one) == Place::Triggers);
        self.all = outside.len() + session.len() + triggers.len() + OF_A_SESSION.len();
        (self.progress)(0, self.all);

        for (project, side) in [(&self.scene.outside, 'o'), (&self.scene.project, 'i')] {
            self.write_facts(project, side)?;
        }
        let controls = self.outside(&outside)?;
        // Those that reached it from outside are no news.
        self.scene.signals();
        let before = self.scene.fingerprint();
        let (state, inside) = self.inside(&session)?;
        let after = self.scene.fingerprint();
        let (mut verdicts, look) = self.second_session(&triggers)?;
        self.configured.chosen.guard = look.guard.clone();
        self.configured.chosen.policy_hash = look.policy_hash.clone();

        let mut trials = Vec::new();
        for listing in &self.listings {
            let control = self.control(listing, controls.get(&listing.id));
            let (verdict, detail) = match place(listing) {
                Place::Rig => (Verdict::RigOnly, String::new()),
                Place::Triggers => {
                    verdicts.remove(&listing.id).unwrap_or((Verdict::NothingHere, "not tried".to_owned()))
                }
                Place::Session => self.judge(listing, &control, inside.get(&listing.id), before == after),
            };
            trials.push(trial(&listing.id, &listing.title, control, verdict, detail));
        }
        trials.extend(self.of_a_session(&state, &look, &before, &after)?);
        trials.sort_by(|one, other| one.threat.cmp(&other.threat));
        Ok((trials, look.posture_diff))
    }

    fn ids(&self, wanted: impl Fn(&Listing) -> bool) -> Vec<String> {
        self.listings.iter().filter(|listing| wanted(listing)).map(|listing| listing.id.clone()).collect()
    }

    /// What each does where nothing holds it.
    fn outside(&mut self, ids: &[String]) -> Result<Records, Error> {
        let mut command = self.scene.careless(&self.scene.outside.join("agentbox-probe"));
        command.args(["run", "--json", "--facts", FACTS]).args(ids).current_dir(&self.scene.outside);
        let mut running = Running::start(&mut command)?;
        let records = self.records(&mut running, &mut || false)?;
        finished(running)?;
        Ok(records)
    }

    /// The same inside, by the way that a person's agent is started; before that, what a process finds about itself.
    fn inside(&mut self, ids: &[String]) -> Result<(State, Records), Error> {
        let script =
            "(echo made > written-inside) 2>/dev/null; ./agentbox-probe self && exec ./agentbox-probe \"$@\"";
        let mut command = self.start(&["--quiet"]);
        command.args(["--", "/bin/sh", "-c", script, "sh", "run", "--json", "--facts", FACTS]).args(ids);
        let mut running = Running::start(&mut command)?;
        let Next::Line(first) = running.next(PATIENCE) else {
            let (status, errors) = running.finish(PATIENCE)?;
            return Err(Error::new(format!("the session did not start ({status}): {}", errors.trim())));
        };
        let state = serde_json::from_str(&first)
            .map_err(|_| Error::new(format!("a session said something else than expected: {first}")))?;
        let records = self.records(&mut running, &mut || false)?;
        finished(running)?;
        Ok((state, records))
    }

    /// `start` of the scene's project as the person's configuration has it.
    fn start(&self, options: &[&str]) -> Command {
        let chosen = &self.configured.chosen;
        let mut command = self.scene.careless(&self.wanted.ctl);
        command.arg("start").arg(&self.scene.project).args(options).args(["--yes", "--yes-trifecta"]);
        command.args([
            "--posture",
            &chosen.posture,
            "--network",
            &chosen.network,
            "--workspace",
            &chosen.workspace,
        ]);
        command.args(["--state", "ephemeral"]);
        if !chosen.profile.is_empty() {
            command.args(["--profile", &chosen.profile]);
        }
        if rustix::process::geteuid().is_root() {
            command.arg("--allow-root-project");
        }
        command.current_dir(&self.scene.project);
        command
    }

    fn write_facts(&self, project: &Path, side: char) -> Result<(), Error> {
        let facts = self.scene.facts_for(project, side);
        let text = serde_json::to_vec(&facts).map_err(|error| Error::new(error.to_string()))?;
        let path = project.join(FACTS);
        std::fs::write(&path, text).map_err(|error| Error::io(path.display(), error))
    }

    /// Reads what the probe says until it ends or `enough` does, which is asked whenever it is silent.
    fn records(&mut self, running: &mut Running, enough: &mut dyn FnMut() -> bool) -> Result<Records, Error> {
        let (mut records, mut heard) = (Records::new(), Instant::now());
        loop {
            match running.next(LOOK) {
                Next::Line(line) => {
                    heard = Instant::now();
                    if self.scene.secret_in(&line) {
                        return Err(Error::new(
                            "the secret was printed by what attacked: stop, and report this",
                        ));
                    }
                    if let Ok(record) = serde_json::from_str::<Record>(&line) {
                        records.insert(record.id.clone(), record);
                        self.tried += 1;
                        (self.progress)(self.tried, self.all);
                    }
                }
                Next::Quiet if heard.elapsed() > PATIENCE || enough() => return Ok(records),
                Next::Quiet => {}
                Next::End => return Ok(records),
            }
        }
    }

    fn control(&self, listing: &Listing, record: Option<&Record>) -> Control {
        match &listing.control {
            Shown::NonePossible(reason) => return Control::NonePossible(reason.clone()),
            Shown::Root => return Control::NeedsRoot,
            Shown::RigOnly => return Control::RigOnly,
            Shown::Person => {}
        }
        let Some(record) = record else { return Control::RigOnly };
        let worked = match listing.judged {
            Judged::Outcome => record.outcome == Outcome::Succeeded,
            Judged::OnHost => {
                !record.left.is_empty() && record.left.iter().all(|left| self.on_host(left, 'o'))
            }
        };
        if worked && !lacks_kernel(listing, record) {
            Control::Worked(record.detail.clone())
        } else {
            Control::NothingHere(record.detail.clone())
        }
    }

    /// Whether a file holds the tag of this side, or its mark came to a listener.
    fn on_host(&self, left: &str, side: char) -> bool {
        let tag = format!("{}{side}", self.scene.tag);
        if !left.starts_with('/') {
            return self.scene.listeners.heard(left);
        }
        std::fs::read(left).is_ok_and(|bytes| bytes.windows(tag.len()).any(|window| window == tag.as_bytes()))
    }

    fn judge(
        &self,
        listing: &Listing,
        control: &Control,
        record: Option<&Record>,
        unchanged: bool,
    ) -> (Verdict, String) {
        let Some(record) = record else {
            return (
                Verdict::Worked,
                "no answer from inside: the attack ended the one who tried it".to_owned(),
            );
        };
        let detail = record.detail.clone();
        if let Promise::None(reason) = &listing.promise {
            return (Verdict::NotPromised, format!("{:?}: {detail}; {reason}", record.outcome));
        }
        let mark = mark(&format!("{}i", self.scene.tag), &listing.id);
        let heard = listing.needs.iter().any(|need| need.starts_with(NEEDS_NETWORK))
            && self.scene.listeners.heard(&mark);
        let fault = match heard {
            true => Some(format!("its mark arrived at a listener of this machine: {detail}")),
            false => fault(listing, record, &|left| self.on_host(left, 'i'), self.configured.level),
        };
        let nothing = matches!(control, Control::NothingHere(_));
        match fault {
            None if nothing => (Verdict::NothingHere, detail),
            None => (Verdict::Stopped, detail),
            Some(_) if !self.configured.level.promises(listing) => (Verdict::NotPromised, detail),
            // Where it could not be tried outside either, there is nothing to try it on.
            Some(_) if nothing && record.outcome == Outcome::NotApplicable => (Verdict::NothingHere, detail),
            // On an overlay, or where the project is only read, git's files are the layer's: the host shows whether they changed.
            Some(_) if self.configured.chosen.workspace == "overlay" && is_of_git(listing) && unchanged => {
                (Verdict::Stopped, format!("only in the layer: {detail}"))
            }
            Some(why) => match self.grant(&detail) {
                Some(origin) => (Verdict::Granted, format!("{}: {why} (granted by {origin})", listing.id)),
                None => (Verdict::Worked, why),
            },
        }
    }

    /// What of the configuration grants the path that an attack read.
    fn grant(&self, detail: &str) -> Option<&str> {
        let paths = || {
            detail
                .split([' ', ','])
                .map(|word| word.trim_end_matches(':'))
                .filter(|word| word.starts_with('/'))
        };
        let fits =
            |granted: &str| granted.len() > 1 && paths().any(|path| Path::new(path).starts_with(granted));
        self.configured.granted.iter().find(|(granted, _)| fits(granted)).map(|(_, origin)| origin.as_str())
    }

    /// A session that runs by itself: what the kernel shows of it, and trigger files, at which it may be made stand still.
    fn second_session(&mut self, triggers: &[String]) -> Result<(Verdicts, Look), Error> {
        let mut command = self.start(&["--quiet", "--detach"]);
        let started = program::lines(command.args(["--", "/bin/sleep", "600"]), PATIENCE)?;
        let id = started
            .first()
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Error::new("a session has no id"))?
            .clone();
        let result = self.in_second_session(&id, triggers);
        let stopped = program::lines(Command::new(&self.wanted.ctl).args(["stop", &id]), PATIENCE);
        let result = result?;
        stopped?;
        let told = if self.configured.chosen.workspace == "direct" { self.told(&id) } else { Vec::new() };
        let (records, frozen, look) = result;
        if self.configured.chosen.workspace == "overlay" {
            self.discard_layers()?;
        }
        let verdicts = triggers
            .iter()
            .map(|id| (id.clone(), self.trigger(id, records.get(id), frozen.as_deref(), &told)));
        Ok((verdicts.collect(), look))
    }

    fn in_second_session(
        &mut self,
        id: &str,
        triggers: &[String],
    ) -> Result<(Records, Option<String>, Look), Error> {
        let look = Look::at(&self.status(id)?);
        let mut command = Command::new(&self.wanted.ctl);
        command
            .args(["exec", id, "--", "./agentbox-probe", "run", "--json", "--facts", FACTS])
            .args(triggers);
        let mut running = Running::start(&mut command)?;
        let (ctl, session) = (self.wanted.ctl.clone(), id.to_owned());
        let mut stands_still = || {
            let status = json(Command::new(&ctl).args(["status", &session, "--json"]));
            status.is_ok_and(|status| status["frozen"].is_string())
        };
        let records = self.records(&mut running, &mut stands_still)?;
        let frozen = self.status(id)?["frozen"].as_str().map(str::to_owned);
        drop(running);
        self.tried += triggers.len() - records.len();
        (self.progress)(self.tried, self.all);
        Ok((records, frozen, look))
    }

    fn status(&self, id: &str) -> Result<Value, Error> {
        json(Command::new(&self.wanted.ctl).args(["status", id, "--json"]))
    }

    /// Paths that the report of a session names.
    fn told(&self, id: &str) -> Vec<String> {
        let report = json(Command::new(&self.wanted.ctl).args(["report", id, "--json"])).unwrap_or_default();
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().filter_map(|finding| Some(finding["path"].as_str()?.to_owned())).collect()
    }

    fn trigger(
        &self,
        id: &str,
        record: Option<&Record>,
        frozen: Option<&str>,
        told: &[String],
    ) -> (Verdict, String) {
        let promised =
            self.listings.iter().any(|one| one.id == id && !matches!(one.promise, Promise::None(_)));
        let Some(record) = record else {
            return match frozen {
                Some(why) => (Verdict::Told, format!("the session was made stand still: {why}")),
                None => (Verdict::Worked, "no answer from inside".to_owned()),
            };
        };
        let in_force: Vec<&str> =
            record.left.iter().map(String::as_str).filter(|left| self.on_host(left, 'i')).collect();
        let Some(first) = in_force.first() else { return (Verdict::Stopped, record.detail.clone()) };
        // A link that stands for a directory is told, and not what it leads to.
        let is_told = |path: &&str| {
            let inside = Path::new(path).strip_prefix(&self.scene.project).unwrap_or(Path::new(path));
            inside.ancestors().any(|part| told.iter().any(|told| Path::new(told) == part && !told.is_empty()))
        };
        match (promised, frozen.is_some() || in_force.iter().all(is_told)) {
            (false, _) => (Verdict::NotPromised, format!("{first} is there, and told at the end")),
            (true, true) => {
                (Verdict::Told, format!("{first} came to be, and was told ({})", self.configured.on_trigger))
            }
            (true, false) => (Verdict::Worked, format!("{first} is in force, and nobody was told")),
        }
    }

    /// Sessions on an overlay leave layers; those of this run's project go.
    fn discard_layers(&self) -> Result<(), Error> {
        let all = json(Command::new(&self.wanted.ctl).args(["list", "--all", "--json"]))?;
        let project = self.scene.project.to_string_lossy();
        for session in all.as_array().into_iter().flatten() {
            if session["project"].as_str() == Some(&*project)
                && let Some(id) = session["id"].as_str()
            {
                program::lines(Command::new(&self.wanted.ctl).args(["discard", id, "--yes"]), PATIENCE)?;
            }
        }
        Ok(())
    }

    /// What is no attack of the probe's: what the host shows of a session.
    fn of_a_session(
        &mut self,
        state: &State,
        look: &Look,
        before: &Prints,
        after: &Prints,
    ) -> Result<Vec<Trial>, Error> {
        let mut trials = Vec::new();
        let none = || Control::NonePossible("outside there is no session".to_owned());
        for (id, title, found) in [
            (OF_A_SESSION[0], "have another's id on what is written into the project", self.owner(after)),
            (OF_A_SESSION[1], "find a variable of the program that confines", launchers(state)),
            (OF_A_SESSION[2], "leave the process that reads the terminal with rights", look.console.clone()),
            (
                OF_A_SESSION[3],
                "change a file of the person's, or reach a process of theirs",
                self.changed(before, after),
            ),
        ] {
            let (verdict, detail) = match found {
                Ok(seen) => (Verdict::Stopped, seen),
                Err(why) => (Verdict::Worked, why),
            };
            trials.push(trial(id, title, none(), verdict, detail));
        }
        trials.push(self.clipboard()?);
        self.tried = self.all;
        (self.progress)(self.tried, self.all);
        Ok(trials)
    }

    fn owner(&self, after: &Prints) -> Result<String, String> {
        let own = rustix::process::getuid().as_raw();
        match after.get(&self.scene.project.join("written-inside")) {
            Some((_, owner, _)) if *owner == own => Ok("it belongs to the person".to_owned()),
            Some((_, owner, _)) => Err(format!("what was written inside belongs to user id {owner}")),
            // Where a project is changed in place, its files can be written.
            None if self.configured.chosen.workspace == "direct" => {
                Err("nothing could be written inside".to_owned())
            }
            None => Ok(format!("nothing was written: workspace {}", self.configured.chosen.workspace)),
        }
    }

    fn changed(&mut self, before: &Prints, after: &Prints) -> Result<String, String> {
        let stand_in = self.scene.base.join("home");
        let signals = self.scene.signals();
        if let Some(signal) = signals.first() {
            return Err(format!("the process on the host got {signal}"));
        }
        // What was tried outside has written already; from inside nothing more may come.
        let of = |prints: &Prints| -> Prints {
            prints
                .iter()
                .filter(|(path, _)| path.starts_with(&stand_in))
                .map(|(p, v)| (p.clone(), v.clone()))
                .collect()
        };
        match of(before) == of(after) {
            true => Ok("every file is as it was, and no signal came".to_owned()),
            false => Err("files outside of the project changed".to_owned()),
        }
    }

    /// Writing the clipboard of whoever looks (OSC 52), first where nothing filters it.
    fn clipboard(&mut self) -> Result<Trial, Error> {
        // In two parts, so that the end is not read from the command itself.
        let script = "printf '\\033]52;c;Y2FuYXJ5\\007e''nd\\n'";
        let written = |seen: &[u8]| String::from_utf8_lossy(seen).contains("]52;c;");
        let outside = terminal::shown(Command::new("/bin/sh").args(["-c", script]), "end", PATIENCE)?;
        let mut command = self.start(&["--quiet"]);
        let inside = terminal::shown(command.args(["--", "/bin/sh", "-c", script]), "end", PATIENCE)?;
        let ended = String::from_utf8_lossy(&inside).contains("end");
        let (verdict, detail) = match (written(&inside), ended) {
            (true, _) => (Verdict::Worked, "the sequence reached the terminal".to_owned()),
            (false, true) => {
                (Verdict::Stopped, "the sequence did not arrive, what came after it did".to_owned())
            }
            (false, false) => (Verdict::Worked, "nothing arrived at all: it was not tried".to_owned()),
        };
        let control = if written(&outside) {
            Control::Worked("the sequence reached the terminal".to_owned())
        } else {
            Control::NothingHere("the sequence did not arrive".to_owned())
        };
        Ok(trial(OF_A_SESSION[4], "write the clipboard of whoever looks (OSC 52)", control, verdict, detail))
    }
}

type Prints = BTreeMap<PathBuf, (u32, u32, Vec<u8>)>;

/// Names of what is no attack of the probe's.
const OF_A_SESSION: [&str; 5] = [
    "t1.written-as-another",
    "t8.launcher-environment",
    "t7.console-unconfined",
    "t8.things-of-the-person",
    "t6.clipboard",
];

fn may_outside(listing: &Listing) -> bool {
    !ONLY_IN_RIGS.contains(&listing.id.as_str())
}

fn is_of_git(listing: &Listing) -> bool {
    listing.id.starts_with("t6.git-") || listing.id == "t1.move-git-aside"
}

fn trial(id: &str, title: &str, control: Control, verdict: Verdict, detail: String) -> Trial {
    Trial {
        id: id.to_owned(),
        threat: id.split('.').next().unwrap_or_default().to_uppercase(),
        title: title.to_owned(),
        held_by: holder::of(id).id.to_owned(),
        control,
        verdict,
        detail,
    }
}

fn launchers(state: &State) -> Result<String, String> {
    let left: Vec<_> = state.environment.iter().filter(|name| name.starts_with("AGENTBOX_")).collect();
    match left.is_empty() {
        true => Ok("none".to_owned()),
        false => Err(format!("{left:?}")),
    }
}

/// What the kernel shows of a session that runs.
#[derive(Debug)]
struct Look {
    guard: String,
    policy_hash: String,
    posture_diff: Vec<String>,
    console: Result<String, String>,
}

impl Look {
    fn at(status: &Value) -> Self {
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        let lines = status["posture_diff"].as_array().cloned().unwrap_or_default();
        Self {
            guard: text("guard"),
            policy_hash: text("policy_hash"),
            posture_diff: lines.iter().filter_map(|line| Some(line.as_str()?.to_owned())).collect(),
            console: status["init_pid"].as_i64().map_or(Err("no process is known".to_owned()), console),
        }
    }
}

/// The outer half of the launcher reads what an agent writes to its terminal: it must have nothing.
fn console(init: i64) -> Result<String, String> {
    let status = |pid: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|error| format!("process {pid}: {error}"))
    };
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    };
    let own = status(&field(&status(&init.to_string())?, "PPid"))?;
    for (name, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2"), ("Groups", "")] {
        let found = field(&own, name);
        if found != wanted {
            return Err(format!("{name} is {found:?}"));
        }
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let found = field(&own, name);
        if found.bytes().any(|digit| digit != b'0') {
            return Err(format!("{name} is {found}"));
        }
    }
    Ok("no capability, no group, a filter, no_new_privs".to_owned())
}

/// A probe ends with 1 when something worked.
fn finished(running: Running) -> Result<(), Error> {
    match running.finish(PATIENCE)? {
        (0 | 1, _) => Ok(()),
        (status, errors) => Err(Error::new(format!("what attacks ended with {status}: {}", errors.trim()))),
    }
}

fn json(command: &mut Command) -> Result<Value, Error> {
    let lines = program::lines(command, PATIENCE)?;
    serde_json::from_str(&lines.join("\n"))
        .map_err(|error| Error::new(format!("agentboxctl said no JSON: {error}")))
}
