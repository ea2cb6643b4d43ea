//! The gates of a session: what meets the untrusted bytes of its network, and what stands before its keys.
//!
//! The gate of the network answers questions for names, judges connections by the names in TLS and HTTP, and relays what is
//! allowed. It has no network of its own, no files and no rights: sockets come from the supervisor, one for
//! each connection, after the supervisor has judged as well.
//!
//! | part | responsible for |
//! |---|---|
//! | `serve` | a gate from its start to its end |
//! | `runtime` | tasks, descriptors, times |
//! | `link` | the conversation with the supervisor |
//! | `dns` | the session's questions for names |
//! | `resolve` | asking for the addresses of names |
//! | `names` | which address stands for which name |
//! | `relay` | connections of the session: judged, made, relayed |
//! | `tls` | which name a ClientHello is for |
//! | `http` | whether requests without encryption are for the host that they go to |
//! | `budget` | how much the session may still send |
//! | `publish` | connections from the host to ports of the session |
//! | `keys` | the other gate: an ssh-agent of chosen keys |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod budget;
pub mod dns;
pub mod http;
pub mod keys;
pub mod link;
pub mod names;
pub mod publish;
pub mod relay;
pub mod resolve;
pub mod runtime;
mod serve;
pub mod tls;

pub use serve::run;
