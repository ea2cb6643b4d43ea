//! The command line.

use crate::{attack, own_state, tools, victim};
use agentbox_probe::{Descriptor, Facts, Outcome, Record};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

const USAGE: &str = "\
usage: agentbox-probe list [--json]
       agentbox-probe run [ID...] [--facts FILE|-] [--json]
       agentbox-probe self
       agentbox-probe victim TAG DIRECTORY...   hold secrets and things of one's own until input ends
       agentbox-probe handle PATH               the file handle of a path, as facts want it
       agentbox-probe with-key NAME FILE -- CMD...   run with a session keyring that holds the file
       agentbox-probe wait                      do nothing until input ends
       agentbox-probe keep PATH...              remove these when input ends, whatever ended it
       agentbox-probe emit BYTES                write that many bytes to both outputs";

/// Does what the arguments say.
pub(crate) fn dispatch(arguments: Vec<OsString>, inherited: &[Descriptor]) -> Result<ExitCode, String> {
    own_state::remember_inherited(inherited.to_vec());
    let words: Vec<String> = arguments.iter().map(|one| one.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list", options @ ..] => list(options),
        ["run", options @ ..] => run(options),
        ["self"] => print(&own_state::read()),
        ["victim", tag, directories @ ..] => victim::run(tag, directories),
        ["handle", path] => print(&tools::handle(path)?),
        ["with-key", name, file, "--", program, rest @ ..] => tools::with_key(name, file, program, rest),
        ["wait"] => tools::wait(),
        ["keep", paths @ ..] => tools::keep(paths),
        ["emit", bytes] => tools::emit(bytes),
        _ => Err(USAGE.to_owned()),
    }
}

fn print(value: &impl serde::Serialize) -> Result<ExitCode, String> {
    say(&serde_json::to_string(value).map_err(|error| error.to_string())?)?;
    Ok(ExitCode::SUCCESS)
}

/// One whole line at once, so that whoever reads sees it before the next attack begins.
fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

fn list(options: &[&str]) -> Result<ExitCode, String> {
    let json = options == ["--json"];
    if !json && !options.is_empty() {
        return Err(USAGE.to_owned());
    }
    for attack in attack::all() {
        let listing = attack.listing();
        if json {
            print(&listing)?;
        } else {
            say(&format!("{:<34} {}", listing.id, listing.title))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run(options: &[&str]) -> Result<ExitCode, String> {
    let (mut ids, mut json, mut facts) = (Vec::new(), false, Facts::default());
    let mut options = options.iter().copied();
    while let Some(option) = options.next() {
        match option {
            "--json" => json = true,
            "--facts" => facts = read_facts(options.next().ok_or(USAGE)?)?,
            id if !id.starts_with('-') => ids.push(id),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if let Some(unknown) = ids.iter().find(|id| !attack::all().any(|attack| attack.id == **id)) {
        return Err(format!("no attack is called {unknown}; `agentbox-probe list` names them"));
    }
    let mut worked = false;
    for attack in attack::all().filter(|attack| ids.is_empty() || ids.contains(&attack.id)) {
        let record = attack.attempt(&facts);
        worked |= record.outcome == Outcome::Succeeded;
        show(&record, json)?;
    }
    // 1 when something worked, as a test that found something.
    Ok(ExitCode::from(u8::from(worked)))
}

fn show(record: &Record, json: bool) -> Result<(), String> {
    if json {
        return print(record).map(drop);
    }
    let outcome = match record.outcome {
        Outcome::Succeeded => "SUCCEEDED",
        Outcome::Refused => "refused",
        Outcome::NotApplicable => "-",
    };
    say(&format!("{outcome:<10} {:<34} {}", record.id, record.detail.escape_debug()))
}

fn read_facts(path: &str) -> Result<Facts, String> {
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|all| text = all)
    };
    read.map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}
