//! `start`: a session of a project, and the bridge to it.

use super::report::{Notices, Telling, after_session};
use super::{conclude, early, environment, request};
use crate::account::own_home;
use crate::arguments::{Choice, Start};
use crate::client::signals::Signals;
use crate::client::{self, Bridge, Ending};
use crate::errors::Failure;
use crate::git;
use crate::layers;
use crate::output::network::{published, reach};
use crate::output::{escape, legs, note, print, print_json};
use crate::own_files::Reading;
use crate::project::Project;
use crate::ssh;
use crate::supervisor::{Supervisor, understand};
use crate::terminal;
use agentbox_ipc::{Dict, StartAnswer, StartRequest, to_dict};
use agentbox_plan::{SessionId, Streams};
use agentbox_policy::{Ssh, Workspace};
use nix::sys::signal::Signal;
use rustix::fs::Mode;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd, OwnedFd};

/// The words that have to be typed.
const ALL_THREE: &str = "all three";
const UNCONFINED: &str = "unconfined";

pub(super) fn run(start: Start, embedded: bool) -> Result<u8, Failure> {
    begin(start, embedded, false)
}

/// A session in which the agent's own login runs.
pub(super) fn login(choice: Choice, embedded: bool) -> Result<u8, Failure> {
    let start = Start {
        choice,
        name: None,
        detach: false,
        no_stdin: false,
        json: false,
        quiet: false,
        verbose: false,
        resume: None,
        yes: false,
    };
    begin(start, embedded, true)
}

fn begin(mut start: Start, embedded: bool, login: bool) -> Result<u8, Failure> {
    if start.no_stdin {
        terminal::leave_input()?;
    }
    let umask = umask();
    agree_to_no_confinement(&mut start.choice)?;
    let streams = if start.detach { detached_streams() } else { client::streams() };
    let size = terminal::size();
    if let Some(id) = &start.resume {
        go_on(&Supervisor::connect(embedded)?, id, &mut start.choice)?;
    }
    let gathered = Gathered::begin(&start.choice)?;
    // The owner's files are read and git answers while the supervisor is reached.
    let supervisor = Supervisor::connect(embedded)?;
    let (project, mut wanted) = gathered.finish(&start.choice, start.name.clone())?;
    wanted.streams = streams.into();
    (wanted.rows, wanted.columns) = (size.rows, size.columns);
    wanted.umask = Some(umask);
    wanted.detach = start.detach;
    wanted.resume = start.resume.as_ref().map(ToString::to_string);
    wanted.options.login = login;
    let mut signals = early::signals()?;
    let ((answer, console), told) = match ask(&supervisor, &signals, &project, &wanted) {
        Err(failure) if failure.is_unconfirmed() && !start.quiet => {
            // A question on a terminal is left with the keys with which everything is left.
            drop(signals);
            if !agreed(&failure)? {
                return Err(failure);
            }
            // The word holds for this one request; nothing keeps it.
            wanted.options.allow_trifecta = true;
            signals = early::signals()?;
            ask(&supervisor, &signals, &project, &wanted)?
        }
        other => other?,
    };
    let answer: StartAnswer = understand(answer)?;
    if let Some(signal) = told {
        return Ok(early::end(&supervisor, &answer.id, signal));
    }
    if start.verbose || !start.quiet && streams_to_a_person() {
        announce(&answer);
        if let Some(part) = project.part_of() {
            note(&format!("agentbox {}: {part}", escape::name(&answer.id)));
        }
    }
    drop(project);
    if start.detach {
        if start.json {
            print_json(&answer)?
        } else {
            print(&format!("{}\n", escape::name(&answer.id)))?
        }
        return Ok(0);
    }
    let bridge = Bridge::begin(OwnedFd::from(console), Some(signals), true)?;
    // Up to here a key made a signal; from here on it is typed into the session.
    if let Some(signal) = bridge.told_to_end() {
        drop(bridge);
        return Ok(early::end(&supervisor, &answer.id, signal));
    }
    // The session and its console need no supervisor; it is asked again only when the session has ended.
    let direct = answer.workspace == "direct" && answer.isolation != "none";
    let all = start.verbose || !start.quiet && streams_to_a_person();
    let notices = (answer.isolation != "none").then(|| Notices::begin(supervisor, &answer.id, all));
    let ending = bridge.run(&|| early::stands_still(&answer.id))?;
    if let Ending::StandsStill(number) = ending {
        return early::end_still(&answer.id, number, embedded);
    }
    // Presets are named after the program that they run, but for that of the person's shell.
    let program = start.choice.command.first().or(Some(&answer.agent).filter(|agent| *agent != "shell"));
    let status = conclude(ending, &answer.id, program.map(String::as_str));
    if matches!(ending, Ending::Exited(_)) {
        let supervisor = notices.and_then(Notices::end);
        if direct {
            let telling = Telling { quiet: start.quiet, verbose: start.verbose, yes: start.yes };
            after_session(supervisor, &answer.id, telling, embedded)?;
        }
    }
    if answer.workspace == "overlay" && !start.quiet && streams_to_a_person() {
        let id = escape::name(&answer.id);
        note(&format!("what it changed waits to be looked at: agentboxctl diff {id}"));
    }
    Ok(status)
}

