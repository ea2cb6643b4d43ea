//! How long it takes to run `true`: whole command, from the spawn to the end.

use super::launcher::Recording;
use super::peer::PEERS;
use super::round::{Measured, Runner, interleaved};
use crate::demo::{Person, Place, Sessions};
use crate::lab::Space;
use crate::program::shown;
use anyhow::{Context as _, Result, bail};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Own rows of the table.
pub(super) const LAUNCHER: &str = "agentbox: launcher alone";
pub(super) const WARM: &str = "agentbox: start, supervisor runs";
pub(super) const ALLOWLIST: &str = "agentbox: start, network allowlist";
pub(super) const COLD: &str = "agentbox: start, with its supervisor";
/// No start: `agentboxctl stop` of a session that waits.
pub(super) const STOP: &str = "agentbox: stop";

/// Measures everybody; who cannot be measured says why.
pub(super) fn measure(
    place: &Place,
    person: &Person,
    sessions: &Sessions,
    rounds: usize,
) -> Result<Vec<Measured>> {
    // A supervisor of its own for the cold starts: the session that keeps the other one warm is not there.
    // In a network of its own as well: there is one table of rules in each.
    let cold_place = Place::make("cold", &place.program(""))?;
    let cold_space = Space::make()?;
    let cold = Sessions::new(&cold_place, person).inside(cold_space.path());
    cold.configure(&[], "")?;
    let recording = Recording::make(place, sessions)?;

    let mut runners = Vec::new();
    let mut left_out = Vec::new();
    for peer in PEERS {
        match (peer.prepare)(&recording, place) {
            Ok(mut command) => runners
                .push(Runner { name: peer.name.to_owned(), once: Box::new(move || timed(&mut command)) }),
            Err(error) => left_out.push(Measured::not(peer.name, format!("{error:#}"))),
        }
    }
    let start_with = |sessions: &Sessions, network: &str| {
        timed(sessions.start().args([
            "--quiet",
            "--posture",
            "L2",
            "--network",
            network,
            "--",
            "/usr/bin/true",
        ]))
    };
    let start = |sessions: &Sessions| start_with(sessions, "none");
    runners.push(Runner { name: LAUNCHER.to_owned(), once: Box::new(|| recording.once()) });
    runners.push(Runner { name: WARM.to_owned(), once: Box::new(|| start(sessions)) });
    let with_network = Box::new(|| start_with(sessions, "allowlist"));
    runners.push(Runner { name: ALLOWLIST.to_owned(), once: with_network });
    runners.push(Runner {
        name: STOP.to_owned(),
        once: Box::new(|| {
            let id = sessions.stay(&["--posture", "L2", "--network", "allowlist"])?;
            timed(sessions.agentboxctl().args(["stop", &id]))
        }),
    });
    runners.push(Runner {
        name: COLD.to_owned(),
        once: Box::new(|| {
            let took = start(&cold)?;
            // Not part of it: the next one is to find no supervisor.
            cold.end()?;
            Ok(took)
        }),
    });
    let mut all = interleaved(runners, rounds);
    cold.end()?;
    all.extend(left_out);
    Ok(all)
}

/// Runs it with nothing attached; a status other than 0 is an error with the last line that it said.
fn timed(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot run {}", shown(command)))?;
    let output = child.wait_with_output()?;
    let took = begun.elapsed();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        bail!("{}: {}", output.status, last.trim());
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_says_why() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo the reason >&2; exit 3"]);
        assert!(timed(&mut command).unwrap_err().to_string().ends_with("3: the reason"));
        assert!(timed(&mut Command::new("true")).is_ok());
    }
}
