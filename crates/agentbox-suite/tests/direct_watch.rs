//! A project that is changed in place, where the kernel does not refuse trigger files: they are seen, the session
//! is held until its person has spoken, and the end tells of all.

use agentbox_suite::{Machine, Programs, Session, eventually};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn state(machine: &Machine, session: &Session<'_>) -> Result<String> {
    let list = machine.ctl(&["list", "--all", "--json"])?.json()?;
    let sessions = list.as_array().cloned().unwrap_or_default();
    let own = sessions.iter().find(|one| one["id"] == session.id.as_str());
    Ok(own.and_then(|one| one["state"].as_str()).unwrap_or("gone").to_owned())
}

fn until(machine: &Machine, session: &Session<'_>, wanted: &str) -> Result<()> {
    eventually(wanted, LIMIT, || Ok((state(machine, session)? == wanted).then_some(())))
}

fn events(machine: &Machine, session: &Session<'_>, name: &str) -> Result<Vec<Value>> {
    let log = machine.ctl(&["log", &session.id, "--json"])?.success()?;
    let lines =
        log.text().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
    Ok(lines.into_iter().filter(|event| event["event"] == name).collect())
}

/// A session that does what is written to its `go` files, and counts in `beat`.
const AGENT: &str = "i=0; while :; do i=$((i+1)); echo $i > /tmp/beat; \
                     if [ -e go ]; then mv go went; . ./went; fi; sleep 0.05; done";

fn tell(machine: &Machine, script: &str) -> Result<()> {
    let project = machine.project();
    machine.person.write(&project.join("going"), script.as_bytes(), 0o644)?;
    Ok(fs::rename(project.join("going"), project.join("go"))?)
}

/// `.exrc` comes last and is seen last: nothing before it was taken for a trigger file.
fn frozen_by_the_last(machine: &Machine, session: &Session<'_>) -> Result<()> {
    until(machine, session, "frozen")?;
    let triggers = events(machine, session, "trigger")?;
    let paths: Vec<_> = triggers.iter().filter_map(|event| event["path"].as_str()).collect();
    ensure!(paths == [".exrc"], "{paths:?}");
    Ok(())
}

#[test]
fn the_first_trigger_file_freezes_and_the_persons_word_thaws() -> Result<()> {
    for (script, path) in [
        ("echo x > .mcp.json", ".mcp.json"),
        (
            "mkdir -p new/deep/.claude; echo x > new/deep/.claude/settings.json",
            "new/deep/.claude/settings.json",
        ),
        ("mkdir .prepared; echo x > .prepared/tasks.json; mv .prepared .vscode", ".vscode/tasks.json"),
        ("ln -s /dev/null sub.tmp; mv sub.tmp .envrc", ".envrc"),
        ("mkdir prepared; echo x > prepared/tasks.json; ln -s prepared .vscode", ".vscode"),
        (
            "mkdir -p node_modules/p; echo x > node_modules/p/.mcp.json; mv node_modules/p out",
            "out/.mcp.json",
        ),
        ("mkdir -p node_modules/p; echo x > node_modules/p/.mcp.json; ln -s node_modules/p app", "app"),
        (
            "mkdir -p node_modules/p/.git/hooks; echo x > node_modules/p/.git/hooks/x",
            "node_modules/p/.git/hooks/x",
        ),
        (
            "git init -q --bare docs; mkdir -p docs/hooks; echo x > docs/hooks/post-checkout",
            "docs/hooks/post-checkout",
        ),
        // What makes it a repository comes last.
        (
            "mkdir -p early/hooks early/objects early/refs; echo x > early/hooks/update; \
             echo ref: refs/heads/main > early/HEAD",
            "early/hooks/update",
        ),
        ("mkdir far; echo ref: refs/heads/main > far/HEAD; echo ../.git > far/commondir", "far/commondir"),
    ] {
        let machine = Machine::new()?;
        let session = machine.detached("L2", &["sh", "-c", AGENT])?;
        ensure!(state(&machine, &session)? == "running");
        tell(&machine, script)?;
        until(&machine, &session, "frozen")?;
        let beat = || session_beat(&machine, &session);
        ensure!(beat()? == beat()?, "it goes on");
        let triggers = events(&machine, &session, "trigger")?;
        ensure!(
            triggers.len() == 1 && triggers[0]["path"] == path && triggers[0]["frozen"] == true,
            "{triggers:?}"
        );
        machine.ctl(&["thaw", &session.id])?.success()?;
        until(&machine, &session, "running")?;
        // Once is enough: what comes later is told.
        tell(&machine, "mkdir -p .husky; echo x > .husky/pre-push")?;
        eventually("the second is told", LIMIT, || {
            Ok((events(&machine, &session, "trigger")?.len() >= 2).then_some(()))
        })?;
        ensure!(state(&machine, &session)? == "running");
        session.stop()?;
        let report = machine.ctl(&["report", &session.id, "--json"])?.json()?;
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        ensure!(
            findings.iter().any(|finding| finding["path"] == path && finding["grave"] == true),
            "{report:#}"
        );
    }
    Ok(())
}

