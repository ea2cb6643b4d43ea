//! What of the network a session reaches, and what of it is reached from the host.

use crate::config::Publish;
use crate::policy::{Sourced, Value};
use crate::text::printable;
use agentbox_plan::gate::MAX_ANSWER_BYTES;
use agentbox_plan::net::{Mode, Rules, Target};

/// Most bytes of a session's rules when it starts, as the gate gets them. A quarter of an answer is left
/// for rules that are added to a session that runs.
pub const MAX_RULES_BYTES: usize = MAX_ANSWER_BYTES / 4 * 3;

/// A host that a rule allows and that serves what strangers wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignName {
    /// The host, or hosts.
    pub target: Target,
    /// The rule that allows it: `FILE: KEY`, `group @npm, FILE: KEY`, `preset claude`, `command line`.
    pub origin: String,
}

/// What a session reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// None without a gate: nothing is reached, or all that the host reaches.
    pub(crate) mode: Option<Mode>,
    pub(crate) rules: Rules,
    /// The rules as a person wrote them: groups as groups.
    pub(crate) written: Vec<Written>,
    /// Sorted by the host's port, each of which is there once.
    pub(crate) publish: Vec<Publish>,
    /// Where each is written.
    pub(crate) publish_origins: Vec<String>,
    pub(crate) foreign: Vec<ForeignName>,
    /// Which resolvers are asked, as text.
    pub(crate) resolvers: Sourced<String>,
}

/// A rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// `allow`, `internal` or `deny`.
    pub(crate) key: &'static str,
    pub(crate) text: String,
    pub(crate) origin: String,
}

impl Reach {
    /// No gate.
    pub(crate) fn none() -> Self {
        Self {
            mode: None,
            rules: Rules::nothing(),
            written: Vec::new(),
            publish: Vec::new(),
            publish_origins: Vec::new(),
            foreign: Vec::new(),
            resolvers: Sourced::new("none".to_owned(), crate::policy::BUILT_IN),
        }
    }

    /// Each rule and port with its origin.
    pub(crate) fn values(&self) -> Vec<Value> {
        if self.mode.is_none() {
            return Vec::new();
        }
        let value = |key: &str, value: &str, origin: &str| Value {
            key: key.to_owned(),
            value: printable(value),
            origin: printable(origin),
        };
        let mut values = vec![value("resolvers", &self.resolvers.value, &self.resolvers.origin)];
        values.extend(self.written.iter().map(|rule| value(rule.key, &rule.text, &rule.origin)));
        let published = self.publish.iter().zip(&self.publish_origins);
        values.extend(published.map(|(publish, origin)| value("publish", &publish.to_string(), origin)));
        values
    }

    /// What tells this reach from another, wherever its rules come from and in whatever order they stand.
    pub(crate) fn words(&self) -> Vec<String> {
        let rules = self.rules.rules.iter();
        let mut words: Vec<_> = rules
            .map(|rule| {
                format!("{:?} {} {}", rule.verdict, rule.target, if rule.internal { "internal" } else { "" })
            })
            .collect();
        words.sort();
        words.dedup();
        words.extend(self.publish.iter().map(|publish| format!("publish {publish}")));
        words
    }
}
