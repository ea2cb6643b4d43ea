//! `exec`: a second program inside a session.

use super::{conclude, early};
use crate::arguments::Exec;
use crate::client::{self, Bridge, Ending};
use crate::errors::{Failure, OWN_FAILURE};
use crate::output::note;
use crate::supervisor::{self, Supervisor};
use crate::terminal;
use agentbox_ipc::to_dict;
use std::os::fd::OwnedFd;

pub(super) fn run(exec: &Exec, embedded: bool) -> Result<u8, Failure> {
    if exec.no_stdin {
        terminal::leave_input()?;
    }
    let supervisor = Supervisor::connect(embedded)?;
    let client = to_dict(&supervisor::client(client::streams(), terminal::size()))?;
    let console =
        supervisor.ask(async |manager| manager.exec(exec.id.as_str(), &exec.command, client).await)?;
    // The program is there without this as well.
    if let Ok(status) = early::status(&supervisor, exec.id.as_str()) {
        early::tell_still(&status);
    }
    super::confirm::tell_late(&supervisor, exec.id.as_str());
    drop(supervisor);
    let ending =
        Bridge::begin(OwnedFd::from(console), None, true)?.run(&|| early::stands_still(exec.id.as_str()))?;
    if let Some(status) = early::left_still(ending, exec.id.as_str()) {
        return Ok(status);
    }
    match ending {
        // Nobody can come back to it: it has no name.
        Ending::Left => {
            note("left the program");
            Ok(0)
        }
        Ending::Replaced => {
            note("agentboxctl: the session let go of the program");
            Ok(OWN_FAILURE)
        }
        ending => Ok(conclude(ending, exec.id.as_str(), exec.command.first().map(String::as_str))),
    }
}
