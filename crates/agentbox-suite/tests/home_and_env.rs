//! The home and the environment inside: what is passed is what was said, and what is written is gone.

use agentbox_suite::{Machine, SECRET_NAMES, run};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn environment(machine: &Machine, more: &[&str]) -> Result<BTreeMap<String, String>> {
    let said = machine.ctl(&machine.start_arguments("L2", more, &["env", "-0"]))?.success()?;
    let text = said.text();
    let pairs = text.split('\0').filter(|pair| !pair.is_empty());
    let split = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pairs.map(|pair| split(pair).with_context(|| pair.to_owned())).collect()
}

#[test]
fn no_variable_with_a_secret_passes() -> Result<()> {
    let machine = Machine::new()?;
    let variables = environment(&machine, &[])?;
    for name in SECRET_NAMES {
        ensure!(!variables.contains_key(*name), "{name} passed");
    }
    for (name, value) in &variables {
        ensure!(!machine.planted.canary_in(value.as_bytes()), "{name} holds the secret");
    }
    Ok(())
}

#[test]
fn what_programs_need_is_there() -> Result<()> {
    let machine = Machine::new()?;
    let variables = environment(&machine, &[])?;
    let get = |name: &str| variables.get(name).map(String::as_str);
    ensure!(get("HOME") == machine.person.home.to_str(), "{variables:?}");
    ensure!(get("USER") == get("LOGNAME") && get("USER").is_some(), "{variables:?}");
    ensure!(get("LANG") == Some("C.UTF-8"), "{variables:?}");
    ensure!(get("SHELL").is_some() && get("TMPDIR").is_none(), "{variables:?}");
    let path = get("PATH").context("no PATH")?;
    ensure!(path.split(':').any(|part| part == "/usr/bin"), "{path}");
    ensure!(path.split(':').all(|part| part.starts_with('/')), "{path}");
    Ok(())
}

#[test]
fn a_profile_passes_and_sets_variables_by_their_exact_names() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.work.env]\npass = [\"GITHUB_TOKEN\"]\nset = { CI = \"1\" }\n")?;
    let variables = environment(&machine, &["--profile", "work"])?;
    ensure!(variables.get("CI").map(String::as_str) == Some("1"), "{variables:?}");
    ensure!(variables.get("GITHUB_TOKEN").is_some_and(|value| machine.planted.canary_in(value.as_bytes())));
    ensure!(!variables.contains_key("GH_TOKEN"), "{variables:?}");
    Ok(())
}

#[test]
fn the_home_is_empty_writable_and_forgotten() -> Result<()> {
    let machine = Machine::new()?;
    let text = "cd; find . -mindepth 1 -not -path './project*' | head; echo x > .bashrc; mkdir -p .config/systemd/user; touch kept; ls -A";
    let said = machine.inside("L2", &["sh", "-ec", text])?.success()?;
    ensure!(!said.text().contains(".ssh") && !said.text().contains("notes.txt"), "{said:?}");
    ensure!(said.text().contains("kept"), "{said:?}");
    ensure!(!machine.person.home.join("kept").exists(), "it is on the host");
    ensure!(!machine.person.home.join(".bashrc").exists(), "it is on the host");
    let again = machine.inside("L2", &["sh", "-c", "ls -A ~"])?.success()?;
    ensure!(!again.text().contains("kept"), "{again:?}");
    Ok(())
}

#[test]
fn at_l1_the_home_is_read_and_not_written() -> Result<()> {
    let machine = Machine::new()?;
    let said = machine
        .inside("L1", &["sh", "-c", "cat ~/notes.txt; echo x > ~/notes.txt; echo status=$?; touch ~/new"])?;
    ensure!(said.text().starts_with("notes\n") && !said.text().contains("status=0"), "{said:?}");
    ensure!(fs::read_to_string(&machine.planted.own_file)? == "notes\n");
    ensure!(!machine.person.home.join("new").exists());
    Ok(())
}

/// Every path below, with what it is.
fn tree(directory: &std::path::Path) -> Result<std::collections::BTreeSet<String>> {
    use std::os::unix::fs::MetadataExt;
    let (mut found, mut open) = (std::collections::BTreeSet::new(), vec![directory.to_owned()]);
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        let (mode, size) = (metadata.mode(), if metadata.is_dir() { 0 } else { metadata.len() });
        found.insert(format!("{} {mode:o} {}:{} {size}", path.display(), metadata.uid(), metadata.gid()));
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        }
    }
    Ok(found)
}

#[test]
fn a_session_leaves_no_file_that_nobody_wrote() -> Result<()> {
    let machine = Machine::new()?;
    // Files that a sandbox would have to make to mount over them are missing, and one is a link that leads nowhere.
    std::os::unix::fs::symlink("nowhere", machine.person.home.join(".gitconfig"))?;
    machine.configure("[profile.work]\nread = [\"~/.cargo\"]\nagent = \"claude\"\n")?;
    let before = tree(&machine.person.home)?;
    for posture in ["L0", "L1", "L2"] {
        machine.inside(posture, &["true"])?.success()?;
        let arguments = machine.start_arguments(posture, &["--profile", "work"], &["true"]);
        let said = machine.ctl(&arguments)?;
        // L1 does not make the agent's directory in the person's home either: it says what is missing.
        ensure!(said.status == 0 || posture == "L1" && said.status == 125, "{posture}: {said:?}");
        let after = tree(&machine.person.home)?;
        let changed: Vec<_> = before.symmetric_difference(&after).collect();
        ensure!(changed.is_empty(), "{posture}: {changed:#?}");
    }
    Ok(())
}

