//! A project that is changed in place: what git would run later is held, and git goes on working.

use agentbox_suite::{Finished, Machine};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;

const POSTURES: [&str; 2] = ["L1", "L2"];

fn inside(machine: &Machine, posture: &str, script: &str) -> Result<Finished> {
    machine.inside(posture, &["sh", "-c", script])
}

fn person(machine: &Machine, script: &str) -> Result<Finished> {
    machine.person.shell(machine.project(), script)
}

/// A repository with a submodule, a nested repository and the samples that git makes.
fn prepare(machine: &Machine) -> Result<()> {
    person(
        machine,
        "git init --quiet lib; git -C lib -c user.name=a -c user.email=a@b commit --quiet --allow-empty -m x\n\
         git -c protocol.file.allow=always -c user.name=a -c user.email=a@b submodule --quiet add ./lib deep/sub\n\
         mkdir -p .git/hooks .git/info vendor; git init --quiet vendor/nested; mkdir -p vendor/nested/.git/hooks\n\
         mkdir -p .git/modules/deep/sub/hooks .git/modules/deep/sub/info",
    )?
    .success()
    .map(drop)
}

/// The report of the only session that has one.
fn report(machine: &Machine) -> Result<Value> {
    // It is written when nothing of the session is left.
    machine.wait_until_supervisor_ended()?;
    let mut names = fs::read_dir(machine.state().join("reports"))?.collect::<Result<Vec<_>, _>>()?;
    ensure!(names.len() == 1, "{names:?}");
    let name = names.pop().context("no report")?.file_name();
    machine.ctl(&["report", &name.to_string_lossy(), "--json"])?.json()
}

fn grave(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    let words = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("kind"), text("change"), text("path"))
    };
    findings.iter().filter(|finding| finding["grave"] == true).map(words).collect()
}

/// Every way to a hook that was tried against the plan; each works on the host.
const WAYS: [(&str, &str, &str); 8] = [
    ("a hook", "echo x > .git/hooks/post-commit", ".git/hooks/post-commit"),
    (
        "another directory of hooks",
        "mv .git/hooks .git/away && mkdir .git/hooks && echo x > .git/hooks/post-commit",
        ".git/hooks/post-commit",
    ),
    (
        "another git directory",
        "mv .git .git2 && mkdir -p .git/hooks && echo x > .git/hooks/post-commit",
        ".git/hooks/post-commit",
    ),
    ("a link", "rm -rf .git/hooks && ln -s ../evil .git/hooks", ".git/hooks"),
    ("attributes", "echo '* filter=x' > .git/info/attributes", ".git/info/attributes"),
    (
        "a hook of a submodule",
        "echo x > .git/modules/deep/sub/hooks/post-checkout",
        ".git/modules/deep/sub/hooks/post-checkout",
    ),
    (
        "modules anew",
        "mv .git/modules .git/m && mkdir -p .git/modules/deep/sub/hooks && \
         echo x > .git/modules/deep/sub/hooks/post-checkout",
        ".git/modules/deep/sub/hooks/post-checkout",
    ),
    (
        "a nested repository anew",
        "mv vendor v && mkdir -p vendor/nested/.git/hooks && echo x > vendor/nested/.git/hooks/post-commit",
        "vendor/nested/.git/hooks/post-commit",
    ),
];

#[test]
fn no_way_to_a_hook_is_open_and_each_is_open_outside() -> Result<()> {
    for posture in POSTURES {
        for (what, script, place) in WAYS {
            let machine = Machine::new()?;
            prepare(&machine)?;
            let before =
                fs::symlink_metadata(machine.project().join(place)).is_ok_and(|found| found.is_file());
            ensure!(!before, "{what}: there before");
            inside(&machine, posture, script)?;
            let path = machine.project().join(place);
            let found = fs::symlink_metadata(&path);
            let held = match place {
                ".git/hooks" => found.is_ok_and(|found| found.is_dir()),
                _ => found.is_err(),
            };
            ensure!(held, "{posture}: {what} came to be");
            person(&machine, script)?.success().with_context(|| what.to_owned())?;
            ensure!(fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()), "{what}: no control");
        }
    }
    Ok(())
}

#[test]
fn nothing_is_made_on_the_host_to_hold_it() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[posture.calm]\nextends = \"L2\"\non_trigger = \"report\"\n")?;
    person(&machine, "rm -rf .git/hooks .git/info")?.success()?;
    let before = tree(machine.project())?;
    inside(&machine, "L2", "true")?.success()?;
    ensure!(tree(machine.project())? == before);
    // What was missing is not held, and what came to be there is named.
    inside(&machine, "calm", "mkdir .git/hooks; echo x > .git/hooks/pre-push; chmod +x .git/hooks/pre-push")?
        .success()?;
    machine.wait_until_supervisor_ended()?;
    let reports = fs::read_dir(machine.state().join("reports"))?.count();
    ensure!(reports == 2, "{reports}");
    Ok(())
}

fn tree(directory: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
            all.push(entry.path().to_string_lossy().into_owned());
        }
    }
    all.sort();
    Ok(all)
}

#[test]
fn the_posture_of_a_held_project_is_as_planned() -> Result<()> {
    let machine = Machine::new()?;
    prepare(&machine)?;
    for posture in POSTURES {
        let session = machine.detached(posture, &["sleep", "1000"])?;
        let diff = session.posture_diff()?;
        ensure!(diff.is_empty(), "{posture}: {diff:?}");
        session.stop()?;
    }
    Ok(())
}

