//! The three legs of the trifecta: which of them stand in a session, and why.
//!
//! *Private data*: profile or project are marked private, or hold what is. *Untrusted content*: the project
//! is from someone else, or what is read was written by strangers. *External communication*: something is
//! reached beyond what the agent itself needs. With all three, who writes what the agent reads can have sent
//! away what the agent can read.

use crate::live::LIVE_ALLOW;
use crate::policy::Policy;
use crate::text::printable;
use crate::{PolicyError, Trifecta, groups};
use agentbox_plan::net::{Rule, Rules, Verdict};
use serde::{Deserialize, Serialize};

/// Most causes of one leg that are kept: as many as a person reads.
const MAX_CAUSES: usize = 12;

/// A leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// The session can read what is private.
    Private,
    /// The session reads what strangers wrote.
    Untrusted,
    /// The session can send something away.
    External,
}

impl Leg {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Private, Self::Untrusted, Self::External];

    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private data",
            Self::Untrusted => "untrusted content",
            Self::External => "external communication",
        }
    }
}

/// Why a leg stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// What it is.
    pub what: String,
    /// The rule: `FILE: KEY`, or where it was found.
    pub rule: String,
    /// What would remove it.
    pub remedy: String,
}

/// Which legs stand. A leg without a cause does not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Legs {
    /// Why private data can be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private: Vec<Cause>,
    /// Why untrusted content is read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untrusted: Vec<Cause>,
    /// Why something can be sent away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<Cause>,
}

impl Legs {
    /// Why a leg stands; nothing when it does not.
    #[must_use]
    pub fn causes(&self, leg: Leg) -> &[Cause] {
        match leg {
            Leg::Private => &self.private,
            Leg::Untrusted => &self.untrusted,
            Leg::External => &self.external,
        }
    }

    /// The legs that stand.
    pub fn standing(&self) -> impl Iterator<Item = Leg> + '_ {
        Leg::ALL.into_iter().filter(|leg| !self.causes(*leg).is_empty())
    }

    /// How many stand.
    #[must_use]
    pub fn count(&self) -> usize {
        self.standing().count()
    }

    /// These and those of another session that shares the project: what one of them read, it can leave there
    /// for the other.
    #[must_use]
    pub fn with(mut self, session: &str, other: &Self) -> Self {
        for leg in Leg::ALL {
            let more = other.causes(leg).iter().map(|cause| Cause {
                what: format!("session {session} on the same project: {}", cause.what),
                ..cause.clone()
            });
            let more: Vec<_> = more.collect();
            let mine = self.causes_mut(leg);
            mine.extend(more);
            mine.truncate(MAX_CAUSES);
        }
        self
    }

    pub(crate) fn add(
        &mut self,
        leg: Leg,
        what: impl AsRef<str>,
        rule: impl AsRef<str>,
        remedy: impl Into<String>,
    ) {
        let cause = Cause {
            what: printable(what.as_ref()),
            rule: printable(rule.as_ref()),
            remedy: printable(&remedy.into()),
        };
        let mine = self.causes_mut(leg);
        if mine.len() < MAX_CAUSES && !mine.contains(&cause) {
            mine.push(cause);
        }
    }

    fn causes_mut(&mut self, leg: Leg) -> &mut Vec<Cause> {
        match leg {
            Leg::Private => &mut self.private,
            Leg::Untrusted => &mut self.untrusted,
            Leg::External => &mut self.external,
        }
    }

    /// The legs in one line, each with its first cause.
    fn words(&self) -> String {
        let word = |leg: Leg| {
            let first = self.causes(leg).first()?;
            Some(format!("{} ({})", leg.as_str(), first.what))
        };
        Leg::ALL.into_iter().filter_map(word).collect::<Vec<_>>().join(", ")
    }

    /// What would remove the leg that a setting can remove most easily.
    fn remedies(&self) -> String {
        // The one with the fewest causes falls first.
        let least = Leg::ALL.into_iter().min_by_key(|leg| self.causes(*leg).len());
        let causes = least.map(|leg| self.causes(leg)).unwrap_or_default();
        causes.iter().take(3).map(|cause| cause.remedy.as_str()).collect::<Vec<_>>().join("; ")
    }
}

