//! What is said about sessions and about the supervisor.

use crate::guard::Held;
use crate::keys::LOST;
use crate::session::{Live, Session, State, exit_text, sources};
use crate::supervisor::Supervisor;
use agentbox_ipc::{
    Check, CheckState, DestinationTotal, MAX_DESTINATIONS, Mode, NetworkStatus, PublishedPort, SessionStatus,
    SessionSummary, SupervisorStatus,
};
use agentbox_kernel::cgroup::SessionGroup;
use agentbox_kernel::{doctor, posture};
use agentbox_plan::Plan;

/// A session in a list.
pub(crate) fn summary(supervisor: &Supervisor, session: &Session) -> SessionSummary {
    let group = group(supervisor, session);
    session.summary((
        group.as_ref().and_then(SessionGroup::memory_bytes),
        group.as_ref().and_then(SessionGroup::tasks),
    ))
}

/// Everything about a session.
pub(crate) async fn session(supervisor: &Supervisor, session: &Session) -> SessionStatus {
    let live = session.live();
    let record = &session.record;
    let group = group(supervisor, session);
    // Secrets are in it: it goes before anything is waited for.
    let (streams, mut posture_diff) = {
        let plan = plan(supervisor, session);
        // Of a session that is just starting or has just ended there is none.
        let streams = plan.as_ref().map_or([true; 3], |plan| plan.process.streams.into());
        let diff = match (&group, live.state) {
            (Some(group), State::Running) if live.agent_pid != 0 => posture_diff(plan, group, &live),
            _ => Vec::new(),
        };
        (streams, diff)
    };
    if session.keys().is_some_and(|keys| keys.is_lost()) {
        posture_diff.push(LOST.to_owned());
    }
    SessionStatus {
        summary: summary(supervisor, session),
        network: network(session),
        workspace: record.workspace.clone(),
        legs: crate::neighbours::legs(supervisor, session).await,
        uid: live.uid,
        gid: live.gid,
        init_pid: live.init_pid,
        agent_pid: live.agent_pid,
        policy_hash: record.policy_hash.clone(),
        cgroup: group.map(|group| group.path()).unwrap_or_default(),
        values: record.values.clone(),
        posture_diff,
        guard: guard_of(supervisor, session, &live),
        frozen: live.frozen,
        exit: live.exit.map(exit_text),
        streams,
    }
}

fn plan(supervisor: &Supervisor, session: &Session) -> Result<Plan, Box<dyn std::error::Error>> {
    let directory = supervisor.directories.open_session(session.id())?.ok_or("the session has ended")?;
    Ok(sources::read_plan(directory)?)
}

/// A re-adopted session is asked for: its driver did not see it held.
fn guard_of(supervisor: &Supervisor, session: &Session, live: &Live) -> String {
    let held = match (&live.guard, supervisor.directories.open_session(session.id())) {
        (Held::NotAsked, Ok(Some(directory))) => crate::guard::held(supervisor, directory, session.id()),
        (held, _) => held.clone(),
    };
    held.text()
}

fn network(session: &Session) -> NetworkStatus {
    let mode = session.record.network.clone();
    let Some(network) = session.network() else { return NetworkStatus { mode, ..NetworkStatus::default() } };
    let (whole, totals) = network.totals();
    let (gate_pid, gate_restarts) = network.gate();
    let destinations =
        totals.into_iter().take(MAX_DESTINATIONS).map(|(destination, total)| DestinationTotal {
            destination: crate::network::session::shown(&destination),
            sent_bytes: total.sent,
            received_bytes: total.received,
            denied: total.denied,
        });
    NetworkStatus {
        mode,
        rules: u32::try_from(network.rules().rules.len()).unwrap_or(u32::MAX),
        gate_pid,
        gate_restarts,
        sent_bytes: whole.sent,
        received_bytes: whole.received,
        destinations: destinations.collect(),
        published: network
            .fixed
            .published
            .iter()
            .map(|(host, inside)| PublishedPort { host: *host, inside: *inside })
            .collect(),
    }
}

/// Where what the kernel shows of the agent is not what its plan says. What cannot be found out is said
/// too: silence would read as agreement.
fn posture_diff(
    plan: Result<Plan, Box<dyn std::error::Error>>,
    group: &SessionGroup,
    live: &Live,
) -> Vec<String> {
    let diff = || -> Result<Vec<String>, Box<dyn std::error::Error>> {
        let expected = posture::expected(&plan?, &group.payload_path())?;
        let mut differences = posture::diff(&expected, &posture::observe(live.agent_pid)?);
        if expected.sandboxed {
            differences.extend(posture::held_open(live.init_pid)?);
        }
        Ok(differences.iter().map(ToString::to_string).collect())
    };
    diff().unwrap_or_else(|error| vec![format!("could not be looked at: {error}")])
}

fn group(supervisor: &Supervisor, session: &Session) -> Option<SessionGroup> {
    supervisor.hierarchy().ok()?.open_existing(session.id()).ok().flatten()
}

/// The supervisor.
pub(crate) fn supervisor(supervisor: &Supervisor) -> SupervisorStatus {
    let paths = &supervisor.directories.paths;
    let configuration = supervisor.configuration();
    let files = configuration.as_ref().as_ref().map(|configuration| configuration.files.clone());
    SupervisorStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: if supervisor.scopes().is_some() { Mode::System } else { Mode::Embedded },
        pid: std::process::id(),
        sessions: supervisor.sessions().len() as u64,
        runtime_dir: paths.runtime.to_string_lossy().into_owned(),
        state_dir: paths.state.to_string_lossy().into_owned(),
        logs_dir: paths.logs.to_string_lossy().into_owned(),
        configuration: files.unwrap_or_default(),
        problems: supervisor.problems(),
    }
}

/// What this host can and cannot do, and what the supervisor itself found.
pub(crate) fn checks(supervisor: &Supervisor) -> Vec<Check> {
    let host = doctor::examine().into_iter().map(|finding| Check {
        check: finding.check,
        state: match finding.state {
            doctor::State::Ok => CheckState::Ok,
            doctor::State::Warning => CheckState::Warning,
            doctor::State::Missing => CheckState::Missing,
        },
        found: finding.found,
        remedy: finding.remedy,
    });
    let mut checks: Vec<_> = host.collect();
    checks.push(match supervisor.configuration().as_ref() {
        Ok(configuration) if configuration.files.is_empty() => {
            check("configuration", CheckState::Ok, "built in", "")
        }
        Ok(configuration) => check("configuration", CheckState::Ok, &configuration.files.join(", "), ""),
        Err(error) => {
            check("configuration", CheckState::Missing, error, "correct the file; every start is refused")
        }
    });
    checks.push(match supervisor.audit().problem() {
        None => check("audit trail", CheckState::Ok, "whole at its end", ""),
        Some(problem) => check("audit trail", CheckState::Warning, problem, "agentboxctl log --verify"),
    });
    for what in supervisor.reported() {
        checks.push(check(
            "left as it is",
            CheckState::Warning,
            &what,
            "look at it and remove it by hand, or stop it by its id",
        ));
    }
    if let Ok(hierarchy) = supervisor.hierarchy() {
        for what in crate::reconcile::left_over(supervisor, hierarchy) {
            checks.push(check("left over", CheckState::Warning, &what, "agentboxctl doctor --repair"));
        }
    }
    checks
}

fn check(name: &str, state: CheckState, found: &str, remedy: &str) -> Check {
    Check { check: name.to_owned(), state, found: found.to_owned(), remedy: remedy.to_owned() }
}
