//! What the supervisor and a session's gate of keys say to each other.
//!
//! The gate of keys speaks the ssh-agent protocol with the session and with the person's own agent. It starts
//! with a [`KeysPlan`] in a sealed memfd and the descriptors of [`descriptors`]; the supervisor connects to
//! [`descriptors::SUPERVISOR`] as it does to a gate of the network. Connections to the person's agent come
//! from the supervisor, one for each client, and nothing is signed before the supervisor has written it down.

mod host;

pub use host::{Fingerprint, FingerprintError, HostKey, HostKeyError, SshHost, SshHostError};

use crate::wire::{Reader, Wire, WireError, wire_enum, wire_struct};
use crate::{Ids, SessionId};
use std::fmt;

/// Most bytes of a [`KeysRequest`] and of a [`KeysAnswer`].
pub const MAX_MESSAGE_BYTES: usize = 1024;
/// Clients of a session at once. Each has a connection to the person's agent.
pub const MAX_CLIENTS: usize = 16;
/// Path of the agent's socket inside a session.
pub const SOCKET: &str = "/run/agentbox/ssh-agent.sock";

/// Which descriptor number holds what when the gate starts. 0, 1 and 2 are `/dev/null`.
pub mod descriptors {
    /// Sealed memfd with the encoded [`KeysPlan`](super::KeysPlan).
    pub const PLAN: i32 = 3;
    /// Listening `SOCK_SEQPACKET` socket to which the supervisor connects.
    pub const SUPERVISOR: i32 = 4;
    /// Listening `SOCK_STREAM` socket to which programs of the session connect.
    pub const AGENT: i32 = 5;
}

/// First bytes of an encoded [`KeysPlan`].
const MAGIC: &[u8; 8] = b"abkeys01";

/// All that a gate of keys works from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysPlan {
    /// The session.
    pub session: SessionId,
    /// Under which ids it runs.
    pub ids: Ids,
    /// Under which user id its clients run.
    pub client_uid: u32,
    /// Which keys of the person's agent the session sees.
    pub keys: Vec<Fingerprint>,
    /// Where it may log in with them.
    pub hosts: Vec<KnownHost>,
    /// Whether it may sign what git signs.
    pub sign_git: bool,
}

wire_struct! {
    /// A host and the keys by which it is known.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct KnownHost {
        /// Its name and port.
        pub host: SshHost,
        /// The keys that the person knows of it.
        pub keys: Vec<HostKey>,
    }
}

wire_enum! {
    /// What a signature is for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Purpose {
        /// A login (RFC 4252, section 7).
        1 = Login {
            /// Place of the host in [`KeysPlan::hosts`].
            host: u16,
        },
        /// A commit, a tag or a push of git (SSHSIG with the namespace `git`).
        2 = Git,
    }
}

macro_rules! reasons {
    ($($(#[$meta:meta])* $tag:literal = $name:ident $text:literal $words:literal,)*) => {
        wire_enum! {
            /// Why the gate of keys did not do something.
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum KeyReason { $($(#[$meta])* $tag = $name,)* }
        }
        impl KeyReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// A short name for the audit trail.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
        impl fmt::Display for KeyReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $words,)* })
            }
        }
    };
}

