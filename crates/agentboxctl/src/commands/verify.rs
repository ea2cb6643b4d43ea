//! `verify`: the attacks of the threat model in the person's own configuration. What is planted, tried and judged is
//! [`agentbox_verify`]; here it is run as the person, also when root asks, and shown.

use crate::account::{Account, own_home};
use crate::arguments::Verify;
use crate::embedded;
use crate::errors::{FAILURE, Failure};
use crate::layers;
use crate::output::{escape, print, print_json, units};
use crate::project::Project;
use crate::review::owner::{close_all_but, take_ids};
use crate::supervisor::Supervisor;
use crate::terminal;
use agentbox_verify::{Report, Wanted};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// First argument of the child that is still root.
pub(crate) const AS_OWNER: &str = "__verify-as-owner";
/// First argument of the child that tries.
pub(crate) const TRY: &str = "__verify";
/// This program, whatever its path has become.
const OURSELVES: &str = "/proc/self/exe";
/// Longest line of the child that tries: the report.
const MOST_BYTES: u64 = 8 << 20;
const BAR: usize = 30;

/// What the child that tries says, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Said {
    Tried(usize, usize),
    Report(Box<Report>),
    Failed(String),
}

pub(super) fn run(verify: &Verify, embedded: bool) -> Result<u8, Failure> {
    let probe = embedded::beside("agentbox-probe")?;
    let own = own_home();
    // It stays connected: a supervisor that root started ends with the last connection.
    let supervisor = Supervisor::connect(embedded)?;
    let mut bar = Bar::new();
    let mut options = Vec::new();
    for (name, value) in [
        ("--profile", verify.profile.clone()),
        ("--posture", verify.posture.clone()),
        ("--network", verify.network.map(|network| network.to_string())),
        ("--workspace", verify.workspace.map(|workspace| workspace.to_string())),
    ] {
        options.extend(value.into_iter().flat_map(|value| [OsString::from(name), value.into()]));
    }
    let report = match owner(verify, own.as_deref())? {
        Some((owner, project)) => by_owner(&owner, project, &probe, options, &mut bar),
        None => {
            let home = own.ok_or_else(|| Failure::new("you have no home directory\nset HOME"))?;
            let wanted = wanted(probe, home, verify.project.clone(), options)?;
            agentbox_verify::run(&wanted, &mut |tried, all| bar.show(tried, all)).map_err(failed)
        }
    };
    bar.clear();
    drop(supervisor);
    let report = report?;
    if let Some(path) = &verify.html {
        let written =
            std::fs::write(path, agentbox_verify::page(&report, &units::minute(report.begun_unix_s)));
        written.map_err(|error| Failure::system(format!("cannot write {}", path.display()), error))?;
    }
    if verify.json {
        print_json(&report)?;
    } else {
        print(&escape::message(&agentbox_verify::text(&report)))?;
    }
    Ok(if report.holds() { 0 } else { FAILURE })
}

fn failed(error: agentbox_verify::Error) -> Failure {
    Failure::new(format!("cannot verify: {error}"))
}

