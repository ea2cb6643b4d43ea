//! A session on an overlay: nothing reaches the project before its owner takes it, and only what they take.

use agentbox_suite::overlay::{changes, layers, require_same, review, session, state};
use agentbox_suite::{Machine, eventually};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

#[test]
fn nothing_reaches_the_project_before_it_is_applied() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        let before = state(machine.project())?;
        let (id, _) = session(
            &machine,
            posture,
            "echo more >> README; mkdir -p new/deep; echo x > new/deep/file; chmod 700 new; ln -s README link\n\
             printf '#!/bin/sh\\n' > run; chmod 755 run; rm -f gone; test \"$(cat new/deep/file)\" = x",
        )?;
        require_same(&before, &state(machine.project())?).context(posture)?;
        let found = changes(&machine, &id)?;
        for (path, what) in [
            ("README", "modified"),
            ("new", "added"),
            ("new/deep/file", "added"),
            ("link", "added"),
            ("run", "added"),
        ] {
            ensure!(found.get(path).map(String::as_str) == Some(what), "{posture}: {path}: {found:?}");
        }
        // A file in a directory that is not there yet, and nothing else.
        review(&machine, "apply", &id, &["new/deep/file"])?.success()?;
        ensure!(fs::read_to_string(machine.project().join("new/deep/file"))? == "x\n");
        ensure!(!machine.project().join("link").exists() && !machine.project().join("run").exists());
        review(&machine, "apply", &id, &["--all"])?.success()?;
        let after = state(machine.project())?;
        for (path, mode) in [("new", 0o700), ("run", 0o755), ("new/deep/file", 0o664)] {
            let (found, owner, _) = after.get(std::path::Path::new(path)).context(path)?;
            ensure!(
                (found & 0o7777, *owner) == (mode, machine.person.uid),
                "{posture}: {path} {found:o} {owner}"
            );
        }
        ensure!(changes(&machine, &id)?.is_empty(), "{posture}");
        review(&machine, "discard", &id, &["--yes"])?.success()?;
        ensure!(layers(&machine)?.is_empty());
        let log = machine.ctl(&["log", &id])?.success()?.text();
        ensure!(log.contains("applied") && log.contains("discarded"), "{log}");
    }
    Ok(())
}

#[test]
fn its_owner_reviews_without_root_and_nobody_else_does() -> Result<()> {
    let machine = Machine::new()?;
    // Something that keeps the supervisor.
    let running = machine.detached("L2", &["sleep", "600"])?;
    let (id, _) = session(&machine, "L2", "echo more >> README")?;
    let as_person = |arguments: &[&str]| {
        agentbox_suite::run(&mut machine.command_as_person(arguments), b"", Duration::from_secs(60))
    };
    ensure!(as_person(&["diff", &id])?.success()?.text().contains("+more"));
    ensure!(as_person(&["list", "--all"])?.success()?.text().contains(&id));
    as_person(&["apply", &id, "--all"])?.success()?;
    ensure!(fs::read_to_string(machine.project().join("README"))?.ends_with("more\n"));
    let stranger = agentbox_suite::Person::new()?;
    let mut command = stranger.command(machine.programs.path("agentboxctl"));
    command.args(["diff", &id]).env("RUNTIME_DIRECTORY", machine.runtime());
    let refused = agentbox_suite::run(&mut command, b"", Duration::from_secs(60))?;
    ensure!(refused.status != 0 && !refused.text().contains("README"), "{refused:?}");
    as_person(&["discard", &id, "--yes"])?.success()?;
    running.stop()
}

#[test]
fn a_layer_that_nothing_was_written_to_goes_with_its_session() -> Result<()> {
    let machine = Machine::new()?;
    let arguments = machine.start_arguments("L2", &["--workspace", "overlay"], &["cat", "README"]);
    machine.ctl(&arguments)?.success()?;
    eventually("the layer is gone", Duration::from_secs(20), || {
        Ok(layers(&machine)?.is_empty().then_some(()))
    })
}

