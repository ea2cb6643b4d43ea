//! What no control removes, for the session that was tried.

use crate::report::{Chosen, Residual};

/// The risks that stay with such a session.
pub(crate) fn of(chosen: &Chosen) -> Vec<Residual> {
    let mut risks = vec![
        risk(
            "The project is the agent's to read: secrets in its history and in files that no pattern matches.",
            "keep secrets out of the project; agentboxctl inspect",
        ),
        risk(
            "A bug in the kernel leads out. What is left then is the session's own uid, which owns nothing.",
            "keep the kernel up to date; use another machine for what must not meet this one",
        ),
    ];
    match chosen.network.as_str() {
        "public" => risks.push(risk(
            "Every public name may be asked for and talked to: what the agent knows can leave, and is in the trail.",
            "--network allowlist, or none",
        )),
        "allowlist" => risks.push(risk(
            "Whoever may be talked to may be told anything, in content and in timing; behind a shared address another \
             name than the one that was said may answer inside of TLS.",
            "allow few names; give them budgets of bytes",
        )),
        _ => {}
    }
    match chosen.workspace.as_str() {
        "direct" => risks.push(risk(
            "What is edited is live: whoever builds, tests or runs the project afterwards runs what the agent left.",
            "--workspace overlay, and look at the diff before it is taken",
        )),
        "overlay" => risks.push(risk(
            "What is taken from the layer is taken with whatever is in it.",
            "read what you take; trigger files are asked for by name",
        )),
        _ => {}
    }
    if chosen.workspace == "direct" && chosen.guard != "kernel" {
        risks.push(risk(
            "Trigger files are seen after they were made: a program of the host that acts at once acts on them.",
            "a kernel with BPF LSM (agentboxctl doctor says what is missing), or --workspace overlay",
        ));
    }
    if chosen.posture == "L1" {
        risks.push(risk(
            "The agent has the person's uid: it reads every file of the host that is not hidden.",
            "--posture L2",
        ));
    }
    risks.push(risk(
        "What the person approves, allows or grants is open from then on, also to an agent that talked them into it.",
        "agentboxctl log shows every approval; agentboxctl deny takes one back",
    ));
    risks
}

fn risk(risk: &str, remedy: &str) -> Residual {
    Residual { risk: risk.to_owned(), remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_session_has_fewer_risks_than_an_open_one() {
        let session = |network: &str, workspace: &str, guard: &str| {
            of(&Chosen {
                posture: "L2".to_owned(),
                network: network.to_owned(),
                workspace: workspace.to_owned(),
                guard: guard.to_owned(),
                ..Chosen::default()
            })
            .len()
        };
        assert!(session("none", "readonly", "kernel") < session("public", "direct", "none"));
    }
}
