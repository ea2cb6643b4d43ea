//! A signal that comes before there is an agent that could be told of it, or while it cannot hear.
//!
//! What a start makes of it is a session that nobody is attached to and nobody asked for any more.

use crate::client::signals::Signals;
use crate::client::{self, Ending};
use crate::errors::Failure;
use crate::output::{escape, note};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{ManagerProxy, SessionState, SessionStatus};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// How often it is looked whether a signal has come.
const LOOK: Duration = Duration::from_millis(50);
/// How long a person who wants to leave waits without being told for what.
const UNTIL_NOTE: Duration = Duration::from_secs(1);
/// How long after the signal an answer is waited for: consent of polkit can take for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between SIGTERM and SIGKILL, as for `stop`.
const STOP_MS: u64 = 10_000;

/// Takes over what would end this process.
pub(super) fn signals() -> Result<Signals, Failure> {
    Signals::take_over().map_err(|error| Failure::system("cannot take signals over", error))
}

/// Asks what makes a session. A signal that comes meanwhile is left to be found; only where no answer comes is it
/// left to the person to look.
pub(super) fn ask<T>(
    supervisor: &Supervisor,
    signals: &Signals,
    question: impl AsyncFnOnce(&ManagerProxy<'static>) -> Result<T, agentbox_ipc::Error>,
) -> Result<(T, Option<Signal>), Failure> {
    let mut told: Option<(Signal, Instant)> = None;
    let mut noted = false;
    let mut tick = || {
        if told.is_none() {
            told = signals.told_to_end().map(|signal| (signal, Instant::now()));
        }
        let Some((signal, since)) = told else { return Ok(()) };
        if since.elapsed() > PATIENCE {
            return Err(Failure::new(format!(
                "{signal} came and the start is still not answered\nwhether a session came of it: agentboxctl list"
            )));
        }
        if since.elapsed() > UNTIL_NOTE && !noted {
            noted = true;
            note(&format!("{signal}: the session is ended as soon as it is there"));
        }
        Ok(())
    };
    let answer = supervisor.ask_looking_up(LOOK, &mut tick, question)?;
    Ok((answer, told.map(|(signal, _)| signal).or_else(|| signals.told_to_end())))
}

/// Ends a session that nobody wants any more, and says so; the status to end with.
pub(super) fn end(supervisor: &Supervisor, id: &str, signal: Signal) -> u8 {
    let why = format!("{signal} came while it was started");
    ended(supervisor, id, &why, client::number(signal))
}

/// The same for one that stands still, and cannot hear the signal.
pub(super) fn end_still(id: &str, number: u8, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    Ok(ended(&supervisor, id, &format!("{} came while it stood still", name(number)), number))
}

fn ended(supervisor: &Supervisor, id: &str, why: &str, number: u8) -> u8 {
    let shown = escape::name(id);
    let waiting = format!("waiting for {shown} to end");
    match supervisor.ask_patiently(&waiting, async |manager| manager.stop(id, STOP_MS).await) {
        Err(failure) if !failure.is_not_found() => {
            failure.print();
            note(&format!(
                "agentboxctl: session {shown} may still run; end it with: agentboxctl stop {shown}"
            ));
        }
        // It may have ended by itself.
        _ => note(&format!("agentboxctl: session {shown} was ended: {why}")),
    }
    128 | number
}

/// Whether everything in a session stands still. Unknown is no.
pub(super) fn stands_still(id: &str) -> bool {
    Supervisor::running()
        .and_then(|supervisor| status(&supervisor, id).ok())
        .is_some_and(|status| is_still(&status))
}

/// What is known of a session.
pub(super) fn status(supervisor: &Supervisor, id: &str) -> Result<SessionStatus, Failure> {
    understand(supervisor.ask(async |manager| manager.status(id).await)?)
}

fn is_still(status: &SessionStatus) -> bool {
    status.summary.state == SessionState::Frozen
}

/// Tells whoever is about to attach to a session that nothing will happen in it.
pub(super) fn tell_still(status: &SessionStatus) {
    if is_still(status) {
        let id = escape::name(&status.summary.id);
        let why = escape::name(status.frozen.as_deref().unwrap_or("it is frozen"));
        note(&format!("agentbox {id}: it stands still: {why}\n  let it go on with: agentboxctl thaw {id}"));
    }
}

/// The end of a program beside the agent whose session stands still: the session is not this client's to end.
pub(super) fn left_still(ending: Ending, id: &str) -> Option<u8> {
    let Ending::StandsStill(number) = ending else { return None };
    let id = escape::name(id);
    note(&format!(
        "agentboxctl: left the program on {}: session {id} stands still\n  let it go on with: agentboxctl thaw {id}",
        name(number)
    ));
    Some(128 | number)
}

fn name(number: u8) -> String {
    Signal::try_from(i32::from(number))
        .map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}