fn wanted(
    probe: PathBuf,
    home: PathBuf,
    project: Option<OsString>,
    options: Vec<OsString>,
) -> Result<Wanted, Failure> {
    let ctl = std::env::current_exe().map_err(|error| Failure::system("cannot find this program", error))?;
    Ok(Wanted { ctl, probe, home, project, options, version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// Whose session it would be, where that is somebody else: root asks for a project of theirs.
fn owner(verify: &Verify, home: Option<&Path>) -> Result<Option<(Account, String)>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let person = home.map(layers::person_layer).transpose()?.flatten();
    let project = Project::open(verify.project.as_deref(), person.as_ref(), home)?;
    match project.owner_uid {
        0 => Ok(None),
        uid => Ok(Some((Account::of(uid)?, project.path))),
    }
}

/// Root lends nothing to what is planted in somebody's home: a child does it that is that person.
fn by_owner(
    owner: &Account,
    project: String,
    probe: &Path,
    options: Vec<OsString>,
    bar: &mut Bar,
) -> Result<Report, Failure> {
    let mut command = Command::new(OURSELVES);
    command.arg(AS_OWNER).args([owner.uid.to_string(), owner.gid.to_string()]);
    command.arg(&owner.home).arg(probe).arg(project).args(options);
    // Where the supervisor is; nothing else of root's environment is the owner's business.
    let places = ["RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY"];
    let kept: Vec<_> = places.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect();
    command
        .env_clear()
        .envs(kept)
        .env("HOME", &owner.home)
        .env("LANG", "C.UTF-8")
        .env("TERM", "xterm-256color");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin").current_dir("/");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::system("cannot start what tries", error))?;
    let said = child.stdout.take().map(|output| listen(output, bar));
    let _nothing_more_to_know = child.wait();
    said.unwrap_or_else(|| Err(Failure::new("what tries said nothing")))
}

fn listen(output: impl Read, bar: &mut Bar) -> Result<Report, Failure> {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        let read = output.by_ref().take(MOST_BYTES).read_until(b'\n', &mut line);
        match read.map(|_| serde_json::from_slice(&line)) {
            Ok(Ok(Said::Tried(tried, all))) => bar.show(tried, all),
            Ok(Ok(Said::Report(report))) => return Ok(*report),
            Ok(Ok(Said::Failed(text))) => return Err(Failure::new(text)),
            Ok(Err(_)) => return Err(Failure::new("what tries ended without a report")),
            Err(error) => return Err(Failure::system("cannot hear what tries", error)),
        }
    }
}

/// The child that is still root: leaves the terminal and every other descriptor behind, and becomes the owner without a way
/// back, with the groups that a login gives.
pub(crate) fn become_owner(arguments: &[OsString]) -> ExitCode {
    let number = |at: usize| arguments.get(at)?.to_str()?.parse::<u32>().ok();
    let (Some(uid @ 1..), Some(gid)) = (number(0), number(1)) else { return ExitCode::FAILURE };
    close_all_but(&[]);
    if rustix::process::setsid().is_err() || take_ids(uid, gid).is_none() {
        return ExitCode::FAILURE;
    }
    let _not_executed = Command::new(OURSELVES).arg(TRY).args(&arguments[2..]).exec();
    ExitCode::FAILURE
}

/// The child that tries. Arguments: home, probe, project, options.
pub(crate) fn try_and_print(arguments: &[OsString]) -> ExitCode {
    let [home, probe, project, options @ ..] = arguments else { return ExitCode::FAILURE };
    if rustix::process::geteuid().is_root() || rustix::process::getuid().is_root() {
        return ExitCode::FAILURE;
    }
    let say = |said: &Said| {
        let line = serde_json::to_string(said).unwrap_or_default();
        let _nobody_to_tell = writeln!(io::stdout().lock(), "{line}");
    };
    let report =
        wanted(probe.into(), home.into(), Some(project.clone()), options.to_vec()).and_then(|wanted| {
            agentbox_verify::run(&wanted, &mut |tried, all| say(&Said::Tried(tried, all))).map_err(failed)
        });
    say(&match report {
        Ok(report) => Said::Report(Box::new(report)),
        Err(failure) => Said::Failed(failure.text().to_owned()),
    });
    ExitCode::SUCCESS
}

/// How far it is, on a terminal.
#[derive(Debug)]
struct Bar {
    shown: bool,
    terminal: bool,
    last: Option<Instant>,
}

impl Bar {
    fn new() -> Self {
        Self { shown: false, terminal: terminal::is_terminal(io::stderr()), last: None }
    }

    fn show(&mut self, tried: usize, all: usize) {
        let often = Duration::from_millis(60);
        if !self.terminal || all == 0 || tried < all && self.last.is_some_and(|last| last.elapsed() < often) {
            return;
        }
        (self.shown, self.last) = (true, Some(Instant::now()));
        let full = BAR * tried.min(all) / all;
        let bar = format!("\r[{}{}] {tried}/{all} ", "#".repeat(full), ".".repeat(BAR - full));
        let _nobody_to_tell = io::stderr().write_all(bar.as_bytes());
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _nobody_to_tell = io::stderr().write_all(b"\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}
