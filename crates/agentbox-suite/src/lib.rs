//! Drives the real programs on a machine of their own: a throw-away person with keys, secrets and projects,
//! and directories and an id range that no other test shares. The promises are in `tests/`.
//!
//! | file | holds |
//! |---|---|
//! | `programs` | where the programs are |
//! | `run` | [`Running`] and [`Finished`]: commands in bounded time |
//! | `person` | [`Person`]: the throw-away account |
//! | `planted` | what is put on the machine for attacks to find |
//! | `victim` | [`Victim`]: a process of the person's with things of its own |
//! | `key_agent` | [`KeyAgent`]: the person's ssh-agent |
//! | `machine` | [`Machine`]: all of it, and `agentboxctl` on it |
//! | `holding` | [`Holding`]: what the supervisor holds |
//! | `service` | [`Service`]: the supervisor as the service of a rig |
//! | `bus` | its interface as any user's program calls it |
//! | `npm` | [`Npm`]: real agents |
//! | `session` | [`Session`]: one that runs in the background |
//! | `terminal` | [`Terminal`]: a command on a pseudo-terminal |
//! | `battery` | attacks outside and inside, and the judgement |
//! | `overlay` | sessions on an overlay, and looking at what they left |
//! | `held` | what every sandbox has |
//! | `lab` | [`lab::Lab`]: a network of a test's own, with places that record what arrives; [`lab::Field`]: the one that attacks aim at |
//! | `numbers` | [`Numbers`]: random, and the same each time |
//! | `requests` | [`Requests`]: requests at random, and a model of the answers |
//! | `soak` | [`Soak`]: everything that can happen to sessions, at random |
//! | `bomb` | a session that forks for as long as it can |
//! | `disk` | a small file system, to fill |
//! | `silent` | one that does not answer |
//! | `leftovers` | what an ended session may not leave on the host |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod battery;
mod bomb;
pub mod bus;
mod disk;
pub mod held;
mod holding;
mod key_agent;
pub mod lab;
mod leftovers;
mod machine;
mod npm;
mod numbers;
pub mod overlay;
mod person;
mod planted;
mod programs;
mod requests;
mod run;
mod service;
mod session;
mod silent;
mod soak;
mod terminal;
mod victim;

pub use bomb::fork_bomb;
pub use disk::Disk;
pub use holding::Holding;
pub use key_agent::{AgentPlace, Key, KeyAgent, commit_is_signed};
pub use leftovers::{Leftovers, is_gone};
pub use machine::{Machine, SECRET_NAMES};
pub use npm::Npm;
pub use numbers::Numbers;
pub use person::{Person, accounts_unchanged};
pub use planted::Planted;
pub use programs::Programs;
pub use requests::{Answered, Requests};
pub use run::{Finished, Running, eventually, run};
pub use service::Service;
pub use session::Session;
pub use silent::Silent;
pub use soak::{Soak, Told};
pub use terminal::Terminal;
pub use victim::Victim;
