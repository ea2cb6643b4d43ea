//! What the NixOS module renders, of the documented examples and of every option, as the configuration of a service. Runs in
//! a rig that was booted with the first, before any other test there: those configure the service themselves.

use agentbox_suite::{Finished, eventually, run};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const FILE: &str = "/etc/agentbox/agentbox.json";
/// What it renders of `nixos-modules/tests/every-option.nix`.
const EVERY_OPTION: &str = "/opt/agentbox/every-option.json";

/// What the examples say of a session of ada's project `website`, and the option that says so.
const SAID: &[(&str, &str, &str)] = &[
    ("posture", "fleet", "services.agentbox.defaultPosture"),
    ("network", "allowlist", "services.agentbox.postures.fleet.network"),
    ("idle_stop", "2h", "services.agentbox.postures.fleet.idle_stop"),
    ("runtime_max", "1d", "services.agentbox.floor.runtime_max"),
    ("project", "website", "services.agentbox.projects.website.path"),
    ("profile", "work", "services.agentbox.projects.website.profile"),
    ("agent", "claude", "services.agentbox.profiles.work.agent"),
    ("allow", "@npm", "group @npm, services.agentbox.profiles.work.allow"),
    ("allow", "github.com:22", "services.agentbox.profiles.work.allow"),
];

fn as_person(person: &str, line: &str) -> Result<Finished> {
    let mut command = Command::new("runuser");
    let home = format!("cd ~ 2>/dev/null; {line}");
    run(command.args(["-u", person, "--", "sh", "-c", &home]).current_dir("/"), b"", LIMIT)
}

#[test]
fn what_the_nixos_module_renders_is_what_a_session_is_held_by() -> Result<()> {
    if std::env::var_os("AGENTBOX_RIG").is_none() {
        return Ok(());
    }
    let status = as_person("ada", "agentboxctl status --json")?.json()?;
    ensure!(status["configuration"] == serde_json::json!([FILE]), "{status}");
    ensure!(status["problems"] == serde_json::json!([]), "{status}");

    as_person("ada", "mkdir -p ~/src/website")?.success()?;
    let explained = as_person("ada", "agentboxctl explain website --json")?.json()?;
    let rows: Vec<Vec<String>> = serde_json::from_value(explained["values"].clone()).context("no rows")?;
    for (key, value, origin) in SAID {
        let row = rows.iter().find(|row| row[0] == *key && row[1] == *value);
        ensure!(row.is_some_and(|row| row[2] == *origin), "{key} = {value} of {origin}: {row:?}");
    }
    // Nothing is called by a file that nobody wrote.
    ensure!(rows.iter().all(|row| !row[2].contains(FILE)), "{rows:#?}");

    // A bound is named as well.
    let refused = as_person("ada", "agentboxctl start website --posture L0 --yes-unconfined -- true")?;
    let names_it = refused.error_text().contains("services.agentbox.floor.isolation");
    ensure!(refused.status == 125 && names_it, "{refused:?}");
    held()
}

/// A session starts under it, and its status says what was explained; who is not named is refused.
fn held() -> Result<()> {
    let started = as_person("ada", "agentboxctl start website --detach -- sleep 600")?.success()?;
    let id = started.text().trim().to_owned();
    let status = as_person("ada", &format!("agentboxctl status {id} --json"))?.json()?;
    let values: Vec<Value> = status["values"].as_array().context("no values")?.clone();
    for (key, value, origin) in SAID {
        ensure!(values.contains(&serde_json::json!([key, value, origin])), "{key}: {values:#?}");
    }
    as_person("ada", &format!("agentboxctl exec {id} -- test -w ."))?.success()?;
    ensure!(as_person("nobody", "agentboxctl status --json")?.status != 0, "a stranger may ask");
    as_person("grace", "agentboxctl status --json")?.success()?;
    as_person("ada", &format!("agentboxctl stop {id}"))?.success().map(drop)
}

/// Projects of the configuration with every option: in each another part of it decides.
const PROJECTS: &[&str] =
    &["held-by-the-floor", "held-by-the-posture", "held-by-the-profile", "held-by-itself"];

