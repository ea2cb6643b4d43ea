//! Interleaved rounds: everybody once, then everybody again, so that what disturbs the machine for a
//! while disturbs all alike.

use anyhow::Result;
use std::time::Duration;

/// One who is measured.
pub(super) struct Runner<'a> {
    pub(super) name: String,
    /// Runs once and says how long it took; preparing and cleaning up are not part of it.
    pub(super) once: Box<dyn FnMut() -> Result<Duration> + 'a>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) times: Result<Vec<Duration>, String>,
}

impl Measured {
    /// Who could not be measured, and why.
    pub(super) fn not(name: &str, why: impl Into<String>) -> Self {
        Self { name: name.to_owned(), times: Err(why.into()) }
    }

    /// The value at this part of the sorted times, in milliseconds.
    fn at(&self, percent: usize) -> Option<f64> {
        let mut times = self.times.as_ref().ok()?.clone();
        times.sort_unstable();
        let index = times.len().saturating_sub(1) * percent / 100;
        times.get(index).map(|time| time.as_secs_f64() * 1000.0)
    }

    /// The median over the rounds of another's time divided by this one's in the same round: what a disk
    /// does to everybody in one round and not in the next drops out.
    pub(super) fn speed_against(&self, other: &Self) -> Option<f64> {
        let pairs = self.times.as_ref().ok()?.iter().zip(other.times.as_ref().ok()?);
        let mut ratios: Vec<f64> =
            pairs.map(|(mine, others)| others.as_secs_f64() / mine.as_secs_f64()).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }

    pub(super) fn median_ms(&self) -> Option<f64> {
        self.at(50)
    }

    pub(super) fn p95_ms(&self) -> Option<f64> {
        self.at(95)
    }
}

/// Runs them `rounds` times. Who fails once is left out from then on, with the reason.
pub(super) fn interleaved(mut runners: Vec<Runner<'_>>, rounds: usize) -> Vec<Measured> {
    let mut all: Vec<Measured> =
        runners.iter().map(|runner| Measured { name: runner.name.clone(), times: Ok(Vec::new()) }).collect();
    // One more than asked for: the first warms caches and is not counted.
    for round in 0..=rounds {
        for (runner, measured) in runners.iter_mut().zip(&mut all) {
            let Ok(times) = &mut measured.times else { continue };
            match (runner.once)() {
                Ok(time) if round > 0 => times.push(time),
                Ok(_) => {}
                Err(error) => {
                    eprintln!("{}: {error:#}", runner.name);
                    measured.times = Err(format!("{error:#}"));
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn rounds_are_interleaved_and_a_failure_has_its_reason() {
        let order = RefCell::new(String::new());
        let runner = |name: &str, fails_in_round: usize| {
            let (name, order, mut round) = (name.to_owned(), &order, 0);
            let letter = name.clone();
            let once = move || {
                round += 1;
                order.borrow_mut().push_str(&letter);
                anyhow::ensure!(round != fails_in_round, "no");
                Ok(Duration::from_millis(round as u64))
            };
            Runner { name, once: Box::new(once) }
        };
        let measured = interleaved(vec![runner("a", 0), runner("b", 2)], 3);
        assert_eq!(*order.borrow(), "ababaa");
        assert_eq!(measured[0].median_ms(), Some(3.0));
        assert_eq!(measured[1], Measured::not("b", "no"));
        assert_eq!(measured[1].median_ms(), None);
    }
}
