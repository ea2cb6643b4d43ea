//! Tries the attacks of the threat model from inside and says what happened.
//!
//! `agentbox-probe list --json` names the attacks, `run` tries them, `self` shows how this process is
//! held, and `help` lists the small tools that the tests around it need.

mod answer;
mod arguments;
mod attack;
mod attacks;
mod errno;
mod own_state;
mod sys;
mod tools;
mod trial;
mod victim;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    // What was inherited is looked at before anything is opened here.
    let inherited = own_state::descriptors();
    match arguments::dispatch(std::env::args_os().skip(1).collect(), &inherited) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("agentbox-probe: {error}");
            ExitCode::from(2)
        }
    }
}
