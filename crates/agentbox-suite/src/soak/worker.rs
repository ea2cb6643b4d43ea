//! Who acts: with sessions of its own, about which it knows what has to be so.

use super::{LIMIT, Soak, accident, act, network};
use crate::numbers::Numbers;
use crate::run::eventually;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

/// Most sessions of one worker.
const MOST: usize = 4;
/// How many of the last acts are told when something is wrong.
const REMEMBERED: usize = 40;

/// What a start says that met a file of the host's that was just replaced. Nothing of it is left.
const REPLACED: &str = "it was replaced while the session began; start again";

/// What a session was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but to run, without a network.
    Quiet,
    /// To reach hosts.
    Networked,
    /// To change an overlay of the project.
    Overlay,
    /// To be attached to.
    Terminal,
}

/// A session of a worker.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) frozen: bool,
    /// Supervisors and gates that had ended when it began: a count that is in memory goes with them.
    pub(super) ends: u64,
    pub(super) gates: u64,
    /// How often it was refused a host, and how often its rules were changed.
    pub(super) refused: u64,
    pub(super) changed: u32,
    /// How many of its own gates were killed: one too many within a minute ends it.
    pub(super) lost_gates: u32,
    /// Files that it wrote on its overlay.
    pub(super) written: Vec<String>,
}

/// Something to do, and how often it is done beside the others.
pub(super) type Act<'a> = (&'static str, usize, fn(&mut Worker<'a>) -> Result<()>);

/// One of those who act.
pub(super) struct Worker<'a> {
    pub(super) soak: &'a Soak<'a>,
    pub(super) numbers: Numbers,
    pub(super) ours: Vec<Ours>,
    number: usize,
    names: usize,
    said: VecDeque<String>,
    done: BTreeMap<&'static str, u64>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(soak: &'a Soak<'a>, number: usize, seed: u64) -> Self {
        let numbers = Numbers::new(seed.wrapping_mul(31).wrapping_add(number as u64));
        Self {
            soak,
            numbers,
            ours: Vec::new(),
            number,
            names: 0,
            said: VecDeque::new(),
            done: BTreeMap::new(),
        }
    }

    /// Acts until the time is over, then ends what is its own. How often it did what.
    pub(super) fn work(mut self) -> Result<BTreeMap<&'static str, u64>> {
        let acts: Vec<Act<'a>> = [act::acts(), network::acts(), accident::acts()].concat();
        let all: usize = acts.iter().map(|(_, weight, _)| weight).sum();
        while !self.soak.is_over() {
            let mut at = self.numbers.below(all);
            let chosen = acts.iter().find(|(_, weight, _)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            let Some((name, _, act)) = chosen else { continue };
            self.attempt(name, *act)?;
        }
        while !self.ours.is_empty() {
            self.attempt("stop at the end", Self::stop)?;
        }
        Ok(self.done)
    }

    fn attempt(&mut self, name: &'static str, act: fn(&mut Self) -> Result<()>) -> Result<()> {
        let before = self.soak.ends.load(Ordering::SeqCst);
        *self.done.entry(name).or_insert(0) += 1;
        self.say(format!("{name}, of {} sessions", self.ours.len()));
        let Err(error) = act(self) else { return Ok(()) };
        let text = format!("{error:#}");
        if text.contains(REPLACED) {
            // By whoever else is at work on this machine: a package, an account.
            *self.done.entry("started over").or_insert(0) += 1;
            return Ok(());
        }
        if self.soak.ends.load(Ordering::SeqCst) == before && before.is_multiple_of(2) {
            let said: Vec<&str> = self.said.iter().map(String::as_str).collect();
            return Err(error).with_context(|| format!("worker {}: {said:#?}", self.number));
        }
        // No supervisor was there for a moment: what was being done is done or is not, and nobody knows which.
        *self.done.entry("interrupted").or_insert(0) += 1;
        self.say(format!("interrupted: {text}"));
        self.begin_anew()
    }

    /// Ends all of its sessions, also those of which it was never told.
    fn begin_anew(&mut self) -> Result<()> {
        let ours = std::mem::take(&mut self.ours);
        ours.into_iter().for_each(|ours| self.soak.account().uncertain(&ours.id));
        let prefix = self.prefix();
        let mut last = String::new();
        let ended = eventually("all of a worker's sessions have ended", LIMIT, || {
            Ok(self.end_all(&prefix).map_err(|error| last = format!("{error:#}")).ok())
        });
        ended.with_context(|| last)
    }

    fn end_all(&self, prefix: &str) -> Result<()> {
        let guest = self.soak.guest;
        for set in guest.ctl(&["list", "--all", "--json"])?.json()?.as_array().into_iter().flatten() {
            let of = |field: &str| set[field].as_str().unwrap_or_default();
            if !of("name").starts_with(prefix) {
                continue;
            }
            self.soak.account().uncertain(of("id"));
            let stopped = guest.ctl(&["stop", of("id"), "--timeout", "1s"])?;
            // It may have ended by itself, and its layer stays until it is thrown away.
            ensure!(
                stopped.status == 0 || stopped.error_text().contains("no session"),
                "{}: {stopped:?}",
                of("id")
            );
            if crate::overlay::layers(guest)?.iter().any(|id| id == of("id")) {
                guest.ctl(&["discard", of("id"), "--yes"])?.success()?;
            }
        }
        Ok(())
    }

    pub(super) fn say(&mut self, what: String) {
        if self.said.len() == REMEMBERED {
            self.said.pop_front();
        }
        self.said.push_back(format!("{:.3} {what}", self.soak.begun.elapsed().as_secs_f64()));
    }

    fn prefix(&self) -> String {
        format!("soak-{}-", self.number)
    }

    /// A name for a session or a file, never used before.
    pub(super) fn name(&mut self) -> String {
        self.names += 1;
        format!("{}{}", self.prefix(), self.names)
    }

    pub(super) fn is_full(&self) -> bool {
        self.ours.len() >= MOST
    }

    /// One of its sessions that can be used so, by its place.
    pub(super) fn choose(&mut self, fits: impl Fn(&Ours) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.ours.len()).filter(|at| fits(&self.ours[*at])).collect();
        if fitting.is_empty() { None } else { Some(*self.numbers.one(&fitting)) }
    }

    /// What the trail has to tell of one of its sessions once more.
    pub(super) fn told(&self, at: usize, event: &'static str, detail: &str) {
        self.soak.account().once(&self.ours[at].id, event, detail);
    }
}
