//! Why there is no policy or no plan.

use crate::ConfigError;

/// Why there is no policy or no plan. The text is what a person reads: what, which rule, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A rule forbids what was asked for.
    #[error("refused: {what}\nrule: {rule}\n{remedy}")]
    Refused {
        /// What was refused.
        what: String,
        /// The rule: `FILE: KEY`, or what is built in.
        rule: String,
        /// What to do.
        remedy: String,
    },
    /// It exists in the plan of agentbox and not in this version.
    #[error("not in this version: {what}\nrule: {rule}\n{remedy}")]
    NotInThisVersion {
        /// What was asked for.
        what: String,
        /// Where it was asked for.
        rule: String,
        /// What to do.
        remedy: String,
    },
    /// A rule wants the person to say so, outside of the agent's terminal.
    #[error("not confirmed: {what}\nrule: {rule}\n{remedy}")]
    Unconfirmed {
        /// What has to be confirmed.
        what: String,
        /// The rule that asks.
        rule: String,
        /// What to do.
        remedy: String,
    },
    /// An input cannot be what it claims to be.
    #[error("invalid: {what}")]
    Invalid {
        /// What is wrong.
        what: String,
    },
}

impl From<ConfigError> for PolicyError {
    fn from(error: ConfigError) -> Self {
        Self::Invalid { what: error.to_string() }
    }
}
