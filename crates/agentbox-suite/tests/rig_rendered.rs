//! What the NixOS module renders of the documented examples, as the configuration of a service that was booted with it.
//! Runs in a rig, before any other test there: those configure the service themselves.

use agentbox_suite::{Finished, run};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const FILE: &str = "/etc/agentbox/agentbox.json";

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
    run(command.args(["-u", person, "--", "sh", "-c", line]).current_dir("/"), b"", LIMIT)
}

#[test]
fn what_the_nixos_module_renders_is_what_a_session_is_held_by() -> Result<()> {
    if std::env::var("AGENTBOX_RIG").as_deref() != Ok("nspawn") {
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
