//! The end of a session that changed its project in place: what it left behind is named, also after everything was
//! killed.

use agentbox_suite::{Machine, Programs, Session, eventually};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn report(machine: &Machine, id: &str) -> Result<Value> {
    machine.ctl(&["report", id, "--json"])?.json()
}

fn lines(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let line = |finding: &Value| {
        let mark = if finding["grave"] == true { "! " } else { "" };
        format!("{mark}{} {} {}", text(finding, "kind"), text(finding, "change"), text(finding, "path"))
    };
    findings.iter().map(line).collect()
}

/// Runs a script in a session of its own, and its report.
fn after(machine: &Machine, posture: &str, script: &str) -> Result<Vec<String>> {
    let session = machine.detached(posture, &["sh", "-c", script])?;
    eventually("it has ended", LIMIT, || Ok(machine.ctl(&["report", &session.id])?.success().ok()))?;
    Ok(lines(&report(machine, &session.id)?))
}

#[test]
fn everything_that_acts_later_is_named() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        machine.configure("[posture.one]\nextends = \"L1\"\non_trigger = \"report\"\n[posture.two]\nextends = \"L2\"\non_trigger = \"report\"\n")?;
        let posture = if posture == "L1" { "one" } else { "two" };
        machine
            .person
            .shell(
                machine.project(),
                "echo old > Makefile; mkdir -p .vscode; echo {} > .vscode/tasks.json; echo x > .exrc",
            )?
            .success()?;
        let found = after(
            &machine,
            posture,
            "mkdir -p .claude sub/.vscode; echo {} > .claude/settings.json; echo x > sub/.envrc; echo new > Makefile\n\
             echo '{\"x\":1}' > .vscode/tasks.json; rm .exrc; echo y > CLAUDE.md; git init -q nested; git init -q --bare store\n\
             mkfifo pipe; touch \"$(printf 'odd\\nname')\"; ln -s /etc/passwd .mcp.json; mkdir bad; echo 'gitdir: /elsewhere' > bad/.git\n\
             mkdir -p node_modules/p/.vscode; echo {} > node_modules/p/package.json; echo {} > node_modules/p/.vscode/tasks.json\n\
             ln -s node_modules/p app; ln -s ../node_modules node_modules/self; ln -s prepared .gemini\n\
             echo x > .git/commondir",
        )?;
        let left_out = |line: &String| line.contains("package.json") || line.contains("/self");
        ensure!(!found.iter().any(left_out), "{found:#?}");
        for wanted in [
            "! trigger added .claude/settings.json",
            "trigger added node_modules/p/.vscode/tasks.json",
            "! link-to-packages added app",
            "! trigger added .gemini",
            "! trigger added sub/.envrc",
            "! trigger added .mcp.json",
            "! trigger changed .vscode/tasks.json",
            "! trigger removed .exrc",
            "! trigger added .git/commondir",
            "! git-pointer added bad/.git",
            "trigger changed Makefile",
            "trigger added CLAUDE.md",
            "repository added nested/.git",
            "bare-repository added store",
            "pipe added pipe",
            "odd-name added odd\\nname",
        ] {
            ensure!(found.iter().any(|line| line == wanted), "{posture}: {wanted}: {found:#?}");
        }
    }
    Ok(())
}

