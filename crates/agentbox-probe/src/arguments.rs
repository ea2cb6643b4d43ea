//! The command line.

use crate::attack::{self, Attack};
use crate::{own_state, sys, tools, victim};
use agentbox_probe::{Descriptor, Facts, Outcome, Record};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

const USAGE: &str = "\
usage: agentbox-probe list [--json]
       agentbox-probe run [ID...] [--facts FILE|-] [--json] [--workers N]
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

/// One whole line in one call, so that whoever reads sees it before the next attack begins, and lines of several workers stay
/// lines: a pipe takes so much at once (`PIPE_BUF`, pipe(7)).
fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let whole = format!("{line}\n");
    let mut rest = whole.as_bytes();
    while !rest.is_empty() {
        let written = rustix::io::write(&out, rest).map_err(|error| error.to_string())?;
        rest = &rest[written..];
    }
    out.flush().map_err(|error| error.to_string())
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
    let (mut ids, mut json, mut facts, mut workers) = (Vec::new(), false, Facts::default(), 1);
    let mut options = options.iter().copied();
    while let Some(option) = options.next() {
        match option {
            "--json" => json = true,
            "--workers" => {
                workers = options.next().and_then(|number| number.parse().ok()).ok_or(USAGE)?;
            }
            "--facts" => facts = read_facts(options.next().ok_or(USAGE)?)?,
            id if !id.starts_with('-') => ids.push(id),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if let Some(unknown) = ids.iter().find(|id| !attack::all().any(|attack| attack.id == **id)) {
        return Err(format!("no attack is called {unknown}; `agentbox-probe list` names them"));
    }
    let chosen = || attack::all().filter(|attack| ids.is_empty() || ids.contains(&attack.id));
    let try_all = |attacks: &mut dyn Iterator<Item = &Attack>| -> Result<bool, String> {
        let mut worked = false;
        for attack in attacks {
            let record = attack.attempt(&facts);
            worked |= record.outcome == Outcome::Succeeded;
            show(&record, json)?;
        }
        Ok(worked)
    };
    if workers <= 1 {
        return try_all(&mut chosen()).map(|worked| ExitCode::from(u8::from(worked)));
    }
    // Most of the time is spent waiting for answers that must not come.
    let children = (0..workers).map(|worker| {
        sys::begin_child(|| {
            let mine = chosen().filter(|attack| !attack.is_alone()).skip(worker).step_by(workers);
            match try_all(&mut { mine }) {
                Ok(worked) => i32::from(worked),
                Err(_) => 2,
            }
        })
    });
    let children: Vec<_> = children.collect();
    let mut worked = false;
    for child in children {
        match sys::exit_code(sys::wait_for(child.map_err(|error| error.to_string())?)) {
            Some(code @ (0 | 1)) => worked |= code == 1,
            other => return Err(format!("a worker ended with {other:?}")),
        }
    }
    worked |= try_all(&mut chosen().filter(|attack| attack.is_alone()))?;
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
