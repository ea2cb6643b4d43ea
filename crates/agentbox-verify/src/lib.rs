//! Shows on a person's own machine what the threat model promises: every attack first where nothing holds it, then in a
//! session, and what came of it by threat and by what held.
//!
//! | file | holds |
//! |---|---|
//! | `judge` | what an answer means, and of which posture something is promised |
//! | `holder` | what holds an attack |
//! | `report` | all that was seen, as it is printed and kept |
//! | `residual` | what no control removes |
//! | `table`, `page` | the same for people: on a terminal, in a browser |
//! | `scene` | what is planted for the attacks to find, all of it its own, and removed whatever happens |
//! | `listeners` | ends of connections that no session may reach |
//! | `program` | running a program with bounds |
//! | `terminal` | a pseudo-terminal, for what would command it |
//! | `trials` | the order of it all |
//!
//! Nothing here needs privilege: it types `agentboxctl` as a person would, and looks at what the host shows afterwards.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod holder;
mod judge;
mod listeners;
mod page;
mod program;
mod report;
mod residual;
mod scene;
mod table;
mod terminal;
mod trials;

pub use holder::{HOLDERS, Holder, of as holder_of};
pub use judge::{Level, fault, lacks_kernel};
pub use page::page;
pub use report::{Chosen, Control, Report, Residual, Trial, Verdict};
pub use scene::SECRETS;
pub use table::{matrix, text};
pub use trials::{Wanted, run};

/// Why it could not be tried.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn io(what: impl std::fmt::Display, cause: impl Into<std::io::Error>) -> Self {
        Self(format!("{what}: {}", cause.into()))
    }
}