/// Options that are no value of a session, with where they are seen instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ceiling", "bounds a person's own file: the refusal names it"),
    ("users", "who is not named is refused"),
    ("uidRange", "the user of a session is of it"),
    ("postures.*.extends", "its other values are those of the posture"),
    ("profiles.*.private", "takes a leg away"),
    ("projects.*.private", "stands as a leg"),
    ("profiles.*.persist", "with a state that keeps nothing, a warning"),
];

/// Rows that tell where a value comes from, and keep it to themselves.
const UNSAID: &[&str] =
    &["profiles.*.env.pass", "profiles.*.env.set.*", "profiles.*.git.name", "profiles.*.git.email"];

/// How options are named that are not named as their key.
const NAMES: &[(&str, &str)] = &[
    ("default_posture", "defaultPosture"),
    ("profile", "profiles"),
    ("project", "projects"),
    ("posture", "postures"),
    ("uid_range", "uidRange"),
    ("resolvers", "network.upstreamResolvers"),
];

/// Whether an option is one of these; `*` stands for any name, and what is below belongs to it.
fn is_of(option: &str, pattern: &str) -> bool {
    let words: Vec<&str> = option.split('.').collect();
    let pattern: Vec<&str> = pattern.split('.').collect();
    words.len() >= pattern.len() && pattern.iter().zip(words).all(|(one, word)| *one == "*" || *one == word)
}

/// Every value with its option.
fn values(option: String, value: &Value, all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            let named = NAMES.iter().find(|(name, _)| option.is_empty() && name == key);
            let key = named.map_or(key.as_str(), |(_, option)| option);
            let below = if option.is_empty() { key.to_owned() } else { format!("{option}.{key}") };
            values(below, value, all);
        }),
        Value::Array(entries) => entries.iter().for_each(|entry| values(option.clone(), entry, all)),
        Value::String(text) => all.push((option, text.clone())),
        other => all.push((option, other.to_string())),
    }
}

/// Where of the configuration a row says that its value comes from: secrets are one value of several keys.
fn origin(option: &str) -> String {
    let secret = is_of(option, "profiles.*.env.*.*") && !is_of(option, "profiles.*.env.set.*");
    let option = if secret { option.rsplit_once('.').map_or(option, |(above, _)| above) } else { option };
    format!("services.agentbox.{option}")
}

#[test]
fn what_the_nixos_module_renders_of_every_option_is_explained_with_its_name() -> Result<()> {
    if std::env::var_os("AGENTBOX_RIG").is_none() {
        return Ok(());
    }
    let examples = std::fs::read(FILE)?;
    std::fs::copy(EVERY_OPTION, FILE)?;
    std::fs::write("/etc/agentbox/npm", "secret")?;
    std::fs::write("/etc/agentbox/github", "secret")?;
    restart()?;
    let every = every_option();
    // The other tests speak of the examples.
    std::fs::write(FILE, examples)?;
    restart()?;
    every
}

fn every_option() -> Result<()> {
    as_person("ada", HOME)?.success()?;
    let mut rows: Vec<Vec<String>> = Vec::new();
    for project in PROJECTS {
        let explain = format!("PASSED=1 SSH_AUTH_SOCK=/none agentboxctl explain {project} --json");
        let explained = as_person("ada", &explain)?.json()?;
        rows.extend(serde_json::from_value::<Vec<Vec<String>>>(explained["values"].clone())?);
    }
    let mut configuration: Value = serde_json::from_slice(&std::fs::read(EVERY_OPTION)?)?;
    configuration.as_object_mut().context("no table")?.remove("said_as");
    let mut all = Vec::new();
    values(String::new(), &configuration, &mut all);
    ensure!(all.len() > 100, "only {} values", all.len());
    let mut missing: Vec<_> = all
        .iter()
        // What it leaves open is decided by others: that is its purpose.
        .filter(|(option, _)| !is_of(option, "postures.open"))
        .filter(|(option, _)| !ELSEWHERE.iter().any(|(pattern, _)| is_of(option, pattern)))
        .filter(|(option, value)| !rows.iter().any(|row| says(row, option, value)))
        .collect();
    missing.dedup();
    ensure!(missing.is_empty(), "not explained: {missing:#?}\n{rows:#?}");
    elsewhere()?;

    // It holds sessions, and not only words.
    enforceable()?;
    for project in ["held-by-the-floor", "held-by-the-posture"] {
        let started =
            as_person("ada", &format!("agentboxctl start {project} --detach -- sleep 600"))?.success()?;
        let id = started.text().trim().to_owned();
        let status = as_person("ada", &format!("agentboxctl status {id} --json"))?.json()?;
        let origins = status["values"].to_string();
        ensure!(
            origins.contains("services.agentbox.floor.") || origins.contains("postures.bounded."),
            "{status}"
        );
        as_person("ada", &format!("agentboxctl exec {id} -- true"))?.success()?;
        as_person("ada", &format!("agentboxctl stop {id}"))?.success()?;
    }
    Ok(())
}

