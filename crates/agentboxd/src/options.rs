//! The command line.

use crate::configuration;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

/// The supervisor of agentbox.
///
/// RUNTIME_DIRECTORY, STATE_DIRECTORY, LOGS_DIRECTORY and CONFIGURATION_DIRECTORY say where its files are;
/// without them they are in /run/agentbox, /var/lib/agentbox, /var/log/agentbox and /etc/agentbox. SIGTERM
/// ends the supervisor and not its sessions: the next one takes them over. SIGHUP has it read its configuration
/// again.
#[derive(Debug, clap::Parser)]
#[command(name = "agentboxd", version)]
pub(crate) struct Options {
    /// Serve on RUNTIME_DIRECTORY/bus instead of the system bus, and end with the last session and connection
    #[arg(long)]
    pub(crate) embedded: bool,

    /// Directory of the system's configuration
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,

    /// How much is logged to standard error: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: LevelFilter,

    /// Print the points at which a test can have this process killed
    #[cfg(feature = "testing")]
    #[arg(long)]
    pub(crate) list_kill_points: bool,
}

impl Options {
    /// Directory of the system's configuration: as the option says, the environment, or the usual one.
    pub(crate) fn configuration(&self) -> PathBuf {
        let variable = || std::env::var_os("CONFIGURATION_DIRECTORY").map(PathBuf::from);
        self.config.clone().or_else(variable).unwrap_or_else(|| configuration::DIRECTORY.into())
    }
}

/// Says why the process ends.
pub(crate) fn failed(error: &dyn std::error::Error) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        assert!(!Options::try_parse_from(["agentboxd"]).unwrap().embedded);
        let options = Options::try_parse_from(["agentboxd", "--embedded", "--config", "/x"]).unwrap();
        assert_eq!(options.configuration(), PathBuf::from("/x"));
    }
}
