//! `explain`: what a start would do.

use super::start::Gathered;
use crate::arguments::Explain;
use crate::errors::Failure;
use crate::output::table::Columns;
use crate::output::{escape, legs, note, print, print_json};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{ExplainAnswer, ValueRow, to_dict};
use std::os::fd::AsFd;

pub(super) fn run(explain: Explain, embedded: bool) -> Result<u8, Failure> {
    let gathered = Gathered::begin(&explain.choice)?;
    let supervisor = Supervisor::connect(embedded)?;
    let (project, wanted) = gathered.finish(&explain.choice, None)?;
    let wanted = to_dict(&wanted)?;
    let answer =
        supervisor.ask(async |manager| manager.explain(project.directory.as_fd().into(), wanted).await)?;
    let answer: ExplainAnswer = understand(answer)?;
    if explain.json {
        print_json(&answer)?;
        return Ok(0);
    }
    let mut text = values(&answer.values);
    text.push_str(&format!("\n{}", legs::table(&answer.legs)));
    text.push_str("\nSTEPS\n");
    for (at, step) in answer.steps.iter().enumerate() {
        text.push_str(&format!("{:>4}  {}\n", at + 1, escape::name(step)));
    }
    text.push_str(&format!("\npolicy {}\n", escape::name(&answer.hash)));
    print(&text)?;
    for warning in &answer.warnings {
        note(&format!("warning: {}", escape::message(warning)));
    }
    Ok(0)
}

/// Every value with its origin.
pub(super) fn values(values: &[ValueRow]) -> String {
    let mut columns = Columns::new(&["KEY", "VALUE", "ORIGIN"]);
    for row in values {
        columns.plain(row.iter().map(String::as_str));
    }
    columns.finish()
}
