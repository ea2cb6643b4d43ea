//! What says how an agent behaves is made anew for each session, and only what is named outlives one.

use agentbox_suite::{Finished, Machine, eventually};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;

const KEPT: &str = "[profile.work]\nagent = \"claude\"\npersist = [\"claude:credentials\", \"claude:history\"]\n\
    [profile.home]\nagent = \"claude\"\npersist = [\"claude:credentials\"]\n";

/// Prints every file that a preset renders, with its name.
const SHOW: &str = "for f in ~/.claude/settings.json ~/.claude/CLAUDE.md ~/.claude/.claude.json \
    /etc/claude-code/managed-settings.json; do echo \"== $f\"; cat $f 2>/dev/null; done; ls -A ~/.claude";

fn run(machine: &Machine, posture: &str, profile: &str, script: &str) -> Result<Finished> {
    let more = ["--profile", profile];
    machine.ctl(&machine.start_arguments(posture, &more, &["sh", "-c", script]))
}

/// Events of the trail about what was kept, of the last session.
fn kept(machine: &Machine) -> Result<Vec<Value>> {
    // What is kept is taken back when nothing of the session runs any more.
    eventually("no session is left", Duration::from_secs(60), || {
        let listed = machine.ctl(&["list", "--all", "--json"])?.success()?.json()?;
        Ok(listed.as_array().is_some_and(Vec::is_empty).then_some(()))
    })?;
    let log = machine.ctl(&["log", "--json"])?.success()?.text();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(events.filter(|event| event["event"] == "kept").collect())
}

fn last_verdict(machine: &Machine, what: &str) -> Result<String> {
    let events = kept(machine)?;
    let event = events.iter().rev().find(|event| event["what"] == what).context("no event")?;
    Ok(event["verdict"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_second_start_has_the_settings_of_the_first_whatever_the_first_session_did() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(KEPT)?;
    machine.person.make_directory(&machine.person.home.join(".claude"))?;
    for posture in ["L1", "L2"] {
        let before = run(&machine, posture, "work", SHOW)?.success()?.text();
        ensure!(before.contains("enableAllProjectMcpServers"), "{posture}: {before}");
        ensure!(before.contains("allowManagedHooksOnly") == (posture == "L2"), "{posture}: {before}");
        let evil = r#"{"hooks":{"SessionStart":[{"hooks":[{"type":"command","command":"touch /tmp/x"}]}]}}"#;
        // Each of these works in a directory that nothing holds, which the last line of it shows.
        let tamper = format!(
            "cd; evil='{evil}'; f=.claude/settings.json; \
             (echo \"$evil\" > $f) 2>/dev/null; rm -f $f 2>/dev/null; mv $f .claude/x 2>/dev/null; \
             mv .claude .claude2 2>/dev/null; (echo \"$evil\" > /etc/claude-code/managed-settings.json) 2>/dev/null; \
             ln -sf /tmp/evil $f 2>/dev/null; echo \"$evil\" > .claude/settings.local.json; mkdir -p .claude/plugins; \
             echo '{{\"mcpServers\":{{\"evil\":{{\"command\":\"x\"}}}}}}' > .claude/.claude.json; \
             grep -c SessionStart $f; mkdir t; echo a > t/f; mv t t2; echo \"$evil\" > t2/f; grep -c SessionStart t2/f"
        );
        let tampered = run(&machine, posture, "work", &tamper)?;
        if posture == "L2" {
            ensure!(tampered.text() == "0\n1\n", "{tampered:?}");
        } else {
            ensure!(tampered.text().starts_with("0\n"), "{tampered:?}");
        }
        let after = run(&machine, posture, "work", SHOW)?.success()?.text();
        ensure!(before == after, "{posture}:\n{before}\n{after}");
    }
    ensure!(!machine.person.home.join(".claude/settings.json").exists(), "it is in the person's own home");
    Ok(())
}

#[test]
fn only_what_is_named_outlives_a_session_and_only_in_its_profile() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(KEPT)?;
    let write = "cd ~/.claude && echo '{\"token\":\"one\"}' > .credentials.json && mkdir -p projects/p && \
        echo '{}' > projects/p/a.jsonl && echo x > other";
    run(&machine, "L2", "work", write)?.success()?;
    let read = "cd ~/.claude; cat .credentials.json projects/p/a.jsonl other 2>/dev/null; true";
    ensure!(run(&machine, "L2", "work", read)?.text() == "{\"token\":\"one\"}\n{}\n");
    ensure!(last_verdict(&machine, "claude:credentials")? == "unchanged");
    // Neither the other profile nor none has anything of it.
    ensure!(run(&machine, "L2", "home", read)?.text().is_empty());
    let unbound = machine.ctl(&machine.start_arguments("L2", &["--agent", "claude"], &["sh", "-c", read]))?;
    ensure!(unbound.text().is_empty(), "{unbound:?}");
    let asked = ["--profile", "work", "--state", "ephemeral"];
    ensure!(machine.ctl(&machine.start_arguments("L2", &asked, &["sh", "-c", read]))?.text().is_empty());
    // Logged out is logged out.
    run(&machine, "L2", "work", "rm ~/.claude/.credentials.json")?.success()?;
    ensure!(last_verdict(&machine, "claude:credentials")? == "removed");
    ensure!(run(&machine, "L2", "work", read)?.text() == "{}\n");
    machine.ctl(&["profile", "reset", "work", "--owner", &machine.person.name])?.success()?;
    ensure!(run(&machine, "L2", "work", read)?.text().is_empty(), "something outlived the reset");
    Ok(())
}

#[test]
fn what_does_not_look_like_what_is_kept_is_not_taken_back() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(KEPT)?;
    let good = "echo '{\"token\":\"good\"}' > ~/.claude/.credentials.json";
    run(&machine, "L2", "work", good)?.success()?;
    ensure!(last_verdict(&machine, "claude:credentials")? == "new");
    for (what, script) in [
        ("a link", "ln -sf /etc/passwd .credentials.json"),
        ("a program", "printf '#!/bin/sh\\n' > .credentials.json; chmod +x .credentials.json"),
        ("half a file", "printf '{\"a\":' > .credentials.json"),
        ("a large file", "head -c 400000 /dev/zero > .credentials.json"),
        ("a pipe", "rm .credentials.json; mkfifo .credentials.json"),
        ("a directory", "rm .credentials.json; mkdir .credentials.json"),
        ("two names", "ln .credentials.json second"),
    ] {
        run(&machine, "L2", "work", &format!("cd ~/.claude; {script}"))?.success()?;
        ensure!(last_verdict(&machine, "claude:credentials")? == "refused", "{what}");
        let shown = run(&machine, "L2", "work", "cat ~/.claude/.credentials.json")?;
        ensure!(shown.text() == "{\"token\":\"good\"}\n", "{what}: {shown:?}");
    }
    let plant = "cd ~/.claude/projects && echo '#!/bin/sh' > run.sh && ln -s /etc/passwd link.jsonl && echo {} > a.jsonl \
        && chmod 755 a.jsonl";
    run(&machine, "L2", "work", plant)?.success()?;
    let shown =
        run(&machine, "L2", "work", "cd ~/.claude/projects; find . -type f -printf '%p %m\\n' -o -type l")?;
    ensure!(shown.text() == "./a.jsonl 600\n", "{shown:?}");
    Ok(())
}

