//! A session on an overlay that means harm: to the layer, to whoever looks at it, to whoever takes from it.

use agentbox_suite::battery::{Battery, Level};
use agentbox_suite::overlay::{changes, require_same, review, session, state};
use agentbox_suite::{Machine, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn no_attack_of_the_battery_works_on_an_overlay() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[floor]\nworkspace = \"overlay\"")?;
    let mut battery = Battery::list(&machine)?;
    battery.try_outside(&machine)?;
    let before = state(machine.project())?;
    let verdict = battery.try_inside(&machine, Level::L2)?;
    println!("{}", verdict.table);
    // A hook in the layer is nobody's: what counts is that the project has none.
    let in_the_layer = |id: &str| id.starts_with("t6.git-hook") || id.starts_with("t6.git-attributes");
    let red: Vec<_> = verdict.red.iter().filter(|red| !in_the_layer(&red.id)).collect();
    ensure!(red.is_empty(), "{red:#?}");
    ensure!(state(machine.project())? == before, "the project is not as it was");
    Ok(())
}

#[test]
fn marks_of_the_layer_cannot_be_forged_from_inside() -> Result<()> {
    let machine = Machine::new()?;
    machine.person.shell(
        machine.project(),
        "mkdir dir; echo one > dir/one; echo two > dir/two; git add .; git -c user.name=P -c user.email=p@example.org commit -qm dir",
    )?;
    // Whiteouts, opaque and redirect marks, by every name that overlayfs ever had for them.
    let script = "import os, errno, stat, json\n\
        said = {}\n\
        def attempt(name, what):\n\
        \x20   try: what(); said[name] = 'done'\n\
        \x20   except OSError as error: said[name] = errno.errorcode[error.errno]\n\
        for space in ('trusted', 'user', 'security'):\n\
        \x20   for mark in ('opaque', 'redirect', 'whiteout', 'origin', 'metacopy', 'impure'):\n\
        \x20       attempt(f'{space}.{mark}', lambda: os.setxattr('dir', f'{space}.overlay.{mark}', b'y'))\n\
        attempt('whiteout', lambda: os.mknod('dir/three', stat.S_IFCHR | 0o600, os.makedev(0, 0)))\n\
        attempt('device', lambda: os.mknod('dev', stat.S_IFBLK | 0o600, os.makedev(8, 0)))\n\
        attempt('set-uid', lambda: os.chmod('dir/one', 0o4755))\n\
        attempt('set-gid', lambda: os.chmod('dir', 0o2755))\n\
        attempt('rename', lambda: os.rename('dir', 'elsewhere'))\n\
        open('dir/new', 'w').write('x')\n\
        print(json.dumps(said))";
    machine.person.write(&machine.project().join("forge.py"), script.as_bytes(), 0o644)?;
    let (id, said) = session(&machine, "L2", "python3 forge.py")?;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout)?;
    for name in
        ["trusted.opaque", "trusted.redirect", "security.opaque", "whiteout", "device", "set-uid", "set-gid"]
    {
        ensure!(said[name] == "EPERM" || said[name] == "EOPNOTSUPP", "{name}: {said}");
    }
    ensure!(said["rename"] == "EXDEV", "{said}");
    // Whatever of `user.` it may set means nothing to the layer: all of the directory is there.
    let found = changes(&machine, &id)?;
    ensure!(found.len() == 1 && found["dir/new"] == "added", "{found:?}");
    Ok(())
}

