//! Everything that persons, agents and accidents do to sessions, at random from a seed, for as long as one likes.
//!
//! Two workers act at the same time, each on sessions of its own, and after each act look whether what has to be so is so.
//! In the first half of the time supervisors are ended, too; the one of the second half has its memory compared. The same
//! seed has the same acts in the same order; which of two workers comes first is the machine's.
//!
//! | file | holds |
//! |---|---|
//! | `worker` | who acts, and what is done when a supervisor ended in the middle of it |
//! | `act` | what a person does |
//! | `network` | what a person and an agent do with the network |
//! | `accident` | what dies, and what others do to the host |
//! | `account` | what the trail has to tell of all that |

mod accident;
mod account;
mod act;
mod network;
mod worker;

use crate::holding::Holding;
use crate::lab::Guest;
use crate::overlay::{layers, review};
use crate::run::eventually;
use account::Account;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use worker::Worker;

/// Longest that anything may take that has to come to be.
const LIMIT: Duration = Duration::from_secs(90);
const WORKERS: usize = 2;
/// What memory may grow by, at any length: caches and the allocator's own.
const MAX_GROWTH_KIB: u64 = 12 << 10;
/// A session that was taken over may hold these more than one that was started.
const MAX_MORE_DESCRIPTORS: usize = 4;
/// Never allowed to any session, so nobody may ever hear of it.
const REFUSED: &str = "refused.example.com";

/// A run.
#[derive(Debug)]
pub struct Soak<'a> {
    guest: &'a Guest<'a>,
    begun: Instant,
    time: Duration,
    /// Of every supervisor that ended: one more when it is about to, one more when the next answers.
    ends: AtomicU64,
    ending: Mutex<()>,
    /// Gates that were killed.
    gates: AtomicU64,
    account: Mutex<Account>,
}

/// What was done, and what the supervisor of the second half held.
#[derive(Debug)]
pub struct Told {
    /// How often each act.
    pub acts: BTreeMap<&'static str, u64>,
    /// With the first session, before all others.
    pub first: Holding,
    /// After a quarter of its own time.
    pub before: Holding,
    /// At the end, all sessions of the run being gone.
    pub after: Holding,
    /// Lines of the trail.
    pub lines: usize,
}

impl<'a> Soak<'a> {
    /// Acts on this machine for so long.
    ///
    /// # Errors
    /// When something is not as it has to be.
    pub fn run(guest: &'a Guest<'a>, seed: u64, time: Duration) -> Result<Told> {
        // With it an embedded supervisor ends only when it is ended.
        let kept = guest.detached("L2", &["sleep", "infinity"])?;
        let first = guest.supervisor()?;
        let soak = Self {
            guest,
            begun: Instant::now(),
            time,
            ends: AtomicU64::new(0),
            ending: Mutex::new(()),
            gates: AtomicU64::new(0),
            account: Mutex::default(),
        };
        let (acts, before) = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|number| {
                    let soak = &soak;
                    scope.spawn(move || Worker::new(soak, number, seed).work())
                })
                .collect();
            let early = eventually("a quarter of the second half has passed", time + LIMIT, || {
                let ended = workers.iter().any(std::thread::ScopedJoinHandle::is_finished);
                Ok((ended || soak.begun.elapsed() >= time * 5 / 8).then_some(()))
            });
            let before = early.and_then(|()| guest.supervisor());
            let mut acts = BTreeMap::new();
            for worker in workers {
                let done = worker.join().map_err(|_panic| anyhow::anyhow!("a worker panicked"))??;
                for (act, count) in done {
                    *acts.entry(act).or_insert(0) += count;
                }
            }
            anyhow::Ok((acts, before?))
        })?;
        let after = soak.held_at_the_end(&kept.id, first, before)?;
        kept.stop()?;
        guest.ends_without_leftovers()?;
        if let Some(id) = layers(guest)?.first() {
            let (told, changed) = (guest.ctl(&["log", id])?.text(), review(guest, "diff", id, &["--stat"])?);
            bail!("the layer of {id} is left, with {changed:?}: {told}");
        }
        let lines = soak.trail_is_complete()?;
        soak.nothing_got_out()?;
        Ok(Told { acts, first, before, after, lines })
    }

    /// What the supervisor holds when only the session is left that began before all others.
    fn held_at_the_end(&self, kept: &str, first: Holding, before: Holding) -> Result<Holding> {
        let ids = self.guest.session_ids()?;
        ensure!(ids == [kept], "these are left: {ids:?}");
        let mut last = first;
        // Clients that are just going have connections.
        let closed = eventually("as few descriptors are open as in the beginning", LIMIT, || {
            last = self.guest.supervisor()?;
            Ok((last.descriptors <= first.descriptors + MAX_MORE_DESCRIPTORS).then_some(()))
        });
        closed.with_context(|| format!("{first:?}, then {last:?}"))?;
        ensure!(last.pid == before.pid, "the supervisor is another one: {before:?}, {last:?}");
        ensure!(last.memory_kib < before.memory_kib + MAX_GROWTH_KIB, "{before:?}, then {last:?}");
        Ok(last)
    }

    /// The chain is whole, and tells of everything once.
    fn trail_is_complete(&self) -> Result<usize> {
        self.guest.ctl(&["log", "--verify"])?.success()?;
        self.guest.wait_until_supervisor_ended()?;
        let said = fs::read_to_string(self.guest.logs().join("agentboxd.log"))?;
        ensure!(!said.contains("panicked"), "{said}");
        let text = fs::read_to_string(self.guest.logs().join("audit.jsonl"))?;
        let lines: Vec<serde_json::Value> =
            text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("the trail")?;
        let wrong = self.account().compare(&lines);
        if !wrong.is_empty() {
            bail!("the trail: {wrong:#?}");
        }
        Ok(lines.len())
    }

    fn nothing_got_out(&self) -> Result<()> {
        let lab = self.guest.lab();
        ensure!(!lab.wan().heard_of(REFUSED), "somebody reached {REFUSED}");
        ensure!(lab.wan().heard_of(network::ALLOWED), "nobody reached {}", network::ALLOWED);
        ensure!(lab.lan().packets()?.is_empty(), "lan: {:?}", lab.lan().packets()?);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.time
    }

    /// Whether supervisors may still be ended.
    fn is_first_half(&self) -> bool {
        self.begun.elapsed() < self.time / 2
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