#[test]
fn projects_whose_paths_look_alike_keep_their_state_apart() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(
        "[posture.kept]\nextends = \"L2\"\nstate = \"project\"\n[profile.work]\nagent = \"claude\"\n",
    )?;
    // Agents encode a path as a name by putting `-` for `/`: both of these would be `-a-b-c`.
    for (at, name) in ["a/b-c", "a-b/c", "a-b-c", "a/b/c", "a%2Db/c"].iter().enumerate() {
        let project = machine.person.home.join(name);
        machine.person.make_directory(&project)?;
        let script =
            format!("mkdir -p ~/.claude/projects; ls ~/.claude/projects; touch ~/.claude/projects/{at}");
        let path = project.to_string_lossy();
        let said = machine.ctl(&[
            "start",
            &path,
            "--posture",
            "kept",
            "--profile",
            "work",
            "--",
            "sh",
            "-ec",
            &script,
        ])?;
        ensure!(said.success()?.stdout.is_empty(), "{name} sees another project's conversations");
    }
    Ok(())
}

#[test]
fn a_link_that_is_left_in_a_state_volume_leads_nowhere() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(
        "[posture.kept]\nextends = \"L2\"\nstate = \"project\"\n[profile.work]\nagent = \"claude\"\n",
    )?;
    let inside = |script: &str| {
        machine.ctl(&machine.start_arguments("kept", &["--profile", "work"], &["sh", "-c", script]))
    };
    let key = machine.person.home.join(".ssh/id_ed25519");
    let plant = format!(
        "cd ~/.claude && ln -s {} key; ln -s / root; ln -s /etc/shadow settings.json; ln -s ../../../.. up; rm -rf projects; \
         ln -s /etc projects",
        key.display()
    );
    inside(&plant)?.success()?;
    let hashes = fs::read("/etc/shadow")?;
    let said = inside("cd ~/.claude; cat key settings.json root/etc/shadow up/etc/shadow; ls -la; echo end")?;
    ensure!(said.text().ends_with("end\n"), "the next session does not start: {said:?}");
    ensure!(!machine.planted.canary_in(&said.stdout), "{said:?}");
    let root = hashes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    ensure!(!said.stdout.windows(root.len()).any(|window| window == root), "{said:?}");
    Ok(())
}

#[test]
fn state_outlives_a_session_only_where_it_is_to() -> Result<()> {
    let machine = Machine::new()?;
    // L2 keeps nothing by itself, so a posture that keeps it per project.
    machine.configure(
        "[posture.kept]\nextends = \"L2\"\nstate = \"project\"\n[profile.work]\nagent = \"claude\"\n",
    )?;
    let write =
        "mkdir -p ~/.claude/projects; echo {} > ~/.claude/projects/kept.jsonl; echo x > ~/.claude/other";
    let start = |more: &[&str], script: &str| {
        machine.ctl(&machine.start_arguments("kept", more, &["sh", "-ec", script]))
    };
    let kept: &[&str] = &["--profile", "work"];
    start(kept, write)?.success()?;
    let shown = start(kept, "cat ~/.claude/projects/kept.jsonl; test ! -e ~/.claude/other")?.success()?;
    ensure!(shown.text() == "{}\n", "{shown:?}");
    ensure!(!machine.person.home.join(".claude").exists(), "it is in the person's own home");
    let ephemeral: &[&str] = &["--profile", "work", "--state", "ephemeral"];
    let shown = start(ephemeral, "cat ~/.claude/projects/kept.jsonl")?;
    ensure!(shown.status != 0, "{shown:?}");
    Ok(())
}

#[test]
fn the_shared_directories_are_the_sessions_own() -> Result<()> {
    let machine = Machine::new()?;
    for posture in ["L1", "L2"] {
        let text = "for d in /tmp /var/tmp /dev/shm; do ls -A $d; echo x > $d/agentbox-suite-left; done";
        let said = machine.inside(posture, &["sh", "-ec", text])?.success()?;
        ensure!(said.stdout.is_empty(), "{posture}: {said:?}");
        for directory in ["/tmp", "/var/tmp", "/dev/shm"] {
            ensure!(
                !std::path::Path::new(directory).join("agentbox-suite-left").exists(),
                "{posture}: {directory}"
            );
        }
    }
    Ok(())
}

#[test]
fn git_knows_whose_commits_it_makes() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.work.git]\nname = \"Work Name\"\nemail = \"work@example.org\"\n")?;
    let commit = "git commit --quiet --allow-empty -m x; git log -1 --format='%an <%ae> %cn'";
    let arguments = machine.start_arguments("L2", &["--profile", "work"], &["sh", "-ec", commit]);
    let said = machine.ctl(&arguments)?.success()?;
    ensure!(said.text() == "Work Name <work@example.org> Work Name\n", "{said:?}");
    Ok(())
}

#[test]
fn what_is_written_is_as_private_as_what_its_person_writes() -> Result<()> {
    let machine = Machine::new()?;
    let limit = Duration::from_secs(180);
    for posture in ["L0 --yes-unconfined", "L1", "L2"] {
        for (umask, expected) in [("022", 0o644), ("077", 0o600), ("002", 0o664), ("000", 0o664)] {
            let script = format!(
                "umask {umask}; rm -f made; \"$0\" start . --posture {posture} -- sh -c 'echo > made'"
            );
            run(&mut machine.shell(&script), b"", limit)?.success()?;
            let mode = fs::metadata(machine.project().join("made"))?.permissions().mode() & 0o777;
            ensure!(mode == expected, "{posture}, {umask}: {mode:o}");
        }
    }
    Ok(())
}
