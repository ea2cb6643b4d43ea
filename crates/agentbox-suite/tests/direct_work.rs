//! Work goes on in a project that is held: git's daily commands leave the same bytes inside and outside, and what the
//! person does on the host at the same time holds nothing up.

use agentbox_suite::{Machine, run};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// What of a repository is the same whenever the same was done: not times, not the order of a pack.
fn state(machine: &Machine) -> Result<BTreeMap<String, Vec<u8>>> {
    let project = machine.project();
    let mut all = BTreeMap::new();
    let mut open = vec![project.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let name = entry.path().strip_prefix(project)?.to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            let moves = name.ends_with("/index")
                || name.contains("/objects/pack")
                || name.ends_with("agentbox-probe");
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_symlink() {
                all.insert(name, fs::read_link(entry.path())?.to_string_lossy().into_owned().into_bytes());
            } else if !moves && !name.contains(".planted") {
                all.insert(name, fs::read(entry.path())?);
            }
        }
    }
    let objects = machine.person.shell(
        project,
        "git ls-files -s; git rev-list --all --objects | sort; git status --porcelain; git fsck --no-progress 2>&1",
    )?;
    all.insert("(objects)".to_owned(), objects.success()?.text().into_bytes());
    Ok(all)
}

/// Git with nothing of the host's, times that stand still, and what a session has of its own.
const FIXED: &str = "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_TEMPLATE_DIR= \
    GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b \
    GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000' GIT_CONFIG_COUNT=4 \
    GIT_CONFIG_KEY_0=repack.updateServerInfo GIT_CONFIG_VALUE_0=false GIT_CONFIG_KEY_1=gc.reflogExpire \
    GIT_CONFIG_VALUE_1=never GIT_CONFIG_KEY_2=pack.threads GIT_CONFIG_VALUE_2=1 \
    GIT_CONFIG_KEY_3=protocol.file.allow GIT_CONFIG_VALUE_3=always; set -e; ";

/// Repositories of different kinds.
const KINDS: [(&str, &str); 3] = [
    ("flat", "echo .gitignore > list; for i in 1 2 3 4 5; do echo $i > file$i; done"),
    (
        "deep",
        "mkdir -p a/b/c 'with space' ünï; for d in a a/b a/b/c 'with space' ünï; do echo $d > \"$d/f\"; done\n\
         chmod +x a/f; ln -s a/f link; printf '* text=auto\\n' > .gitattributes",
    ),
    ("large", "seq 1 20000 > numbers; seq 1 300 | while read i; do echo $i > n$i; done"),
];

const DAILY: &str = "git init -q lib; (cd lib; echo l > l; git add l; git commit -qm lib)\n\
    git init -q --bare remote.git; printf 'lib\\nremote.git\\n' >> .gitignore\n\
    git add -A; git commit -qm all; echo x >> list 2>/dev/null || echo x > list; git add list; git commit -qam more\n\
    git switch -qc topic; echo t > topic; git add topic; git commit -qm topic; git switch -q main; echo m > m\n\
    git add m; git commit -qm m; git switch -q topic; git rebase -q main; echo s >> topic; git stash -q; git stash pop -q\n\
    git commit -qam stashed; git remote add origin ./remote.git; git push -qu origin topic; git fetch -q\n\
    git submodule --quiet add \"$PWD/lib\" sub; git commit -qm sub; git submodule --quiet update --init\n\
    git worktree add -q tree main; (cd tree; echo w > w; git add w; git commit -qm w)\n\
    git branch -m renamed; git tag v1; git merge -q main -m merged; git mv m moved; git commit -qm moved\n\
    git rm -q moved; git commit -qm gone; git gc --quiet; git reset -q --hard; git clean -qfd -e lib";

