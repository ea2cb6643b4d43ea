//! What the fake says about its one session. Names in it are hostile.

use agentbox_ipc::{
    Access, ChangeSet, DestinationTotal, NetworkStatus, PublishedPort, SessionState, SessionStatus,
    SessionSummary, WhyAnswer,
};

pub(super) fn summary() -> SessionSummary {
    SessionSummary {
        id: "abc".into(),
        name: Some("n\u{202e}".into()),
        project: "/p\x1b[2J\n".into(),
        profile: "default".into(),
        posture: "L2".into(),
        agent: "shell".into(),
        state: SessionState::Running,
        started_unix_s: 1,
        memory_bytes: Some(5 << 20),
        tasks: None,
        denied: 7,
        owner_uid: 1000,
    }
}

pub(super) fn network() -> NetworkStatus {
    let totals = [("github.com", 2048, 5 << 20, 0), ("evil\u{9b}\x1b.org", 0, 0, 7)];
    NetworkStatus {
        mode: "allowlist".into(),
        rules: 15,
        gate_pid: 4711,
        gate_restarts: 1,
        sent_bytes: 2048,
        received_bytes: 5 << 20,
        destinations: totals
            .into_iter()
            .map(|(destination, sent_bytes, received_bytes, denied)| DestinationTotal {
                destination: destination.into(),
                sent_bytes,
                received_bytes,
                denied,
            })
            .collect(),
        published: vec![PublishedPort { host: 8080, inside: 3000 }],
    }
}

pub(super) fn status() -> SessionStatus {
    SessionStatus {
        summary: summary(),
        network: network(),
        workspace: "direct".into(),
        legs: agentbox_policy::Legs::default(),
        uid: 1,
        gid: 1,
        init_pid: 2,
        agent_pid: 3,
        policy_hash: "0123".into(),
        cgroup: "/c".into(),
        values: vec![["network".into(), "allowlist".into(), "posture L2".into()]],
        posture_diff: Vec::new(),
        streams: [true; 3],
        frozen: None,
        guard: "none: no \x1b[2J".into(),
        exit: None,
    }
}

/// One whose agent cannot hear anything.
pub(super) fn still() -> SessionStatus {
    let summary = SessionSummary { id: "still".into(), state: SessionState::Frozen, ..summary() };
    SessionStatus { summary, frozen: Some("a file \x1b[2J".into()), ..status() }
}

/// Two of one name.
pub(super) fn sets() -> Vec<ChangeSet> {
    [("newer", 9), ("older", 3)]
        .map(|(id, started_unix_s)| ChangeSet {
            id: id.into(),
            name: Some("was".into()),
            project: "/p".into(),
            started_unix_s,
            ..ChangeSet::default()
        })
        .into()
}

/// A path is readable, a host refused.
pub(super) fn why(id: &str, what: &str) -> WhyAnswer {
    let path = what.starts_with('/');
    WhyAnswer {
        destination: what.to_owned(),
        port: if path { 0 } else { 443 },
        allowed: path,
        reason: if path { String::new() } else { "no rule allows it".into() },
        rule: if path { "read ~/.cargo".into() } else { String::new() },
        origin: if path { "/etc/\x1b: profile.w.read".into() } else { String::new() },
        remedy: if path { String::new() } else { format!("agentboxctl allow {id} {what}") },
        access: path.then_some(Access::ReadOnly),
    }
}

pub(crate) fn confirmation() -> agentbox_ipc::Confirmation {
    agentbox_ipc::Confirmation {
        session: "abc".into(),
        number: 3,
        key: "SHA256:x".into(),
        purpose: "login".into(),
        host: Some("git\x1b[2J\u{202e}".into()),
        left_s: 42,
    }
}
