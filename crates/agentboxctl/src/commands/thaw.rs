//! `thaw`: lets a session go on that was frozen.

use crate::arguments::Thaw;
use crate::errors::Failure;
use crate::output::note;
use crate::supervisor::Supervisor;

pub(super) fn run(thaw: &Thaw, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    if !supervisor.ask(async |manager| manager.thaw(thaw.id.as_str()).await)? {
        note(&format!("session {} was not frozen", thaw.id));
    }
    Ok(0)
}
