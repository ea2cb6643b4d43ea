//! The gate of a session: what meets the untrusted bytes of its network.
//!
//! It answers questions for names, judges connections by the names in TLS and HTTP, and relays what is
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
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod dns;
pub mod link;
pub mod names;
pub mod resolve;
pub mod runtime;
mod serve;

pub use serve::run;
