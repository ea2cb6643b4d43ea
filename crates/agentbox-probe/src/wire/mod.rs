//! What the attacks on the network put on the wire, and how they hear an answer. Every wait has a limit:
//! an attack that hangs would say nothing.

pub(crate) mod dns;
pub(crate) mod exchange;
pub(crate) mod hello;
pub(crate) mod http;
pub(crate) mod netlink;
pub(crate) mod packet;
pub(crate) mod socket;

use std::time::Duration;

/// Longest wait for a connection or an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
