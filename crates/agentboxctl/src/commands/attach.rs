//! `attach`: a session's terminal.

use super::report::{Notices, Telling, after_session};
use super::{conclude, early};
use crate::arguments::Attach;
use crate::client::{self, Bridge, Ending};
use crate::errors::Failure;
use crate::supervisor::{self, Supervisor};
use crate::terminal;
use agentbox_ipc::to_dict;
use std::os::fd::OwnedFd;

pub(super) fn run(attach: &Attach, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let status = early::status(&supervisor, attach.id.as_str())?;
    // A name stands for a session only while it runs; what follows is asked when it has ended.
    let id = status.summary.id.as_str();
    let direct = status.workspace == "direct";
    let client = to_dict(&supervisor::client(client::streams(), terminal::size()))?;
    let console = supervisor.ask(async |manager| manager.attach(id, client).await)?;
    early::tell_still(&status);
    super::confirm::tell_late(&supervisor, id);
    let all = terminal::is_terminal(std::io::stderr());
    let bridge = Bridge::begin(OwnedFd::from(console), None, status.streams[1])?;
    let notices = direct.then(|| Notices::begin(supervisor, id, all));
    let ending = bridge.run(&|| early::stands_still(id))?;
    if let Ending::StandsStill(number) = ending {
        return early::end_still(id, number, embedded);
    }
    let status = conclude(ending, id, None);
    if matches!(ending, Ending::Exited(_)) && direct {
        let telling = Telling { quiet: false, verbose: false, yes: attach.yes };
        after_session(notices.and_then(Notices::end), id, telling, embedded)?;
    }
    Ok(status)
}