#[test]
fn hostile_names_and_contents_are_shown_harmlessly_and_applied_exactly() -> Result<()> {
    let machine = Machine::new()?;
    let (id, _) = session(
        &machine,
        "L2",
        "python3 - <<'E'\n\
         import os\n\
         for name in [b'\\x1b]0;owned\\x07', b'new\\nline', b'\\xff\\xfe', b'-rf', b' ', b'a\\\\b', b'\\xe2\\x80\\xaegpj.exe', b'x' * 255, b'$(touch pwned)', b'..;', b'...']:\n\
         \x20   open(name, 'wb').write(b'\\x1b[2Jtext \\x9b\\n')\n\
         os.makedirs(b'\\x1b[31m/' + b'd' * 200)\n\
         os.symlink('/etc/shadow', 'shadow'); os.symlink('../../../..', 'up'); os.mkfifo('fifo')\n\
         import socket; socket.socket(socket.AF_UNIX).bind('socket')\n\
         os.link('README', 'hard')\n\
         E",
    )?;
    let shown = review(&machine, "diff", &id, &[])?.success()?;
    let json = review(&machine, "diff", &id, &["--json"])?.success()?;
    let applied = review(&machine, "apply", &id, &["--all"])?.success()?;
    for said in [&shown, &json, &applied] {
        for text in [said.text(), said.error_text()] {
            ensure!(!text.contains(['\x1b', '\x07', '\u{9b}', '\u{202e}']), "{text}");
        }
    }
    let project = machine.project();
    ensure!(
        fs::symlink_metadata(project.join("fifo")).is_err()
            && fs::symlink_metadata(project.join("socket")).is_err()
    );
    ensure!(fs::read_link(project.join("shadow"))? == Path::new("/etc/shadow"));
    ensure!(fs::read(project.join("new\nline"))? == b"\x1b[2Jtext \x9b\n");
    ensure!(!project.join("pwned").exists());
    // A hard link inside is a file of its own outside.
    ensure!(fs::metadata(project.join("hard"))?.nlink() == 1);
    let found = changes(&machine, &id)?;
    let left: Vec<_> = found.keys().collect();
    ensure!(left == ["fifo", "socket"], "{left:?}");
    Ok(())
}

#[test]
fn hard_links_out_of_the_project_are_not_written_through() -> Result<()> {
    let machine = Machine::new()?;
    let store = machine.person.home.join("store");
    machine.person.write(&store, b"shared\n", 0o644)?;
    fs::hard_link(&store, machine.project().join("linked"))?;
    let (id, _) = session(&machine, "L2", "echo changed >> linked")?;
    ensure!(fs::read_to_string(&store)? == "shared\n");
    review(&machine, "apply", &id, &["--all", "--theirs"])?.success()?;
    ensure!(fs::read_to_string(machine.project().join("linked"))? == "shared\nchanged\n");
    ensure!(fs::read_to_string(&store)? == "shared\n");
    Ok(())
}

#[test]
fn links_that_the_person_has_lead_no_step_outside() -> Result<()> {
    let machine = Machine::new()?;
    let (id, _) = session(&machine, "L2", "mkdir -p sub/deep; echo x > sub/deep/file; echo y > sub/file")?;
    let outside = machine.person.home.join("outside");
    machine.person.make_directory(&outside)?;
    symlink(&outside, machine.project().join("sub"))?;
    let applied = review(&machine, "apply", &id, &["--all"])?;
    ensure!(applied.status != 0, "{applied:?}");
    ensure!(fs::read_dir(&outside)?.count() == 0);
    // With theirs the link itself is what goes, never what it leads to.
    review(&machine, "apply", &id, &["--all", "--theirs"])?.success()?;
    ensure!(fs::read_dir(&outside)?.count() == 0);
    ensure!(fs::symlink_metadata(machine.project().join("sub"))?.is_dir());
    Ok(())
}

#[test]
fn deep_trees_are_told_and_can_be_discarded() -> Result<()> {
    let machine = Machine::new()?;
    let (id, _) = session(
        &machine,
        "L2",
        "python3 -c \"import os\nfor _ in range(600): os.mkdir('d'); os.chdir('d')\nopen('bottom', 'w').write('x')\"; echo x > fine",
    )?;
    let shown = review(&machine, "diff", &id, &["--stat"])?.success()?;
    ensure!(shown.error_text().contains("deeper than"), "{:?}", shown.error_text());
    review(&machine, "apply", &id, &["fine"])?.success()?;
    review(&machine, "discard", &id, &["--yes"])?.success()?;
    ensure!(agentbox_suite::overlay::layers(&machine)?.is_empty());
    Ok(())
}

