//! `demo`: a session at work, then attacked, on this machine, for a throw-away person.
//!
//! | file | does |
//! |---|---|
//! | `place` | directories of an own supervisor, so that nothing of a real one is touched |
//! | `person` | a user with secrets, settings, another project and the project of the demonstration |
//! | `session` | starts sessions through `agentboxctl` |
//! | `internet` | the names and addresses of the lab, and what is served there |
//! | `network` | what a session reaches and what it does not |
//! | `attacks` | every attack outside, inside, and what the host saw |
//! | `victim` | a process outside, for attacks to reach for |
//! | `agent` | a real agent program from npm does a task inside a session |
//! | `standin` | answers that agent in place of its service |

mod agent;
mod attacks;
mod internet;
mod network;
mod person;
mod place;
mod session;
mod standin;
mod victim;

pub(crate) use person::Person;
pub(crate) use place::{Place, remove_abandoned};
pub(crate) use session::Sessions;

use crate::build::{Kind, build};
use crate::setup::{self, Verb};
use crate::terminal::{Paint, printable};
use crate::{host, program};
use anyhow::{Context as _, Result, bail};
use internet::Internet;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Installs this agent for the throw-away person and runs it inside as well
    #[arg(long, value_enum)]
    agent: Option<agent::Agent>,
    /// Leaves the person and the directories for a closer look
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    program::need_root("demo")?;
    setup::ensure(if arguments.agent.is_some() {
        &[Verb::Build, Verb::Demo, Verb::Agent]
    } else {
        &[Verb::Build, Verb::Demo]
    })?;
    let paint = Paint::for_stdout();
    paint.headline("building the programs");
    let programs = build(Kind::Release)?;
    remove_abandoned(&programs)?;
    let before = host::snapshot()?;

    let mut place = Place::make("demo", &programs)?;
    let mut person = Person::make("demo", &place)?;
    if arguments.keep {
        place.keep()?;
        person.keep();
    }
    let internet = Internet::make(&place, &person.project)?;
    person.network = Some(internet.lab.host.path());
    let shown = show(arguments, paint, &place, &person, &internet);
    let ended = Sessions::new(&place, &person).end();
    if arguments.keep {
        println!("\nkept: user {} and {}; remove them with", person.name, place.directory().display());
        println!("  userdel --remove {}; rm -r {}", person.name, place.directory().display());
        return shown.and_then(|held| ended.map(|()| exit(held)));
    }
    // Sessions of others may begin meanwhile; what is the demonstration's own has one of these names.
    let mut own = vec![person.name.clone(), place.directory().display().to_string()];
    own.extend(sessions_of(&place).unwrap_or_default());
    drop(person);
    drop(internet);
    drop(place);
    let held = shown?;
    ended?;
    paint.headline("what is left on this host");
    let left: Vec<String> = host::snapshot()?
        .difference(&before)
        .filter(|line| own.iter().any(|name| line.contains(name.as_str())))
        .cloned()
        .collect();
    for line in &left {
        println!("{}", paint.bad(line));
    }
    if !left.is_empty() {
        bail!("the demonstration left {} things behind", left.len());
    }
    println!("nothing: no control group, process, mount, user or directory");
    Ok(exit(held))
}

/// Ids of all sessions that the audit trail knows.
fn sessions_of(place: &Place) -> Result<Vec<String>> {
    let trail = std::fs::read_to_string(place.of("LOGS_DIRECTORY").join("audit.jsonl"))?;
    let id = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        event.get("session")?.as_str().map(str::to_owned)
    };
    Ok(trail.lines().filter_map(id).collect())
}

fn exit(held: bool) -> ExitCode {
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All of it; whether every promise was kept.
fn show(
    arguments: &Arguments,
    paint: Paint,
    place: &Place,
    person: &Person,
    internet: &Internet,
) -> Result<bool> {
    let sessions = Sessions::new(place, person);
    let of_agent = arguments.agent.map(|agent| agent.profile(place, internet)).unwrap_or_default();
    sessions.configure(internet::ALLOWED, &of_agent)?;
    work(paint, &sessions, person)?;
    let mut held = network::show(paint, &sessions, internet)?;
    held &= attacks::show(paint, place, person, &sessions)?;
    if let Some(agent) = arguments.agent {
        held &= agent::show(agent, paint, place, person, &sessions, internet)?;
    }
    paint.headline("the audit trail, written by the supervisor, out of the agent's reach");
    let trail = program::capture(sessions.agentboxctl().arg("log"))?;
    for line in trail.lines() {
        println!("{}", printable(line));
    }
    println!("{}", printable(program::capture(sessions.agentboxctl().args(["log", "--verify"]))?.trim_end()));
    Ok(held)
}

/// What an agent does all day, as a script: look, edit, build, test, commit.
const SCRIPT: &str = r#"
exec 2>&1
id
cat sum.c
make test || true
sed -i 's/a - b/a + b/' sum.c
make test
git commit --quiet --all --message 'Add instead of subtracting'
git log --format='%h %an <%ae> %s' -1
"#;

fn work(paint: Paint, sessions: &Sessions, person: &Person) -> Result<()> {
    paint.headline("a session: an agent repairs a program, builds, tests and commits");
    println!("{} is a new user with keys, tokens and two projects. As that user's agent:\n", person.name);
    let mut start = sessions.start();
    start.args(["--verbose", "--posture", "L2", "--", "sh", "-eux", "-c", SCRIPT]);
    program::run(&mut start).context("the session did not do its work")?;

    paint.headline("the same project, seen from the host by the person");
    let git = |arguments: &[&str]| {
        let mut command = person.command("git");
        program::capture(command.arg("-C").arg(&person.project).args(arguments))
    };
    print!("{}", git(&["log", "--format=%h %an <%ae> %s"])?);
    print!("{}", git(&["show", "--format=", "HEAD"])?);
    if !git(&["status", "--porcelain"])?.is_empty() {
        bail!("the session left changes that it did not commit");
    }
    let strangers = person.strangers_files()?;
    if !strangers.is_empty() {
        bail!("not owned by the person: {}", strangers.join(", "));
    }
    println!(
        "\nevery file of the project belongs to {} on disk; the session ran under a leased uid",
        person.name
    );
    Ok(())
}
