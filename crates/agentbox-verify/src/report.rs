//! All that was seen, as it is printed and kept.

use serde::{Deserialize, Serialize};

/// What came of all attacks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Of agentbox.
    pub version: String,
    /// When it began, in seconds since the epoch.
    pub begun_unix_s: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// How the session was held.
    pub chosen: Chosen,
    /// Every attack, in the order of the threats.
    pub trials: Vec<Trial>,
    /// Where what the kernel showed of the session was not what its policy says.
    pub posture_diff: Vec<String>,
    /// What no control removes.
    pub residual: Vec<Residual>,
}

/// How a session was held.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Chosen {
    /// The project whose configuration was used.
    pub project: String,
    /// Its posture.
    pub posture: String,
    /// Its profile; empty when it has none.
    pub profile: String,
    /// What it reaches.
    pub network: String,
    /// How it can change the project.
    pub workspace: String,
    /// Who guards trigger files: `kernel`, or why not.
    pub guard: String,
    /// Hash of the session's policy.
    pub policy_hash: String,
}

/// One attack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trial {
    /// Its name.
    pub id: String,
    /// `T1` to `T8`.
    pub threat: String,
    /// What it tries.
    pub title: String,
    /// What holds it ([`crate::HOLDERS`]).
    pub held_by: String,
    /// What came of it where nothing holds it.
    pub control: Control,
    /// What came of it inside.
    pub verdict: Verdict,
    /// What was seen inside.
    pub detail: String,
}

/// What came of an attack where nothing holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "seen", content = "detail")]
pub enum Control {
    /// It worked.
    Worked(String),
    /// It did not work on this machine either: there is nothing here to attack.
    NothingHere(String),
    /// Only root can show it; it is shown where this project is tested.
    NeedsRoot,
    /// Only a machine of a test's own may show it.
    RigOnly,
    /// Nothing outside can show it, for this reason.
    NonePossible(String),
}

/// What came of an attack inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It did not work.
    Stopped,
    /// It came to be, and the person was told at once or at the end.
    Told,
    /// It worked. Nothing is more important than this.
    Worked,
    /// It worked because the person's configuration grants it.
    Granted,
    /// No posture, or not this one, promises that it does not work.
    NotPromised,
    /// It was not tried: this machine has nothing to try it on.
    NothingHere,
    /// It was not tried: it needs a network that is a test's own.
    RigOnly,
}

impl Verdict {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Told => "told",
            Self::Worked => "WORKED",
            Self::Granted => "granted",
            Self::NotPromised => "not promised",
            Self::NothingHere => "nothing here",
            Self::RigOnly => "rigs only",
        }
    }

    /// Whether it counts as tried and judged.
    #[must_use]
    pub fn is_judged(self) -> bool {
        matches!(self, Self::Stopped | Self::Told | Self::Worked)
    }
}

/// A risk that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Residual {
    /// What may happen.
    pub risk: String,
    /// What makes it smaller.
    pub remedy: String,
}

impl Report {
    /// Attacks that worked and must not.
    pub fn worked(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| trial.verdict == Verdict::Worked)
    }

    /// Whether all that is promised was seen to hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.worked().next().is_none() && self.posture_diff.is_empty()
    }

    /// How many attacks ended in this way.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.trials.iter().filter(|trial| trial.verdict == verdict).count()
    }

    /// How many were tried and judged, and of these how many were seen to work outside on this machine.
    #[must_use]
    pub fn tried(&self) -> (usize, usize) {
        let judged = || self.trials.iter().filter(|trial| trial.verdict.is_judged());
        (judged().count(), judged().filter(|trial| matches!(trial.control, Control::Worked(_))).count())
    }
}
