//! What a person does with sessions.

use super::LIMIT;
use super::worker::{Act, Kind, Ours, Worker};
use crate::overlay::{changes, layers, review};
use crate::run::{Running, eventually};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Leaves a session (Ctrl-] twice).
const LEAVE: &str = "\u{1d}\u{1d}";

pub(super) fn acts<'a>() -> Vec<Act<'a>> {
    vec![
        ("start", 4, Worker::start_quiet),
        ("start on a network", 5, Worker::start_networked),
        ("start on an overlay", 4, Worker::start_overlay),
        ("start on a terminal", 3, Worker::start_on_terminal),
        ("run to its end", 4, Worker::run_to_end),
        ("client dies", 3, Worker::client_dies),
        ("stop", 5, Worker::stop),
        ("exec", 8, Worker::exec),
        ("attach and leave", 5, Worker::attach),
        ("write on the overlay", 6, Worker::write),
        ("look", 8, Worker::look),
        ("freeze or thaw", 4, Worker::freeze),
    ]
}

impl<'a> Worker<'a> {
    fn start_quiet(&mut self) -> Result<()> {
        self.start(Kind::Quiet, &["--network", "none"])
    }

    fn start_overlay(&mut self) -> Result<()> {
        self.start(Kind::Overlay, &["--network", "none", "--workspace", "overlay"])
    }

    /// Starts a session that only waits.
    pub(super) fn start(&mut self, kind: Kind, options: &[&str]) -> Result<()> {
        if self.is_full() {
            return self.stop();
        }
        let (name, ends, gates) = (self.name(), self.supervisors(), self.gates());
        let options = [&["--name", &name], options].concat();
        let session = self.soak.guest.detached_with("L2", &options, &["sleep", "infinity"])?;
        self.started(session.id.clone(), kind, ends, gates);
        Ok(())
    }

    fn started(&mut self, id: String, kind: Kind, ends: u64, gates: u64) {
        for event in ["start", "running", "ended"] {
            self.soak.account().once(&id, event, "");
        }
        self.say(format!("{id} is {kind:?}"));
        self.ours.push(Ours {
            id,
            kind,
            frozen: false,
            ends,
            gates,
            refused: 0,
            changed: 0,
            lost_gates: 0,
            written: Vec::new(),
        });
    }

    pub(super) fn supervisors(&self) -> u64 {
        self.soak.ends.load(Ordering::SeqCst)
    }

    fn start_on_terminal(&mut self) -> Result<()> {
        if self.is_full() {
            return self.stop();
        }
        let (name, ends, gates) = (self.name(), self.supervisors(), self.gates());
        let guest = self.soak.guest;
        // Quotes keep the terminal's echo apart from the answer.
        let script = ["sh", "-c", "echo rea''dy; while read line; do echo \"got $line\"; done"];
        let options = ["--name", &name, "--network", "none"];
        let mut terminal = guest.terminal(&guest.start_arguments("L2", &options, &script), 24, 80)?;
        terminal.wait_for("ready", LIMIT)?;
        terminal.send(LEAVE)?;
        ensure!(terminal.finish(LIMIT)? == 0, "{}", terminal.seen_text());
        let listed = guest.ctl(&["list", "--json"])?.json()?;
        let found = listed.as_array().into_iter().flatten().find(|one| one["name"] == name.as_str());
        let id = found.and_then(|one| one["id"].as_str()).with_context(|| format!("{name} is not listed"))?;
        self.started(id.to_owned(), Kind::Terminal, ends, gates);
        Ok(())
    }

    /// A session that ends by itself, with the status of its agent.
    fn run_to_end(&mut self) -> Result<()> {
        let status = self.numbers.below(120).to_string();
        let ended = self.soak.guest.inside("L2", &["sh", "-c", "read word; echo $word; exit $0", &status]);
        let ended = ended?;
        ensure!(ended.status.to_string() == status && ended.text() == "\n", "{status}: {ended:?}");
        Ok(())
    }

    /// A client that is killed at any moment of a start takes its session along.
    fn client_dies(&mut self) -> Result<()> {
        let (name, guest) = (self.name(), self.soak.guest);
        let arguments =
            guest.start_arguments("L2", &["--name", &name, "--network", "none"], &["sleep", "infinity"]);
        let running = Running::start(&mut guest.command(&arguments))?;
        // The moment is what is varied: nothing announces it.
        std::thread::sleep(Duration::from_millis(self.numbers.below(60) as u64));
        running.signal(Signal::KILL)?;
        drop(running);
        eventually("the session of a dead client is gone", LIMIT, || {
            let listed = guest.ctl(&["list", "--json"])?.json()?;
            let mut listed = listed.as_array().into_iter().flatten();
            Ok((!listed.any(|one| one["name"] == name.as_str())).then_some(()))
        })
    }

    /// Ends one of its sessions; what it wrote on an overlay is taken or thrown away.
    pub(super) fn stop(&mut self) -> Result<()> {
        let Some(at) = self.choose(|_| true) else { return Ok(()) };
        let timeout = *self.numbers.one(&["0s", "50ms", "2s"]);
        self.told(at, "stop", "");
        let id = self.ours[at].id.clone();
        self.say(format!("stop {id} within {timeout}"));
        self.soak.guest.ctl(&["stop", &id, "--timeout", timeout])?.success()?;
        self.has_ended(at)
    }

    /// What has to be so when nothing of a session runs any more.
    pub(super) fn has_ended(&mut self, at: usize) -> Result<()> {
        let guest = self.soak.guest;
        let id = self.ours[at].id.clone();
        let counts = (self.ours[at].ends, self.ours[at].gates) == (self.supervisors(), self.gates());
        self.soak.account().refused(&id, self.ours[at].refused, counts);
        ensure!(!guest.session_ids()?.contains(&id), "{id} is listed");
        if self.ours[at].kind == Kind::Overlay {
            self.review(at)?;
        }
        self.ours.swap_remove(at);
        Ok(())
    }

