//! What an attack is called and what came of it, as printed in JSON.

use serde::{Deserialize, Serialize};

/// What came of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it wanted.
    Succeeded,
    /// Something stood in its way.
    Refused,
    /// It could not be tried: a fact was missing.
    NotApplicable,
}

/// One line of `agentbox-probe run --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The attack.
    pub id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The error's name, or what was seen.
    pub detail: String,
    /// What it left behind for others to look for: paths on the host, or the mark that no far listener may
    /// have seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// One line of `agentbox-probe list --json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    /// Its name, beginning with its threat.
    pub id: String,
    /// `T1` to `T8`.
    pub threat: String,
    /// What it tries.
    pub title: String,
    /// What it needs of the facts or the kernel.
    pub needs: Vec<String>,
    /// How it is shown to work where nothing holds it.
    pub control: Control,
    /// From which posture on it is refused.
    pub promise: Promise,
    /// What shows whether it worked.
    pub judged: Judged,
    /// The part of the kernel without which there is nothing to attack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

/// What an attack on process 1 needs: outside, a pid namespace whose first process is root's own.
pub const OWN_FIRST_PROCESS: &str = "a first process of one's own";

/// How the needs of an attack on an ssh-agent begin. Without one that was granted there is nothing to try it on.
pub const NEEDS_AGENT: &str = "agent.";
/// How the needs of an attack on the network begin. Without a lab there is nothing to try it on.
pub const NEEDS_NETWORK: &str = "network.";
/// How the needs of an attack begin that leaves trigger files in a project, which only a test of these has for it.
pub const NEEDS_TRIGGERS: &str = "triggers.";

impl Listing {
    /// Whether it can be tried on any machine: not without a lab, an ssh-agent or a project to give away.
    #[must_use]
    pub fn is_for_any_machine(&self) -> bool {
        let apart = [NEEDS_AGENT, NEEDS_NETWORK, NEEDS_TRIGGERS];
        !self.needs.iter().any(|need| apart.iter().any(|apart| need.starts_with(apart)))
    }
}

/// How an attack is shown to work outside a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// It succeeds for the person.
    Person,
    /// It succeeds for root.
    Root,
    /// It would succeed for root, but only in a rig may it be tried.
    RigOnly,
    /// Nothing outside shows it, for this reason.
    NonePossible(String),
}

/// From which posture on an attack is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// At L1 and above.
    L1,
    /// At L2 and above.
    L2,
    /// At no posture, for this reason. It is tried and shown, not judged.
    None(String),
}

/// What shows whether an attack worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// What it saw.
    Outcome,
    /// What others show afterwards: the facts' tag in the files that the record names as left, or the mark
    /// that it names, at a listener.
    OnHost,
}
