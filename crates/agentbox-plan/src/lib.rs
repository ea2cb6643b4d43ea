//! What the trusted programs of agentbox say to each other.
//!
//! The supervisor writes a [`Plan`]; the launcher reads it from a sealed memfd and puts it into force.
//! The other messages here cross the few boundaries that the launcher has: towards the supervisor
//! ([`report`]), towards a person's terminal ([`console`]), between its own two halves ([`inner`]), and
//! between the supervisor and a session's gates, of the network ([`gate`]) and of keys ([`keys`]).
//!
//! Everything is encoded by [`wire`], a fixed little-endian encoding of a few hundred lines, because
//! this crate is all that the launcher has to parse. Nothing here does IO.
//!
//! | file | holds |
//! |---|---|
//! | `wire` | the encoding, its limits and its errors |
//! | `session` | [`SessionId`] |
//! | `path` | [`InnerPath`], a path inside a session |
//! | `mount` | [`Mount`], one step of building the file system |
//! | `process` | [`Process`], [`Streams`], [`Exit`]: what runs and how it ends |
//! | `plan` | [`Plan`] and its parts |
//! | `descriptors` | which descriptor number holds what when the launcher starts |
//! | `glob` | [`PathGlob`](glob::PathGlob), a pattern of paths inside a project |
//! | `trigger` | [`Triggers`](trigger::Triggers), files that make a program on the host act later |
//! | `look` | what is asked about a project with its person's rights, and what was found in it |
//! | `git_config` | the format of git's configuration |
//! | `net` | names, addresses and rules of the network, and the judgement over them |
//! | `base64` | bytes as ssh writes them |
//! | `report`, `console`, `inner`, `gate`, `keys` | the messages |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod base64;
pub mod console;
pub mod descriptors;
pub mod gate;
pub mod git_config;
pub mod glob;
pub mod inner;
pub mod keys;
pub mod look;
mod mount;
pub mod net;
mod path;
mod plan;
mod process;
pub mod report;
mod session;
pub mod trigger;
pub mod wire;

pub use mount::{Access, Mount, Owner, SourceIndex};
pub use path::{InnerPath, InnerPathError};
pub use plan::{Confinement, IdMap, Identity, Ids, Limit, LimitKind, NetworkNamespace, Plan, Sandbox};
pub use process::{Exit, Process, Streams, TerminalSize};
pub use session::{SessionId, SessionIdError};
pub use wire::{Wire, WireError};