#[test]
fn a_set_id_bit_and_a_hard_link_out_are_found_wherever_they_come_from() -> Result<()> {
    let machine = Machine::new()?;
    let home = machine.person.home.clone();
    let session = machine.detached("L2", &["sleep", "1000"])?;
    // From outside, while the session runs: inside neither can be made.
    machine
        .person
        .shell(
            machine.project(),
            &format!(
                "cp /bin/true grown; chmod 4755 grown; echo x > shared; ln shared {}/outside",
                home.display()
            ),
        )?
        .success()?;
    session.stop()?;
    let found = lines(&report(&machine, &session.id)?);
    for wanted in ["! set-id added grown", "! hard-link added shared"] {
        ensure!(found.iter().any(|line| line == wanted), "{wanted}: {found:#?}");
    }
    // What was there at the start is said then, and not again.
    let _socket = std::os::unix::net::UnixListener::bind(machine.project().join("listens"))?;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        machine.project().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )?;
    let said = machine.ctl(&machine.start_arguments("L2", &["--verbose"], &["true"]))?.success()?;
    ensure!(said.error_text().contains("pipe: a pipe, into which the session can write"), "{said:?}");
    ensure!(said.error_text().contains("shared: with further names outside of the project"), "{said:?}");
    ensure!(said.error_text().contains("listens: a socket, to which the session can connect"), "{said:?}");
    machine.wait_until_supervisor_ended()?;
    machine.configure("[profile.strict]\non_shared_files = \"refuse\"\n")?;
    let refused = machine.ctl(&machine.start_arguments("L2", &["--profile", "strict"], &["true"]))?;
    ensure!(refused.status != 0 && refused.error_text().contains("on_shared_files"), "{refused:?}");
    Ok(())
}

#[test]
fn a_session_that_changed_nothing_of_note_has_an_empty_report() -> Result<()> {
    let machine = Machine::new()?;
    let found = after(&machine, "L2", "echo text > file; mkdir d; mv file d/; git status --short")?;
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}

#[test]
fn grave_findings_wait_for_a_key_on_a_terminal() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[posture.calm]\nextends = \"L2\"\non_trigger = \"report\"\n")?;
    let script = "echo x > .envrc; printf '\\033[31m'";
    let mut terminal =
        machine.terminal(&machine.start_arguments("calm", &[], &["sh", "-c", script]), 40, 200)?;
    terminal.wait_for("press a key", LIMIT)?;
    terminal.send("x")?;
    terminal.finish(LIMIT)?;
    let mut terminal = machine.terminal(
        &machine.start_arguments("calm", &["--yes"], &["sh", "-c", "echo y > .exrc"]),
        40,
        200,
    )?;
    terminal.wait_for(".exrc", LIMIT)?;
    terminal.finish(LIMIT)?;
    Ok(())
}

/// Kills the supervisor and everything of a session, as `kill -9` would.
fn kill_everything(machine: &Machine, session: &Session<'_>) -> Result<()> {
    let status = session.status()?;
    let init = status["init_pid"].as_u64().context("no init")?;
    let daemon = machine.ctl(&["status", "--json"])?.json()?["pid"].as_u64().context("no supervisor")?;
    for pid in [daemon, init] {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    }
    Ok(())
}

#[test]
fn after_a_kill_of_everything_the_next_supervisor_puts_back_what_was_changed() -> Result<()> {
    let machine = Machine::with(Programs::real()?, &[])?;
    let session = machine.detached(
        "L2",
        // The configuration is written by the same blow that ends everything, so that nothing sees it before.
        &["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; echo x > .husky; exec sleep 1000"],
    )?;
    kill_everything(&machine, &session)?;
    let project = machine.project();
    machine
        .person
        .shell(project, "git config core.hooksPath evil; mkdir -p .claude; echo {} > .claude/settings.json")?
        .success()?;
    // Any question brings a supervisor, which looks before it answers.
    let found = eventually("it is looked at", LIMIT, || {
        let asked = machine.ctl(&["report", &session.id, "--json"])?;
        Ok(asked.success().ok().map(|answer| answer.json()).transpose()?.map(|report| lines(&report)))
    })?;
    let config = fs::read_to_string(project.join(".git/config"))?;
    ensure!(!config.to_lowercase().contains("hookspath"), "{config}");
    ensure!(found.contains(&"! git-config restored .git/config".to_owned()), "{found:#?}");
    ensure!(found.contains(&"! trigger added .claude/settings.json".to_owned()), "{found:#?}");
    Ok(())
}