#[test]
fn a_session_that_ended_can_go_on_and_no_two_share_a_layer() -> Result<()> {
    let machine = Machine::new()?;
    let (id, _) = session(&machine, "L2", "echo one > made; rm README")?;
    let resume = |more: &[&str], script: &str| {
        let mut arguments = vec!["start", "--resume", &id, "--network", "none"];
        arguments.extend(more);
        arguments.extend(["--", "sh", "-ec", script]);
        machine.ctl(&arguments)
    };
    let said = resume(&[], "cat made; test ! -e README; echo two >> made")?.success()?;
    ensure!(said.text() == "one\n", "{said:?}");
    // While it runs nobody else gets it, and nothing of it is applied or discarded.
    let running = resume(&["--detach"], "sleep 600")?.success()?.text();
    ensure!(running.trim() == id, "{running}");
    ensure!(resume(&[], "true")?.error_text().contains("has not ended"));
    for verb in [["apply", "--all"], ["discard", "--yes"]] {
        let refused = review(&machine, verb[0], &id, &verb[1..])?;
        ensure!(refused.status != 0 && refused.error_text().contains("refused"), "{refused:?}");
    }
    ensure!(changes(&machine, &id)?.len() == 2);
    machine.ctl(&["stop", &id])?.success()?;
    // Not over another directory, and not as another workspace.
    let refused = resume(&["--workspace", "direct"], "true")?;
    ensure!(refused.error_text().contains("overlay"), "{refused:?}");
    let moved = machine.project().with_extension("moved");
    fs::rename(machine.project(), &moved)?;
    machine.person.make_directory(machine.project())?;
    ensure!(review(&machine, "diff", &id, &[])?.error_text().contains("is not the directory"));
    fs::remove_dir(machine.project())?;
    fs::rename(&moved, machine.project())?;
    review(&machine, "apply", &id, &["made"])?.success()?;
    ensure!(fs::read_to_string(machine.project().join("made"))? == "one\ntwo\n");
    ensure!(machine.project().join("README").exists());
    Ok(())
}

#[test]
fn what_both_changed_is_named_and_not_touched_until_it_is_decided() -> Result<()> {
    let machine = Machine::new()?;
    let project = machine.project().to_owned();
    machine
        .person
        .shell(&project, "seq 9 > text; echo a > both; echo g > gone; git add .; git -c user.name=P -c user.email=p@example.org commit -qm numbers")?;
    let running = machine.detached_with(
        "L2",
        &["--workspace", "overlay", "--network", "none"],
        &["sh", "-c", "until test -e /tmp/go; do sleep 0.1; done; sed -i s/9/nine/ text; echo session > both; rm gone; sleep 600"],
    )?;
    // The person works on while the session does.
    machine
        .person
        .shell(&project, "sed -i s/1/one/ text; echo person > both; echo more >> gone; echo mine > new")?;
    running.exec(&["touch", "/tmp/go"])?.success()?;
    eventually("the session has done it", Duration::from_secs(60), || {
        Ok((running.exec(&["cat", "both"])?.text() == "session\n").then_some(()))
    })?;
    running.stop()?;
    let id = &running.id;
    let applied = review(&machine, "apply", id, &["--all"])?;
    ensure!(applied.status == 1, "{applied:?}");
    for path in ["text", "both", "gone"] {
        ensure!(applied.error_text().contains(&format!("  {path}\n")), "{applied:?}");
    }
    ensure!(fs::read_to_string(project.join("both"))? == "person\n");
    let merged = review(&machine, "apply", id, &["--all", "--merge"])?;
    ensure!(merged.status == 1 && !merged.error_text().contains("  text\n"), "{merged:?}");
    ensure!(fs::read_to_string(project.join("text"))? == "one\n2\n3\n4\n5\n6\n7\n8\nnine\n");
    ensure!(fs::read_to_string(project.join("both"))? == "person\n");
    review(&machine, "apply", id, &["both", "--mine"])?.success()?;
    ensure!(!changes(&machine, id)?.contains_key("both"));
    review(&machine, "apply", id, &["gone", "--theirs"])?.success()?;
    ensure!(!project.join("gone").exists() && project.join("new").exists());
    Ok(())
}

