//! `attach`: a session's terminal.

use super::conclude;
use super::report::{Notices, Telling, after_session};
use crate::arguments::Attach;
use crate::client::{self, Ending};
use crate::errors::Failure;
use crate::supervisor::{self, Supervisor, understand};
use crate::terminal;
use agentbox_ipc::{SessionStatus, to_dict};
use std::os::fd::OwnedFd;

pub(super) fn run(attach: &Attach, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let status = supervisor.ask(async |manager| manager.status(attach.id.as_str()).await)?;
    let status: SessionStatus = understand(status)?;
    let direct = status.workspace == "direct";
    let client = to_dict(&supervisor::client(client::streams(), terminal::size()))?;
    let console = supervisor.ask(async |manager| manager.attach(attach.id.as_str(), client).await)?;
    super::confirm::tell_late(&supervisor, attach.id.as_str());
    let all = terminal::is_terminal(std::io::stderr());
    let notices = direct.then(|| Notices::begin(supervisor, attach.id.as_str(), all));
    let ending = client::run(OwnedFd::from(console))?;
    let status = conclude(ending, attach.id.as_str(), None);
    if matches!(ending, Ending::Exited(_)) && direct {
        let telling = Telling { quiet: false, verbose: false, yes: attach.yes };
        after_session(notices.and_then(Notices::end), attach.id.as_str(), telling, embedded)?;
    }
    Ok(status)
}
