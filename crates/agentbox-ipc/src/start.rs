//! What `Start` and `Explain` take and answer.

use crate::{PublishedPort, ValueRow};
use agentbox_policy::{Inspection, Layer, Legs, Request, Ssh};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a session is started with, besides the directory.
///
/// The person's and the project's files were read and parsed by the caller, as the caller; they arrive
/// as typed values and are judged again by the supervisor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StartRequest {
    /// The person's own configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Layer>,
    /// The project's own file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_file: Option<Layer>,
    /// What the caller found in the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Inspection>,
    /// What was said on the command line.
    pub options: Request,
    /// The caller's whole environment. What of it goes inside is the policy's decision.
    pub environment: BTreeMap<String, String>,
    /// `user.name` of the caller's git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_name: Option<String>,
    /// `user.email` of the caller's git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_email: Option<String>,
    /// What the caller knows of ssh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// Which of standard input, output and error are a terminal.
    pub streams: [bool; 3],
    /// Lines of that terminal; 0 is unknown.
    pub rows: u16,
    /// Characters in a line; 0 is unknown.
    pub columns: u16,
    /// The caller's file mode creation mask (umask(2)), up to 0777.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u16>,
    /// Start without a client.
    pub detach: bool,
    /// Go on with the overlay of this session, which has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// Commit that the project's `HEAD` is at, for a session on an overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
}

/// What was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartAnswer {
    /// The session.
    pub id: String,
    /// Name of its posture.
    pub posture: String,
    /// Name of its profile.
    pub profile: String,
    /// Its network.
    pub network: String,
    /// How many rules of its network allow something.
    pub allowed: u32,
    /// How many of these grant an internal address or a port of the host's loopback.
    pub internal: u32,
    /// Its ports that appear on the host's loopback.
    pub published: Vec<PublishedPort>,
    /// How it sees the project.
    pub workspace: String,
    /// How it is isolated.
    pub isolation: String,
    /// Under whose ids it runs.
    pub identity: String,
    /// Path of the project.
    pub project: String,
    /// Its agent.
    pub agent: String,
    /// Hash of the effective policy.
    pub policy_hash: String,
    /// Which legs of the trifecta stand, with those of other sessions on the project.
    pub legs: Legs,
    /// Notes for the person, beside the values above.
    pub banner: Vec<String>,
    /// What in the configuration the person should know about.
    pub warnings: Vec<String>,
}

/// What a start would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainAnswer {
    /// Every effective value with its origin.
    pub values: Vec<ValueRow>,
    /// The steps of the plan, in order.
    pub steps: Vec<String>,
    /// Hash of the effective policy.
    pub hash: String,
    /// Which legs of the trifecta would stand.
    pub legs: Legs,
    /// What in the configuration the person should know about.
    pub warnings: Vec<String>,
}

/// What was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustAnswer {
    /// Path of the project.
    pub project: String,
    /// What of the project's own file is otherwise than when it was last accepted.
    pub changed: Vec<String>,
}
