//! What could not be done, in the one to three lines that a person reads, and the exit status for it.

use crate::client::ClientError;
use crate::output::escape;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};

/// Status of `start`, `attach` and `exec` when agentbox itself failed; any other is the agent's.
pub(crate) const OWN_FAILURE: u8 = 125;
/// Status of the other verbs when they failed.
pub(crate) const FAILURE: u8 = 1;
/// Status of the other verbs for a command line that makes no sense.
pub(crate) const USAGE: u8 = 2;

/// What could not be done.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    kind: Kind,
}

/// What else is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    NotFound,
    Unconfirmed,
}

impl Failure {
    /// What was refused or went wrong, and in further lines the rule and what to do.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Plain }
    }

    /// The same with a line more.
    pub(crate) fn with_line(mut self, line: &str) -> Self {
        self.text = format!("{}\n{line}", self.text.trim_end());
        self
    }

    /// Something that the system did not do.
    pub(crate) fn system(what: impl Display, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        Self::new(format!("{what}: {}", reason(&source)))
    }

    /// The text, not yet escaped.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the supervisor knows no such session.
    pub(crate) fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// Whether the person only has to say so.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.kind == Kind::Unconfirmed
    }

    /// Tells the person, with nothing in front: editors and builds look for `FILE:LINE:`.
    pub(crate) fn print_plain(&self) {
        let _nobody_to_tell = writeln!(io::stderr(), "{}", escape::message(self.text.trim_end()));
    }

    /// Tells the person.
    pub(crate) fn print(&self) {
        // Names in it may have been chosen by a project.
        let text = escape::message(self.text.trim_end());
        let _nobody_to_tell = writeln!(io::stderr(), "agentboxctl: {}", text.replace('\n', "\n  "));
    }
}

impl From<agentbox_ipc::Error> for Failure {
    fn from(error: agentbox_ipc::Error) -> Self {
        match error {
            agentbox_ipc::Error::Transport(source) => {
                let log = crate::embedded::log_place();
                Self::new(format!(
                    "the supervisor did not answer: {}\nwhat it said last stands in {}",
                    without_number(&source.to_string()),
                    log
                ))
            }
            agentbox_ipc::Error::NotFound(text) => Self { text, kind: Kind::NotFound },
            agentbox_ipc::Error::Unconfirmed(text) => Self { text, kind: Kind::Unconfirmed },
            other => Self::new(other.message()),
        }
    }
}

impl From<agentbox_ipc::DictionaryError> for Failure {
    fn from(error: agentbox_ipc::DictionaryError) -> Self {
        Self::new(format!("the request does not fit into a message: {error}"))
    }
}

impl From<agentbox_policy::ConfigError> for Failure {
    fn from(error: agentbox_policy::ConfigError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

/// The reason without the number that the standard library appends.
pub(crate) fn reason(error: &io::Error) -> String {
    without_number(&error.to_string()).to_owned()
}

fn without_number(text: &str) -> &str {
    text.split_once(" (os error ").map_or(text, |(words, _)| words)
}

/// Which status a failure of this command line has. It is asked before the command line is understood.
pub(crate) fn failure_status(arguments: &[OsString]) -> u8 {
    let verb = arguments.iter().skip(1).find(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    match verb.and_then(|verb| verb.to_str()) {
        Some("start" | "attach" | "exec") => OWN_FAILURE,
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_status_is_never_taken_for_ours() {
        let table: &[(&[&str], u8)] = &[
            (&["agentboxctl", "start", "--", "list"], OWN_FAILURE),
            (&["agentboxctl", "--embedded", "exec", "a", "--", "b"], OWN_FAILURE),
            (&["agentboxctl", "attach"], OWN_FAILURE),
            (&["agentboxctl", "list"], FAILURE),
            (&["agentboxctl"], FAILURE),
        ];
        for (line, status) in table {
            let line: Vec<_> = line.iter().map(OsString::from).collect();
            assert_eq!(failure_status(&line), *status, "{line:?}");
        }
    }

    #[test]
    fn reasons_carry_no_numbers() {
        assert_eq!(reason(&io::Error::from_raw_os_error(2)), "No such file or directory");
    }
}
