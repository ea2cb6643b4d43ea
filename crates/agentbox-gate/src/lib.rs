//! The gate of a session: what meets the untrusted bytes of its network.
//!
//! It answers questions for names, judges connections by the names in TLS and HTTP, and relays what is
//! allowed. It has no network of its own, no files and no rights: sockets come from the supervisor, one for
//! each connection, after the supervisor has judged as well.
//!
//! | part | responsible for |
//! |---|---|
//! | `runtime` | tasks, descriptors, times |
//! | `link` | the conversation with the supervisor |
//! | `http` | whether requests without encryption are for the host that they go to |
//! | `budget` | how much the session may still send |
//! | `publish` | connections from the host to ports of the session |
//! | `relay` | connections of the session: judged, made, relayed |
//! | `tls` | which name a ClientHello is for |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod budget;
pub mod http;
pub mod link;
pub mod publish;
pub mod relay;
pub mod runtime;
pub mod tls;
