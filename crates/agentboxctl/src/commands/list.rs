//! `list`: the sessions that one may see.

use crate::arguments::List;
use crate::errors::Failure;
use crate::output::table::{Columns, Tone};
use crate::output::{print, print_json, units};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{ChangeSet, SessionState, SessionSummary};

pub(super) fn run(list: &List, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let mut sessions = sessions(&supervisor)?;
    sessions.retain(|session| list.all || session.state != SessionState::Ending);
    sessions.sort_by(|one, other| (one.started_unix_s, &one.id).cmp(&(other.started_unix_s, &other.id)));
    let is_root = rustix::process::getuid().is_root();
    let mut ended = if list.all { sets(&supervisor)? } else { Vec::new() };
    ended.retain(|set| !set.live);
    if list.json {
        // Two kinds of things, told apart by what they have: what has ended has no state.
        let ended = ended.iter().map(serde_json::to_value);
        let all: Result<Vec<_>, _> = sessions.iter().map(serde_json::to_value).chain(ended).collect();
        print_json(&all.map_err(|error| Failure::new(error.to_string()))?)?;
    } else {
        print(&table(&sessions, units::now_unix_s(), is_root))?;
        if !ended.is_empty() {
            print(&format!(
                "\nChanges that wait to be looked at (agentboxctl diff ID):\n{}",
                waiting(&ended, is_root)
            ))?;
        }
    }
    Ok(0)
}

/// All layers that the supervisor shows.
pub(super) fn sets(supervisor: &Supervisor) -> Result<Vec<ChangeSet>, Failure> {
    supervisor.ask(async |manager| manager.changes().await)?.into_iter().map(understand).collect()
}

fn waiting(sets: &[ChangeSet], owners: bool) -> String {
    let mut heads = vec!["ID", "NAME", "PROJECT", "PROFILE", "AGENT", "STARTED"];
    if owners {
        heads.push("OWNER");
    }
    let mut columns = Columns::new(&heads);
    for set in sets {
        let age = units::age(units::now_unix_s().saturating_sub(set.started_unix_s));
        let owner = set.owner_uid.to_string();
        let mut cells: Vec<(&str, Tone)> =
            [&set.id, set.name.as_deref().unwrap_or("-"), &set.project, &set.profile, &set.agent, &age]
                .map(|cell: &str| (cell, Tone::Plain))
                .into();
        if owners {
            cells.push((&owner, Tone::Plain));
        }
        columns.row(cells);
    }
    columns.finish()
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
    // A column that says nothing takes its width from those that do.
    let (named, profiled) = (
        sessions.is_empty() || sessions.iter().any(|session| session.name.is_some()),
        sessions.is_empty() || sessions.iter().any(|session| !session.profile.is_empty()),
    );
    let shown = |head: &str| (head != "NAME" || named) && (head != "PROFILE" || profiled);
    let all = heads.clone();
    heads.retain(|head| shown(head));
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
        columns.row(all.iter().zip(cells).filter(|(head, _)| shown(head)).map(|(_, cell)| cell));
    }
    columns.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_in_which_nothing_stands_is_left_out() {
        let session = |name: Option<&str>, profile: &str| SessionSummary {
            id: "abc".into(),
            name: name.map(str::to_owned),
            project: "/p".into(),
            profile: profile.into(),
            posture: "L2".into(),
            agent: "shell".into(),
            state: SessionState::Running,
            started_unix_s: 1,
            memory_bytes: None,
            tasks: None,
            denied: 0,
            owner_uid: 7,
        };
        let plain = table(&[session(None, "")], 2, true);
        assert!(!plain.contains("NAME") && !plain.contains("PROFILE"), "{plain}");
        assert_eq!(
            plain.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
            ["abc", "/p", "L2", "shell", "running", "1s", "-", "0", "7"]
        );
        let told = table(&[session(None, ""), session(Some("n"), "work")], 2, false);
        assert!(told.contains("NAME") && told.contains("PROFILE"), "{told}");
        assert!(table(&[], 2, false).contains("PROFILE"));
    }
}
