//! The ssh-agent of a session.

use crate::policy::Value;
use agentbox_plan::keys::{Fingerprint, KnownHost};

/// Chosen keys of the person's agent, and what they may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAgent {
    /// Path of the person's agent's socket, as the caller has it.
    pub socket: String,
    /// The keys, each once.
    pub keys: Vec<Fingerprint>,
    /// Where logins are signed, with the keys by which the hosts are known.
    pub hosts: Vec<KnownHost>,
    /// Whether signatures of git are made.
    pub sign_git: bool,
    /// Whether the person confirms each signature.
    pub confirm: bool,
    pub(crate) origin: String,
}

impl SshAgent {
    /// Each value with its origin. The path of the person's own socket is not the session's business.
    pub(crate) fn values(&self) -> Vec<Value> {
        let value = |key: &str, value: String| Value {
            key: format!("ssh_agent.{key}"),
            value,
            origin: format!("{}.{key}", self.origin),
        };
        let mut values: Vec<_> = self.keys.iter().map(|key| value("keys", key.to_string())).collect();
        values.extend(self.hosts.iter().map(|known| {
            let words = match known.keys.len() {
                0 => "no key of it is known".to_owned(),
                1 => "1 key known".to_owned(),
                count => format!("{count} keys known"),
            };
            value("hosts", format!("{} ({words})", known.host))
        }));
        values.extend(self.sign_git.then(|| value("sign", "git".to_owned())));
        values.push(value("confirm", self.confirm.to_string()));
        values
    }

    /// What tells it from another.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words: Vec<_> = self.keys.iter().map(ToString::to_string).collect();
        for known in &self.hosts {
            words.push(known.host.to_string());
            words.extend(known.keys.iter().map(ToString::to_string));
        }
        words.push(format!("sign git {}, confirm {}", self.sign_git, self.confirm));
        words
    }

    /// The hosts as a file that ssh reads (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
    pub(crate) fn known_hosts(&self) -> String {
        let lines = self.hosts.iter().flat_map(|known| {
            let name = known.host.known_as();
            known.keys.iter().map(move |key| format!("{name} {key}\n"))
        });
        lines.collect()
    }
}