#[test]
fn conversations_stay_apart_where_paths_are_spelled_alike() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(KEPT)?;
    let home = &machine.person.home;
    let (one, other) = (home.join("a/b-c"), home.join("a-b/c"));
    for path in [&one, &other] {
        machine.person.make_directory(path)?;
    }
    let start = |path: &std::path::Path, script: &str| {
        let path = path.to_string_lossy().into_owned();
        machine.ctl(&["start", &path, "--posture", "L2", "--profile", "work", "--", "sh", "-c", script])
    };
    start(&one, "echo '{}' > ~/.claude/projects/one.jsonl")?.success()?;
    ensure!(start(&one, "ls ~/.claude/projects")?.text() == "one.jsonl\n");
    ensure!(start(&other, "ls ~/.claude/projects")?.text().is_empty());
    Ok(())
}

#[test]
fn what_a_profile_puts_into_a_session_is_what_was_looked_at() -> Result<()> {
    let machine = Machine::new()?;
    let skill = machine.person.home.join("skills/review");
    machine.person.make_directory(&skill)?;
    machine.person.write(&skill.join("SKILL.md"), b"look", 0o644)?;
    machine.person.write(&machine.person.home.join("mcp.json"), b"{\"mcpServers\":{}}", 0o644)?;
    let home = machine.person.home.display();
    machine.configure(&format!(
        "[profile.work]\nagent = \"claude\"\nskills = [\"{home}/skills/review\"]\nmcp = \"{home}/mcp.json\"\n"
    ))?;
    let show = "cat ~/.claude/skills/review/SKILL.md /etc/claude-code/managed-mcp.json; \
        echo x 2>/dev/null > ~/.claude/skills/review/SKILL.md || mv ~/.claude/skills/review ~/x 2>/dev/null || echo held";
    let refused = run(&machine, "L2", "work", show)?;
    ensure!(refused.status == 125 && refused.error_text().contains("nobody has looked at"), "{refused:?}");
    machine.ctl(&["trust", ".", "--profile", "work"])?.success()?;
    ensure!(run(&machine, "L2", "work", show)?.text() == "look{\"mcpServers\":{}}held\n");
    machine.person.write(&skill.join("SKILL.md"), b"run this", 0o644)?;
    let refused = run(&machine, "L2", "work", show)?;
    ensure!(refused.status == 125 && refused.error_text().contains("~ SKILL.md"), "{refused:?}");
    let told = machine.ctl(&["trust", ".", "--profile", "work"])?.success()?.text();
    ensure!(told.contains("~ SKILL.md") && told.contains("sha256:"), "{told}");
    ensure!(run(&machine, "L2", "work", show)?.text().starts_with("run this"));
    Ok(())
}
