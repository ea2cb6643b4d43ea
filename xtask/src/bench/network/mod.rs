//! The network: names, connections, throughput, and what a thousand sessions cost.
//!
//! Everything happens in the lab's two namespaces. "Direct" is the same client in the lab's host namespace
//! on the same wire, without a session.
//!
//! | file | does |
//! |---|---|
//! | `client` | asks and connects, and says how long each took; a program of its own, run inside and outside |
//! | `service` | what is served on the far side, and a bare forwarder of questions |
//! | `names` | answers for names |
//! | `connect` | new connections |
//! | `pull` | throughput, beside direct and another sandbox's proxy |
//! | `crowd` | session number 1000 against number 1, memory, the host's rules |
//! | `section` | the part of the document |

pub(crate) mod client;
mod connect;
mod crowd;
mod names;
mod pull;
mod section;
mod service;

use super::round::Measured;
use crate::demo::{Person, Place, Sessions};
use crate::lab::Lab;
use crate::program;
use anyhow::{Context as _, Result};
use crowd::Crowd;
use names::Names;
use pull::Pull;
use service::Service;
use std::path::PathBuf;
use std::process::Command;

/// Everything about the network.
#[derive(Debug)]
pub(super) struct Network {
    names: Names,
    connections: Vec<Measured>,
    pulls: Vec<Pull>,
    crowd: Crowd,
}

/// A session that stays, and the same machine without one.
struct Sides<'a> {
    sessions: &'a Sessions<'a>,
    lab: &'a Lab,
    /// The session.
    id: String,
    /// The measuring client, where sessions can read it.
    client: PathBuf,
}

impl Sides<'_> {
    /// A program inside or outside.
    fn command(&self, inside: bool, program: &str) -> Command {
        if !inside {
            return self.lab.host.command(program);
        }
        let mut exec = self.sessions.agentboxctl();
        exec.args(["exec", &self.id, "--", program]);
        exec
    }

    /// The measuring client inside or outside; what it says.
    fn measure(&self, inside: bool, arguments: &[&str]) -> Result<String> {
        let client = self.client.display().to_string();
        program::capture(self.command(inside, &client).arg("measure").args(arguments))
    }
}

/// Names that sessions of the benchmark may reach, with the ports of [`Service`].
pub(super) fn allowed() -> Vec<String> {
    [80, service::BYTE_PORT].iter().map(|port| format!("{}:{port}", service::NAME)).collect()
}

/// The lab of the benchmark, with what is served in it.
pub(super) fn lab() -> Result<Lab> {
    Service::lab()
}

pub(super) fn measure(
    lab: &Lab,
    place: &Place,
    person: &Person,
    sessions: &Sessions,
    rounds: usize,
) -> Result<Network> {
    Service::start(lab)?;
    let client = place.shared().join("measure");
    std::fs::copy(std::env::current_exe()?, &client).context("cannot copy the measuring client")?;
    let id = sessions.stay(&["--posture", "L2", "--network", "allowlist"])?;
    let sides = Sides { sessions, lab, id, client };
    let names = names::measure(&sides, place, rounds)?;
    let connections = connect::measure(&sides, rounds)?;
    let pulls = pull::measure(&sides, place, person, rounds)?;
    program::capture(sessions.agentboxctl().args(["stop", &sides.id]))?;
    let crowd = crowd::measure(lab, place)?;
    Ok(Network { names, connections, pulls, crowd })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs root, as everything that makes namespaces.
    #[test]
    fn the_lab_serves_what_is_measured() {
        let lab = lab().unwrap();
        Service::start(&lab).unwrap();
        let (forwarder, address) = (service::FORWARDER, service::ADDRESS.to_string());
        let measured = lab.host.enter(|| {
            let questions = client::ask(forwarder, service::NAME, 10)?;
            let connections = client::connect(&address, service::BYTE_PORT, 10)?;
            Ok::<_, anyhow::Error>((questions.len(), connections.len()))
        });
        assert_eq!(measured.unwrap().unwrap(), (10, 10));
        let mut curl = lab.host.command("curl");
        let pulled = curl.args(["--silent", &format!("http://{address}/100000")]).output().unwrap();
        assert_eq!(pulled.stdout.len(), 100_000);
    }
}
