//! `status`: everything about a session, or about the supervisor.

use super::list::state;
use crate::arguments::Status;
use crate::errors::Failure;
use crate::output::network::{counted, published};
use crate::output::table::{Columns, Tone};
use crate::output::{legs, print, print_json, units};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{Mode, NetworkStatus, SessionStatus, SupervisorStatus};
use agentbox_policy::Leg;

pub(super) fn run(status: &Status, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let id = status.id.as_ref().map_or("", |id| id.as_str());
    let answer = supervisor.ask(async |manager| manager.status(id).await)?;
    if status.id.is_none() {
        let answer: SupervisorStatus = understand(answer)?;
        if status.json { print_json(&answer)? } else { print(&of_supervisor(&answer))? }
    } else {
        let answer: SessionStatus = understand(answer)?;
        if status.json { print_json(&answer)? } else { print(&of_session(&answer))? }
    }
    Ok(0)
}

fn of_supervisor(status: &SupervisorStatus) -> String {
    let mut columns = Columns::new(&["SUPERVISOR", ""]);
    let mode = match status.mode {
        Mode::Embedded => "embedded",
        Mode::System => "service",
    };
    columns.plain(["version", &status.version]);
    columns.plain(["mode", mode]);
    columns.plain(["process", &status.pid.to_string()]);
    columns.plain(["sessions", &status.sessions.to_string()]);
    columns.plain(["runtime", &status.runtime_dir]);
    columns.plain(["state", &status.state_dir]);
    columns.plain(["logs", &status.logs_dir]);
    for file in &status.configuration {
        columns.plain(["configuration", file]);
    }
    for problem in &status.problems {
        columns.row([("problem", Tone::Bad), (problem.as_str(), Tone::Bad)]);
    }
    columns.finish()
}

fn of_session(status: &SessionStatus) -> String {
    let session = &status.summary;
    let mut columns = Columns::new(&["SESSION", &session.id]);
    let (word, tone) = state(session.state);
    let age = units::age(units::now_unix_s().saturating_sub(session.started_unix_s));
    if let Some(name) = &session.name {
        columns.plain(["name", name]);
    }
    columns.row([("state", Tone::Plain), (word, tone)]);
    if let Some(why) = &status.frozen {
        columns.plain(["stands still", why]);
    }
    if let Some(exit) = &status.exit {
        columns.plain(["exit", exit]);
    }
    columns.plain(["project", &session.project]);
    let profile = if session.profile.is_empty() { "none" } else { &session.profile };
    columns.plain(["profile", profile]);
    columns.plain(["posture", &session.posture]);
    columns.plain(["agent", &session.agent]);
    of_network(&status.network, session.denied, &mut columns);
    columns.plain(["workspace", &status.workspace]);
    let tone = if status.legs.count() == Leg::ALL.len() { Tone::Warning } else { Tone::Plain };
    columns.row([("trifecta", Tone::Plain), (legs::line(&status.legs).as_str(), tone)]);
    let tone = if status.guard.starts_with("none") { Tone::Warning } else { Tone::Plain };
    columns.row([("guard", Tone::Plain), (status.guard.as_str(), tone)]);
    columns.plain(["age", &age]);
    if let Some(bytes) = session.memory_bytes {
        columns.plain(["memory", &units::size(bytes)]);
    }
    if let Some(tasks) = session.tasks {
        columns.plain(["tasks", &tasks.to_string()]);
    }
    columns.plain(["owner", &session.owner_uid.to_string()]);
    columns.plain(["runs as", &format!("{}:{}", status.uid, status.gid)]);
    columns.plain(["processes", &format!("{} (first), {} (agent)", status.init_pid, status.agent_pid)]);
    columns.plain(["cgroup", &status.cgroup]);
    columns.plain(["policy", &status.policy_hash]);
    if status.posture_diff.is_empty() {
        columns.row([("in force", Tone::Plain), ("as the policy says", Tone::Good)]);
    }
    for difference in &status.posture_diff {
        columns.row([("differs", Tone::Bad), (difference.as_str(), Tone::Bad)]);
    }
    let destinations = destinations(&status.network);
    format!("{}\n{destinations}{}", columns.finish(), super::explain::values(&status.values))
}

fn of_network(network: &NetworkStatus, denied: u64, columns: &mut Columns) {
    let gated = matches!(network.mode.as_str(), "public" | "allowlist");
    if !gated {
        columns.plain(["network", &network.mode]);
        return;
    }
    let rules = counted(network.rules.into(), "rule", "rules");
    columns.plain(["network", &format!("{}, {rules}", network.mode)]);
    let restarts = match network.gate_restarts {
        0 => String::new(),
        number => format!(", restarted {}", counted(number.into(), "time", "times")),
    };
    // Without one nothing is reachable: that deserves to stand out, and so does one that was lost before.
    let (gate, tone) = match (network.gate_pid, network.gate_restarts) {
        (0, _) => (format!("none{restarts}"), Tone::Bad),
        (pid, 0) => (format!("process {pid}"), Tone::Plain),
        (pid, _) => (format!("process {pid}{restarts}"), Tone::Warning),
    };
    columns.row([("gate", Tone::Plain), (gate.as_str(), tone)]);
    columns.plain(["sent", &units::size(network.sent_bytes)]);
    columns.plain(["received", &units::size(network.received_bytes)]);
    let tone = if denied == 0 { Tone::Plain } else { Tone::Warning };
    columns.row([("denied", Tone::Plain), (counted(denied, "time", "times").as_str(), tone)]);
    for port in &network.published {
        columns.plain(["published", &published(port)]);
    }
}

/// What went where; nothing when nothing did.
fn destinations(network: &NetworkStatus) -> String {
    if network.destinations.is_empty() {
        return String::new();
    }
    let mut columns = Columns::new(&["DESTINATION", "SENT", "RECEIVED", "DENIED"]);
    for total in &network.destinations {
        let tone = if total.denied == 0 { Tone::Plain } else { Tone::Warning };
        let denied = total.denied.to_string();
        let [sent, received] = [total.sent_bytes, total.received_bytes].map(units::size);
        columns.row([
            (total.destination.as_str(), Tone::Plain),
            (&sent, Tone::Plain),
            (&received, Tone::Plain),
            (&denied, tone),
        ]);
    }
    format!("{}\n", columns.finish())
}
