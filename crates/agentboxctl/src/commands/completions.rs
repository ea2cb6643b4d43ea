//! `completions`: a script for a shell.

use crate::arguments::Arguments;
use crate::errors::Failure;
use crate::output::print;
use clap::CommandFactory;
use clap_complete::Shell;

pub(super) fn run(shell: Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "agentboxctl", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
