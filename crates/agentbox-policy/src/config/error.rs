//! What is wrong with a configuration file, and where.

use crate::text::printable;
use std::fmt;

/// A configuration file was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// Line in it, counted from 1.
    pub line: Option<usize>,
    /// The key, with dots: `profile.work.network`.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do, when there is something to say.
    pub remedy: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", printable(&self.file))?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {}:", printable(key))?;
        }
        write!(f, " {}", printable(&self.what))?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
