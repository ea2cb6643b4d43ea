//! `discard`: a session's changes, gone.

use super::diff::ask;
use crate::arguments::Discard;
use crate::errors::Failure;
use crate::output::print;
use crate::review::job::Job;
use crate::supervisor::Supervisor;
use crate::terminal;
use std::io::{self, BufRead, Write};

pub(super) fn run(mut discard: Discard, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    // Before anybody is asked to agree.
    discard.id = super::named::only_layer(&supervisor, &discard.id)?;
    if !discard.yes {
        agree(&supervisor, &discard)?;
    }
    let asked =
        async |manager: &agentbox_ipc::ManagerProxy<'static>| manager.discard(discard.id.as_str()).await;
    supervisor.ask_patiently("removing what the session wrote …", asked)?;
    print(&format!("discarded: {}\n", discard.id))?;
    Ok(0)
}

fn agree(supervisor: &Supervisor, discard: &Discard) -> Result<(), Failure> {
    let asks_nobody = !terminal::is_terminal(io::stdin()) || !terminal::is_terminal(io::stderr());
    if asks_nobody {
        return Err(Failure::new(
            "refused: nobody is there to agree\nsay --yes to discard without a question",
        ));
    }
    // Where the project is gone there is nothing to compare with, and all the more reason to discard.
    let summary = ask(supervisor, &discard.id, Job::Count)
        .map_or_else(|_| "changes that cannot be compared".to_owned(), |answer| answer.out);
    let question = format!("Discard session {}: {summary}? [y/N] ", discard.id);
    let mut answer = String::new();
    let asked =
        io::stderr().write_all(question.as_bytes()).and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.map_err(|error| Failure::system("cannot ask", error))?;
    match answer.trim() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was discarded")),
    }
}