#[test]
fn programs_of_the_host_find_nothing_that_was_not_named() -> Result<()> {
    let machine = Machine::new()?;
    let (id, _) = session(
        &machine,
        "L2",
        "mkdir -p .claude .vscode .husky sub/.cursor assets\n\
         echo '{}' > .claude/settings.json; echo '{}' > .vscode/tasks.json; echo x > .husky/pre-commit\n\
         echo 'touch pwned' > .git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit; echo 'touch pwned' > .envrc\n\
         git config core.fsmonitor 'touch pwned'; git config core.hooksPath assets; echo '{}' > sub/.cursor/mcp.json\n\
         echo '{}' > assets/settings.json; ln -s assets .zed; echo '* filter=x' > .gitattributes; echo ok > fine",
    )?;
    let applied = review(&machine, "apply", &id, &["--all"])?.success()?;
    for path in
        [".claude/settings.json", ".git/hooks/pre-commit", ".git/config", ".envrc", ".zed", ".gitattributes"]
    {
        ensure!(applied.error_text().contains(&format!("  {path}  [")), "{path}: {applied:?}");
        ensure!(review(&machine, "diff", &id, &["--stat"])?.text().contains("acts on it"));
    }
    // A directory with such a file in it is no name of it.
    review(&machine, "apply", &id, &[".claude", ".git", "sub"])?.success()?;
    ensure!(machine.project().join("fine").exists());
    for path in [
        ".claude/settings.json",
        ".git/hooks/pre-commit",
        ".envrc",
        ".zed",
        ".husky/pre-commit",
        "sub/.cursor/mcp.json",
    ] {
        ensure!(fs::symlink_metadata(machine.project().join(path)).is_err(), "{path}");
    }
    machine
        .person
        .shell(machine.project(), "git status; git -c user.name=P -c user.email=p@example.org commit --quiet --allow-empty -m x; test ! -e pwned")?;
    review(&machine, "apply", &id, &["--trigger", ".claude/settings.json"])?.success()?;
    ensure!(machine.project().join(".claude/settings.json").exists());
    let log = machine.ctl(&["log", &id])?.success()?.text();
    ensure!(log.contains(r#"triggers=[".claude/settings.json"]"#), "{log}");
    Ok(())
}

#[test]
fn a_git_directory_by_another_name_is_taken_by_name_only() -> Result<()> {
    let machine = Machine::new()?;
    let project = machine.project().to_owned();
    // Two thirds of one have been there for long.
    machine
        .person
        .shell(&project, "mkdir -p old/refs old/objects; echo x > old/refs/x; echo x > old/objects/x")?;
    let evil = "config core.fsmonitor 'touch ran-by-git; false'";
    let plant = format!(
        "git init -q --bare docs; git -C docs config core.bare false; git -C docs config core.worktree ..; git -C docs {evil}\n\
         cp docs/HEAD docs/config old/; mkdir -p sub/x; cp docs/HEAD sub/x/; echo ../../docs > sub/x/commondir"
    );
    let (id, _) =
        session(&machine, "L2", &format!("{plant}; echo fine > docs/objects/page; echo fine > fine"))?;
    let applied = review(&machine, "apply", &id, &["--all"])?.success()?;
    for path in ["docs/HEAD", "docs/config", "old/HEAD", "old/config", "sub/x/HEAD", "sub/x/commondir"] {
        ensure!(applied.error_text().contains(&format!("  {path}  [")), "{path}: {applied:?}");
        ensure!(!project.join(path).exists(), "{path}");
    }
    ensure!(project.join("fine").exists() && !project.join("docs/objects").exists());
    let status = |project: &std::path::Path| {
        let script = "for d in docs old sub/x; do (cd $d && git status --short) || true; done; find . -name ran-by-git";
        Ok::<_, anyhow::Error>(machine.person.shell(project, script)?.text())
    };
    ensure!(!status(&project)?.contains("ran-by-git"), "{}", status(&project)?);
    // By name it is taken, and outside it would have run.
    review(&machine, "apply", &id, &["--trigger", "docs/HEAD"])?.success()?;
    ensure!(project.join("docs/HEAD").exists());
    machine.person.shell(&project, &plant)?;
    ensure!(status(&project)?.contains("ran-by-git"), "no control");
    Ok(())
}

#[test]
fn hooks_where_the_projects_configuration_has_them_are_taken_by_name_only() -> Result<()> {
    let machine = Machine::new()?;
    let project = machine.project().to_owned();
    machine.person.shell(&project, "mkdir -p tools/hooks; git config core.hooksPath tools/hooks")?;
    let (id, _) = session(
        &machine,
        "L2",
        "for f in tools/hooks/post-index-change .githooks/pre-push tools/hooks/helper; do mkdir -p .githooks\n\
         printf '#!/bin/sh\\ntouch pwned\\n' > $f; chmod 755 $f; done",
    )?;
    let applied = review(&machine, "apply", &id, &["--all"])?.success()?;
    for path in ["tools/hooks/post-index-change", ".githooks/pre-push"] {
        ensure!(applied.error_text().contains(&format!("  {path}  [")), "{path}: {applied:?}");
    }
    ensure!(project.join("tools/hooks/helper").exists());
    machine.person.shell(&project, "git add .; test ! -e pwned")?;
    // By name it is taken, and is run.
    review(&machine, "apply", &id, &["--trigger", "tools/hooks/post-index-change"])?.success()?;
    machine.person.shell(&project, "echo x > more; git add .; test -e pwned")?;
    Ok(())
}

#[test]
fn an_apply_that_is_killed_leaves_the_project_whole() -> Result<()> {
    let machine = Machine::new()?;
    machine
        .person
        .shell(machine.project(), "mkdir many; for i in $(seq 300); do echo old > many/$i; done")?;
    let (id, _) = session(
        &machine,
        "L2",
        "for i in $(seq 300); do echo new > many/$i; done; mkdir more; echo x > more/x",
    )?;
    // At moments that are spread over the whole of it, and one that is left alone.
    let mut is_done = false;
    for delay_ms in [30, 60, 90, 120, 150, 180, 220, 260, 300, 400, 60_000] {
        let mut killed = machine.command(&["apply", &id, "--all"]);
        killed.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = killed.spawn()?;
        let deadline = std::time::Instant::now() + Duration::from_millis(delay_ms);
        while child.try_wait()?.is_none() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let _has_ended = child.kill();
        child.wait()?;
        // The child that is the owner ends with it.
        eventually("nothing of it is left", Duration::from_secs(60), || {
            Ok(machine.person.processes().is_empty().then_some(()))
        })?;
        review(&machine, "diff", &id, &["--stat"])?.success()?;
        let contents: std::collections::BTreeSet<String> = (1..=300)
            .map(|number| fs::read_to_string(machine.project().join(format!("many/{number}"))))
            .collect::<Result<_, _>>()?;
        ensure!(contents.len() == 1, "{delay_ms} ms: {contents:?}");
        let is_new = contents.contains("new\n");
        ensure!(is_new == machine.project().join("more/x").exists(), "{delay_ms} ms");
        is_done |= is_new;
        ensure!(!machine.project().join(format!(".agentbox-apply-{id}")).exists());
        if is_new {
            break;
        }
    }
    ensure!(is_done, "it never came to an end");
    ensure!(fs::metadata(machine.project().join("many/1"))?.uid() == machine.person.uid);
    Ok(())
}