    fn review(&mut self, at: usize) -> Result<()> {
        let guest = self.soak.guest;
        let id = self.ours[at].id.clone();
        let written = self.ours[at].written.clone();
        if written.is_empty() {
            return eventually("the layer that nothing was written to is gone", LIMIT, || {
                Ok((!layers(guest)?.contains(&id)).then_some(()))
            });
        }
        let found = changes(guest, &id)?;
        ensure!(
            written.iter().all(|name| found.get(name).is_some_and(|what| what == "added")),
            "{found:?}, not {written:?}"
        );
        let project = guest.project();
        ensure!(
            written.iter().all(|name| !project.join(name).exists()),
            "it reached the project: {written:?}"
        );
        if self.numbers.below(2) == 0 {
            self.told(at, "applied", "");
            review(guest, "apply", &id, &["--all"])?.success()?;
            for name in &written {
                ensure!(fs::read_to_string(project.join(name))? == format!("{name}\n"), "{name}");
                fs::remove_file(project.join(name))?;
            }
        }
        self.told(at, "discarded", "");
        review(guest, "discard", &id, &["--yes"])?.success()?;
        ensure!(!layers(guest)?.contains(&id), "the layer of {id} is there");
        Ok(())
    }

    /// Runs a program beside an agent.
    pub(super) fn beside(&mut self, at: usize, command: &[&str]) -> Result<String> {
        self.told(at, "exec", "");
        let id = self.ours[at].id.clone();
        let mut arguments = vec!["exec", &id, "--"];
        arguments.extend(command);
        Ok(self.soak.guest.ctl(&arguments)?.success()?.text())
    }

    fn exec(&mut self) -> Result<()> {
        let Some(at) = self.choose(|ours| !ours.frozen) else { return self.start_quiet() };
        let said = self.numbers.next().to_string();
        let text = self.beside(at, &["sh", "-c", "echo $0; test $$ -gt 1", &said])?;
        ensure!(text.trim() == said, "{text:?}, not {said:?}");
        Ok(())
    }

    /// Attaches to a session, says something to it, and leaves: as a person does, or by closing the window.
    fn attach(&mut self) -> Result<()> {
        let Some(at) = self.choose(|ours| ours.kind == Kind::Terminal && !ours.frozen) else {
            return self.start_on_terminal();
        };
        let word = format!("w{}", self.numbers.below(1 << 30));
        self.told(at, "attached", "");
        let mut terminal = self.soak.guest.terminal(&["attach", &self.ours[at].id], 30, 100)?;
        terminal.send(&format!("{word}\r"))?;
        terminal.wait_for(&format!("got {word}"), LIMIT)?;
        if self.numbers.below(3) == 0 {
            return Ok(());
        }
        terminal.send(LEAVE)?;
        ensure!(terminal.finish(LIMIT)? == 0 && terminal.is_cooked()?, "{}", terminal.seen_text());
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let Some(at) = self.choose(|ours| ours.kind == Kind::Overlay && !ours.frozen) else {
            return self.start_overlay();
        };
        let name = self.name();
        // Known before it is done: it may be done and not answered.
        self.ours[at].written.push(name.clone());
        self.beside(at, &["sh", "-c", "echo $0 > $0", &name]).map(drop)
    }

    /// Asks what there is to be asked of a session.
    fn look(&mut self) -> Result<()> {
        let Some(at) = self.choose(|_| true) else { return self.start_quiet() };
        let (id, frozen, kind) = (self.ours[at].id.clone(), self.ours[at].frozen, self.ours[at].kind);
        let guest = self.soak.guest;
        match self.numbers.below(4) {
            0 => {
                let status = guest.ctl(&["status", &id, "--json"])?.json()?;
                let wanted = if frozen { "frozen" } else { "running" };
                ensure!(status["summary"]["state"] == wanted, "not {wanted}: {status}");
                ensure!(status["posture_diff"].as_array().is_some_and(Vec::is_empty), "{status}");
            }
            1 => {
                let ids = guest.session_ids()?;
                ensure!(self.ours.iter().all(|ours| ids.contains(&ours.id)), "{:?}: {ids:?}", self.ours);
            }
            2 => {
                let log = guest.ctl(&["log", &id, "--json"])?.success()?.text();
                ensure!(log.contains("\"running\"") && !log.contains("\"ended\""), "{log}");
            }
            _ if kind == Kind::Networked => {
                let why = guest.ctl(&["why", &id, super::REFUSED, "--json"])?.json()?;
                ensure!(why["allowed"] == false, "{why}");
            }
            _ => guest.ctl(&["explain", ".", "--json"])?.success().map(drop)?,
        }
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        let Some(at) = self.choose(|_| true) else { return self.start_quiet() };
        if self.ours[at].frozen {
            return self.thaw(at);
        }
        self.told(at, "frozen", "");
        self.say(format!("freeze {}", self.ours[at].id));
        self.soak.guest.ctl(&["freeze", &self.ours[at].id])?.success()?;
        self.ours[at].frozen = true;
        Ok(())
    }

    pub(super) fn thaw(&mut self, at: usize) -> Result<()> {
        self.told(at, "thawed", "");
        self.say(format!("thaw {}", self.ours[at].id));
        self.soak.guest.ctl(&["thaw", &self.ours[at].id])?.success()?;
        self.ours[at].frozen = false;
        Ok(())
    }
}
