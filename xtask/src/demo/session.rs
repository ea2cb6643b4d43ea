//! Sessions of the throw-away person, started as an administrator would: through `agentboxctl`.

use super::place::wait_for_end;
use super::{Person, Place};
use crate::lab::{RESOLVER, within};
use crate::program;
use anyhow::Result;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The sessions of one supervisor.
#[derive(Debug)]
pub(crate) struct Sessions<'a> {
    place: &'a Place,
    person: &'a Person,
    /// The network namespace of the supervisor, when it is not the person's.
    space: Option<PathBuf>,
}

impl<'a> Sessions<'a> {
    pub(crate) fn new(place: &'a Place, person: &'a Person) -> Self {
        Self { place, person, space: None }
    }

    /// The same with a supervisor in this network namespace.
    pub(crate) fn inside(mut self, space: PathBuf) -> Self {
        self.space = Some(space);
        self
    }

    /// Writes the administrator's configuration: a profile that may read the probe and what is with it,
    /// and reach these names, and what stands behind that.
    pub(crate) fn configure(&self, allow: &[&str], more: &str) -> Result<()> {
        let read = self.place.shared().display().to_string();
        self.place.configure(&format!(
            "resolvers = [\"{RESOLVER}\"]\n\n[profile.demo]\nread = [{read:?}]\nallow = {allow:?}\n\n{more}"
        ))
    }

    /// `agentboxctl` in the person's environment, with the directories of the demonstration.
    pub(crate) fn agentboxctl(&self) -> Command {
        let program = self.place.program("agentboxctl");
        let mut command = match &self.space {
            Some(space) => within(space, program),
            None => self.person.on_machine(program),
        };
        command.env_clear().envs(self.person.environment()).current_dir(&self.person.project);
        self.place.apply(&mut command);
        command.arg("--embedded").stdin(Stdio::null());
        command
    }

    /// `agentboxctl` with these arguments; what it says.
    pub(crate) fn capture(&self, arguments: &[&str]) -> Result<String> {
        program::capture(self.agentboxctl().args(arguments))
    }

    /// `agentboxctl start` of the project. The session belongs to the owner of the project.
    pub(crate) fn start(&self) -> Command {
        self.start_as("demo")
    }

    /// The same with another profile.
    pub(crate) fn start_as(&self, profile: &str) -> Command {
        let mut command = self.agentboxctl();
        command.arg("start").arg(&self.person.project).args(["--profile", profile]);
        command
    }

    /// Starts a session that stays, with these options; its id.
    pub(crate) fn stay(&self, options: &[&str]) -> Result<String> {
        let mut start = self.start();
        start.args(options).args(["--quiet", "--detach", "--", "sleep", "infinity"]);
        Ok(program::capture(&mut start)?.trim().to_owned())
    }

    /// Stops every session and waits until the supervisor has ended by itself.
    pub(crate) fn end(&self) -> Result<()> {
        let socket = self.place.of("RUNTIME_DIRECTORY").join("bus");
        if !socket.exists() {
            return Ok(());
        }
        program::capture(self.agentboxctl().args(["stop", "--all"]))?;
        wait_for_end(&socket)
    }
}