/// Has the service read its file anew. A manager that is in a hurry may fail at it once, and tries again by itself.
fn restart() -> Result<()> {
    let manager = |verb| run(Command::new("systemctl").args([verb, "agentboxd.service"]), b"", LIMIT);
    manager("restart")?;
    eventually("the service runs", LIMIT, || Ok((manager("is-active")?.status == 0).then_some(())))
}

/// Takes out of the configuration what a container cannot enforce, when the controllers are its host's: a start is
/// refused with such a limit. The virtual machine holds them.
fn enforceable() -> Result<()> {
    let mut configuration: Value = serde_json::from_slice(&std::fs::read(FILE)?)?;
    for limit in ["memory_max", "tasks_max", "cpu_weight", "io_weight"] {
        let tried = as_person("ada", "agentboxctl start held-by-the-floor -- true")?;
        if tried.status == 0 {
            return Ok(());
        }
        let refused = format!("`{limit}` is configured and this host cannot enforce it");
        if tried.error_text().contains(&refused) {
            remove(&mut configuration, limit);
            std::fs::write(FILE, configuration.to_string())?;
            restart()?;
        }
    }
    Ok(())
}

fn remove(value: &mut Value, key: &str) {
    if let Value::Object(members) = value {
        members.remove(key);
        members.values_mut().for_each(|below| remove(below, key));
    }
}

/// What the profile and the entries of projects name in ada's home.
const HOME: &str = r#"set -e
mkdir -p reference shared skills/review
printf -- '---\nname: review\n---\n' > skills/review/SKILL.md
printf '{"mcpServers":{}}' > mcp.json
printf '{}' > settings.json
printf 'Be brief.\n' > instructions.md
for project in held-by-the-floor held-by-the-posture held-by-the-profile held-by-itself; do
  mkdir -p $project
  mkdir -p $project.git/objects $project.git/refs
  printf 'ref: refs/heads/main\n' > $project.git/HEAD
  printf '[core]\n\trepositoryformatversion = 0\n\tworktree = %s\n' "$PWD/$project" > $project.git/config
done
for project in held-by-the-profile held-by-itself; do
  printf 'gitdir: %s\n' "$PWD/$project.git" > $project/.git
done"#;

/// Whether a row is of an option and tells its value.
fn says(row: &[String], option: &str, value: &str) -> bool {
    let origin = origin(option);
    let is_its = row[2] == origin || row[2].ends_with(&format!(", {origin}"));
    // A project is told by its name, and a path by where it leads.
    let of_project = row[0] == "project" && origin == format!("services.agentbox.projects.{}.path", row[1]);
    let unsaid = UNSAID.iter().any(|pattern| is_of(option, pattern));
    is_its && (unsaid || of_project || row[1].contains(value.trim_start_matches('~')))
}

/// What is no value of a session is in force all the same.
fn elsewhere() -> Result<()> {
    let legs = as_person("ada", "agentboxctl explain held-by-itself --json")?.json()?;
    let private = "services.agentbox.projects.held-by-itself.private";
    ensure!(legs["legs"].to_string().contains(private), "{}", legs["legs"]);
    ensure!(as_person("nobody", "agentboxctl status --json")?.status != 0, "a stranger may ask");

    // More than the ceiling, in a person's own file.
    let own = "mkdir -p .config/agentbox other && printf '[profile.mine]\nread = [\"/srv\"]\n[project.other]\npath = \"%s/other\"\nprofile = \"mine\"\n' \"$HOME\" > .config/agentbox/agentbox.toml";
    as_person("ada", own)?.success()?;
    let refused = as_person("ada", "agentboxctl explain other")?;
    as_person("ada", "rm -r .config/agentbox")?.success()?;
    let names_it = refused.error_text().contains("services.agentbox.ceiling.read");
    ensure!(refused.status != 0 && names_it, "{refused:?}");
    Ok(())
}
