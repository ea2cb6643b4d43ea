//! `attach`: a session's terminal.

use super::conclude;
use crate::arguments::Attach;
use crate::client;
use crate::errors::Failure;
use crate::supervisor::{self, Supervisor};
use crate::terminal;
use agentbox_ipc::to_dict;
use std::os::fd::OwnedFd;

pub(super) fn run(attach: &Attach, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let client = to_dict(&supervisor::client(client::streams(), terminal::size()))?;
    let console = supervisor.ask(async |manager| manager.attach(attach.id.as_str(), client).await)?;
    drop(supervisor);
    Ok(conclude(client::run(OwnedFd::from(console))?, attach.id.as_str(), None))
}
