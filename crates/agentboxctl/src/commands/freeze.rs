//! `freeze`: has everything of a session's agent stand still.

use crate::arguments::Freeze;
use crate::errors::Failure;
use crate::supervisor::Supervisor;

pub(super) fn run(freeze: &Freeze, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    supervisor.ask(async |manager| manager.freeze(freeze.id.as_str()).await)?;
    Ok(0)
}
