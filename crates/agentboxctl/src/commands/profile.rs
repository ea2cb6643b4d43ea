//! `profile`: whose identities there are, and what is kept for them.

use crate::account::own_home;
use crate::arguments::ProfileVerb;
use crate::errors::Failure;
use crate::layers::{self, Named};
use crate::output::table::Columns;
use crate::output::{escape, print, print_json};
use crate::supervisor::Supervisor;
use nix::unistd::{User, geteuid};
use serde::Serialize;

/// A line of the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    file: String,
    agent: String,
    /// Whether something is kept; unknown without a supervisor.
    kept: Option<bool>,
}

pub(super) fn run(verb: &ProfileVerb, embedded: bool) -> Result<u8, Failure> {
    match verb {
        ProfileVerb::List { json } => list(*json, embedded),
        ProfileVerb::Show { name, json } => show(name, *json),
        ProfileVerb::Reset { name, owner } => reset(name, owner.as_deref(), embedded),
    }
}

fn list(json: bool, embedded: bool) -> Result<u8, Failure> {
    let uid = geteuid().as_raw();
    let kept = Supervisor::connect(embedded)
        .and_then(|supervisor| supervisor.ask(async |manager| manager.kept_profiles(uid).await))
        .ok();
    let mut rows: Vec<Row> = Vec::new();
    for Named { name, file, value } in layers::profiles(own_home().as_deref())? {
        let agent = value.agent.map_or_else(|| "shell".to_owned(), |agent| agent.to_string());
        let kept = kept.as_ref().map(|kept| kept.contains(&name));
        rows.push(Row { name, file, agent, kept });
    }
    // What is kept for a profile that nobody configures any more is told, so that it can be removed.
    for name in kept.iter().flatten() {
        if !rows.iter().any(|row| row.name == *name) {
            rows.push(Row {
                name: name.clone(),
                file: String::new(),
                agent: String::new(),
                kept: Some(true),
            });
        }
    }
    if json {
        print_json(&rows)?;
        return Ok(0);
    }
    let mut columns = Columns::new(&["PROFILE", "AGENT", "KEPT", "FILE"]);
    for row in &rows {
        let kept = match row.kept {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        };
        let file = if row.file.is_empty() { "none: no longer configured" } else { &row.file };
        columns.plain([row.name.as_str(), &row.agent, kept, file]);
    }
    print(&columns.finish())?;
    Ok(0)
}

fn show(name: &str, json: bool) -> Result<u8, Failure> {
    let profiles = layers::profiles(own_home().as_deref())?;
    let Some(profile) = profiles.into_iter().find(|profile| profile.name == name) else {
        return Err(Failure::new(format!("there is no profile `{name}`\nsee: agentboxctl profile list")));
    };
    let value = serde_json::to_value(&profile.value)
        .map_err(|error| Failure::new(format!("the profile cannot be shown: {error}")))?;
    if json {
        print_json(&value)?;
        return Ok(0);
    }
    let mut text = format!("profile {} ({})\n", escape::name(name), escape::name(&profile.file));
    for (key, value) in value.as_object().into_iter().flatten() {
        text.push_str(&format!("  {key} = {}\n", escape::name(&value.to_string())));
    }
    print(&text)?;
    Ok(0)
}

fn reset(name: &str, owner: Option<&str>, embedded: bool) -> Result<u8, Failure> {
    let uid = match owner {
        None => geteuid(),
        Some(owner) => match User::from_name(owner) {
            Ok(Some(user)) => user.uid,
            _ => return Err(Failure::new(format!("there is no user `{owner}` here"))),
        },
    };
    let supervisor = Supervisor::connect(embedded)?;
    supervisor.ask(async |manager| manager.reset_profile(uid.as_raw(), name).await)?;
    print(&format!("nothing is kept for {}\n", escape::name(name)))?;
    Ok(0)
}