/// Whoever starts a session from a terminal comes back to it from one, wherever its id is written.
fn detached_streams() -> Streams {
    let terminal = terminal::is_terminal(io::stdin());
    Streams { input: terminal, output: terminal, error: terminal }
}

/// The mask of this process (umask(2)), which can be read only by setting it: before there are threads.
fn umask() -> u16 {
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(mask);
    (mask & (Mode::RWXU | Mode::RWXG | Mode::RWXO)).bits() as u16
}

/// A session that goes on with a layer is as its first one was, where nothing else is asked for.
fn go_on(supervisor: &Supervisor, id: &SessionId, choice: &mut Choice) -> Result<(), Failure> {
    let sets = super::list::sets(supervisor)?;
    let set = sets.into_iter().find(|set| set.id == id.as_str()).ok_or_else(|| {
        Failure::new(format!(
            "no session `{id}` left changes to go on with\nagentboxctl list --all shows which did"
        ))
    })?;
    choice.project = Some(set.project.into());
    choice.workspace.get_or_insert(Workspace::Overlay);
    choice.posture.get_or_insert(set.posture);
    choice.agent.get_or_insert(set.agent);
    if choice.profile.is_none() && !set.profile.is_empty() {
        choice.profile = Some(set.profile);
    }
    Ok(())
}

/// The answer, its console, and what was heard meanwhile.
type Asked = ((Dict, zbus::OwnedFd), Option<Signal>);

fn ask(
    supervisor: &Supervisor,
    signals: &Signals,
    project: &Project,
    wanted: &StartRequest,
) -> Result<Asked, Failure> {
    let wanted = to_dict(wanted)?;
    let directory = project.directory.as_fd();
    early::ask(supervisor, signals, async |manager| manager.start(directory.into(), wanted).await)
}

/// Asks for the word on this terminal, which no agent has yet.
fn agreed(failure: &Failure) -> Result<bool, Failure> {
    if !terminal::is_terminal(io::stdin()) || !terminal::is_terminal(io::stderr()) {
        return Ok(false);
    }
    note(&escape::message(failure.text()));
    Ok(typed(&format!("Type `{ALL_THREE}` to start this one session: "))? == ALL_THREE)
}

/// What a person types after a question.
pub(super) fn typed(question: &str) -> Result<String, Failure> {
    let mut answer = String::new();
    let asked =
        io::stderr().write_all(question.as_bytes()).and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.map_err(|error| Failure::system("cannot ask", error))?;
    Ok(answer.trim().to_owned())
}

/// What is known on this side of a request.
pub(super) struct Gathered {
    project: Project,
    reading: Reading,
    environment: std::collections::BTreeMap<String, String>,
}

impl Gathered {
    /// Opens the project and begins to read the owner's and the project's files.
    pub(super) fn begin(choice: &Choice) -> Result<Self, Failure> {
        let home = own_home();
        let own = || home.as_deref().map(layers::person_layer).transpose().map(Option::flatten);
        // A session that root starts belongs to the project's owner: whose file counts is known only when
        // the project is.
        let root = rustix::process::geteuid().is_root();
        let mut person = if root { None } else { own()? };
        let project = Project::open(choice.project.as_deref(), person.as_ref(), home.as_deref())?;
        if root && project.owner_uid == 0 {
            person = own()?;
        }
        let environment = environment();
        let reading =
            Reading::begin(&project, person, choice.profile.as_deref(), home.as_deref(), &environment)?;
        Ok(Self { project, reading, environment })
    }

