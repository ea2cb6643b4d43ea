//! One attack: what it is, how it is tried, and how its answer is judged.

pub(crate) use crate::answer::{Answer, any_of, judge, lacking, refused, succeeded};
use crate::answer::{decode, encode, reached};
use crate::attacks;
use crate::errno::Errno;
use crate::sys::{self, Ended};
use crate::trial::{Trial, Tried};
use agentbox_probe::{Control, Facts, Judged, KeyAgent, Listing, Outcome, Promise, Record, mark};
use std::time::Duration;

/// Longest that one attack may take. The longest walks every mount.
const LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug, Clone, Copy)]
enum Run {
    /// Judges by itself.
    Whole(fn(&Facts) -> Answer),
    /// A system call that does nothing where it is allowed.
    Reach(fn() -> Result<i64, Errno>),
    /// Asks an ssh-agent.
    Agent(fn(&KeyAgent) -> Result<bool, Errno>),
    /// Aims at listeners of a lab.
    Network(fn(&Trial<'_>) -> Tried),
}

#[derive(Debug, Clone, Copy)]
enum Shown {
    Person,
    Root,
    Rig,
    Never(&'static str),
}

/// An attack of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    pub id: &'static str,
    title: &'static str,
    run: Run,
    needs: &'static [&'static str],
    shown: Shown,
    from_l2: bool,
    unpromised: Option<&'static str>,
    judged: Judged,
    kernel: Option<&'static str>,
    alone: bool,
}

impl Attack {
    /// An attack that the person can carry out outside and that L1 refuses.
    pub(crate) const fn new(id: &'static str, title: &'static str, run: fn(&Facts) -> Answer) -> Self {
        Self::with(id, title, Run::Whole(run))
    }

    /// A system call that must not be reached, made so that it changes nothing where it is.
    pub(crate) const fn reach(
        id: &'static str,
        title: &'static str,
        run: fn() -> Result<i64, Errno>,
    ) -> Self {
        Self::with(id, title, Run::Reach(run))
    }

    /// An attack on an ssh-agent that the session was granted.
    pub(crate) const fn agent(
        id: &'static str,
        title: &'static str,
        run: fn(&KeyAgent) -> Result<bool, Errno>,
    ) -> Self {
        Self::with(id, title, Run::Agent(run))
    }

    /// An attack that aims at listeners of a lab, of which it needs these.
    pub(crate) const fn network(
        id: &'static str,
        title: &'static str,
        needs: &'static [&'static str],
        run: fn(&Trial<'_>) -> Tried,
    ) -> Self {
        Self::with(id, title, Run::Network(run)).needs(needs)
    }

    const fn with(id: &'static str, title: &'static str, run: Run) -> Self {
        Self {
            id,
            title,
            run,
            needs: &[],
            shown: Shown::Person,
            from_l2: false,
            unpromised: None,
            judged: Judged::Outcome,
            kernel: None,
            alone: false,
        }
    }

    /// Only root can carry it out outside.
    pub(crate) const fn root(mut self) -> Self {
        self.shown = Shown::Root;
        self
    }

    /// Only in a rig may it be tried outside.
    pub(crate) const fn rig(mut self) -> Self {
        self.shown = Shown::Rig;
        self
    }

    /// Nothing outside can show it.
    pub(crate) const fn never_shown(mut self, reason: &'static str) -> Self {
        self.shown = Shown::Never(reason);
        self
    }

    /// L1 does not promise it.
    pub(crate) const fn l2(mut self) -> Self {
        self.from_l2 = true;
        self
    }

    /// No posture promises it.
    pub(crate) const fn unpromised(mut self, reason: &'static str) -> Self {
        self.unpromised = Some(reason);
        self
    }

    /// What it leaves on the host shows whether it worked.
    pub(crate) const fn on_host(mut self) -> Self {
        self.judged = Judged::OnHost;
        self
    }

    /// What it needs of the facts.
    pub(crate) const fn needs(mut self, needs: &'static [&'static str]) -> Self {
        self.needs = needs;
        self
    }

    /// The part of the kernel that may be absent.
    pub(crate) const fn kernel(mut self, part: &'static str) -> Self {
        self.kernel = Some(part);
        self
    }

