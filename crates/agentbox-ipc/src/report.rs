//! What `Report` answers.

use serde::{Deserialize, Serialize};

/// One thing that a session left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportLine {
    /// What it is about: `trigger`, `git-config`, `git-pointer`, `set-id`, `hard-link`, `socket`, `pipe`,
    /// `device`, `odd-name`, `repository`, `bare-repository`.
    pub kind: String,
    /// `added`, `changed`, `removed` or `restored`.
    pub change: String,
    /// Where, escaped: below the project, or an absolute path outside of it.
    pub path: String,
    /// Who acts on it; empty when nobody in particular does.
    pub actor: String,
    /// Further words, escaped.
    pub detail: String,
    /// Whether it may act by itself or reach out of the project: a person has to have seen it.
    pub grave: bool,
}

/// What a session left behind in its project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportAnswer {
    /// The session.
    pub id: String,
    /// Whose it was.
    pub owner_uid: u32,
    /// Path of the project.
    pub project: String,
    /// When it was looked at, in seconds of the Unix epoch.
    pub looked_unix_s: u64,
    /// What was found, the grave first.
    pub findings: Vec<ReportLine>,
    /// Findings beyond those.
    pub more: u32,
    /// Directories that were not looked into: the first few, with the reason.
    pub unseen: Vec<String>,
    /// How many there are.
    pub unseen_count: u32,
    /// Why nothing could be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl ReportAnswer {
    /// How many of the findings a person has to have seen.
    #[must_use]
    pub fn grave(&self) -> usize {
        self.findings.iter().filter(|finding| finding.grave).count() + usize::from(self.failed.is_some())
    }
}