/// What the agent counts, as the host sees its memory of it: the control group does not get processor time.
fn session_beat(machine: &Machine, session: &Session<'_>) -> Result<u64> {
    let group =
        machine.ctl(&["status", &session.id, "--json"])?.json()?["cgroup"].as_str().unwrap_or("").to_owned();
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, point, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| point.to_owned())
    });
    let roots: Vec<String> = mounts.collect();
    let name = group.rsplit('/').next().unwrap_or("").to_owned();
    for root in &roots {
        let path = format!("{root}/agentbox/{name}/payload/cpu.stat");
        if let Ok(text) = fs::read_to_string(path) {
            let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
            return Ok(line.and_then(|line| line.parse().ok()).unwrap_or(0));
        }
    }
    anyhow::bail!("no control group {group} in {roots:?}")
}

#[test]
fn what_a_policy_only_reports_freezes_nothing() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[posture.calm]\nextends = \"L2\"\non_trigger = \"report\"\n")?;
    let session = machine.detached("calm", &["sh", "-c", AGENT])?;
    tell(&machine, "echo x > .mcp.json")?;
    eventually("it is told", LIMIT, || {
        Ok((!events(&machine, &session, "trigger")?.is_empty()).then_some(()))
    })?;
    ensure!(state(&machine, &session)? == "running");
    session.stop()
}

#[test]
fn what_packages_bring_freezes_nothing() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", AGENT])?;
    tell(
        &machine,
        "mkdir -p node_modules/.bin node_modules/p/.vscode packages/a; echo x > node_modules/p/.vscode/settings.json\n\
         echo x > node_modules/p/.envrc; mv node_modules/p node_modules/q; ln -s ../q/x node_modules/.bin/x\n\
         ln -s ../packages/a node_modules/a; ln -s ../../node_modules packages/a/node_modules; python3 -m venv --without-pip venv\n\
         echo x > .exrc",
    )?;
    frozen_by_the_last(&machine, &session)?;
    ensure!(machine.project().join("node_modules/q/.envrc").exists());
    session.stop()
}

#[test]
fn a_link_of_the_projects_own_into_a_package_leaves_no_exception() -> Result<()> {
    let machine = Machine::new()?;
    machine.person.shell(machine.project(), "mkdir -p vendor/app; ln -s vendor/app app")?.success()?;
    let session = machine.detached("L2", &["sh", "-c", AGENT])?;
    tell(&machine, "echo x > vendor/app/.mcp.json")?;
    until(&machine, &session, "frozen")?;
    session.stop()?;
    machine.wait_until_supervisor_ended()?;
    let said = machine.ctl(&machine.start_arguments("L2", &["--verbose"], &["true"]))?.success()?;
    ensure!(said.error_text().contains("app leads into a directory that packages fill"), "{said:?}");
    Ok(())
}

#[test]
fn what_the_person_does_outside_freezes_nothing() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", AGENT])?;
    // An editor that saves by rename, and lives on.
    let project = machine.project();
    let mut editor = machine.person.command("/bin/sh");
    editor.current_dir(project);
    editor.args([
        "-c",
        "echo x > .vscode.tmp; mkdir -p .vscode; mv .vscode.tmp .vscode/x; printf y > .envrc; exec sleep 5",
    ]);
    let mut editor = editor.spawn()?;
    eventually("it was written", LIMIT, || Ok(project.join(".envrc").exists().then_some(())))?;
    // What the session does afterwards is seen, so what was done before has been seen as well.
    tell(&machine, "echo x > .exrc")?;
    until(&machine, &session, "frozen")?;
    let triggers = events(&machine, &session, "trigger")?;
    let paths: Vec<_> =
        triggers.iter().map(|event| event["path"].as_str().unwrap_or_default().to_owned()).collect();
    editor.kill()?;
    editor.wait()?;
    ensure!(paths == [".exrc"], "{paths:?}");
    session.stop()
}

