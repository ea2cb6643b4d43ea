//! What a person and an agent do with the network of a session.

use super::worker::{Act, Kind, Worker};
use super::{LIMIT, REFUSED};
use crate::run::eventually;
use anyhow::{Context, Result, ensure};
use std::sync::atomic::Ordering;

/// Allowed to every session with a network.
pub(super) const ALLOWED: &str = "work.example.com";
/// Most rules that are added to one session.
const MOST_RULES: u32 = 12;

pub(super) fn acts<'a>() -> Vec<Act<'a>> {
    vec![
        ("allow", 5, Worker::allow),
        ("deny", 3, Worker::deny),
        ("reach what is allowed", 6, Worker::reach),
        ("try what is refused", 6, Worker::try_refused),
    ]
}

impl<'a> Worker<'a> {
    pub(super) fn gates(&self) -> u64 {
        self.soak.gates.load(Ordering::SeqCst)
    }

    pub(super) fn start_networked(&mut self) -> Result<()> {
        self.start(Kind::Networked, &["--network", "allowlist", "--allow", ALLOWED])
    }

    /// A connection of the session's agent: what came of it.
    fn connect(&mut self, at: usize, host: &str, port: &str) -> Result<String> {
        let guest = self.soak.guest;
        let client = guest.project().join(".planted-client.py").display().to_string();
        let script = guest.script("exec timeout 60 \"$@\"");
        let command = ["sh", "-c", &script, "sh", "/usr/bin/python3", &client, "attempt", host, port];
        let said: serde_json::Value = serde_json::from_str(&self.beside(at, &command)?)?;
        Ok(said["outcome"].as_str().context("no outcome")?.to_owned())
    }

    /// It has to come to be: a flush of the ruleset, or a gate that is just replaced, costs connections of that moment.
    fn reaches(&mut self, at: usize, host: &str) -> Result<()> {
        let mut last = String::new();
        eventually("a session reaches what it may", LIMIT, || {
            last = self.connect(at, host, "443")?;
            Ok((last == "server hello").then_some(()))
        })
        .with_context(|| format!("{host}: {last}"))
    }

    fn networked(&mut self) -> Option<usize> {
        self.choose(|ours| ours.kind == Kind::Networked && !ours.frozen && ours.changed < MOST_RULES)
    }

    fn reach(&mut self) -> Result<()> {
        let Some(at) = self.networked() else { return self.start_networked() };
        self.reaches(at, ALLOWED)
    }

    fn try_refused(&mut self) -> Result<()> {
        let Some(at) = self.networked() else { return self.start_networked() };
        self.ours[at].refused += 1;
        let gates = self.gates();
        let outcome = self.connect(at, REFUSED, "80")?;
        // A gate that just ended says nothing at all.
        let is_told = outcome == "403 Forbidden";
        ensure!(is_told || outcome != "200 OK" && self.gates() != gates, "{outcome}");
        Ok(())
    }

    /// Changes the rules of a session, with a name of its own so that the trail can be asked for it.
    fn change(&mut self, at: usize, verb: &str, host: &str) -> Result<()> {
        self.ours[at].changed += 1;
        self.told(at, "rule-added", &format!("{verb} {host}"));
        self.soak.guest.ctl(&[verb, &self.ours[at].id, host])?.success().map(drop)
    }

    fn allow(&mut self) -> Result<()> {
        let Some(at) = self.networked() else { return self.start_networked() };
        let name = format!("{}.example.org", self.name());
        self.soak.guest.lab().dns().address(&name, &["9.0.0.2"]);
        let outcome = self.connect(at, &name, "443")?;
        ensure!(outcome != "server hello", "{name}, before it was allowed");
        self.change(at, "allow", &format!("{name}:443"))?;
        self.reaches(at, &name)?;
        if self.numbers.below(2) == 0 {
            self.change(at, "deny", &name)?;
            let outcome = self.connect(at, &name, "443")?;
            ensure!(outcome != "server hello", "{name}, after it was denied");
        }
        Ok(())
    }

    fn deny(&mut self) -> Result<()> {
        let Some(at) = self.networked() else { return self.start_networked() };
        let name = format!("{}.example.org", self.name());
        self.change(at, "deny", &name)
    }
}
