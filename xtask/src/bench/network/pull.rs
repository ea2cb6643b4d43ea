//! Throughput: curl takes zeros over HTTP, direct, through the gate, and through another sandbox's proxy.

use super::service::{ADDRESS, NAME};
use super::{Measured, Sides};
use crate::demo::{Person, Place};
use crate::lab::RESOLVER;
use anyhow::{Context as _, Result};
use std::process::Command;
use std::time::Duration;

/// Bytes of a turn, over all streams together.
const BYTES: u64 = 1 << 30;
const STREAMS: [u64; 3] = [1, 2, 4];
/// Turns are long.
const MOST_ROUNDS: usize = 7;

/// Prints the microseconds of one turn: arguments are what stands before the number of bytes, their number
/// in each stream, and how many streams.
const SCRIPT: &str = r#"
set -eu
urls=()
for ((i = 0; i < $3; i++)); do urls+=(--output /dev/null "$1$2"); done
begun=$EPOCHREALTIME
curl --silent --show-error --fail --parallel --parallel-immediate "${urls[@]}"
ended=$EPOCHREALTIME
echo $((${ended/[.,]/} - ${begun/[.,]/}))
"#;

/// What came out for one number of streams.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) streams: u64,
    pub(super) direct: Measured,
    pub(super) gate: Measured,
    pub(super) peer: Measured,
}

impl Pull {
    /// MiB in a second, at the median.
    pub(super) fn rate(measured: &Measured) -> Option<f64> {
        measured.median_ms().map(|ms| (BYTES >> 20) as f64 * 1000.0 / ms)
    }
}

pub(super) fn measure(sides: &Sides, place: &Place, person: &Person, rounds: usize) -> Result<Vec<Pull>> {
    let script = place.shared().join("pull.sh");
    std::fs::write(&script, SCRIPT)?;
    let peer = peer(place, person);
    let mut pulls = Vec::new();
    for streams in STREAMS {
        let address = ADDRESS.to_string();
        let arguments = |host: &str| {
            let (url, bytes) = (format!("http://{host}/"), (BYTES / streams).to_string());
            [script.display().to_string(), url, bytes, streams.to_string()]
        };
        let direct = || sides.command(false, "bash").args(arguments(&address)).output();
        let gate = || sides.command(true, "bash").args(arguments(NAME)).output();
        let mut all = vec![
            Measured { name: "direct".to_owned(), times: Ok(Vec::new()) },
            Measured { name: "gate".to_owned(), times: Ok(Vec::new()) },
            Measured { name: "sandbox-runtime".to_owned(), times: Ok(Vec::new()) },
        ];
        for round in 0..=rounds.min(MOST_ROUNDS) {
            for measured in &mut all {
                let Ok(times) = &mut measured.times else { continue };
                let output = match measured.name.as_str() {
                    "direct" => direct(),
                    "gate" => gate(),
                    _ => match &peer {
                        Ok(peer) => sides.lab_with_names(peer, &arguments(NAME)).output(),
                        Err(error) => {
                            measured.times = Err(format!("{error:#}"));
                            continue;
                        }
                    },
                };
                match output.map_err(|error| error.to_string()).and_then(took) {
                    // The first turn warms up, and is not counted however it ends.
                    _ if round == 0 => {}
                    Ok(time) => times.push(time),
                    Err(why) => measured.times = Err(why),
                }
            }
        }
        let mut all = all.into_iter();
        let mut next = || all.next().context("three were measured");
        pulls.push(Pull { streams, direct: next()?, gate: next()?, peer: next()? });
    }
    Ok(pulls)
}

fn took(output: std::process::Output) -> Result<Duration, String> {
    let said = String::from_utf8_lossy(&output.stdout);
    let micros = said.lines().last().and_then(|line| line.trim().parse().ok());
    match (output.status.success(), micros) {
        (true, Some(micros)) => Ok(Duration::from_micros(micros)),
        _ => {
            let error = String::from_utf8_lossy(&output.stderr);
            let last = error.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            Err(format!("{}: {}", output.status, last.trim()))
        }
    }
}

/// The other sandbox with a proxy that allows the same name; the command line that runs bash in it.
fn peer(place: &Place, person: &Person) -> Result<Vec<String>> {
    let program = crate::bench::peer::install("@anthropic-ai/sandbox-runtime", "srt")?;
    let settings = place.shared().join("srt.json");
    let content = serde_json::json!({
        "network": { "allowedDomains": [NAME], "deniedDomains": [] },
        "filesystem": { "denyRead": [], "allowWrite": [person.home], "denyWrite": [] },
    });
    std::fs::write(&settings, content.to_string())?;
    let resolver = place.shared().join("resolv.conf");
    std::fs::write(&resolver, format!("nameserver {RESOLVER}\n"))?;
    let mounts = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", resolver.display());
    let words = ["unshare", "--mount", "sh", "-c", &mounts, "sh"].map(str::to_owned);
    let srt = [program.display().to_string(), "--settings".to_owned(), settings.display().to_string()];
    Ok(words.into_iter().chain(srt).chain(["bash".to_owned()]).collect())
}

impl Sides<'_> {
    /// A program outside that finds the lab's names.
    fn lab_with_names(&self, words: &[String], arguments: &[String]) -> Command {
        let mut command = self.lab.host.command(&words[0]);
        command.args(&words[1..]).args(arguments);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_says_its_time_or_why_it_has_none() {
        let run = |script: &str| Command::new("bash").args(["-c", script]).output().unwrap();
        assert_eq!(took(run("echo warning; echo 1500")), Ok(Duration::from_micros(1500)));
        assert_eq!(took(run("echo the reason >&2; exit 3")), Err("exit status: 3: the reason".to_owned()));
        assert!(took(run("true")).is_err());
    }
}
