//! What dies, and what others do to the host.

use super::LIMIT;
use super::worker::{Act, Kind, Ours, Worker};
use crate::leftovers::is_gone;
use crate::run::eventually;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// A session whose gate is lost once more within a minute is stopped.
const MAX_LOST_GATES: u32 = 5;

pub(super) fn acts<'a>() -> Vec<Act<'a>> {
    vec![
        ("kill an agent", 3, Worker::kill_agent),
        ("kill a launcher", 2, Worker::kill_launcher),
        ("kill a gate", 3, Worker::kill_gate),
        ("kill the supervisor", 2, Worker::kill_supervisor),
        ("replace the supervisor", 2, Worker::replace_supervisor),
        ("flush the ruleset", 4, Worker::flush),
    ]
}

fn kill(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).context("no process id")?;
    Ok(kill_process(pid, signal)?)
}

impl<'a> Worker<'a> {
    /// A number in the status of a session.
    fn number_of(&self, at: usize, pointer: &str) -> Result<u32> {
        let status = self.soak.guest.ctl(&["status", &self.ours[at].id, "--json"])?.json()?;
        let number = status.pointer(pointer).and_then(serde_json::Value::as_u64);
        Ok(number.with_context(|| format!("{pointer}: {status}"))?.try_into()?)
    }

    fn kill_of(&mut self, at: usize, pid: u32) -> Result<()> {
        self.say(format!("kill {pid} of {:?}", self.ours[at]));
        kill(pid, Signal::KILL)
    }

    /// A session ends whose process was killed.
    fn ends(&mut self, at: usize) -> Result<()> {
        let (guest, id) = (self.soak.guest, self.ours[at].id.clone());
        eventually("a session is gone whose process was killed", LIMIT, || {
            Ok((!guest.session_ids()?.contains(&id)).then_some(()))
        })?;
        self.has_ended(at)
    }

    fn kill_agent(&mut self) -> Result<()> {
        let Some(at) = self.choose(|ours| ours.kind != Kind::Terminal) else { return Ok(()) };
        let agent = self.number_of(at, "/agent_pid")?;
        self.kill_of(at, agent)?;
        if self.ours[at].frozen {
            // The first process of the session would notice, and stands still as well.
            self.thaw(at)?;
        }
        self.ends(at)
    }

    fn kill_launcher(&mut self) -> Result<()> {
        let Some(at) = self.choose(|_| true) else { return Ok(()) };
        let init = self.number_of(at, "/init_pid")?;
        let status = fs::read_to_string(format!("/proc/{init}/status"))?;
        let outer = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
        self.kill_of(at, outer.trim().parse()?)?;
        self.ends(at)
    }

    /// Another gate takes the place of one that is killed.
    fn kill_gate(&mut self) -> Result<()> {
        let may_lose_one = |ours: &Ours| ours.kind == Kind::Networked && ours.lost_gates < MAX_LOST_GATES;
        let Some(at) = self.choose(may_lose_one) else { return Ok(()) };
        self.ours[at].lost_gates += 1;
        let gate = self.number_of(at, "/network/gate_pid")?;
        self.soak.gates.fetch_add(1, Ordering::SeqCst);
        kill(gate, Signal::KILL)?;
        eventually("another gate is there", LIMIT, || {
            let now = self.number_of(at, "/network/gate_pid")?;
            Ok((now != gate && now != 0).then_some(()))
        })
    }

    fn kill_supervisor(&mut self) -> Result<()> {
        self.end_supervisor(Signal::KILL)
    }

    /// One that is told to end; the next reads what the configuration says now.
    fn replace_supervisor(&mut self) -> Result<()> {
        let note = format!("# {}\n", self.name());
        let soak = self.soak;
        if !soak.is_first_half() {
            return Ok(());
        }
        soak.guest.configure_more(&note)?;
        self.end_supervisor(Signal::TERM)
    }

    fn end_supervisor(&mut self, signal: Signal) -> Result<()> {
        let soak = self.soak;
        let _alone = soak.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if !soak.is_first_half() {
            return Ok(());
        }
        let pid = soak.guest.supervisor_pid()?;
        self.say(format!("{signal:?} to supervisor {pid}"));
        soak.ends.fetch_add(1, Ordering::SeqCst);
        kill(pid, signal)?;
        eventually("the supervisor is gone", LIMIT, || Ok(is_gone(pid).then_some(())))?;
        eventually("another supervisor answers", LIMIT, || Ok(soak.guest.session_ids().ok()))?;
        soak.ends.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let host = self.soak.guest.lab().host().space();
        host.nft("flush ruleset")?;
        if self.ours.iter().all(|ours| ours.kind != Kind::Networked) {
            return Ok(());
        }
        eventually("the host's table is there again", LIMIT, || {
            Ok(host.nft_list(&["tables"])?.to_string().contains("agentbox_").then_some(()))
        })
    }
}
