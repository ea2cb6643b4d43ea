//! Secrets come from files, to those who are to have them, and are nowhere else.

use agentbox_suite::{Machine, eventually};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

const TOKEN: &str = "tok-5f1d9c-in-no-log";

fn plant(machine: &Machine) -> Result<()> {
    let root_only = machine.config().join("npm");
    fs::write(&root_only, format!("{TOKEN}-root\n"))?;
    fs::set_permissions(&root_only, fs::Permissions::from_mode(0o600))?;
    machine.person.write(&machine.person.home.join("own"), format!("{TOKEN}-own\n").as_bytes(), 0o600)?;
    machine.configure(&format!(
        "[profile.work.env]\nNPM_TOKEN = {{ file = {root_only:?} }}\nKEY = {{ file = \"{own}\", as = \"file\" }}\n\
         GH = {{ file = \"{own}\", git = \"forge.example\" }}\n",
        own = machine.person.home.join("own").display(),
    ))
}

fn contains(directory: &Path, needle: &str) -> Result<bool> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            contains(&path, needle)?
        } else {
            fs::read(&path)
                .is_ok_and(|bytes| bytes.windows(needle.len()).any(|part| part == needle.as_bytes()))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_secret_is_a_variable_a_file_or_an_answer_to_one_host() -> Result<()> {
    for posture in ["L1", "L2"] {
        let machine = Machine::new()?;
        plant(&machine)?;
        let ask = |host: &str| {
            format!(
                "printf 'protocol=https\\nhost={host}\\n\\n' | GIT_TERMINAL_PROMPT=0 git credential fill 2>/dev/null"
            )
        };
        let script = format!(
            "echo env=$NPM_TOKEN; echo file=$(cat $KEY); stat -c %a $KEY; {}; echo between; {}; {}; echo gh=$GH; \
             echo x 2>/dev/null > $KEY; echo status=$?",
            ask("forge.example"),
            ask("forge.example.evil"),
            ask("other.example"),
        );
        let arguments = machine.start_arguments(posture, &["--profile", "work"], &["sh", "-c", &script]);
        let said = machine.ctl(&arguments)?;
        let text = said.text();
        ensure!(text.contains(&format!("env={TOKEN}-root\n")), "{posture}: {said:?}");
        ensure!(text.contains(&format!("file={TOKEN}-own\n400\n")), "{posture}: {said:?}");
        let (before, after) = text.split_once("between").unwrap_or_default();
        ensure!(
            before.contains(&format!("password={TOKEN}-own")),
            "{posture}: git was not answered: {said:?}"
        );
        ensure!(!after.contains("password="), "{posture}: another host was answered: {said:?}");
        ensure!(after.contains("gh=\n") && !after.contains("status=0"), "{posture}: {said:?}");
    }
    Ok(())
}

#[test]
fn the_trail_and_what_a_person_reads_have_names_and_no_values() -> Result<()> {
    let machine = Machine::new()?;
    plant(&machine)?;
    let arguments = machine.start_arguments("L2", &["--profile", "work", "--verbose"], &["true"]);
    let said = machine.ctl(&arguments)?.success()?;
    let explained = machine.ctl(&["explain", ".", "--profile", "work"])?.success()?;
    for text in [said.text(), said.error_text(), explained.text()] {
        ensure!(!text.contains(TOKEN), "{text}");
    }
    ensure!(explained.text().contains("NPM_TOKEN from"), "{explained:?}");
    ensure!(machine.ctl(&["log", "--json"])?.text().contains("NPM_TOKEN"));
    for directory in [machine.logs(), machine.state(), machine.runtime()] {
        ensure!(!contains(&directory, TOKEN)?, "{} has it", directory.display());
    }
    Ok(())
}

#[test]
fn a_person_names_only_what_a_person_may_read() -> Result<()> {
    let machine = Machine::new()?;
    let root_only = machine.config().join("npm");
    fs::write(&root_only, TOKEN)?;
    fs::set_permissions(&root_only, fs::Permissions::from_mode(0o600))?;
    let file = machine.person.home.join(".config/agentbox/agentbox.toml");
    machine.person.make_directory(file.parent().unwrap_or(&file))?;
    let own = |text: String| machine.person.write(&file, text.as_bytes(), 0o600);
    own(format!("[profile.mine.env]\nT = {{ file = {root_only:?} }}\n"))?;
    let start =
        || machine.ctl(&machine.start_arguments("L2", &["--profile", "mine"], &["sh", "-c", "echo got=$T"]));
    let refused = start()?;
    ensure!(refused.status == 125 && refused.error_text().contains("profile.mine.env.T"), "{refused:?}");
    machine.person.write(&machine.person.home.join("own"), b"mine", 0o600)?;
    own("[profile.mine.env]\nT = { file = \"~/own\" }\n".to_owned())?;
    ensure!(start()?.success()?.text() == "got=mine\n");
    Ok(())
}

/// Processes with their parents and names.
fn processes() -> Vec<(i64, i64, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i64>().ok());
    let read = |pid: i64| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some((pid, field("PPid:")?.parse().ok()?, field("Name:")?.to_owned()))
    };
    pids.filter_map(read).collect()
}

/// Whether the secret is anywhere in what a process may write.
fn remembers(pid: i64, needle: &str) -> Result<bool> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    for line in fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
        let (range, rest) = line.split_once(' ').context("a line of maps")?;
        let (from, to) = range.split_once('-').context("a range")?;
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        if !rest.starts_with("rw") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from)?];
        // What is not there yet cannot be read, and holds nothing.
        let length = memory.read_at(&mut bytes, from).unwrap_or(0);
        if bytes[..length].windows(needle.len()).any(|part| part == needle.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn no_program_of_agentbox_remembers_what_it_handed_on() -> Result<()> {
    let machine = Machine::new()?;
    plant(&machine)?;
    let session = machine.detached_with("L2", &["--profile", "work"], &["sleep", "600"])?;
    let supervisor = machine.ctl(&["status", "--json"])?.json()?["pid"].as_i64().context("no pid")?;
    let all = processes();
    let mut ours = vec![supervisor];
    let mut at = 0;
    while let Some(parent) = ours.get(at).copied() {
        ours.extend(all.iter().filter(|(_, of, _)| *of == parent).map(|(pid, ..)| *pid));
        at += 1;
    }
    let name = |pid: &i64| all.iter().find(|(one, ..)| one == pid).map_or("", |(_, _, name)| name.as_str());
    // The agent itself has it, and is found to have it.
    let agent = session.status()?["agent_pid"].as_i64().context("no agent")?;
    eventually("the agent has it", Duration::from_secs(60), || Ok(remembers(agent, TOKEN)?.then_some(())))?;
    let trusted: Vec<_> = ours.iter().filter(|pid| name(pid).starts_with("agentbox")).collect();
    ensure!(trusted.len() >= 3, "supervisor and both halves of the launcher: {trusted:?} {all:?}");
    for pid in trusted {
        ensure!(!remembers(*pid, TOKEN)?, "{} remembers it", name(pid));
    }
    session.exec(&["sh", "-c", "test -n \"$NPM_TOKEN\""])?.success()?;
    ensure!(!remembers(supervisor, TOKEN)?, "the supervisor remembers it from a second command");
    Ok(())
}
