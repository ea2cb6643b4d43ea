//! `trust`: what a project's own file says now counts, instead of what it said before.

use super::start::Gathered;
use crate::arguments::{Choice, Trust};
use crate::errors::Failure;
use crate::output::{escape, print, print_json};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{TrustAnswer, to_dict};
use std::os::fd::AsFd;

pub(super) fn run(trust: Trust, embedded: bool) -> Result<u8, Failure> {
    let choice = Choice { project: trust.project, profile: trust.profile, ..Choice::default() };
    let gathered = Gathered::begin(&choice)?;
    let supervisor = Supervisor::connect(embedded)?;
    let (project, wanted) = gathered.finish(&choice, None)?;
    let wanted = to_dict(&wanted)?;
    let answer =
        supervisor.ask(async |manager| manager.trust(project.directory.as_fd().into(), wanted).await)?;
    let answer: TrustAnswer = understand(answer)?;
    if trust.json {
        print_json(&answer)?;
        return Ok(0);
    }
    let path = escape::name(&answer.project);
    let mut text = match answer.changed.is_empty() {
        true => format!("{path}: nothing is otherwise than when it was last accepted\n"),
        false => format!("{path}: accepted\n"),
    };
    for change in &answer.changed {
        text.push_str(&format!("  {}\n", escape::name(change)));
    }
    print(&text)?;
    Ok(0)
}
