//! What was planted on the machine before the attacks are tried. Everything is optional: an attack that
//! lacks what it needs answers "not-applicable".

use crate::network::Network;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an attack may look for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// The secret that nothing inside may ever show.
    pub canary: Canary,
    /// When the secrets were planted, in seconds since the epoch: files that changed earlier hold none.
    pub planted_unix_s: u64,
    /// Names this run: attacks write it where they leave something, so that whoever drives the probe
    /// finds their effect.
    pub tag: String,
    /// Whose machine it is.
    pub person: Person,
    /// The session's project.
    pub project: String,
    /// Files and programs that were planted.
    pub planted: Planted,
    /// A process outside, of the same person or of another session.
    pub victim: Option<Victim>,
    /// What the host calls itself.
    pub host: Host,
    /// Names of environment variables that hold secrets on the host.
    pub secret_names: Vec<String>,
    /// The least `oom_score_adj` that the session's processes should have.
    pub oom_score_adj: Option<i32>,
    /// Listeners of a lab, where there is one.
    pub network: Option<Network>,
    /// The ssh-agent, where the session was granted one.
    pub agent: Option<KeyAgent>,
}

/// A secret in two halves, so that a file with these facts does not hold it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Canary(String, String);

impl Canary {
    /// A canary of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let half = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (first, second) = text.split_at(half);
        Self(first.to_owned(), second.to_owned())
    }

    /// The whole secret; empty when none was planted.
    #[must_use]
    pub fn whole(&self) -> String {
        format!("{}{}", self.0, self.1)
    }

    /// Whether these bytes hold it.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        let whole = self.whole();
        !whole.is_empty() && bytes.windows(whole.len()).any(|window| window == whole.as_bytes())
    }
}

/// The person whose agent is attacked from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Person {
    /// User id on the host.
    pub uid: u32,
    /// Group id on the host.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

/// Files and programs on the host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Planted {
    /// Files that hold the canary, by class: `ssh`, `cloud`, `gpg`, `browser`, `history`, `keyring`, `tokens`.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// A file with the canary in another project of the same person.
    pub other_project: Option<String>,
    /// An ordinary file of the person's outside every project; holds no secret.
    pub own_file: Option<String>,
    /// A copy of id(1) in the project that belongs to root and has its set-user-id bit.
    pub set_id_program: Option<String>,
    /// Path of a listening socket that stands for an ssh-agent.
    pub agent_socket: Option<String>,
    /// Handle of one of the secrets.
    pub handle: Option<Handle>,
    /// Description of a key in the session keyring from which the session is started.
    pub session_key: Option<String>,
}

/// A file as name_to_handle_at(2) names it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handle {
    /// Type of the handle.
    pub kind: i32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A process that holds secrets and things of its own, as started by `agentbox-probe victim`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Victim {
    /// Process id, as the one who wrote the facts sees it.
    pub pid: i32,
    /// Where the canary lies in its memory.
    pub address: u64,
    /// Descriptor of an unnamed file with the canary.
    pub descriptor: i32,
    /// Key of a System V shared memory segment (mode 0666) with the canary.
    pub shm_key: i32,
    /// Key of a System V semaphore set (mode 0666).
    pub sem_key: i32,
    /// Key of a System V message queue (mode 0666).
    pub msg_key: i32,
    /// Name of a POSIX message queue (mode 0666), with its slash.
    pub queue: String,
    /// Name of a listening abstract socket.
    pub abstract_socket: String,
    /// Paths of listening sockets (mode 0666).
    pub path_sockets: Vec<String>,
    /// Paths of datagram sockets (mode 0666).
    pub datagram_sockets: Vec<String>,
    /// World-readable files with the canary in shared directories.
    pub files: Vec<String>,
}

/// An ssh-agent with two keys, of which a session was granted one for one host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyAgent {
    /// Path of its socket, where it is tried.
    pub socket: String,
    /// The public key that was chosen, of Ed25519, on the wire.
    pub chosen: Vec<u8>,
    /// The one that was not.
    pub other: Vec<u8>,
    /// Public key of the chosen host.
    pub host_key: Vec<u8>,
}

/// What only the host should show.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Inode of each namespace, by its name under `/proc/self/ns`.
    pub namespaces: BTreeMap<String, u64>,
    /// Group ids of the person that a session must not have, such as docker's.
    pub groups: Vec<u32>,
    /// Files of the supervisor's own: trail, leases, sockets.
    pub supervisor_files: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_whole_and_never_stored_whole() {
        for text in ["ab", "abc", "canary-0123456789", "ä"] {
            let canary = Canary::new(text);
            assert_eq!(canary.whole(), text);
            assert!(canary.is_in(format!("..{text}..").as_bytes()));
            assert!(!canary.is_in(b"another"));
            if text.len() > 2 {
                assert!(!serde_json::to_string(&canary).unwrap().contains(text));
            }
        }
        assert!(!Canary::default().is_in(b"anything"));
    }

    #[test]
    fn unknown_facts_are_refused() {
        assert!(serde_json::from_str::<Facts>(r#"{"projekt": "/x"}"#).is_err());
        assert!(serde_json::from_str::<Facts>("{}").is_ok());
    }
}
