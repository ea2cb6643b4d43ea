//! `confirm`: signatures that wait for the person. Made here, outside of every agent's terminal.

use crate::arguments::Confirm;
use crate::errors::Failure;
use crate::output::table::{Columns, Tone};
use crate::output::{escape, print, print_json};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::Confirmation;

pub(super) fn run(confirm: &Confirm, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let id = confirm.id.as_ref().map_or("", |id| id.as_str());
    if let Some(number) = confirm.number {
        let accept = !confirm.deny;
        supervisor.ask(async |manager| manager.confirm(id, number, accept).await)?;
        print(if accept { "confirmed\n" } else { "declined\n" })?;
        return Ok(0);
    }
    let answers = supervisor.ask(async |manager| manager.confirmations(id).await)?;
    let waiting = answers.into_iter().map(understand).collect::<Result<Vec<Confirmation>, _>>()?;
    if confirm.json {
        print_json(&waiting)?;
    } else if waiting.is_empty() {
        print("nothing waits to be confirmed\n")?;
    } else {
        print(&table(&waiting))?;
    }
    Ok(0)
}

/// A row for each, with what confirms it.
fn table(waiting: &[Confirmation]) -> String {
    let mut columns = Columns::new(&["SESSION", "NUMBER", "KEY", "FOR", "LEFT", "CONFIRM WITH"]);
    for Confirmation { session, number, key, purpose, host, left_s } in waiting {
        let purpose = match host {
            Some(host) => format!("{purpose} at {host}"),
            None => format!("a signature of {purpose}"),
        };
        let command = format!("agentboxctl confirm {} {number}", escape::name(session));
        columns.row([
            (session.as_str(), Tone::Plain),
            (&number.to_string(), Tone::Plain),
            (key, Tone::Plain),
            (&purpose, Tone::Warning),
            (&format!("{left_s}s"), Tone::Plain),
            (&command, Tone::Plain),
        ]);
    }
    columns.finish()
}
