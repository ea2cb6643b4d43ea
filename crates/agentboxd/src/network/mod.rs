//! The network of sessions: what the supervisor decides and does for their gates.
//!
//! | file | responsible for |
//! |---|---|
//! | `host` | what all sessions share: the host's table, this machine's addresses, resolvers |
//! | `session` | what a session may reach and has reached; the state that is kept beside its ledger |
//! | `gate` | the conversation with a gate, and its replacement when it is lost |
//! | `live` | rules that come and go while a session runs; why something is refused |
//! | `decisions` | decisions counted for the trail |
//! | `lines` | how many lines the trail has room for |
//! | `totals` | how much went where |
//! | `denials` | what was refused, told to the session itself |
//! | `resolvers` | resolv.conf(5) of the host |

pub(crate) mod decisions;
pub(crate) mod denials;
pub(crate) mod gate;
pub(crate) mod host;
mod lines;
pub(crate) mod live;
pub(crate) mod resolvers;
pub(crate) mod session;
mod totals;

pub(crate) use host::HostNetwork;
pub(crate) use session::SessionNetwork;
