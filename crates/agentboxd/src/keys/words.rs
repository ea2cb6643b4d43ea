//! What is refused, in words.

use agentbox_plan::keys::{KeyReason, Purpose};

/// A purpose as the trail and people have it.
pub(super) fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Login { .. } => "login",
        Purpose::Git => "git",
    }
}

/// The gate of a session has ended before it.
pub(crate) const LOST: &str = "the ssh-agent of this session has ended; nothing is signed any more";

/// What a person does so that it is signed; empty when there is nothing to do.
pub(super) fn remedy(session: &str, reason: KeyReason) -> String {
    let text = match reason {
        KeyReason::KeyNotListed => "name the key in `ssh_agent.keys` of the profile",
        KeyReason::Unbound => {
            "use ssh of OpenSSH 8.9 or newer; libssh2 says no host: for cargo set net.git-fetch-with-cli = true \
             (CARGO_NET_GIT_FETCH_WITH_CLI=true)"
        }
        KeyReason::OtherHost => {
            "name the host in `ssh_agent.hosts` of the profile, and connect to it once outside so that its key is known"
        }
        KeyReason::HostKeyKind => "give the host a key of Ed25519, ECDSA (256 or 384 bits) or RSA with SHA-2",
        KeyReason::Forwarded => "log in from the session itself; the agent is not forwarded",
        KeyReason::NotPermitted => "for signed commits name it in the profile: ssh_agent.sign = [\"git\"]",
        KeyReason::Request => "add and remove keys outside, with ssh-add",
        KeyReason::Sha1 => "sign with rsa-sha2-256 or rsa-sha2-512",
        KeyReason::Declined | KeyReason::NoAnswer => {
            return format!("confirm it outside: agentboxctl confirm {session}");
        }
        KeyReason::TooMany => "wait until some have ended",
        KeyReason::AgentAway => {
            "look outside whether `ssh-add -l` shows the key; start the session from there"
        }
        KeyReason::SupervisorAway => "try it again",
        KeyReason::BadBinding | KeyReason::OtherSession | KeyReason::Malformed => "",
    };
    text.to_owned()
}
