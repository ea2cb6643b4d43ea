//! Turns configuration layers and a request into a validated [`Policy`] and a [`plan`](plan()), or an
//! error that says where.
//!
//! Pure: no file is opened, no clock is read, nothing of the process is looked at. Inputs are bytes and
//! typed facts, so that the supervisor, the command line and a build can all ask the same question.
//!
//! ```text
//! bytes ─ Layer::parse ─▶ Layer ─ merge_system ─▶ System ┐
//!                  person's and project's Layer, Request ┴ resolve ─▶ Policy ─ wanted ─▶ what to open
//!                                                                        └──── plan(Facts) ─▶ Plan
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `lattice` | the table of settings: order, join, who may set which key |
//! | `config` | files as written: [`Config`], [`Layer`], where each key stands |
//! | `system` | [`System`]: the system's files merged and checked |
//! | `posture` | the built-in postures and `extends` |
//! | `preset` | what each agent program needs, as data |
//! | `groups` | groups of hosts, as data; which hosts serve what strangers wrote |
//! | `cover` | whether one target holds another |
//! | `ceiling` | what the system lets a person reach and publish |
//! | `request` | what a person asks for and who they are |
//! | `resolve` | [`resolve`]: all of the above into a [`Policy`] |
//! | `policy` | [`Policy`]: every value with its origin |
//! | `reach` | what of the network a session reaches, every rule with its origin |
//! | `inspection` | what was found in a project, and what that recommends |
//! | `secrets` | secrets that a session gets from files |
//! | `pins` | what the profile puts into a session, as it was when it was looked at |
//! | `kept` | what of an agent's own files outlives a session |
//! | `render` | files that say how an agent behaves, made for each session |
//! | `legs` | private data, untrusted content, external communication: which stand, and why |
//! | `agent` | the ssh-agent of a session: keys, hosts, permissions |
//! | `live`, `tighten` | rules that a person adds to a session that runs; what a configuration closes for it that is read again |
//! | `environment` | which variables pass |
//! | `places` | which places of the host are shown and which never are |
//! | `project` | which keys of git's configuration may change; patterns of secrets |
//! | `triggers` | which files in a project make a program on the host act later |
//! | `paths` | comparisons of paths as text |
//! | `text` | escaping and suggestions for messages |
//! | `plan` | [`wanted`] and [`plan`](plan()): what to open, and the steps of the launcher |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod agent;
mod ceiling;
mod config;
mod cover;
mod environment;
mod error;
#[cfg(test)]
mod fixture;
mod groups;
mod inspection;
mod kept;
pub mod lattice;
mod legs;
mod live;
mod loopback;
mod paths;
mod pins;
mod places;
mod plan;
mod policy;
mod posture;
mod preset;
mod project;
mod reach;
mod render;
mod request;
mod resolve;
mod secrets;
mod system;
mod text;
mod tighten;
mod triggers;

pub use agent::SshAgent;
pub use config::{
    AgentHost, Ceiling, Config, ConfigError, Count, Environment, Git, GitHost, HostPath, HostRule,
    InternalName, KeptName, KeyFingerprint, KnownKey, Layer, LayerKind, Line, MAX_FILE_BYTES, Name, PassName,
    Pattern, PinnedPath, PortRange, PostureTable, ProfileTable, ProjectTable, Publish, Resolver, Secret,
    SecretAs, SignFor, Size, SshAgentCeiling, SshAgentTable, Time, UidRange, UserName, VariableName, schema,
};
pub use error::PolicyError;
pub use inspection::{Finding, Inspection, MAX_FINDINGS, Recommendation, Sign};
pub use kept::{Kept, KeptWhat};
pub use lattice::{
    Filesystem, Guard, Identity, Isolation, Network, OnGateLoss, OnSharedFiles, OnTrigger, Settings, State,
    Trifecta, Workspace,
};
pub use legs::{Cause, Leg, Legs, Neighbour};
pub use live::{LIVE_ALLOW, LIVE_DENY, live_allow, live_deny, with_live};
pub use loopback::stays_inside;
pub use pins::Pin;
pub use plan::{Facts, Found, Opener, SecretText, Wanted, WantedKind, plan, wanted};
pub use policy::{Limit, Policy, Value};
pub use project::{Secrets, built_in_keys, built_in_secrets};
pub use reach::{ForeignName, MAX_RULES_BYTES};
pub use request::{Inputs, KnownKeys, Person, ProjectFacts, Request, Ssh};
pub use resolve::{projects_elsewhere, resolve};
pub use secrets::{SecretGrant, SecretHow};
pub use system::{System, changed_file, check_person, merge_system};
pub use tighten::{Running, Tightened, tightened, waiting};
pub use triggers::built_in_triggers;
