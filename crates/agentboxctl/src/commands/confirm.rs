//! `confirm`: signatures that wait for the person. Made here, outside of every agent's terminal.

use super::log::reader_has_left;
use super::start::typed;
use crate::arguments::Confirm;
use crate::errors::Failure;
use crate::output::table::{Columns, Tone};
use crate::output::{escape, note, print, print_json};
use crate::supervisor::{Supervisor, understand};
use crate::terminal::is_terminal;
use agentbox_ipc::Confirmation;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};
use std::collections::BTreeSet;
use std::io;

pub(super) fn run(confirm: &Confirm, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let id = confirm.id.as_ref().map_or("", |id| id.as_str());
    if let Some(number) = confirm.number {
        decide(&supervisor, id, number, !confirm.deny)?;
        return Ok(0);
    }
    if confirm.follow {
        follow(&supervisor, id, confirm.json)?;
        return Ok(0);
    }
    let waiting = waiting(&supervisor, id)?;
    if confirm.json {
        print_json(&waiting)?;
    } else if waiting.is_empty() {
        print("nothing waits to be confirmed\n")?;
    } else {
        print(&table(&waiting))?;
    }
    Ok(0)
}

/// What waits of a session, or of all.
fn waiting(supervisor: &Supervisor, id: &str) -> Result<Vec<Confirmation>, Failure> {
    let answers = supervisor.ask(async |manager| manager.confirmations(id).await)?;
    answers.into_iter().map(understand).collect()
}

fn decide(supervisor: &Supervisor, id: &str, number: u64, accept: bool) -> Result<(), Failure> {
    supervisor.ask(async |manager| manager.confirm(id, number, accept).await)?;
    print(if accept { "confirmed\n" } else { "declined\n" })
}

/// Tells whoever has just attached to a session what its terminals were told before.
pub(super) fn tell_late(supervisor: &Supervisor, id: &str) {
    if !is_terminal(io::stdout()) {
        return;
    }
    // A session is there without this as well.
    if waiting(supervisor, id).is_ok_and(|waiting| !waiting.is_empty()) {
        let id = escape::name(id);
        note(&format!(
            "agentbox: a signature waits to be confirmed, in another terminal: agentboxctl confirm {id}"
        ));
    }
}

/// Shows each when it begins to wait, and asks for it where a person can answer, until nobody looks.
fn follow(supervisor: &Supervisor, id: &str, json: bool) -> Result<(), Failure> {
    let asks = !json && is_terminal(io::stdin()) && is_terminal(io::stdout());
    let mut shown = BTreeSet::new();
    loop {
        let waiting = waiting(supervisor, id)?;
        // A number is given once, so what is gone never comes again.
        shown.retain(|(session, number)| {
            waiting.iter().any(|one| one.session == *session && one.number == *number)
        });
        for one in waiting {
            if !shown.insert((one.session.clone(), one.number)) {
                continue;
            }
            print(&if json { json_line(&one)? } else { table(std::slice::from_ref(&one)) })?;
            if asks {
                ask(supervisor, &one)?;
            }
        }
        if reader_has_left()? {
            return Ok(());
        }
    }
}

fn json_line(one: &Confirmation) -> Result<String, Failure> {
    let line = serde_json::to_string(one);
    let line = line.map_err(|error| Failure::new(format!("it cannot be shown: {error}")))?;
    Ok(escape::json(&line) + "\n")
}

/// Asks for the one that was just shown, for as long as it waits.
fn ask(supervisor: &Supervisor, one: &Confirmation) -> Result<(), Failure> {
    let stdin = io::stdin();
    // What was typed before it was shown is no answer to it.
    tcflush(&stdin, QueueSelector::IFlush).map_err(|errno| Failure::system("cannot ask", errno))?;
    note("Type `yes` or `no`: ");
    let left = Timespec { tv_sec: i64::try_from(one.left_s).unwrap_or(i64::MAX), tv_nsec: 0 };
    let mut watched = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut watched, Some(&left)) {
        Ok(0) => return print("nobody said anything in time: refused\n"),
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(Failure::system("cannot wait", errno)),
    }
    let decided = match typed("")?.as_str() {
        "yes" => decide(supervisor, &one.session, one.number, true),
        "no" => decide(supervisor, &one.session, one.number, false),
        _ => return print("neither: it goes on waiting\n"),
    };
    // It may have been answered elsewhere, or its session has ended.
    decided.or_else(|failure| match failure.is_not_found() {
        true => print("it waits no more\n"),
        false => Err(failure),
    })
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
