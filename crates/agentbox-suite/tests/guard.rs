//! The kernel's guard of trigger files, with real sessions. Where the kernel has none, a session that requires it
//! is not started and one that does not is told so; the virtual machine has a kernel that has it.

use agentbox_suite::{Machine, Programs, eventually};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const PINS: &str = "/sys/fs/bpf/agentbox";
const REQUIRE: &str = "[floor]\nguard = \"require\"\nnetwork = \"none\"\n";

/// Whether this place says that its kernel has it.
fn has_guard() -> bool {
    std::env::var_os("AGENTBOX_TEST_GUARD").is_some()
}

/// What is tried inside: each line is told with its outcome. The second half is a day's work with git.
const ATTEMPTS: &str = r#"
t() { if "$@" >/dev/null 2>&1; then echo "done: $*"; else echo "refused: $*"; fi; }
t touch .envrc
t mkdir .claude
t touch .claude/settings.json
t touch .claude/notes.md
t ln -s /tmp/x .mcp.json
t mkdir -p deep/er
t touch deep/er/.envrc
mkdir prepared && touch prepared/settings.json
t mv prepared deep/.claude
t git init -q made
t mkdir made/.git/hooks
t touch made/.git/hooks/pre-commit
cd made
t git config user.name x
t git config user.email x@example.org
t git commit -q --allow-empty -m one
echo 1 > a; t git add a
t git commit -q -a -m two
t git switch -q -c other
echo 2 > a; t git stash -q
t git stash pop -q
t git commit -q -a -m three
t git switch -q -
t git merge -q other
t git branch -m other renamed
t git worktree add -q ../tree renamed
t git worktree remove ../tree
t git clone -q . ../copy
t git remote add copy ../copy
t git push -q -u copy renamed
t git rebase -q renamed
t git gc -q
t git -c protocol.file.allow=always submodule add -q ../copy sub
t test -z "$(git -C sub config core.symlinks)"
cd ..
echo end
"#;

const REFUSED: &[&str] = &[
    "touch .envrc",
    "touch .claude/settings.json",
    "ln -s /tmp/x .mcp.json",
    "touch deep/er/.envrc",
    "mv prepared deep/.claude",
    "touch made/.git/hooks/pre-commit",
];

#[test]
fn a_required_guard_refuses_trigger_files_or_the_start() -> Result<()> {
    let guest = Machine::new()?;
    guest.configure(REQUIRE)?;
    let script = format!("{ATTEMPTS}\ncat /run/agentbox/denials.jsonl");
    let finished = guest.inside("L2", &["sh", "-c", &script])?;
    if !has_guard() {
        ensure!(finished.status != 0, "started without a guard: {finished:?}");
        let told = format!("{finished:?}");
        ensure!(told.contains("does not guard trigger files") && told.contains("floor.guard"), "{told}");
        return Ok(());
    }
    let text = finished.success()?.text().to_string();
    only_refused(&text, REFUSED)?;
    for path in [".envrc", ".claude/settings.json", ".mcp.json", "deep/.claude", "made/.git/hooks/pre-commit"]
    {
        ensure!(!exists(&guest.project().join(path)), "{path} is there");
    }
    ensure!(exists(&guest.project().join(".claude/notes.md")));
    // Told inside by the file and the rule, and in the trail with who acts on it.
    ensure!(text.contains("\"path\":\"deep/er/.envrc\"") && text.contains("\"rule\":\".envrc\""), "{text}");
    let log = guest.ctl(&["log", "--json"])?.success()?;
    ensure!(log.text().contains("\"actor\":\"claude\""), "{}", log.text());
    guest.ends_without_leftovers()?;
    ensure!(!exists(Path::new(PINS)), "the guard is left");
    Ok(())
}

#[test]
fn what_git_tracks_may_change_and_a_secret_that_the_host_replaces_stays_hidden() -> Result<()> {
    if !has_guard() {
        return Ok(());
    }
    let guest = Machine::new()?;
    guest.configure(REQUIRE)?;
    let planted = "git init -q .; git config user.name x; git config user.email x@example.org; mkdir .vscode sub sub/.vscode\n\
         echo one > .vscode/settings.json; git add .vscode; git commit -q -m one; git switch -q -c other\n\
         echo two > .vscode/settings.json; git commit -q -a -m two; echo mine > sub/.vscode/settings.json; echo OLD > .env";
    guest.person.shell(guest.project(), planted)?.success()?;
    let session = guest.detached("L2", &["sleep", "1000"])?;
    session.exec(&["git", "switch", "-q", "-"])?.success()?;
    let read = |path: &str| std::fs::read_to_string(guest.project().join(path));
    ensure!(read(".vscode/settings.json")? == "one\n");
    let wrote = session.exec(&["sh", "-c", "echo x > sub/.vscode/settings.json"])?;
    ensure!(wrote.status != 0 && read("sub/.vscode/settings.json")? == "mine\n", "{wrote:?}");
    guest.person.shell(guest.project(), "echo NEW > .new; mv .new .env")?.success()?;
    let seen = session.exec(&["cat", ".env"])?;
    ensure!(seen.status != 0 && !seen.text().contains("NEW"), "{seen:?}");
    // One's own elsewhere is nobody's secret.
    session.exec(&["sh", "-c", "echo x > sub/.env && cat sub/.env"])?.success()?;
    ensure!(session.status()?["frozen"].is_null(), "{}", session.status()?);
    session.stop()?;
    guest.ends_without_leftovers()
}

