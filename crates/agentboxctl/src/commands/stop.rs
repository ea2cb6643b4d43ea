//! `stop`: ends sessions.

use super::list::sessions;
use crate::arguments::Stop;
use crate::errors::Failure;
use crate::output::escape;
use crate::supervisor::Supervisor;

pub(super) fn run(stop: &Stop, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let timeout_ms = u64::try_from(stop.timeout.as_millis()).unwrap_or(u64::MAX);
    let ids: Vec<String> = if stop.all {
        sessions(&supervisor)?.into_iter().map(|session| session.id).collect()
    } else {
        stop.ids.iter().map(ToString::to_string).collect()
    };
    // One that cannot be stopped does not keep the others alive.
    let mut status = 0;
    for id in ids {
        let waiting = format!("waiting for {} to end", escape::name(&id));
        let stopped = supervisor.ask_patiently(&waiting, async |manager| manager.stop(&id, timeout_ms).await);
        match stopped {
            Ok(()) => {}
            // It ended by itself after it was listed.
            Err(failure) if stop.all && failure.is_not_found() => {}
            Err(failure) => {
                failure.print();
                status = crate::errors::FAILURE;
            }
        }
    }
    Ok(status)
}
