//! `profile`: whose identities there are, and what is kept for them.

use crate::account::own_home;
use crate::arguments::{Choice, ProfileVerb};
use crate::errors::Failure;
use crate::layers::{self, Named};
use crate::output::table::Columns;
use crate::output::{escape, print, print_json};
use crate::supervisor::Supervisor;
use nix::unistd::{Uid, User, geteuid};
use serde::Serialize;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

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
        ProfileVerb::Login { name, agent, owner } => {
            login(name, agent.as_deref(), owner.as_deref(), embedded)
        }
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

/// A session like any other, of a directory in which nothing is.
fn login(name: &str, agent: Option<&str>, owner: Option<&str>, embedded: bool) -> Result<u8, Failure> {
    let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()).map(Uid::from_raw);
    let account = match owner {
        Some(owner) => User::from_name(owner).ok().flatten(),
        None if geteuid().is_root() => caller.and_then(|uid| User::from_uid(uid).ok().flatten()),
        None => User::from_uid(geteuid()).ok().flatten(),
    };
    let Some(account) = account else {
        return Err(Failure::new("whose login shall it be?\nsay --owner USER"));
    };
    let directory = Empty::make(&account)?;
    let choice = Choice {
        project: Some(directory.path.clone().into_os_string()),
        profile: Some(name.to_owned()),
        agent: agent.map(str::to_owned),
        ..Choice::default()
    };
    super::start::login(choice, embedded)
}

/// An empty directory that is removed again.
#[derive(Debug)]
struct Empty {
    path: PathBuf,
}

impl Empty {
    fn make(owner: &User) -> Result<Self, Failure> {
        let mut random = [0; 8];
        let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        filled.map_err(|errno| Failure::system("getrandom", errno))?;
        let name = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let path = std::env::temp_dir().join(format!("agentbox-login-{name}"));
        let failed = |error| Failure::system(path.display(), error);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        let empty = Self { path: path.clone() };
        if geteuid().is_root() {
            std::os::unix::fs::lchown(&path, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
                .map_err(failed)?;
        }
        Ok(empty)
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        // Only when it is still empty: what an agent left there is for a person to look at.
        let _left = std::fs::remove_dir(&self.path);
    }
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
