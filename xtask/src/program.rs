//! Running other programs: each function says what it does with their output.

use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs it with the terminal of this program; a status other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs it and returns its standard output; a status other than 0 is an error with what it said.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {}", shown(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How much of the machine something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Alone,
    /// What others leave of the processors: SCHED_IDLE of sched(7).
    Beside,
}

impl Pace {
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        if self == Self::Alone {
            return Command::new(program);
        }
        let mut idle = Command::new("chrt");
        idle.args(["--idle", "0"]).arg(program);
        idle
    }
}

/// Environment and directory.
pub(crate) fn copy_surroundings(of: &Command, to: &mut Command) {
    for (name, value) in of.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
    if let Some(directory) = of.get_current_dir() {
        to.current_dir(directory);
    }
}

/// The command line, for messages; of a script only the word.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        text.push(' ');
        text.push_str(if argument.contains('\n') { "SCRIPT" } else { &argument });
    }
    text
}

/// Finds a program in the directories that belong to the system.
///
/// `PATH` is not asked: a program in somebody's home is not there for a session.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|directory| PathBuf::from(directory).join(name))
        .find(|path| path.exists())
}

/// Ends with an error where this program does not run as root.
pub(crate) fn need_root(verb: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("`cargo xtask {verb}` makes namespaces, mounts and users: run it as root (sudo -E)");
    }
    Ok(())
}
