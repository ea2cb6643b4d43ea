//! Nothing that a project or an agent named acts on the terminal of whoever looks at it.

use agentbox_suite::Machine;
use anyhow::{Result, ensure};
use std::ffi::OsStr;

/// Clears the screen, sets the title, writes the clipboard, goes back over the line, turns text around.
const NASTY: &str = "a\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}]52;c;eA==\u{7}\rb\u{8}\u{9b}31m\u{202e}c\nd";

/// Bytes that a terminal obeys, but for the ends of lines.
fn commanding(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let bad = text.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}');
    bad.map(|c| format!("{:?} in {}", c, text.escape_debug()))
}

#[test]
fn tables_and_errors_escape_what_others_named() -> Result<()> {
    let machine = Machine::new()?;
    let project = machine.person.home.join(OsStr::new(NASTY));
    machine.person.make_directory(&project)?;
    let project = project.to_string_lossy().into_owned();
    let arguments =
        ["start", &project, "--posture", "L2", "--detach", "--verbose", "--", "sh", "-c", "sleep 600", NASTY];
    let started = machine.ctl(&arguments)?.success()?;
    let id = started.text().trim().to_owned();
    ensure!(commanding(&started.stderr).is_none(), "banner: {:?}", commanding(&started.stderr));
    for command in [
        vec!["list"],
        vec!["list", "--json"],
        vec!["status"],
        vec!["status", &id],
        vec!["status", &id, "--json"],
        vec!["log", &id],
        vec!["log", &id, "--json"],
        vec!["log"],
        vec!["explain", &project],
        vec!["explain", &project, "--json"],
    ] {
        let said = machine.ctl(&command)?.success()?;
        for (stream, bytes) in [("stdout", &said.stdout), ("stderr", &said.stderr)] {
            let found = commanding(bytes);
            ensure!(found.is_none(), "{command:?} {stream}: {found:?}");
        }
    }
    machine.ctl(&["stop", &id])?.success()?;
    Ok(())
}

#[test]
fn errors_escape_what_they_quote() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.project().join(".agentbox.toml");
    let missing = machine.person.home.join(OsStr::new(NASTY)).join("missing").to_string_lossy().into_owned();
    for text in [
        "\"\\u001b[2J\\u0007key\" = 1\n".to_owned(),
        "network = \"\\u001b]0;owned\\u0007\"\n".to_owned(),
        "posture = \u{1b}[2J\n".to_owned(),
    ] {
        machine.person.write(&file, text.as_bytes(), 0o644)?;
        let said = machine.inside("L2", &["true"])?;
        ensure!(said.status == 125, "{text:?}: {said:?}");
        ensure!(commanding(&said.stderr).is_none(), "{text:?}: {:?}", commanding(&said.stderr));
        let said = machine.ctl(&["check", &file.to_string_lossy()])?;
        ensure!(said.status != 0, "{text:?}: {said:?}");
        ensure!(commanding(&said.stderr).is_none(), "{text:?}: {:?}", commanding(&said.stderr));
    }
    std::fs::remove_file(&file)?;
    for arguments in [
        vec!["start", &missing, "--", "true"],
        vec!["start", ".", "--profile", NASTY, "--", "true"],
        vec!["start", ".", "--posture", NASTY, "--", "true"],
        vec!["start", ".", "--name", NASTY, "--detach", "--", "no-such-\u{1b}[2J"],
        vec!["start", ".", "--", "no-such-\u{1b}[2J"],
        vec!["status", NASTY],
    ] {
        let said = machine.ctl(&arguments)?;
        ensure!(said.status != 0 || arguments.contains(&"--name"), "{arguments:?}: {said:?}");
        ensure!(commanding(&said.stderr).is_none(), "{arguments:?}: {:?}", commanding(&said.stderr));
    }
    Ok(())
}
