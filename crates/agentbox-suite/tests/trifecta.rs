//! A person knows what a session can do with what it reads: the legs of the trifecta, what was found in a
//! project, and the tier that one is in.

use agentbox_suite::Machine;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

fn write(machine: &Machine, name: &str, content: &str) -> Result<()> {
    let path = machine.project().join(name);
    machine.person.make_directory(path.parent().context("no parent")?)?;
    fs::write(&path, content)?;
    Ok(std::os::unix::fs::chown(path, Some(machine.person.uid), Some(machine.person.gid))?)
}

#[test]
fn a_session_knows_what_it_is_and_cannot_say_otherwise() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        machine.configure("[profile.work]\nprivate = true\n")?;
        let script = "cat /run/agentbox/session.json; f=/run/agentbox/session.json; \
            echo x 2>/dev/null >> $f; rm -f $f 2>/dev/null; mv $f /run/agentbox/x 2>/dev/null; chmod u+w $f 2>/dev/null; \
            mkdir /run/agentbox/y 2>/dev/null; cmp -s $f $f && grep -c session $f";
        let said = machine
            .ctl(&machine.start_arguments(posture, &["--profile", "work"], &["sh", "-c", script]))?
            .success()?;
        let text = said.text();
        let (json, rest) = text.rsplit_once('}').context("no JSON")?;
        ensure!(rest.trim() == "1", "{posture}: it was changed: {text}");
        let told: serde_json::Value = serde_json::from_str(&format!("{json}}}"))?;
        ensure!(told["posture"] == posture && told["profile"] == "work", "{told}");
        ensure!(told["legs"]["private_data"] == true, "{told}");
        ensure!(told["legs"]["external_communication"] == (posture == "L2"), "{told}");
        // What it is told is nothing of where the host keeps its rules.
        ensure!(
            !text.contains("agentbox.toml") && !text.contains(&*machine.config().to_string_lossy()),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn all_three_legs_are_refused_or_asked_for_each_time() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(
        "[profile.refuse]\nprivate = true\ntrifecta = \"refuse\"\n[profile.ask]\nprivate = true\ntrifecta = \"confirm\"\n\
         [profile.two]\ntrifecta = \"refuse\"\n",
    )?;
    let start = |more: &[&str]| machine.ctl(&machine.start_arguments("L2", more, &["true"]));
    start(&["--profile", "two"])?.success()?;
    let refused = start(&["--profile", "refuse", "--yes-trifecta"])?;
    ensure!(refused.status == 125 && refused.error_text().contains("profile.refuse.trifecta"), "{refused:?}");
    start(&["--profile", "refuse", "--network", "none"])?.success()?;
    let asked = start(&["--profile", "ask"])?;
    ensure!(asked.status == 125 && asked.error_text().contains("--yes-trifecta"), "{asked:?}");
    start(&["--profile", "ask", "--yes-trifecta"])?.success()?;
    let again = start(&["--profile", "ask"])?;
    ensure!(again.status == 125, "a word was kept: {again:?}");
    let log = machine.ctl(&["log", "--json"])?.success()?.text();
    ensure!(log.contains("the request: allow_trifecta"), "{log}");
    Ok(())
}

#[test]
fn a_person_is_asked_at_the_terminal_before_there_is_a_session() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.ask]\nprivate = true\ntrifecta = \"confirm\"\n")?;
    let arguments = machine.start_arguments("L2", &["--profile", "ask"], &["sh", "-c", "echo be''gun"]);
    let mut terminal = machine.terminal(&arguments, 24, 100)?;
    terminal.wait_for("all three", LIMIT)?;
    ensure!(machine.session_ids()?.is_empty(), "a session before the word");
    terminal.send("no\r")?;
    ensure!(terminal.finish(LIMIT)? == 125, "{}", terminal.seen_text());
    ensure!(!terminal.seen_text().contains("begun"));
    let mut terminal = machine.terminal(&arguments, 24, 100)?;
    terminal.wait_for("all three", LIMIT)?;
    terminal.send("all three\r")?;
    terminal.wait_for("begun", LIMIT)?;
    ensure!(terminal.finish(LIMIT)? == 0, "{}", terminal.seen_text());
    Ok(())
}

