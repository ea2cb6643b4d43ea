//! A machine whose host is the lab's, and sessions of it that trust the lab's authority.

use super::Families;
use super::Lab;
use super::addresses::{RESOLVER_V4, RESOLVER_V6};
use crate::machine::Machine;
use crate::programs::Programs;
use crate::run::{Finished, Running};
use crate::session::Session;
use anyhow::{Context, Result};
use serde_json::Value;
use std::ops::Deref;
use std::path::PathBuf;

/// Variables by which programs are told whom to trust.
pub(super) const TRUST_VARIABLES: &[&str] = &[
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    // A global npmrc may name another file, which counts more than the variable of node.
    "npm_config_cafile",
];

/// Longest that a script in a session takes, in seconds: then it ends with 124 and what it had said.
const BOUND_S: &str = "100";

/// What sessions say on the wire that ordinary programs do not.
pub(super) const CLIENT: &str = include_str!("client.py");

/// A machine in a lab.
#[derive(Debug)]
pub struct Guest<'lab> {
    machine: Machine,
    lab: &'lab Lab,
    trusted: PathBuf,
    client: PathBuf,
}

impl<'lab> Guest<'lab> {
    pub(super) fn new(lab: &'lab Lab, programs: Programs, environment: &[(&str, &str)]) -> Result<Self> {
        let machine = Machine::in_network(programs, environment, Some(lab.host().space().path()))?;
        // Named so that the tests of the project's owner leave it out, and git ignores it.
        let trusted = machine.project().join(".planted-authority.crt");
        machine.person.write(&trusted, &std::fs::read(lab.trusted())?, 0o644)?;
        let client = machine.project().join(".planted-client.py");
        machine.person.write(&client, CLIENT.as_bytes(), 0o644)?;
        let guest = Self { machine, lab, trusted, client };
        guest.configure_more("")?;
        Ok(guest)
    }

    /// Writes the system's configuration: the lab's resolver, and this.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure_more(&self, more: &str) -> Result<()> {
        let resolver = match self.lab.families() {
            Families::OnlyV6 => format!("[{RESOLVER_V6}]:53"),
            Families::Both | Families::OnlyV4 => RESOLVER_V4.to_string(),
        };
        self.machine.configure(&format!("resolvers = [{resolver:?}]\n{more}"))
    }

    /// Its lab.
    #[must_use]
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// The lab's authority, where sessions can read it.
    #[must_use]
    pub fn trusted(&self) -> &std::path::Path {
        &self.trusted
    }

    /// A shell script with the lab's authority in every variable that programs read.
    #[must_use]
    pub fn script(&self, text: &str) -> String {
        let set = TRUST_VARIABLES.iter().map(|name| format!("{name}={} ", self.trusted.display()));
        format!("export {}\n{text}", set.collect::<String>())
    }

    /// Runs a script in a session in posture L2 with these options.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn sh(&self, options: &[&str], script: &str) -> Result<Finished> {
        let script = self.script(script);
        let arguments =
            self.machine.start_arguments("L2", options, &["timeout", BOUND_S, "sh", "-ec", &script]);
        self.machine.ctl(&arguments)
    }

    /// A session in posture L2 with these options that only waits for [`Guest::sh_in`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn waiting(&self, options: &[&str]) -> Result<Session<'_>> {
        self.machine.detached_with("L2", options, &["sleep", "600"])
    }

    /// Runs a script beside the agent of a session.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn sh_in(&self, session: &Session<'_>, script: &str) -> Result<Finished> {
        session.exec(&["timeout", BOUND_S, "sh", "-ec", &self.script(script)])
    }

    /// What `client.py` says with these arguments, beside the agent of a session.
    ///
    /// # Errors
    /// When it fails, takes too long or says something else than JSON.
    pub fn client_in(&self, session: &Session<'_>, arguments: &[&str]) -> Result<Vec<Value>> {
        let client = self.client.to_string_lossy();
        let set = self.script("exec timeout 100 \"$@\"");
        let command = ["sh", "-c", &set, "sh", "/usr/bin/python3", &client];
        answers(&session.exec(&[&command[..], arguments].concat())?)
    }

    /// A command of `client.py` beside the agent whose lines are read while it runs.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn client_running(&self, session: &Session<'_>, arguments: &[&str]) -> Result<Running> {
        let client = self.client.to_string_lossy();
        let set = self.script("exec \"$@\"");
        let command = ["exec", &session.id, "--", "sh", "-c", &set, "sh", "/usr/bin/python3", &client];
        Running::start(&mut self.machine.command(&[&command[..], arguments].concat()))
    }
}

pub(super) fn answers(finished: &Finished) -> Result<Vec<Value>> {
    let finished = finished.clone().success()?;
    let lines = finished.text();
    let said = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    said.with_context(|| format!("{finished:?}"))
}

impl Deref for Guest<'_> {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}
