//! Profiles share nothing, and what a project said of itself holds when a session takes it back.

use agentbox_suite::Machine;
use anyhow::{Result, ensure};
use std::fs;

const NONE: &str = "network = \"none\"\n";

fn network(machine: &Machine) -> Result<String> {
    let started = machine.ctl(&["start", ".", "--verbose", "--", "true"])?.success()?;
    let line = started.error_text();
    Ok(line.lines().find_map(|line| line.trim().strip_prefix("network ")).unwrap_or_default().to_owned())
}

#[test]
fn a_session_that_removes_or_loosens_the_projects_file_does_not_loosen_the_next_one() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.project().join(".agentbox.toml");
    machine.person.write(&file, NONE.as_bytes(), 0o644)?;
    ensure!(network(&machine)? == "none");
    // Here the sessions do what they would like to have done.
    machine.inside("L2", &["rm", ".agentbox.toml"])?.success()?;
    ensure!(!file.exists(), "the session could not remove it, so this shows nothing");
    ensure!(network(&machine)? == "none", "removing it loosened");
    machine.person.write(&file, b"network = \"public\"\n", 0o644)?;
    ensure!(network(&machine)? == "none", "loosening it loosened");
    let told = machine.ctl(&["start", ".", "--verbose", "--", "true"])?.success()?;
    ensure!(told.error_text().contains("agentboxctl trust"), "{told:?}");
    let accepted = machine.ctl(&["trust", "."])?.success()?;
    ensure!(accepted.text().contains("network: none → public"), "{accepted:?}");
    ensure!(network(&machine)?.starts_with("public"));
    Ok(())
}

#[test]
fn what_could_not_be_accepted_whole_is_not_accepted() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.project().join(".agentbox.toml");
    machine.person.write(&file, NONE.as_bytes(), 0o644)?;
    ensure!(network(&machine)? == "none");
    machine.person.write(&file, b"network = \"public\"\n", 0o644)?;
    let refused = machine.ctl(&["trust", ".", "--profile", "nobody"])?;
    ensure!(refused.status != 0, "{refused:?}");
    ensure!(network(&machine)? == "none", "it was refused, and holds");
    let trail = fs::read_to_string(machine.logs().join("audit.jsonl"))?;
    ensure!(!trail.contains("\"trusted\""), "{trail}");
    Ok(())
}

#[test]
fn a_bound_by_path_is_not_passed_by_through_a_link() -> Result<()> {
    let machine = Machine::new()?;
    let link = machine.person.home.join("link");
    std::os::unix::fs::symlink(machine.project(), &link)?;
    let bound = |path: &std::path::Path| {
        machine.configure(&format!("[project.bound]\npath = \"{}\"\nnetwork = \"none\"\n", path.display()))
    };
    bound(&link)?;
    let refused = machine.ctl(&["start", ".", "--", "true"])?;
    let words = refused.error_text();
    ensure!(refused.status == 125 && words.contains("project.bound.path"), "{refused:?}");
    ensure!(words.contains(&*machine.project().to_string_lossy()), "{words}");
    // The control: by its real path it holds.
    bound(machine.project())?;
    ensure!(network(&machine)? == "none");
    Ok(())
}

#[test]
fn a_project_is_in_one_profile_at_a_time() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.work]\nagent = \"shell\"\n[profile.home]\nagent = \"shell\"\n")?;
    let session = machine.detached_with("L2", &["--profile", "work"], &["sleep", "600"])?;
    for other in [&["--profile", "home"][..], &[]] {
        let refused = machine.ctl(&machine.start_arguments("L2", other, &["true"]))?;
        ensure!(refused.status == 125 && refused.error_text().contains(&session.id), "{refused:?}");
        ensure!(refused.error_text().contains("--profile work"), "{refused:?}");
    }
    machine.ctl(&machine.start_arguments("L2", &["--profile", "work"], &["true"]))?.success()?;
    session.stop()?;
    machine.ctl(&machine.start_arguments("L2", &["--profile", "home"], &["true"]))?.success()?;
    Ok(())
}

#[test]
fn names_that_lead_elsewhere_or_look_alike_are_refused() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.work]\nagent = \"shell\"\n")?;
    for name in ["../work", "..", "work/../x", "Work", "w0rk", "wоrk", "unknown", "", "work\n"] {
        let refused = machine.ctl(&machine.start_arguments("L2", &["--profile", name], &["true"]))?;
        ensure!(refused.status != 0, "{name:?}: {refused:?}");
    }
    machine.configure("[profile.work]\nagent = \"shell\"\n[profile.Work]\nagent = \"shell\"\n")?;
    let refused = machine.ctl(&machine.start_arguments("L2", &["--profile", "work"], &["true"]))?;
    ensure!(refused.status == 125 && refused.error_text().contains("looks like"), "{refused:?}");
    Ok(())
}

#[test]
fn a_person_names_projects_in_a_file_of_their_own() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.work]\nagent = \"shell\"\n")?;
    let ctl = |arguments: &[&str]| {
        agentbox_suite::run(
            &mut machine.command_as_person(arguments),
            b"",
            std::time::Duration::from_secs(60),
        )
    };
    ctl(&["project", "add", "site", ".", "--profile", "work"])?.success()?;
    let listed = ctl(&["project", "list", "--json"])?.json()?;
    ensure!(listed[0]["name"] == "site" && listed[0]["profile"] == "work", "{listed}");
    let file = machine.person.home.join(".config/agentbox/agentbox.toml");
    ensure!(fs::read_to_string(&file)?.contains("[project.site]"));
    ensure!(ctl(&["project", "add", "../x", "."])?.status != 0);
    ensure!(ctl(&["project", "add", "Site", "."])?.status != 0);
    ensure!(ctl(&["project", "add", "other", ".", "--profile", "nobody"])?.status != 0);
    // The path is bound to its profile.
    let started = machine.ctl(&["start", ".", "--verbose", "--", "true"])?.success()?;
    ensure!(started.error_text().contains("profile work"), "{started:?}");
    ctl(&["project", "remove", "site"])?.success()?;
    ensure!(ctl(&["project", "list"])?.text().lines().count() == 1);
    ensure!(ctl(&["profile", "list", "--json"])?.json()?[0]["name"] == "work");
    Ok(())
}