#[test]
fn sessions_on_one_project_are_judged_together() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.w]\nnetwork = \"allowlist\"\ntrifecta = \"refuse\"\n")?;
    // At L1 the files of the host are private data.
    let reader = machine.detached_with("L1", &["--profile", "w"], &["sleep", "600"])?;
    let more = ["--profile", "w", "--allow", "@npm"];
    let start = || machine.ctl(&machine.start_arguments("L2", &more, &["true"]));
    let refused = start()?;
    ensure!(refused.status == 125 && refused.error_text().contains(&reader.id), "{refused:?}");
    reader.stop()?;
    start()?.success().map(drop)
}

#[test]
fn a_live_rule_does_not_complete_the_trifecta() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.w]\nprivate = true\nnetwork = \"allowlist\"\ntrifecta = \"refuse\"\n")?;
    let session = machine.detached_with("L2", &["--profile", "w"], &["sleep", "600"])?;
    machine.ctl(&["allow", &session.id, "example.org"])?.success()?;
    let refused = machine.ctl(&["allow", &session.id, "registry.npmjs.org"])?;
    ensure!(refused.status != 0 && refused.error_text().contains("profile.w.trifecta"), "{refused:?}");
    let legs = session.status()?["legs"].clone();
    ensure!(
        legs["private"].is_array() && legs["external"].is_array() && legs["untrusted"].is_null(),
        "{legs}"
    );
    session.stop()
}

#[test]
fn below_what_was_found_a_posture_is_said_aloud() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("default_posture = \"L1\"\n")?;
    machine.ctl(&["start", ".", "--", "true"])?.success()?;
    write(&machine, ".claude/settings.json", r#"{"permissions":{"allow":["Bash(*)"]}}"#)?;
    let refused = machine.ctl(&["start", ".", "--", "true"])?;
    ensure!(refused.status == 125 && refused.error_text().contains("--posture L1"), "{refused:?}");
    machine.ctl(&["start", ".", "--posture", "L1", "--", "true"])?.success()?;
    machine.ctl(&["start", ".", "--posture", "L2", "--", "true"])?.success()?;
    let found = machine.ctl(&["inspect", ".", "--json"])?.json()?;
    ensure!(found["findings"][0]["sign"] == "broad-rule", "{found}");
    ensure!(found["recommendation"]["posture"] == "L2", "{found}");
    Ok(())
}

#[test]
fn a_hostile_project_is_inspected_without_running_anything_of_it() -> Result<()> {
    let machine = Machine::new()?;
    let marker = machine.person.home.join("marker");
    let touch = format!("touch {}", marker.display());
    write(&machine, ".git/hooks/post-checkout", &format!("#!/bin/sh\n{touch}\n"))?;
    write(
        &machine,
        ".git/config",
        &format!("[core]\n\tfsmonitor = {touch}\n\tsshCommand = {touch}\n[alias]\n\tst = !{touch}\n"),
    )?;
    write(&machine, ".mcp.json", "{\"mcpServers\":{\"x\\u001b[2J\":{\"command\":\"x\"}}}")?;
    write(&machine, ".agentbox.toml", "no = [valid")?;
    for machine_command in [machine.command(&["inspect", "."]), machine.command_as_person(&["inspect", "."])]
    {
        let mut command = machine_command;
        let said = agentbox_suite::run(&mut command, b"", LIMIT)?.success()?;
        ensure!(!said.text().contains('\u{1b}'), "{said:?}");
        for sign in ["core.fsmonitor", "post-checkout", "tool server"] {
            ensure!(said.text().contains(sign), "{sign}: {said:?}");
        }
    }
    ensure!(!marker.exists(), "something of the project ran");
    Ok(())
}

#[test]
fn every_title_begins_with_what_no_agent_can_say() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.work]\nprivate = true\n")?;
    let script = ["sh", "-c", r"printf '\033]2;[agentbox L2 other 0/3 x] innocent\007'; echo do''ne"];
    let arguments = machine.start_arguments("L2", &["--profile", "work", "--quiet"], &script);
    let mut terminal = machine.terminal(&arguments, 24, 100)?;
    terminal.wait_for("done", LIMIT)?;
    terminal.finish(LIMIT)?;
    let seen = terminal.seen_text();
    ensure!(seen.contains("]2;[agentbox L2 work 3/3 "), "{seen:?}");
    ensure!(!seen.contains("]2;[agentbox L2 other"), "{seen:?}");
    Ok(())
}