impl Policy {
    /// Which legs stand in a session of this policy by itself.
    #[must_use]
    pub fn legs(&self) -> &Legs {
        &self.legs
    }

    /// What happens when all three stand.
    #[must_use]
    pub fn trifecta(&self) -> Trifecta {
        self.settings.trifecta.unwrap_or(Trifecta::Warn)
    }

    /// Which legs stand, together with those of other sessions that share the project.
    #[must_use]
    pub fn shared_legs(&self) -> &Legs {
        &self.shared_legs
    }

    /// What this session is to others on its project.
    #[must_use]
    pub fn neighbour(&self) -> Neighbour {
        Neighbour { legs: self.legs.clone(), trifecta: self.trifecta(), rule: self.trifecta_rule() }
    }

    /// Takes into account what shares the project, and judges all of it by the tightest word of all. What
    /// there is to be warned of is told, when nothing has to be refused.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] or [`PolicyError::Unconfirmed`] where all three legs stand and somebody says so.
    pub fn share(
        &mut self,
        others: &[(String, Neighbour)],
        confirmed: bool,
    ) -> Result<Option<String>, PolicyError> {
        let (legs, trifecta, rule) = self.neighbour().among(others);
        self.shared_legs = legs;
        judge(&self.shared_legs, trifecta, &rule, confirmed)
    }

    fn trifecta_rule(&self) -> String {
        let rule = self.origins.get(&crate::lattice::Key::Trifecta);
        rule.cloned().unwrap_or_else(|| crate::policy::BUILT_IN.to_owned())
    }
}

/// A session as others on its project see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The legs that stand in it.
    pub legs: Legs,
    /// What happens when all three stand.
    pub trifecta: Trifecta,
    /// Who says that.
    pub rule: String,
}

impl Neighbour {
    /// With what a person allowed it while it runs.
    #[must_use]
    pub fn with_live(mut self, rules: &Rules) -> Self {
        let allowed = |rule: &&Rule| rule.verdict == Verdict::Allow && rule.origin.ends_with(LIVE_ALLOW);
        for rule in rules.rules.iter().filter(allowed) {
            let remedy = || format!("agentboxctl deny {}", rule.target);
            self.legs.add(Leg::External, format!("`{}` can be reached", rule.target), &rule.origin, remedy());
            if groups::foreign().is_ok_and(|foreign| groups::is_foreign(foreign, &rule.target)) {
                let what = format!("strangers write what is read at `{}`", rule.target);
                self.legs.add(Leg::Untrusted, what, &rule.origin, remedy());
            }
        }
        self
    }

    /// Judges it together with others, as [`Policy::share`] does for a session that is about to start.
    ///
    /// # Errors
    /// As [`Policy::share`].
    pub fn judge(&self, others: &[(String, Self)], confirmed: bool) -> Result<Option<String>, PolicyError> {
        let (legs, trifecta, rule) = self.clone().among(others);
        judge(&legs, trifecta, &rule, confirmed)
    }

    /// The legs of all, and the tightest word of all.
    fn among(self, others: &[(String, Self)]) -> (Legs, Trifecta, String) {
        let mut all = (self.legs, self.trifecta, self.rule);
        for (session, other) in others {
            all.0 = all.0.with(session, &other.legs);
            if other.trifecta > all.1 {
                (all.1, all.2) = (other.trifecta, format!("session {session}: {}", other.rule));
            }
        }
        all
    }
}

fn judge(
    legs: &Legs,
    trifecta: Trifecta,
    rule: &str,
    confirmed: bool,
) -> Result<Option<String>, PolicyError> {
    if legs.count() < Leg::ALL.len() {
        return Ok(None);
    }
    let what = format!("all of the trifecta: {}", legs.words());
    let rule = rule.to_owned();
    match trifecta {
        Trifecta::Warn => {
            Ok(Some(format!("{what}; whoever wrote what the session reads can have sent away what it knows")))
        }
        Trifecta::Confirm if confirmed => Ok(None),
        Trifecta::Confirm => Err(PolicyError::Unconfirmed {
            what,
            rule,
            remedy: format!("say --yes-trifecta for this one session, or remove a leg: {}", legs.remedies()),
        }),
        Trifecta::Refuse => {
            Err(PolicyError::Refused { what, rule, remedy: format!("remove a leg: {}", legs.remedies()) })
        }
    }
}
