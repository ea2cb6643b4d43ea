//! What is kept for profiles, and its end; and that a project is in one profile at a time.

use crate::caller::Caller;
use crate::session::Session;
use crate::supervisor::Supervisor;
use agentbox_ipc::{Error, Method};
use agentbox_policy::Name;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Names of the profiles for which something is kept.
pub(crate) fn kept(supervisor: &Supervisor, caller: &Caller, owner_uid: u32) -> Result<Vec<String>, Error> {
    owns(caller, Method::KeptProfiles, owner_uid)?;
    supervisor.directories.kept_profiles(owner_uid).map_err(|error| Error::Failed(error.to_string()))
}

/// Removes all that is kept for a profile, once sessions of it that have ended by themselves are gone.
pub(crate) async fn reset(
    supervisor: &Arc<Supervisor>,
    caller: &Caller,
    owner_uid: u32,
    profile: &str,
) -> Result<(), Error> {
    owns(caller, Method::ResetProfile, owner_uid)?;
    Name::new(profile).map_err(|what| Error::Invalid(format!("not the name of a profile\n{what}")))?;
    settle(supervisor, |session| is_of(session, owner_uid, profile)).await;
    is_kept(supervisor, owner_uid, profile)?;
    let sessions = supervisor.sessions();
    if let Some(session) = sessions.iter().find(|session| is_of(session, owner_uid, profile)) {
        return Err(Error::Refused(format!(
            "refused: the state of the profile `{profile}`, while session `{}` has it\n\
             rule: built-in: what is in use is not removed\nagentboxctl stop {}",
            session.id(),
            session.id()
        )));
    }
    let event = json!({
        "event": "profile-reset", "profile": profile, "owner_uid": owner_uid, "caller_uid": caller.uid,
    });
    supervisor.audit().record(event).map_err(|error| Error::Failed(error.to_string()))?;
    let removal = supervisor.removals.begin(state_of(owner_uid, profile));
    let (supervisor, profile) = (Arc::clone(supervisor), profile.to_owned());
    removal.run(move || supervisor.directories.forget_profile(owner_uid, &profile)).await
}

/// What the state of a profile is called while it is removed.
fn state_of(owner_uid: u32, profile: &str) -> String {
    format!("{owner_uid}/{profile}")
}

/// Refuses what would use a state that is being removed.
fn is_kept(supervisor: &Supervisor, owner_uid: u32, profile: &str) -> Result<(), Error> {
    if !supervisor.removals.contains(&state_of(owner_uid, profile)) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "refused: the state of the profile `{profile}`, which is being removed\n\
         rule: built-in: what is in use is not removed\nask again when that is done"
    )))
}

/// Waits for the end of sessions on a project that have ended by themselves: their person has seen them end, and what
/// they keep is still to be taken back.
pub(crate) async fn settle_others(supervisor: &Supervisor, owner_uid: u32, project: &str) {
    let is_on =
        |session: &Session| session.record.owner_uid == owner_uid && session.record.project == project;
    settle(supervisor, is_on).await;
}

async fn settle(supervisor: &Supervisor, is_meant: impl Fn(&Session) -> bool) {
    for session in supervisor.sessions() {
        if is_meant(&session) {
            session.settle().await;
        }
    }
}

/// Whether it is of that person's profile.
fn is_of(session: &Session, owner_uid: u32, profile: &str) -> bool {
    session.record.owner_uid == owner_uid && session.record.profile == profile
}

/// Whether it is of another profile on the same project.
fn is_other(session: &Session, owner_uid: u32, project: &str, profile: &str) -> bool {
    let record = &session.record;
    record.owner_uid == owner_uid && record.profile != profile && record.project == project
}

/// Refuses a second profile on a project: what a session of the one leaves there, one of the other reads.
pub(crate) fn one_at_a_time(
    supervisor: &Supervisor,
    owner_uid: u32,
    project: &str,
    profile: &str,
) -> Result<(), Error> {
    is_kept(supervisor, owner_uid, profile)?;
    let sessions = supervisor.sessions();
    let other = sessions.iter().find(|session| is_other(session, owner_uid, project, profile));
    let Some(other) = other else { return Ok(()) };
    let named = |profile: &str| match profile {
        "" => "no profile".to_owned(),
        name => format!("profile `{name}`"),
    };
    Err(Error::Refused(format!(
        "refused: {} with {}, while session `{}` runs it with {}\n\
         rule: built-in: a project is in one profile at a time\n\
         agentboxctl stop {}, or start with {}",
        Path::new(project).display().to_string().escape_debug(),
        named(profile),
        other.id(),
        named(&other.record.profile),
        other.id(),
        if other.record.profile.is_empty() {
            "none".to_owned()
        } else {
            format!("--profile {}", other.record.profile)
        },
    )))
}

fn owns(caller: &Caller, method: Method, owner_uid: u32) -> Result<(), Error> {
    if caller.owns(method, owner_uid) {
        return Ok(());
    }
    Err(Error::NotAuthorized(
        "refused: what is kept for somebody else\nrule: built-in: one's own, and root all\nask root"
            .to_owned(),
    ))
}