    /// Waits for the files; the whole request.
    pub(super) fn finish(
        self,
        choice: &Choice,
        name: Option<String>,
    ) -> Result<(Project, StartRequest), Failure> {
        let files = self.reading.finish()?;
        // Of the caller, as everything of the environment: the supervisor has its own, and never asks it.
        let socket = self.environment.get(ssh::AGENT_VARIABLE).filter(|path| !path.is_empty()).cloned();
        let ssh = socket.map(|socket| Ssh { socket: Some(socket), known: files.known });
        let wanted = StartRequest {
            person: files.person,
            project_file: files.project_file,
            inspection: Some(files.inspection),
            options: request(choice, self.project.name.clone(), name),
            environment: self.environment,
            git_name: files.author.name,
            git_email: files.author.email,
            base_commit: git::head(&self.project.directory),
            ssh,
            ..StartRequest::default()
        };
        Ok((self.project, wanted))
    }
}

/// L0 must be asked for twice. The second time is `--yes-unconfined`, or a word that is typed.
fn agree_to_no_confinement(choice: &mut Choice) -> Result<(), Failure> {
    let asked = choice.posture.as_deref() == Some("L0");
    if !asked
        || choice.yes_unconfined
        || !terminal::is_terminal(io::stdin())
        || !terminal::is_terminal(io::stderr())
    {
        return Ok(());
    }
    let question = format!(
        "L0 confines nothing: the agent can do whatever you can, and is only recorded.\nType `{UNCONFINED}` to go on: "
    );
    if typed(&question)? != UNCONFINED {
        return Err(Failure::new("refused: L0 was not agreed to\nnothing was started"));
    }
    choice.yes_unconfined = true;
    Ok(())
}

/// A standard error that is a file or a pipe belongs to the agent alone.
fn streams_to_a_person() -> bool {
    terminal::is_terminal(io::stderr())
}

fn announce(answer: &StartAnswer) {
    note(&banner(answer));
    for warning in &answer.warnings {
        note(&format!("warning: {}", escape::message(warning)));
    }
}

/// A line each for the session, its network and its published ports, and one when there is something to add.
fn banner(answer: &StartAnswer) -> String {
    let profile = match answer.profile.as_str() {
        "" => "no profile".to_owned(),
        name => format!("profile {name}"),
    };
    let StartAnswer { id, posture, network, workspace, isolation, identity, project, agent, .. } = answer;
    let line = format!(
        "agentbox {id}: {agent} in {project} · {posture} ({isolation}, {identity} identity) · {profile} · workspace {workspace}"
    );
    let mut text = escape::name(&line);
    let network = reach(network, answer.allowed, answer.internal);
    text.push_str(&format!("\n  network {}", escape::name(&network)));
    text.push_str(&format!("\n  trifecta {}", escape::name(&legs::line(&answer.legs))));
    for port in &answer.published {
        text.push_str(&format!("\n  {}", published(port)));
    }
    if workspace == "overlay" {
        text.push_str(&format!(
            "\n  changes stay in a layer: agentboxctl diff {0}, apply {0}",
            escape::name(id)
        ));
    }
    if !answer.banner.is_empty() {
        text.push_str("\n  ");
        text.push_str(&escape::message(&answer.banner.join("; ")).replace('\n', " "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_ipc::PublishedPort;

    #[test]
    fn the_banner_has_a_line_for_each_thing_and_is_escaped() {
        let mut answer = StartAnswer {
            id: "abc".into(),
            project: "/p\n\x1b[2J".into(),
            network: "allowlist".into(),
            allowed: 14,
            ..StartAnswer::default()
        };
        let text = banner(&answer);
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            ["  network allowlist: 14 names", "  trifecta 0 of 3 legs"]
        );
        answer.published = vec![PublishedPort { host: 8080, inside: 3000 }];
        answer.banner = vec!["one\ntwo".into(), "three\u{202e}".into()];
        answer.network = "none\n\x1b".into();
        let text = banner(&answer);
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            [
                "  network none\\n\\x1b",
                "  trifecta 0 of 3 legs",
                "  http://127.0.0.1:8080 → 3000",
                "  one two; three\\u{202e}"
            ]
        );
        assert!(!text.contains(['\x1b', '\u{202e}']));
    }
}
