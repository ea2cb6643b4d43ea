//! `list`: the sessions that one may see.

use crate::arguments::List;
use crate::errors::Failure;
use crate::output::table::{Columns, Tone};
use crate::output::{print, print_json, units};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{SessionState, SessionSummary};

pub(super) fn run(list: &List, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let mut sessions = sessions(&supervisor)?;
    sessions.retain(|session| list.all || session.state != SessionState::Ending);
    sessions.sort_by(|one, other| (one.started_unix_s, &one.id).cmp(&(other.started_unix_s, &other.id)));
    if list.json {
        print_json(&sessions)?;
    } else {
        print(&table(&sessions, units::now_unix_s(), rustix::process::getuid().is_root()))?;
    }
    Ok(0)
}

/// All sessions that the supervisor shows.
pub(super) fn sessions(supervisor: &Supervisor) -> Result<Vec<SessionSummary>, Failure> {
    supervisor.ask(async |manager| manager.list().await)?.into_iter().map(understand).collect()
}

/// The word for a state, and how it stands out.
pub(super) fn state(state: SessionState) -> (&'static str, Tone) {
    match state {
        SessionState::Starting => ("starting", Tone::Warning),
        SessionState::Running => ("running", Tone::Good),
        SessionState::Frozen => ("frozen", Tone::Bad),
        SessionState::Stopping => ("stopping", Tone::Warning),
        SessionState::Ending => ("ending", Tone::Warning),
    }
}

fn table(sessions: &[SessionSummary], now_unix_s: u64, owners: bool) -> String {
    let mut heads =
        vec!["ID", "NAME", "PROJECT", "PROFILE", "POSTURE", "AGENT", "STATE", "AGE", "MEMORY", "DENIED"];
    if owners {
        heads.push("OWNER");
    }
    let mut columns = Columns::new(&heads);
    for session in sessions {
        let age = units::age(now_unix_s.saturating_sub(session.started_unix_s));
        let memory = session.memory_bytes.map_or_else(|| "-".to_owned(), units::size);
        let denied = session.denied.to_string();
        let owner = session.owner_uid.to_string();
        let (state, tone) = state(session.state);
        let mut cells = vec![
            (session.id.as_str(), Tone::Plain),
            (session.name.as_deref().unwrap_or("-"), Tone::Plain),
            (&session.project, Tone::Plain),
            (&session.profile, Tone::Plain),
            (&session.posture, Tone::Plain),
            (&session.agent, Tone::Plain),
            (state, tone),
            (&age, Tone::Plain),
            (&memory, Tone::Plain),
            (&denied, if session.denied == 0 { Tone::Plain } else { Tone::Warning }),
        ];
        if owners {
            cells.push((&owner, Tone::Plain));
        }
        columns.row(cells);
    }
    columns.finish()
}