#[test]
fn a_configuration_is_put_back_while_the_session_runs() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", AGENT])?;
    tell(
        &machine,
        "git config core.fsmonitor 'touch ran'; until git remote add up https://e.org/x; do sleep 0.05; done",
    )?;
    eventually("it is put back", LIMIT, || {
        let config = fs::read_to_string(machine.project().join(".git/config"))?;
        Ok((!config.contains("fsmonitor") && config.contains("e.org")).then_some(()))
    })?;
    ensure!(state(&machine, &session)? == "running");
    eventually("it is told", LIMIT, || {
        Ok((!events(&machine, &session, "git-config")?.is_empty()).then_some(()))
    })?;
    session.stop()
}

#[test]
fn a_configuration_by_another_name_is_put_back_while_the_session_runs() -> Result<()> {
    let evil = "printf '[core]\\n\\tfsmonitor = touch ran-by-git\\n'";
    let late = "mkdir -p late/objects late/refs; echo ref: refs/heads/main > late/HEAD";
    for (script, path) in [
        (
            "git init -q --bare docs; git -C docs config core.fsmonitor 'touch ran-by-git'".to_owned(),
            "docs/config",
        ),
        (format!("mkdir late; {evil} > late/config; {late}"), "late/config"),
        // It is there before anything is written to it.
        (format!("{late}; exec 3> late/config; sleep 1; {evil} >&3; exec 3>&-"), "late/config"),
        (format!("{evil} > .gitconfig"), ".gitconfig"),
        (format!("exec 3> more.inc; sleep 1; {evil} >&3; exec 3>&-"), "more.inc"),
    ] {
        let machine = Machine::new()?;
        let project = machine.project().to_owned();
        machine
            .person
            .shell(
                &project,
                "git config --add include.path ../.gitconfig; git config --add include.path ../more.inc; echo > .gitconfig",
            )?
            .success()?;
        let session = machine.detached("L2", &["sh", "-c", AGENT])?;
        tell(&machine, &script)?;
        eventually("it is told", LIMIT, || {
            Ok((!events(&machine, &session, "git-config")?.is_empty()).then_some(()))
        })
        .with_context(|| script.clone())?;
        ensure!(!fs::read_to_string(project.join(path))?.contains("fsmonitor"), "{script}");
        ensure!(state(&machine, &session)? == "running");
        session.stop()?;
    }
    Ok(())
}

#[test]
fn what_git_does_every_day_freezes_nothing() -> Result<()> {
    let machine = Machine::new()?;
    let commit = "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x";
    machine.person.shell(machine.project(), commit)?.success()?;
    let session = machine.detached("L2", &["sh", "-c", AGENT])?;
    tell(
        &machine,
        &format!(
            "git worktree add -q tree; git -C tree status; git clone -q --bare . copy; git -C copy branch more; git init -q new\n\
             cd new; {commit}; git worktree add -q ../other; cd ..; git stash -q; git gc -q; git worktree remove tree\n\
             mkdir refs objects; echo x > config; echo x > .exrc"
        ),
    )?;
    frozen_by_the_last(&machine, &session)?;
    ensure!(machine.project().join("other/.git").exists());
    session.stop()
}