#[test]
fn a_configuration_that_would_run_something_is_put_back_and_told() -> Result<()> {
    let evil = "touch ran-by-git";
    for posture in POSTURES {
        let machine = Machine::new()?;
        prepare(&machine)?;
        let config = machine.project().join(".git/config");
        let before = fs::read_to_string(&config)?;
        let script = format!(
            "git remote add origin https://e.org/x; git config core.fsmonitor '{evil}'; git config alias.st '!{evil}'\n\
             git config -f .git/modules/deep/sub/config core.sshCommand '{evil}'\n\
             git init -q new; git -C new config core.fsmonitor '{evil}'"
        );
        inside(&machine, posture, &script)?.success()?;
        let report = report(&machine)?;
        let grave = grave(&report);
        for path in [".git/config", ".git/modules/deep/sub/config", "new/.git/config"] {
            ensure!(grave.contains(&format!("git-config restored {path}")), "{posture} {path}: {report:#}");
            let now = fs::read_to_string(machine.project().join(path))?;
            ensure!(!now.contains(evil), "{posture} {path}: {now}");
        }
        // What git itself writes stayed, and what was there is there.
        let status =
            person(&machine, "git config remote.origin.url; git status --short; git -C new status; ls")?;
        ensure!(
            status.text().starts_with("https://e.org/x\n") && !status.text().contains("ran-by-git"),
            "{status:?}"
        );
        let now = fs::read_to_string(&config)?;
        ensure!(
            before.lines().filter(|line| line.contains('=')).all(|line| {
                let words = line.replace('\t', "").to_lowercase();
                now.replace('\t', "").to_lowercase().contains(&words)
            }),
            "{before}\n{now}"
        );
        // The same outside runs.
        person(&machine, &format!("git config core.fsmonitor '{evil}'; git status --short"))?;
        ensure!(machine.project().join("ran-by-git").exists(), "no control");
    }
    Ok(())
}

/// Git directories that say they share another's parts, by a link or by leading to themselves: what is in force is the
/// configuration of the last of them.
const SHARING: &str = "cp -r .git/modules/deep/sub store; git config -f store/config core.fsmonitor 'touch ran-by-git; false'\n\
    git config -f store/config --unset core.worktree; echo . > store/description; ln -s description store/commondir\n\
    echo ../../../../store > .git/modules/deep/sub/description; ln -s description .git/modules/deep/sub/commondir\n\
    git init -q made; mv made/.git itself; git config -f itself/config core.fsmonitor 'touch ran-by-git; false'\n\
    echo . > itself/commondir; echo 'gitdir: ../itself' > made/.git";

#[test]
fn a_way_from_one_git_directory_to_another_hides_no_configuration() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[posture.calm]\nextends = \"L2\"\non_trigger = \"report\"\n")?;
    prepare(&machine)?;
    inside(&machine, "calm", SHARING)?.success()?;
    let report = report(&machine)?;
    let grave = grave(&report);
    for wanted in [
        "git-config restored store/config",
        "git-config restored itself/config",
        "git-pointer added store/commondir",
        "git-pointer added itself/commondir",
        "git-pointer added .git/modules/deep/sub/commondir",
    ] {
        ensure!(grave.contains(&wanted.to_owned()), "{wanted}: {report:#}");
    }
    let status = "git status --short; git -C made status --short; git -C deep/sub status --short; \
                  find . -name ran-by-git";
    let said = person(&machine, status)?;
    ensure!(!said.text().contains("ran-by-git\n"), "{said:?}");
    // The same outside runs, in both.
    for directory in ["deep/sub", "made"] {
        let machine = Machine::new()?;
        prepare(&machine)?;
        person(&machine, SHARING)?.success()?;
        let said = person(&machine, &format!("git -C {directory} status --short; find . -name ran-by-git"))?;
        ensure!(said.text().contains("ran-by-git\n"), "no control: {directory} {said:?}");
    }
    Ok(())
}

#[test]
fn a_rebase_that_was_left_open_is_told() -> Result<()> {
    let machine = Machine::new()?;
    prepare(&machine)?;
    inside(
        &machine,
        "L2",
        "set -e; export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b; for d in lib deep/sub; do\n\
         GIT_SEQUENCE_EDITOR='sed -i 1ibreak' git -C $d rebase -q -i --root\n\
         echo 'exec touch ran-by-git' >> $(git -C $d rev-parse --path-format=absolute --git-path rebase-merge/git-rebase-todo); done",
    )?
    .success()?;
    let report = report(&machine)?;
    for path in
        ["lib/.git/rebase-merge/git-rebase-todo", ".git/modules/deep/sub/rebase-merge/git-rebase-todo"]
    {
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let told = findings.iter().find(|finding| finding["path"] == path);
        let told = told.with_context(|| format!("{path}: {report:#}"))?;
        ensure!(told["grave"] == false && told["change"] == "added", "{told:#}");
    }
    // It is the person's to go on with, and it runs.
    person(&machine, "git -c user.name=a -c user.email=a@b -C lib rebase --continue")?;
    ensure!(machine.project().join("lib/ran-by-git").exists(), "no control");
    Ok(())
}

#[test]
fn what_git_writes_every_day_is_not_touched() -> Result<()> {
    let machine = Machine::new()?;
    prepare(&machine)?;
    inside(
        &machine,
        "L2",
        "set -e; git config user.name A; git config user.email a@b; git remote add origin ../x; git switch -q -c topic\n\
         git branch --set-upstream-to=main -q; git branch -m renamed; git submodule --quiet update --init\n\
         git worktree add -q tree main; git gc --quiet; cat .git/config > config-inside",
    )?
    .success()?;
    let project = machine.project();
    ensure!(fs::read(project.join(".git/config"))? == fs::read(project.join("config-inside"))?);
    let report = report(&machine)?;
    ensure!(grave(&report).is_empty(), "{report:#}");
    Ok(())
}
