//! Many sessions: what the last one costs against the first, in time, memory and rules of the host.

use super::Measured;
use crate::demo::{Person, Place, Sessions};
use crate::lab::Lab;
use crate::program;
use anyhow::Result;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// As many as are wanted; fewer where the machine has no room.
const MOST: usize = 1000;
/// Sessions of one person: as many as the supervisor lets one person have.
const OF_ONE: usize = 64;
/// First and last sessions of which the median is taken.
const EDGE: usize = 20;
/// At how many sessions the memory is looked at.
const WEIGHED: usize = 100;
/// Memory that stays free, in kB.
const SPARE_KB: u64 = 1 << 20;

/// What came out.
#[derive(Debug)]
pub(super) struct Crowd {
    /// How many there were in the end, and why no more.
    pub(super) sessions: usize,
    pub(super) why_no_more: Option<String>,
    pub(super) first: Measured,
    pub(super) last: Measured,
    /// Proportional set size of gate and launcher, of one session of [`WEIGHED`], in kB; and at how many.
    pub(super) weight: Option<(usize, Weight)>,
    /// Rules of the host's table, and elements of its sets, with one session and with all.
    pub(super) ruleset: [Ruleset; 2],
}

/// Memory of a session, in kB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weight {
    pub(super) gate: f64,
    pub(super) launcher: f64,
}

/// The host's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ruleset {
    pub(super) rules: usize,
    pub(super) elements: usize,
}

pub(super) fn measure(lab: &Lab, place: &Place) -> Result<Crowd> {
    let mut persons = Vec::new();
    for number in 0..MOST.div_ceil(OF_ONE) {
        let mut person = Person::make(&format!("crowd{number}"), place)?;
        person.network = Some(lab.host.path());
        persons.push(person);
    }
    let all: Vec<Sessions> = persons.iter().map(|person| Sessions::new(place, person)).collect();
    let crowd = gather(lab, place, &all);
    // Before the persons go: they own these.
    let stopped = all.first().map_or(Ok(String::new()), |sessions| sessions.capture(&["stop", "--all"]));
    let crowd = crowd?;
    stopped?;
    Ok(crowd)
}

fn gather(lab: &Lab, place: &Place, all: &[Sessions]) -> Result<Crowd> {
    let mut times: Vec<Duration> = Vec::new();
    let (mut weight, mut with_one, mut why_no_more) = (None, None, None);
    while times.len() < MOST && why_no_more.is_none() {
        let Some(sessions) = all.get(times.len() / OF_ONE) else { break };
        let begun = Instant::now();
        match sessions.stay(&["--posture", "L2", "--network", "allowlist"]) {
            Ok(_) => times.push(begun.elapsed()),
            // What was said, without the command line and where it is.
            Err(error) => {
                why_no_more = format!("{error:#}").rsplit("agentboxctl: ").next().map(str::to_owned)
            }
        }
        match times.len() {
            1 if with_one.is_none() => with_one = Some(ruleset(lab)?),
            WEIGHED if weight.is_none() => weight = weigh(place, WEIGHED),
            _ => {}
        }
        if free_kb() < SPARE_KB {
            why_no_more = Some("the memory of this machine is full".to_owned());
        }
    }
    if weight.is_none() && !times.is_empty() {
        weight = weigh(place, times.len());
    }
    let with_all = ruleset(lab)?;
    let edge = EDGE.min(times.len());
    let row = |name: String, times: &[Duration]| Measured { name, times: Ok(times.to_vec()) };
    Ok(Crowd {
        sessions: times.len(),
        why_no_more,
        first: row(format!("sessions 1 to {edge}"), &times[..edge]),
        last: row(
            format!("sessions {} to {}", times.len() - edge + 1, times.len()),
            &times[times.len() - edge..],
        ),
        weight,
        ruleset: [with_one.unwrap_or(with_all), with_all],
    })
}

/// Processes that run a program of the place, as directories of /proc.
fn processes(place: &Place, name: &str) -> Vec<PathBuf> {
    let program = place.program(name);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| std::fs::read_link(path.join("exe")).is_ok_and(|exe| exe == program))
        .collect()
}

/// Time on processors of all processes of a program.
pub(super) fn processor_time(place: &Place, name: &str) -> Duration {
    let nanoseconds = |path: PathBuf| -> Option<u64> {
        // proc_pid_schedstat(5): the first number.
        std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(processes(place, name).into_iter().filter_map(nanoseconds).sum())
}

fn weigh(place: &Place, sessions: usize) -> Option<(usize, Weight)> {
    let of = |name: &str| -> Option<f64> {
        let all = processes(place, name);
        let kb: u64 = all
            .iter()
            .filter_map(|path| pss_kb(&std::fs::read_to_string(path.join("smaps_rollup")).ok()?))
            .sum();
        (!all.is_empty()).then_some(kb as f64 / sessions as f64)
    };
    Some((sessions, Weight { gate: of("agentbox-gate")?, launcher: of("agentbox-launch")? }))
}

fn pss_kb(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn free_kb() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u64::MAX)
}

fn ruleset(lab: &Lab) -> Result<Ruleset> {
    let mut nft = lab.host.command("nft");
    let listed = program::capture(nft.args(["--json", "list", "table", "inet", "agentbox"]))?;
    Ok(count(&serde_json::from_str(&listed)?))
}

fn count(listed: &serde_json::Value) -> Ruleset {
    let objects = || listed["nftables"].as_array().into_iter().flatten();
    let elements = objects().filter_map(|object| object["set"]["elem"].as_array()).map(Vec::len).sum();
    Ruleset { rules: objects().filter(|object| object.get("rule").is_some()).count(), elements }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_elements_are_counted() {
        let listed = serde_json::json!({ "nftables": [
            { "metainfo": {} }, { "table": {} }, { "chain": {} }, { "rule": {} }, { "rule": {} },
            { "set": { "name": "ab_grants4", "elem": [1, 2, 3] } }, { "set": { "name": "ab_grants6" } },
        ]});
        assert_eq!(count(&listed), Ruleset { rules: 2, elements: 3 });
    }

    #[test]
    fn the_share_of_a_process_is_read() {
        assert_eq!(pss_kb("55 [rollup]\nRss: 9 kB\nPss:       1234 kB\nPss_Dirty: 1 kB\n"), Some(1234));
        assert!(pss_kb(&std::fs::read_to_string("/proc/self/smaps_rollup").unwrap()).is_some());
        assert!(free_kb() < u64::MAX);
    }
}
