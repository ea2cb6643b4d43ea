//! A session that forks for as long as it can.

use crate::machine::Machine;
use crate::run::eventually;
use crate::session::Session;
use anyhow::Result;
use std::time::Duration;

/// Starts one in a posture, and waits until it can no more; how often it could. Bounded by itself as well, should the limit
/// not hold.
///
/// # Errors
/// When it does not start, or never says how often.
pub fn fork_bomb<'a>(
    machine: &'a Machine,
    posture: &str,
    most: u32,
    limit: Duration,
) -> Result<(Session<'a>, u32)> {
    let script = format!(
        "import os, time
made = 0
try:
    while made < {most}:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        made += 1
except OSError:
    pass
open('made', 'w').write('%d\\n' % made)
time.sleep(600)"
    );
    let session = machine.detached(posture, &["python3", "-c", &script])?;
    let made = eventually("the limit has been met", limit, || {
        let text = std::fs::read_to_string(machine.project().join("made")).unwrap_or_default();
        // Half a number is a number as well.
        Ok(text.strip_suffix('\n').and_then(|text| text.parse::<u32>().ok()))
    })?;
    Ok((session, made))
}
