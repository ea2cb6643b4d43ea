//! The gate of keys: an ssh-agent that shows chosen keys, and signs for chosen hosts and purposes.
//!
//! It stands between programs of the session and the person's own agent, with a process and ids of its own,
//! because a connection to that agent could ask it for anything. What is asked for is judged here; what is
//! permitted is written down by the supervisor before it is passed on
//! (docs/decisions/0012-a-gate-for-keys.md).
//!
//! | part | responsible for |
//! |---|---|
//! | `serve` | a gate of keys from its start to its end |
//! | `client` | one connection of the session, and its own to the person's agent |
//! | `judge` | what a message may do |
//! | `purpose` | what is to be signed: a login, a signature of git, something else |
//! | `bind` | which host a connection is for, proved by the host's signature |
//! | `verify` | signatures of hosts |
//! | `answer` | what the person's agent said, and what of it the session is told |
//! | `read` | values as ssh writes them |
//! | `frame` | messages on streams |
//! | `link` | the conversation with the supervisor |

mod answer;
mod bind;
mod client;
mod frame;
mod judge;
mod link;
mod purpose;
mod read;
mod serve;
mod verify;

#[cfg(test)]
mod tests;

pub use answer::{chosen_keys, fingerprint, is_signature};
pub use judge::{Asked, Judge};
pub use serve::run;

/// Numbers of messages (draft-ietf-sshm-ssh-agent, section 7.1; PROTOCOL.agent of OpenSSH).
mod number {
    /// SSH_AGENT_FAILURE
    pub(super) const FAILURE: u8 = 5;
    /// SSH_AGENT_SUCCESS
    pub(super) const SUCCESS: u8 = 6;
    /// SSH_AGENTC_REQUEST_IDENTITIES
    pub(super) const REQUEST_IDENTITIES: u8 = 11;
    /// SSH_AGENT_IDENTITIES_ANSWER
    pub(super) const IDENTITIES_ANSWER: u8 = 12;
    /// SSH_AGENTC_SIGN_REQUEST
    pub(super) const SIGN_REQUEST: u8 = 13;
    /// SSH_AGENT_SIGN_RESPONSE
    pub(super) const SIGN_RESPONSE: u8 = 14;
    /// SSH_AGENTC_EXTENSION
    pub(super) const EXTENSION: u8 = 27;
}
