//! Answers for names: how long one takes, and how many a core gives.

use super::client::times;
use super::service::{FORWARDER, NAME};
use super::{Measured, Sides};
use crate::demo::Place;
use agentbox_plan::gate::DNS_V4;
use anyhow::{Context as _, Result};
use std::time::Duration;

/// Questions of a turn.
const QUESTIONS: u32 = 2000;
const FLOOD: u32 = 50_000;

/// What came out.
#[derive(Debug)]
pub(super) struct Names {
    /// A question, one after the other.
    pub(super) one: Vec<Measured>,
    /// Questions in a second, many on their way at once: forwarder, gate.
    pub(super) flood: [f64; 2],
    /// Questions in a second of the gate's own time on a processor.
    pub(super) per_core: Option<f64>,
}

pub(super) fn measure(sides: &Sides, place: &Place, rounds: usize) -> Result<Names> {
    let gate = format!("{DNS_V4}:53");
    let forwarder = FORWARDER.to_string();
    let ask = |inside: bool, how: &str, count: u32| {
        let resolver = if inside { &gate } else { &forwarder };
        times(&sides.measure(inside, &[how, resolver, NAME, &count.to_string()])?)
    };
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=rounds.div_ceil(4) {
        for (inside, all) in [(false, &mut bare), (true, &mut ours)] {
            let times = ask(inside, "ask", QUESTIONS)?;
            if round > 0 {
                all.extend(times);
            }
        }
    }
    let rate = |times: Vec<Duration>| -> Result<f64> {
        let took = times.first().context("the client said nothing")?;
        Ok(f64::from(FLOOD) / took.as_secs_f64())
    };
    let bare_rate = rate(ask(false, "flood", FLOOD)?)?;
    let before = super::crowd::processor_time(place, "agentbox-gate");
    let gate_rate = rate(ask(true, "flood", FLOOD)?)?;
    let spent = super::crowd::processor_time(place, "agentbox-gate").saturating_sub(before);
    let row = |name: &str, times| Measured { name: name.to_owned(), times: Ok(times) };
    Ok(Names {
        one: vec![row("bare forwarder on the host", bare), row("gate, a name that is allowed", ours)],
        flood: [bare_rate, gate_rate],
        per_core: (!spent.is_zero()).then(|| f64::from(FLOOD) / spent.as_secs_f64()),
    })
}