reasons! {
    /// The key is not one of the session's.
    1 = KeyNotListed "key-not-listed" "the key is not one of the session's",
    /// A login on a connection that was bound to no host.
    2 = Unbound "unbound" "the program did not say which host the login is for (session-bind@openssh.com)",
    /// A login on a connection that was bound to a host that is not chosen, or whose key is another one.
    3 = OtherHost "other-host" "the login is for a host that is not chosen, or whose key is not the known one",
    /// The host's signature over the session of ssh does not verify.
    4 = BadBinding "bad-binding" "the host's signature over the ssh session is not right",
    /// The host has a kind of key that the gate cannot verify.
    5 = HostKeyKind "host-key-kind" "the host has a kind of key that cannot be verified here",
    /// The agent was to be forwarded.
    6 = Forwarded "forwarded" "the agent is not forwarded to other machines",
    /// A login for another session of ssh than the one that was bound.
    7 = OtherSession "other-session" "the login is for another ssh session than the one that was bound",
    /// A signature for something else than a login or a namespace that is permitted.
    8 = NotPermitted "not-permitted" "only logins are signed here, and what `sign` of the profile names",
    /// A request that the gate does not pass on: adding, removing, locking, extensions.
    9 = Request "request" "the agent lists keys and signs; nothing else",
    /// Not a message of the protocol.
    10 = Malformed "malformed" "not a message of the ssh-agent protocol",
    /// A signature with SHA-1.
    11 = Sha1 "sha1" "signatures with SHA-1 are not made",
    /// The person said no.
    12 = Declined "declined" "it was not confirmed",
    /// The person said nothing in time.
    13 = NoAnswer "no-answer" "nobody confirmed it in time",
    /// More requests than are served.
    14 = TooMany "too-many" "too many requests at once",
    /// The person's agent cannot be reached.
    15 = AgentAway "agent-away" "the person's ssh-agent cannot be reached",
    /// Nobody could write it down.
    16 = SupervisorAway "supervisor-away" "the supervisor is away, and nothing is signed that it does not record",
}

wire_enum! {
    /// From the gate.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum KeysRequest {
        /// It is confined and serves: the first message on each connection.
        1 = Ready,
        /// A connection to the person's agent.
        2 = Connect {
            /// Comes back in the answer.
            number: u32,
        },
        /// A signature, which the gate found to be permitted.
        3 = Sign {
            /// Comes back in the answer.
            number: u32,
            /// With which key.
            key: Fingerprint,
            /// What for.
            purpose: Purpose,
        },
        /// Something that was refused, for the audit trail.
        4 = Refused {
            /// The key, when it was one of the session's.
            key: Option<Fingerprint>,
            /// The purpose, when that is known.
            purpose: Option<Purpose>,
            /// Why.
            reason: KeyReason,
        },
        /// It could not confine itself and ends.
        5 = Failed {
            /// The step.
            step: String,
            /// What was refused or missing.
            detail: String,
        },
    }
}

wire_enum! {
    /// To the gate.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum KeysAnswer {
        /// A connection to the person's agent comes with this message (`SCM_RIGHTS`), non-blocking.
        1 = Socket {
            /// Of the request.
            number: u32,
        },
        /// It is written down, and confirmed where that is wanted.
        2 = Granted {
            /// Of the request.
            number: u32,
        },
        /// No.
        3 = Refused {
            /// Of the request.
            number: u32,
            /// Why.
            reason: KeyReason,
        },
    }
}

impl Wire for KeysPlan {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        self.session.put(out);
        self.ids.put(out);
        self.client_uid.put(out);
        self.keys.put(out);
        self.hosts.put(out);
        self.sign_git.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        for byte in MAGIC {
            if u8::get(input)? != *byte {
                return Err(input.invalid("plan of keys of this version"));
            }
        }
        Ok(Self {
            session: Wire::get(input)?,
            ids: Wire::get(input)?,
            client_uid: Wire::get(input)?,
            keys: Wire::get(input)?,
            hosts: Wire::get(input)?,
            sign_git: Wire::get(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_shorter_plan_of_keys_is_refused() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let plan = KeysPlan {
            session: "abc".parse().unwrap(),
            ids: Ids { uid: 1, gid: 1, groups: vec![] },
            client_uid: 2,
            keys: vec![Fingerprint([7; 32])],
            hosts: vec![KnownHost { host: "a.org:22".parse().unwrap(), keys: vec![key.parse().unwrap()] }],
            sign_git: true,
        };
        let bytes = plan.to_bytes();
        assert_eq!(KeysPlan::from_bytes(&bytes), Ok(plan));
        for length in 0..bytes.len() {
            assert!(KeysPlan::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_of_keys_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = KeysRequest::from_bytes(&bytes) {
                prop_assert_eq!(request.to_bytes(), bytes.clone());
                prop_assert!(bytes.len() <= MAX_MESSAGE_BYTES);
            }
            if let Ok(answer) = KeysAnswer::from_bytes(&bytes) {
                prop_assert_eq!(answer.to_bytes(), bytes.clone());
            }
            let _ = KeysPlan::from_bytes(&bytes);
        }
    }
}