#[test]
fn gits_daily_commands_leave_the_same_bytes_inside_and_outside() -> Result<()> {
    for (kind, make) in KINDS {
        let machine = Machine::new()?;
        // The same path for both: git writes it into links between worktrees.
        let outside = format!("{FIXED}\n{make}\n{DAILY}");
        let keep = machine.person.home.join("kept");
        let shell = |script: &str| machine.person.shell(machine.project(), script);
        shell(&format!("cp -a . {}", keep.display()))?.success()?;
        shell(&outside)?.success()?;
        let expected = state(&machine)?;
        shell(&format!(
            "find . -mindepth 1 -maxdepth 1 ! -name '.planted*' -exec rm -rf {{}} +; cp -a {}/. . 2>/dev/null || true",
            keep.display()
        ))?;
        machine.inside("L2", &["sh", "-c", &outside])?.success()?;
        machine.wait_until_supervisor_ended()?;
        let found = state(&machine)?;
        for (name, bytes) in &expected {
            ensure!(
                found.get(name) == Some(bytes),
                "{kind}: {name}: {:?}",
                found.get(name).map(|b| String::from_utf8_lossy(b).into_owned())
            );
        }
        let more: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
        ensure!(more.is_empty(), "{kind}: {more:?}");
    }
    Ok(())
}

#[test]
fn an_editor_and_a_checkout_outside_hold_nothing_up_and_loosen_nothing() -> Result<()> {
    let machine = Machine::new()?;
    let shell = |script: &str| machine.person.shell(machine.project(), script);
    shell("git switch -qc other; echo o > o; git add o; git -c user.name=a -c user.email=a@b commit -qm o; git switch -q main; mkdir -p .git/hooks")?
        .success()?;
    let session = machine.detached(
        "L2",
        &["sh", "-c", "while :; do git --no-optional-locks status > /dev/null; echo x > made; rm made; done"],
    )?;
    shell(
        "for i in $(seq 1 30); do git checkout -q other; echo $i > .README.swp; mv .README.swp README; git checkout -qf main; \
         git -c user.name=a -c user.email=a@b commit -q --allow-empty -m $i; done",
    )?
    .success()?;
    let diff = session.posture_diff()?;
    ensure!(diff.is_empty(), "{diff:?}");
    let refused = session.exec(&["sh", "-c", "echo x > .git/hooks/post-commit || mv .git .git2"])?;
    ensure!(refused.status != 0, "{refused:?}");
    ensure!(session.status()?["summary"]["state"] == "running");
    session.stop()?;
    let report = machine.ctl(&["report", &session.id, "--json"])?.json()?;
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    ensure!(!findings.iter().any(|finding| finding["grave"] == true), "{report:#}");
    ensure!(!Path::new(&machine.project().join(".git/hooks/post-commit")).exists());
    Ok(())
}

#[test]
fn a_repository_that_a_group_shares_is_worked_in_and_stays_the_groups() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        let project = machine.project();
        let made = "umask 002; rm -rf .git; git init -q --shared=group .; echo one > one; git add one; \
                    git config user.name a; git config user.email a@b; git commit -qm one; git config core.sharedRepository";
        let shared = machine.person.shell(project, made)?.success()?.text();
        ensure!(shared.trim() == "1" && is_groups(&project.join(".git/objects"))?, "{shared}");
        let work = "set -e; for i in $(seq 40); do echo $i > $i; done; git add .; git commit -qm more; git gc -q; \
                    git switch -qc topic; echo x > x; git add x; git commit -qm x";
        let script = format!("umask 002; \"$0\" start . --posture {posture} -- sh -c '{work}'");
        let finished = run(&mut machine.shell(&script), b"", Duration::from_secs(180))?;
        ensure!(finished.status == 0, "{posture}: {finished:?}");
        let mut open = vec![project.join(".git/objects"), project.join(".git/refs")];
        while let Some(path) = open.pop() {
            ensure!(is_groups(&path)?, "{posture}: {} is not the group's", path.display());
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                }
            }
        }
    }
    Ok(())
}

/// Whether what is made in a directory belongs to its group, which may make something there.
fn is_groups(path: &Path) -> Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o2070 == 0o2070)
}
