//! The vocabulary between the probe and whoever drives it: what was planted, what an attack is, what it
//! saw, and what a process says about itself. The attacks themselves are in the program.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod facts;
mod network;
mod record;
mod state;

pub use facts::{Canary, Facts, Handle, Host, KeyAgent, Person, Planted, Victim};
pub use network::{Endpoint, Inside, Internal, Network, Site, mark};
pub use record::{
    Control, Judged, Listing, NEEDS_AGENT, NEEDS_NETWORK, NEEDS_TRIGGERS, OWN_FIRST_PROCESS, Outcome,
    Promise, Record,
};
pub use state::{Capabilities, Descriptor, Limits, MountLine, State};
