//! A machine whose host is the lab's, and sessions of it that trust the lab's authority.

use super::Families;
use super::Lab;
use super::addresses::{RESOLVER_V4, RESOLVER_V6};
use crate::machine::Machine;
use crate::programs::Programs;
use crate::run::Finished;
use crate::session::Session;
use anyhow::{Context, Result};
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

/// A machine in a lab.
#[derive(Debug)]
pub struct Guest<'lab> {
    machine: Machine,
    lab: &'lab Lab,
    trusted: PathBuf,
}

impl<'lab> Guest<'lab> {
    pub(super) fn new(lab: &'lab Lab, programs: Programs, environment: &[(&str, &str)]) -> Result<Self> {
        let machine = Machine::in_network(programs, environment, Some(lab.host().space().path()))?;
        // Named so that the tests of the project's owner leave it out, and git ignores it.
        let trusted = machine.project().join(".planted-authority.pem");
        machine.person.write(&trusted, &std::fs::read(lab.trusted())?, 0o644)?;
        let guest = Self { machine, lab, trusted };
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
        let arguments = self.machine.start_arguments("L2", options, &["sh", "-ec", &script]);
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
        session.exec(&["sh", "-ec", &self.script(script)])
    }

    /// Puts the Rust toolchain of this machine where sessions of profile `rust` see it, and returns the
    /// directory of its programs.
    ///
    /// # Errors
    /// When there is none, or it is on another file system than the person's home.
    pub fn plant_toolchain(&self) -> Result<PathBuf> {
        self.machine.plant_toolchain().context("the toolchain")
    }
}

impl Deref for Guest<'_> {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}
