//! `completions`: a script for a shell.

use crate::complete;
use crate::errors::Failure;
use crate::output::print;
use clap_complete::Shell;

pub(super) fn run(shell: Shell) -> Result<u8, Failure> {
    let script = complete::script(shell).ok_or_else(|| {
        Failure::new(format!("there is no script for {shell}: bash, zsh and fish have one"))
    })?;
    print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