#[test]
fn commits_arrive_and_nothing_of_the_sessions_repository_runs_outside() -> Result<()> {
    let machine = Machine::new()?;
    let mark = machine.person.home.join("pwned");
    let plant = format!("touch {}; exit 1", mark.display());
    let script = format!(
        "git config user.name A; git config user.email a@example.org; git switch -qc topic; echo 1 > made; git add made\n\
         git commit -qm one; echo 2 >> made; git commit -qam two; git tag -a -m tag v1; git checkout -q --detach; git commit -q --allow-empty -m loose\n\
         for hook in reference-transaction post-checkout pre-auto-gc post-index-change; do printf '#!/bin/sh\\n{plant}\\n' > .git/hooks/$hook; chmod 755 .git/hooks/$hook; done\n\
         git config core.fsmonitor '{plant}'; git config uploadpack.packObjectsHook '{plant}'; git config core.sshCommand '{plant}'\n\
         git config diff.external '{plant}'; git config core.pager '{plant}'; echo '* filter=f diff=d' > .git/info/attributes\n\
         git config filter.f.clean '{plant}'; git config filter.f.smudge '{plant}'; git config diff.d.textconv '{plant}'"
    );
    let before = state(machine.project())?;
    let (id, _) = session(&machine, "L2", &script)?;
    require_same(&before, &state(machine.project())?)?;
    let said = review(&machine, "apply", &id, &["--commits"])?.success()?;
    ensure!(said.text().contains(&format!("refs/agentbox/{id}/heads/topic\n")), "{said:?}");
    let git = |script: &str| Ok::<_, anyhow::Error>(machine.person.shell(machine.project(), script)?.text());
    ensure!(git(&format!("git log --format=%s refs/agentbox/{id}/heads/topic"))? == "two\none\nfirst\n");
    ensure!(git(&format!("git log -1 --format=%s refs/agentbox/{id}/HEAD"))? == "loose\n");
    ensure!(git(&format!("git cat-file -t refs/agentbox/{id}/tags/v1"))? == "tag\n");
    // Nothing else of the repository has changed: no branch, no file, no hook.
    ensure!(git("git branch --format='%(refname)'; git tag")?.lines().count() == 1);
    ensure!(
        git("git fsck --strict --no-progress; git status --porcelain | grep -v planted || true")?
            .trim()
            .is_empty()
    );
    ensure!(!mark.exists(), "something of the session's repository ran");
    let again = review(&machine, "apply", &id, &["--commits"])?.success()?;
    ensure!(again.text().contains("heads/topic"), "{again:?}");
    ensure!(git("ls .git")?.lines().all(|name| !name.starts_with("agentbox-")));
    Ok(())
}

#[test]
fn what_only_looks_like_commits_is_refused() -> Result<()> {
    let machine = Machine::new()?;
    // A tree with an entry that git itself would never make: `.git` as a directory of the work tree.
    let (id, _) = session(
        &machine,
        "L2",
        "git config user.name A; git config user.email a@example.org; blob=$(echo x | git hash-object -w --stdin)\n\
         inner=$(printf \"100644 blob $blob\\tconfig\\n\" | git mktree)\n\
         tree=$(printf \"040000 tree $inner\\t.git\\n\" | git mktree)\n\
         commit=$(git commit-tree -p HEAD -m evil $tree); git update-ref refs/heads/evil $commit",
    )?;
    let refused = review(&machine, "apply", &id, &["--commits"])?;
    ensure!(refused.status != 0 && refused.error_text().contains("refuses"), "{refused:?}");
    let refs = machine.person.shell(machine.project(), "git for-each-ref")?.text();
    ensure!(!refs.contains("agentbox"), "{refs}");
    Ok(())
}

#[test]
fn a_device_that_root_left_in_the_project_stays_one_that_nobody_opens() -> Result<()> {
    let machine = Machine::new()?;
    let node = machine.project().join("null");
    run(Command::new("mknod").arg(&node).args(["c", "1", "3"]), b"", LIMIT)?.success()?;
    run(Command::new("chmod").arg("666").arg(&node), b"", LIMIT)?.success()?;
    let (id, said) =
        session(&machine, "L2", "if cat null; then echo opened; fi; echo x > made; rm -f null || true")?;
    ensure!(!said.text().contains("opened"), "{said:?}");
    let _shown = review(&machine, "diff", &id, &["--stat"])?.success()?;
    ensure!(fs::symlink_metadata(&node).context("the node")?.file_type().is_char_device());
    Ok(())
}