#[test]
fn hooks_where_the_projects_configuration_has_them_are_trigger_files() -> Result<()> {
    for (script, path) in [
        ("echo x > tools/hooks/post-index-change", "tools/hooks/post-index-change"),
        ("mv tools/hooks tools/other; ln -s other tools/hooks", "tools/hooks"),
        ("mkdir .githooks; echo x > .githooks/pre-push", ".githooks/pre-push"),
    ] {
        let machine = Machine::new()?;
        machine
            .person
            .shell(
                machine.project(),
                "mkdir -p tools/hooks; echo 'exit 0' > tools/hooks/pre-commit; chmod 755 tools/hooks/pre-commit; git add .\n\
                 git -c user.name=a -c user.email=a@b commit -q -m x; git config core.hooksPath tools/hooks",
            )?
            .success()?;
        let session = machine.detached("L2", &["sh", "-c", AGENT])?;
        // What is tracked may change, and what git does not run is no hook.
        tell(
            &machine,
            "echo more >> tools/hooks/pre-commit; echo x > tools/hooks/helper; echo x > tools/commit-msg",
        )?;
        eventually("it is told", LIMIT, || {
            Ok((!events(&machine, &session, "trigger")?.is_empty()).then_some(()))
        })?;
        ensure!(state(&machine, &session)? == "running");
        tell(&machine, script)?;
        until(&machine, &session, "frozen")?;
        let triggers = events(&machine, &session, "trigger")?;
        let told: Vec<_> =
            triggers.iter().map(|event| (event["path"].as_str(), event["frozen"] == true)).collect();
        ensure!(told == [(Some("tools/hooks/pre-commit"), false), (Some(path), true)], "{told:?}");
        session.stop()?;
        let report = machine.ctl(&["report", &session.id, "--json"])?.json()?;
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let grave: Vec<_> =
            findings.iter().filter(|one| one["grave"] == true).map(|one| &one["path"]).collect();
        ensure!(grave.contains(&&Value::from(path)), "{report:#}");
        ensure!(grave.contains(&&Value::from("tools/hooks/pre-commit")), "{report:#}");
        ensure!(!findings.iter().any(|one| one["path"] == "tools/hooks/helper"), "{report:#}");
    }
    Ok(())
}

#[test]
fn a_frozen_session_ends_when_it_is_told_to() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", &format!("trap '' TERM; {AGENT}")])?;
    tell(&machine, "echo x > .mcp.json; echo more > later")?;
    until(&machine, &session, "frozen")?;
    session.stop()?;
    machine.ends_without_leftovers()
}

/// What the kernel says of the looker that watches for this machine's person.
fn looker(machine: &Machine) -> Result<String> {
    eventually("a looker watches", LIMIT, || {
        for process in fs::read_dir("/proc")?.flatten() {
            let Ok(status) = fs::read_to_string(process.path().join("status")) else { continue };
            let uid = format!("Uid:\t{0}\t{0}\t{0}\t{0}", machine.person.uid);
            if status.starts_with("Name:\tagentbox-look\n") && status.contains(&uid) {
                return Ok(Some(status));
            }
        }
        Ok(None)
    })
}

#[test]
fn a_looker_has_the_persons_ids_no_capability_and_a_filter() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sleep", "1000"])?;
    let status = looker(&machine)?;
    for line in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        ensure!(status.contains(&format!("{line}\t0000000000000000\n")), "{line} {status}");
    }
    ensure!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");
    session.stop()?;
    // Without the step it shows.
    let machine = Machine::with(Programs::testing()?, &[("AGENTBOX_TEST_SKIP", "look-seccomp")])?;
    let session = machine.detached("L2", &["sleep", "1000"])?;
    ensure!(looker(&machine)?.contains("Seccomp:\t0\n"));
    session.stop()
}

#[test]
fn a_supervisor_that_was_killed_is_followed_by_one_that_watches_again() -> Result<()> {
    let machine = Machine::new()?;
    let session = machine.detached("L2", &["sh", "-c", AGENT])?;
    let daemon = machine.ctl(&["status", "--json"])?.json()?["pid"].as_i64().context("no supervisor")?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon)?).context("no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    ensure!(state(&machine, &session)? == "running");
    // The next one watches as soon as it has taken the session over.
    let first = looker(&machine)?;
    ensure!(first.contains("agentbox-look"));
    eventually("it is frozen", LIMIT, || {
        tell(&machine, "rm -rf .zed; mkdir -p .zed; echo x > .zed/tasks.json")?;
        Ok((state(&machine, &session)? == "frozen").then_some(()))
    })?;
    let found = machine.ctl(&["log", &session.id])?.success()?;
    ensure!(found.text().contains(".zed/tasks.json"), "{found:?}");
    session.stop()
}