    /// It wears out what others need, or changes it: nothing else is tried meanwhile.
    pub(crate) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Those that need nothing but a tag aim at the network itself.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone || self.needs == ["network.tag"]
    }

    pub(crate) fn listing(&self) -> Listing {
        Listing {
            id: self.id.to_owned(),
            threat: self.id.split('.').next().unwrap_or_default().to_uppercase(),
            title: self.title.to_owned(),
            needs: self.needs.iter().map(|need| (*need).to_owned()).collect(),
            control: match self.shown {
                Shown::Person => Control::Person,
                Shown::Root => Control::Root,
                Shown::Rig => Control::RigOnly,
                Shown::Never(reason) => Control::NonePossible(reason.to_owned()),
            },
            promise: match (self.unpromised, self.from_l2) {
                (Some(reason), _) => Promise::None(reason.to_owned()),
                (None, true) => Promise::L2,
                (None, false) => Promise::L1,
            },
            judged: self.judged,
            kernel: self.kernel.map(str::to_owned),
        }
    }

    /// Tries it in a child, so that nothing of it stays with the next.
    pub(crate) fn attempt(&self, facts: &Facts) -> Record {
        let answer = match sys::in_child(LIMIT, || encode(&self.answer(facts))) {
            Ok(Ended::Said(said)) => decode(&said),
            Ok(Ended::Signal(number)) => refused(format!("killed by signal {number}")),
            Ok(Ended::TooLong) => refused("no answer in time"),
            Err(error) => refused(format!("no child: {error}")),
        };
        Record { id: self.id.to_owned(), outcome: answer.outcome, detail: answer.detail, left: answer.left }
    }

    fn answer(&self, facts: &Facts) -> Answer {
        match self.run {
            Run::Whole(run) => run(facts),
            Run::Reach(run) => reached(run()),
            Run::Agent(run) => attacks::t4_agent::attempted(facts, run),
            Run::Network(run) => self.on_network(facts, run),
        }
    }

    fn on_network(&self, facts: &Facts, run: fn(&Trial<'_>) -> Tried) -> Answer {
        let Some(network) = facts.network.as_ref().filter(|network| !network.tag.is_empty()) else {
            return lacking("network with a tag");
        };
        let trial = Trial { network, mark: mark(&network.tag, self.id) };
        let mut answer = run(&trial).unwrap_or_else(|before| before);
        if self.judged == Judged::OnHost && answer.outcome != Outcome::NotApplicable {
            answer.left.push(trial.mark);
        }
        answer
    }
}

/// Every attack, in the order of the threats.
pub(crate) fn all() -> impl Iterator<Item = &'static Attack> {
    attacks::TABLES.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_attack_has_a_name_of_its_own_that_begins_with_its_threat() {
        let mut seen = BTreeSet::new();
        for attack in all() {
            assert!(seen.insert(attack.id), "{} twice", attack.id);
            let (threat, name) = attack.id.split_once('.').unwrap();
            assert!(threat.len() == 2 && threat.starts_with('t'), "{}", attack.id);
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{name}"
            );
            // With a tag of 16 bytes it is a label of a name.
            assert!(attack.id.len() <= 46, "{}", attack.id);
            assert!(!attack.title.is_empty() && !attack.title.ends_with('.'), "{}", attack.id);
        }
    }

    #[test]
    fn an_attack_on_the_network_says_that_it_needs_one() {
        for attack in all() {
            let needs = attack.needs.iter().any(|need| need.starts_with(agentbox_probe::NEEDS_NETWORK));
            assert_eq!(matches!(attack.run, Run::Network(_)), needs, "{}", attack.id);
        }
    }

    #[test]
    fn an_attack_on_an_agent_says_that_it_needs_one() {
        for attack in all() {
            let needs = attack.needs.iter().any(|need| need.starts_with(agentbox_probe::NEEDS_AGENT));
            assert_eq!(matches!(attack.run, Run::Agent(_)), needs, "{}", attack.id);
            if needs {
                assert_eq!(attack.answer(&Facts::default()).outcome, Outcome::NotApplicable, "{}", attack.id);
            }
        }
    }

    #[test]
    fn without_a_lab_an_attack_on_the_network_is_not_tried() {
        for attack in all().filter(|attack| matches!(attack.run, Run::Network(_))) {
            assert_eq!(attack.answer(&Facts::default()).outcome, Outcome::NotApplicable, "{}", attack.id);
            // These aim at the machine itself, which is not for a test to change.
            if attack.needs == ["network.tag"] {
                continue;
            }
            let empty = serde_json::from_str(r#"{"network":{"tag":"a"}}"#).unwrap();
            let answer = attack.answer(&empty);
            assert_eq!(answer.outcome, Outcome::NotApplicable, "{}: {answer:?}", attack.id);
        }
    }
}