#[test]
fn a_session_that_does_not_require_it_is_told_what_holds() -> Result<()> {
    let guest = Machine::new()?;
    guest.configure("[floor]\nnetwork = \"none\"\n")?;
    let session = guest.detached("L2", &["sleep", "1000"])?;
    let status = session.status()?;
    let guard = status["guard"].as_str().context("no guard in the status")?.to_owned();
    if has_guard() {
        ensure!(guard == "kernel", "{guard}");
    } else {
        ensure!(guard.starts_with("none: ") && guard.len() > 10, "{guard}");
    }
    let doctor = guest.ctl(&["doctor", "--json"])?.text().to_string();
    ensure!(doctor.contains("guard of trigger files"), "{doctor}");
    Ok(())
}

/// What package managers do, and every way by which what they bring could get to where it is in force.
const PACKAGES: &str = r#"
t() { if "$@" >/dev/null 2>&1; then echo "done: $*"; else echo "refused: $*"; fi; }
t mkdir -p node_modules/.new/.vscode node_modules/.bin node_modules/r packages/a
t touch node_modules/.new/.vscode/settings.json
t touch node_modules/.new/.envrc
t touch node_modules/.new/cli.js
t mv node_modules/.new node_modules/p
t cp node_modules/p/.envrc node_modules/r/.envrc
t ln -s ../p/cli.js node_modules/.bin/p
t ln -s ../packages/a node_modules/a
t python3 -m venv --without-pip .venv
t git init -q node_modules/g
t mkdir -p node_modules/g/.git/hooks
t touch node_modules/a/.envrc
t perl -e 'rename("node_modules/r","r")||die'
t mv node_modules/p/.vscode moved
t ln -s node_modules/p app
t ln -s /x/.venv/app packages/a/app
t touch node_modules/g/.git/hooks/pre-commit
t mv node_modules/p/.envrc .envrc
t mv node_modules other
echo end
"#;

const PACKAGES_REFUSED: &[&str] = &[
    "touch node_modules/a/.envrc",
    "perl -e rename(\"node_modules/r\",\"r\")||die",
    "ln -s node_modules/p app",
    "ln -s /x/.venv/app packages/a/app",
    "touch node_modules/g/.git/hooks/pre-commit",
    "mv node_modules/p/.envrc .envrc",
    "mv node_modules other",
];

#[test]
fn what_packages_bring_stays_where_they_bring_it() -> Result<()> {
    if !has_guard() {
        return Ok(());
    }
    let guest = Machine::new()?;
    guest.configure(REQUIRE)?;
    let script = format!("{PACKAGES}\ncat /run/agentbox/denials.jsonl");
    let text = guest.inside("L2", &["sh", "-c", &script])?.success()?.text().to_string();
    only_refused(&text, PACKAGES_REFUSED)?;
    ensure!(text.contains("\"reason\":\"link\""), "{text}");
    // mv(1) copies instead, name by name.
    ensure!(exists(&guest.project().join("moved/settings.json")), "{text}");
    for path in ["r", "other/p/.envrc", ".envrc", "app", "packages/a/app"] {
        ensure!(!exists(&guest.project().join(path)), "{path} is there\n{text}");
    }
    guest.ends_without_leftovers()?;
    // Without the guard all of it is done.
    let text = unguarded()?.inside("watched", &["sh", "-c", PACKAGES])?.success()?.text().to_string();
    only_refused(&text, &[])
}

#[test]
fn it_holds_while_no_supervisor_runs_and_is_taken_over_by_the_next() -> Result<()> {
    if !has_guard() {
        return Ok(());
    }
    let guest = Machine::new()?;
    guest.configure(REQUIRE)?;
    let script = "while ! [ -e go ]; do sleep 0.1; done; touch .envrc; echo $? > result; exec sleep 1000";
    let session = guest.detached("L2", &["sh", "-c", script])?;
    let status = guest.ctl(&["status", "--json"])?.json()?;
    let pid = status["pid"].as_u64().context("no process in the status")?;
    ensure!(Command::new("kill").args(["-KILL", &pid.to_string()]).status()?.success(), "not killed");
    guest.person.write(&guest.project().join("go"), b"", 0o644)?;
    let result = guest.project().join("result");
    let result = eventually("the session has tried", LIMIT, || {
        Ok(std::fs::read_to_string(&result).ok().filter(|text| text.ends_with('\n')))
    })?;
    ensure!(result != "0\n" && !exists(&guest.project().join(".envrc")), "{result}");
    let status = session.status()?;
    ensure!(status["guard"] == "kernel", "{status}");
    session.stop()?;
    guest.ends_without_leftovers()?;
    ensure!(!exists(Path::new(PINS)), "the guard is left");
    Ok(())
}

#[test]
fn without_the_guard_the_same_attempts_succeed() -> Result<()> {
    if !has_guard() {
        return Ok(());
    }
    let text = unguarded()?.inside("watched", &["sh", "-c", ATTEMPTS])?.success()?.text().to_string();
    for tried in REFUSED {
        ensure!(text.contains(&format!("done: {tried}\n")), "refused without the guard: {tried}\n{text}");
    }
    Ok(())
}

/// A machine where the guard is left out.
fn unguarded() -> Result<Machine> {
    let guest = Machine::with(Programs::testing()?, &[("AGENTBOX_TEST_SKIP", "guard")])?;
    // What stands in for the guard elsewhere would hold the session at the first trigger file.
    guest.configure(
        "[floor]\nnetwork = \"none\"\n[posture.watched]\nextends = \"L2\"\non_trigger = \"report\"\n",
    )?;
    Ok(guest)
}

/// What was tried came to its end, and these and no others were refused.
fn only_refused(text: &str, refused: &[&str]) -> Result<()> {
    ensure!(text.contains("\nend\n"), "{text}");
    let of = |outcome: &str| text.lines().filter_map(|line| line.strip_prefix(outcome)).collect::<Vec<_>>();
    ensure!(of("refused: ") == refused, "{text}");
    ensure!(!of("done: ").is_empty(), "{text}");
    Ok(())
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
