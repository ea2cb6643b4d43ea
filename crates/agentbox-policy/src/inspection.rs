//! What was found in a project, and what that recommends.
//!
//! Looking is done elsewhere, as the person. What arrives here is a list of findings, which is bounded and
//! whose texts were chosen by whoever wrote the project.

use crate::posture;
use crate::{Network, PolicyError, Settings, Workspace};
use serde::{Deserialize, Serialize};

/// Most findings of one inspection.
pub const MAX_FINDINGS: usize = 256;
/// Longest text of one, in bytes.
const MAX_TEXT_BYTES: usize = 2048;

/// What a finding is a sign of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// The project is from someone else.
    Stranger,
    /// Somebody else wrote what tells agents what to do.
    Instructions,
    /// A tool server that an agent starts or talks to, as the project says.
    Server,
    /// A skill or plugin that an agent loads.
    Skill,
    /// A command that an agent runs by itself.
    Hook,
    /// A rule that lets an agent run nearly everything without asking.
    BroadRule,
    /// A mode in which an agent asks nothing.
    Bypass,
    /// A setting that sends the agent or its key elsewhere.
    Redirect,
    /// A repository at a host that is not a public one.
    PrivateRemote,
    /// A repository whose owner has not the person's name.
    ForeignRemote,
    /// A file with another name, maybe outside.
    HardLink,
    /// A socket that a program of the host left.
    Socket,
    /// A program that runs with its owner's rights.
    SetId,
    /// Something could not be looked at.
    Unread,
}

impl Sign {
    /// In words, for a table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "from someone else",
            Self::Instructions => "instructions of others",
            Self::Server => "tool server",
            Self::Skill => "skill",
            Self::Hook => "hook",
            Self::BroadRule => "broad rule",
            Self::Bypass => "asks nothing",
            Self::Redirect => "leads elsewhere",
            Self::PrivateRemote => "private remote",
            Self::ForeignRemote => "remote of others",
            Self::HardLink => "hard link",
            Self::Socket => "socket",
            Self::SetId => "set-id program",
            Self::Unread => "not looked at",
        }
    }

    /// Whether it brings content that nobody vouches for.
    #[must_use]
    pub fn is_untrusted(self) -> bool {
        matches!(self, Self::Stranger | Self::Instructions | Self::Server | Self::Skill)
    }

    /// Whether it is one of those for which a machine of its own is the right place.
    fn smells(self) -> bool {
        matches!(self, Self::Stranger | Self::Instructions | Self::Server)
    }

    /// Whether the agent's own questions no longer hold anything.
    fn disarms(self) -> bool {
        matches!(self, Self::Skill | Self::Hook | Self::BroadRule | Self::Bypass | Self::Redirect)
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What it is a sign of.
    pub sign: Sign,
    /// Where, below the project.
    pub place: String,
    /// What is there.
    pub what: String,
}

/// What was found in a project.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspection {
    /// In the order in which it was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// What an inspection recommends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// The loosest posture of this version that fits.
    pub posture: &'static str,
    /// The loosest network that fits.
    pub network: Option<Network>,
    /// The loosest workspace that fits.
    pub workspace: Option<Workspace>,
    /// Whether a machine without anything to lose would be better still: L4.
    pub elsewhere: bool,
    /// For which findings.
    pub because: Vec<Sign>,
}

impl Inspection {
    /// What it recommends; nothing when nothing was found that asks for more than the usual.
    #[must_use]
    pub fn recommendation(&self) -> Option<Recommendation> {
        let elsewhere = self.any(Sign::smells);
        let disarmed = self.any(Sign::disarms);
        let linked = self.any(|sign| sign == Sign::HardLink);
        if !(elsewhere || disarmed || linked) {
            return None;
        }
        let mut because: Vec<Sign> = self.findings.iter().map(|finding| finding.sign).collect();
        because.retain(|sign| sign.smells() || sign.disarms() || *sign == Sign::HardLink);
        because.sort_unstable();
        because.dedup();
        Some(Recommendation {
            posture: posture::DEFAULT,
            network: elsewhere.then_some(Network::Allowlist),
            workspace: linked.then_some(Workspace::Overlay),
            elsewhere,
            because,
        })
    }

    fn any(&self, which: impl Fn(Sign) -> bool) -> bool {
        self.findings.iter().any(|finding| which(finding.sign))
    }

    /// It came over the bus: whether it keeps to the bounds.
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        let long = |finding: &Finding| finding.place.len().max(finding.what.len()) > MAX_TEXT_BYTES;
        if self.findings.len() <= MAX_FINDINGS && !self.findings.iter().any(long) {
            return Ok(());
        }
        Err(PolicyError::Invalid {
            what: format!(
                "an inspection of more than {MAX_FINDINGS} findings or {MAX_TEXT_BYTES} bytes each"
            ),
        })
    }
}

impl Recommendation {
    /// Whether these settings hold a session less than what is recommended.
    #[must_use]
    pub(crate) fn is_above(&self, settings: &Settings) -> bool {
        let Some(wanted) = posture::built_in(self.posture) else { return false };
        settings.isolation < wanted.isolation
            || settings.filesystem < wanted.filesystem
            || settings.identity < wanted.identity
    }

    /// In words: for which findings.
    #[must_use]
    pub fn reasons(&self) -> String {
        self.because.iter().map(|sign| sign.as_str()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;

    fn found(signs: &[Sign]) -> Inspection {
        let finding = |sign: &Sign| Finding { sign: *sign, place: ".".into(), what: "it".into() };
        Inspection { findings: signs.iter().map(finding).collect() }
    }

    #[test]
    fn the_triggers_recommend_more_than_the_usual() {
        assert_eq!(found(&[]).recommendation(), None);
        assert_eq!(found(&[Sign::PrivateRemote, Sign::Socket, Sign::ForeignRemote]).recommendation(), None);
        let stranger = found(&[Sign::Stranger]).recommendation().unwrap();
        assert_eq!(
            (stranger.posture, stranger.network, stranger.elsewhere),
            ("L2", Some(Network::Allowlist), true)
        );
        let broad = found(&[Sign::BroadRule]).recommendation().unwrap();
        assert_eq!((broad.posture, broad.network, broad.elsewhere), ("L2", None, false));
        assert_eq!(found(&[Sign::HardLink]).recommendation().unwrap().workspace, Some(Workspace::Overlay));
    }

    #[test]
    fn below_the_recommendation_the_posture_is_said_aloud() {
        let mut world = World::new().system("default_posture = \"L1\"");
        assert!(world.resolve().is_ok());
        world.inspection = Some(found(&[Sign::Bypass]));
        let refusal = world.refusal();
        assert!(refusal.contains("--posture L1") && refusal.contains("asks nothing"), "{refusal}");
        assert!(world.clone().ask(|request| request.posture = Some("L1".into())).resolve().is_ok());
        assert!(world.ask(|request| request.posture = Some("L2".into())).resolve().is_ok());
    }

    #[test]
    fn an_inspection_is_bounded() {
        let mut world = World::new();
        world.inspection = Some(found(&[Sign::Hook; MAX_FINDINGS]));
        assert!(world.resolve().is_ok());
        world.inspection = Some(found(&[Sign::Hook; MAX_FINDINGS + 1]));
        assert!(world.refusal().contains("inspection"));
        let mut long = found(&[Sign::Hook]);
        long.findings[0].what = "x".repeat(MAX_TEXT_BYTES + 1);
        world.inspection = Some(long);
        assert!(world.refusal().contains("inspection"));
    }
}
