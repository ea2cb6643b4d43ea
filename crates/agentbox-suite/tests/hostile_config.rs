//! Configuration that is wrong, hostile or too wide is refused with its place, by `check` and by `start`.

use agentbox_suite::{Machine, run};
use anyhow::{Result, ensure};
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Text of a system's file, the line that is wrong, and a word that the error has to hold.
const BROKEN: &[(&[u8], u32, &str)] = &[
    (b"postures = 1\n", 1, "posture"),
    (b"\ndefault_postur = \"L2\"\n", 2, "default_posture"),
    (b"default_posture = \"L9\"\n", 1, "L9"),
    (b"default_posture = 2\n", 1, "default_posture"),
    (b"#\ndefault_posture = \"L2\"\ndefault_posture = \"L0\"\n", 3, "duplicate"),
    (b"[profile.work]\n[profile.work]\n", 2, "duplicate"),
    (b"\n[profile.work]\nnetwork = \"everything\"\n", 3, "everything"),
    (b"\n[profile.\"../x\"]\nnetwork = \"none\"\n", 2, "../x"),
    (b"[project.\"../x\"]\npath = \"/p\"\n", 1, "../x"),
    (b"[project.p]\npath = \"/home/me/../other\"\n", 2, "path"),
    (b"[project.p]\npath = \"/p\"\nprofile = \"../x\"\n", 3, "profile"),
    (b"[profile.work]\nread = [\"relative/path\"]\n", 2, "read"),
    (b"[profile.work]\nread = [\n\"/a\",\n\"/a/../b\"]\n", 4, "read[1]"),
    (b"[profile.work.env]\npass = [\"A=B\"]\n", 2, "pass"),
    (b"[posture.a]\nextends = \"b\"\n[posture.b]\nextends = \"a\"\n", 2, "extends itself"),
    (b"[posture.a]\nextends = \"a\"\n", 2, "extends itself"),
    (b"[posture.L2]\nnetwork = \"host\"\n", 1, "L2"),
    (b"[posture.x]\nextends = \"no-such\"\n", 2, "no-such"),
    (b"[posture.x]\nextends = \"L2\"\ntasks_max = -1\n", 3, "tasks_max"),
    (b"[posture.x]\nextends = \"L2\"\nmemory_max = \"lots\"\n", 3, "memory_max"),
    (b"[floor]\nisolation = \"paper\"\n", 2, "paper"),
    (b"users = \"me\"\n", 1, "users"),
    (b"\nuid_range = { first = 0, count = 10 }\n", 2, "uid_range"),
    (
        b"a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        1,
        "levels deep",
    ),
    (b"\nnot toml at all\n", 2, ""),
    (b"\n\0\n", 2, ""),
    (b"\n\n# \xff\xfe\n", 3, "UTF-8"),
];

/// The same in JSON.
const BROKEN_JSON: &[(&[u8], u32, &str)] = &[
    (b"{\n\"default_posture\": \"L2\",\n\"default_posture\": \"L0\"}", 3, "duplicate"),
    (b"{\n\"default_postur\": \"L2\"}", 2, "default_posture"),
    (b"{\n\"profile\": {\"../x\": {}}}", 2, "../x"),
    (b"{\"posture\": {\"a\": {\"extends\": \"b\"},\n\"b\": {\"extends\": \"a\"}}}", 1, "extends itself"),
    (b"{\n\"a\": [[[[[[[[[[[[1]]]]]]]]]]]]}", 2, "levels deep"),
    (b"{\n\n\"\xff\": 1}", 3, "UTF-8"),
    (b"{\n\"users\": [\"me\"]} {", 2, "trailing"),
];

#[test]
fn check_refuses_each_broken_file_with_its_place() -> Result<()> {
    let machine = Machine::new()?;
    let mut problems = Vec::new();
    for (name, broken) in [("agentbox.toml", BROKEN), ("agentbox.json", BROKEN_JSON)] {
        let file = machine.state().join(name);
        for (text, line, word) in broken {
            fs::write(&file, text)?;
            let said = machine.ctl(&["check", "--system", &file.to_string_lossy()])?;
            let error = said.error_text();
            if said.status != 1 || !error.contains(word) || !error.contains(&format!("{name}:{line}:")) {
                problems.push(format!("{}, no {line} {word:?}: {said:?}", text.escape_ascii()));
            }
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn check_names_line_and_nearest_key() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.state().join("agentbox.toml");
    fs::write(&file, "# a comment\n\ndefault_postur = \"L2\"\n")?;
    let said = machine.ctl(&["check", "--system", &file.to_string_lossy()])?;
    ensure!(said.error_text().contains("agentbox.toml:3"), "{said:?}");
    ensure!(said.error_text().contains("did you mean `default_posture`"), "{said:?}");
    Ok(())
}

#[test]
fn check_accepts_what_is_right_and_runs_without_a_supervisor() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.state().join("agentbox.toml");
    fs::write(
        &file,
        "default_posture = \"L2\"\n[profile.work]\nread = [\"~/.cargo\"]\n[posture.tight]\nextends = \"L2\"\ntasks_max = 100\n",
    )?;
    machine.ctl(&["check", "--system", &file.to_string_lossy()])?.success()?;
    let json = machine.state().join("agentbox.json");
    fs::write(&json, "{\"default_posture\": \"L2\"}")?;
    machine.ctl(&["check", "--system", &json.to_string_lossy()])?.success()?;
    ensure!(!machine.runtime().join("bus").exists(), "check started a supervisor");
    Ok(())
}

#[test]
fn a_file_beyond_the_limit_is_refused_and_not_read() -> Result<()> {
    let machine = Machine::new()?;
    for name in ["agentbox.toml", "agentbox.json"] {
        let file = machine.state().join(name);
        // Fifty megabytes, and one byte more than is read. 2¹⁹ lines are what fits.
        for (bytes, line) in [("#\n".repeat(25 << 20), (1 << 19) + 1), ("#".repeat((1 << 20) + 1), 1)] {
            fs::write(&file, bytes)?;
            let said = machine.ctl(&["check", "--system", &file.to_string_lossy()])?;
            ensure!(said.status == 1 && said.error_text().len() < 2000, "{said:?}");
            ensure!(said.error_text().contains(&format!("{name}:{line}: larger than 1 MiB")), "{said:?}");
        }
    }
    Ok(())
}

#[test]
fn no_session_starts_with_a_broken_system_file() -> Result<()> {
    let machine = Machine::new()?;
    let large = "#\n".repeat(25 << 20);
    for text in BROKEN.iter().map(|(text, ..)| *text).chain([large.as_bytes()]) {
        // Behind the machine's own keys, so some of them are wrong for being there twice.
        machine.configure("")?;
        let file = machine.config().join("agentbox.toml");
        fs::write(&file, [&fs::read(&file)?, text].concat())?;
        let text = text[..text.len().min(80)].escape_ascii();
        let said = machine.inside("L2", &["sh", "-c", "echo ran"])?;
        ensure!(said.status == 125 && said.stdout.is_empty(), "{text}: {said:?}");
        ensure!(said.error_text().contains("agentbox.toml:"), "{text}: no place: {said:?}");
        machine.wait_until_supervisor_ended()?;
        let leases = machine.state().join("leases");
        ensure!(!leases.exists(), "{text}: ids were counted: {:?}", fs::read_to_string(&leases));
    }
    machine.configure("")?;
    machine.inside("L2", &["true"])?.success()?;
    Ok(())
}

#[test]
fn a_project_file_tightens_and_never_loosens() -> Result<()> {
    let machine = Machine::new()?;
    let file = machine.project().join(".agentbox.toml");
    let refused = [
        "default_posture = \"L0\"\n",
        "users = [\"me\"]\n",
        "agent = \"claude\"\n",
        "command = [\"/bin/sh\"]\n",
        "[env]\nset = { LD_PRELOAD = \"./x.so\" }\n",
        "[profile.work]\nnetwork = \"none\"\n",
        "[floor]\nisolation = \"none\"\n",
        "[posture.L2]\nisolation = \"none\"\n",
        "uid_range = { first = 0, count = 65536 }\n",
    ];
    for text in refused {
        machine.person.write(&file, text.as_bytes(), 0o644)?;
        let said = machine.inside("L2", &["sh", "-c", "echo ran"])?;
        ensure!(said.status == 125 && said.stdout.is_empty(), "{text:?}: {said:?}");
        ensure!(said.error_text().contains(".agentbox.toml"), "{text:?}: {said:?}");
    }
    // Looser than L2: nothing comes of it.
    for text in
        ["isolation = \"none\"\n", "filesystem = \"host\"\nidentity = \"caller\"\n", "network = \"host\"\n"]
    {
        machine.person.write(&file, text.as_bytes(), 0o644)?;
        let said = machine.inside("L2", &["./agentbox-probe", "self"])?;
        if said.status == 0 {
            let state: agentbox_probe::State = serde_json::from_slice(&said.stdout)?;
            let missing = agentbox_suite::held::missing(&machine, &state)?;
            ensure!(missing.is_empty(), "{text:?}: {missing:#?}");
            ensure!(
                state.uids.iter().all(|uid| machine.lease_range().contains(uid)),
                "{text:?}: {:?}",
                state.uids
            );
        } else {
            ensure!(said.status == 125, "{text:?}: {said:?}");
        }
    }
    machine.person.write(&file, b"workspace = \"readonly\"\n", 0o644)?;
    let said = machine.inside("L2", &["sh", "-c", "echo x > README"])?;
    ensure!(
        said.status != 0 && fs::read_to_string(machine.project().join("README"))? == "hello\n",
        "{said:?}"
    );
    Ok(())
}

#[test]
fn a_persons_file_stays_within_the_systems_bounds() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure(
        "[floor]\nisolation = \"sandbox\"\nfilesystem = \"listed\"\nidentity = \"leased\"\n[ceiling]\nread = [\"/opt\"]\nenv = []\n",
    )?;
    let file = machine.person.home.join(".config/agentbox/agentbox.toml");
    let key = machine.person.home.join(".ssh");
    let refused = [
        "users = [\"me\"]\n".to_owned(),
        "uid_range = { first = 0, count = 65536 }\n".to_owned(),
        "[floor]\nisolation = \"none\"\n".to_owned(),
        "[ceiling]\nread = [\"/\"]\n".to_owned(),
        format!("[profile.mine]\nread = [{:?}]\n", key.display()),
        "[profile.mine.env]\npass = [\"GITHUB_TOKEN\"]\n".to_owned(),
    ];
    for text in refused {
        machine.person.write(&file, text.as_bytes(), 0o644)?;
        let arguments = machine.start_arguments("L2", &["--profile", "mine"], &["sh", "-c", "echo ran"]);
        let said = machine.ctl(&arguments)?;
        ensure!(said.status == 125 && said.stdout.is_empty(), "{text:?}: {said:?}");
    }
    fs::remove_file(&file)?;
    for posture in ["L0", "L1"] {
        let said = machine.inside(posture, &["sh", "-c", "echo ran"])?;
        ensure!(said.status == 125 && said.stdout.is_empty(), "{posture}: {said:?}");
        ensure!(said.error_text().contains("agentbox.toml"), "the rule is not named: {said:?}");
    }
    machine.inside("L2", &["true"])?.success()?;
    Ok(())
}

#[test]
fn the_schema_is_json_and_names_every_key() -> Result<()> {
    let machine = Machine::new()?;
    let schema = machine.ctl(&["schema"])?.json()?.to_string();
    for key in [
        "default_posture",
        "uid_range",
        "profile",
        "project",
        "posture",
        "floor",
        "ceiling",
        "tasks_max",
        "read",
    ] {
        ensure!(schema.contains(&format!("\"{key}\"")), "{key} is missing");
    }
    Ok(())
}

#[test]
fn completions_are_printed_for_every_shell() -> Result<()> {
    let machine = Machine::new()?;
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&mut machine.command(&["completions", shell]), b"", LIMIT)?.success()?;
        // It asks the program for what fits, as the tests of agentboxctl do.
        let said = said.text().to_string();
        ensure!(said.contains("agentboxctl") && said.contains("AGENTBOX_COMPLETE="), "{said}");
    }
    Ok(())
}

#[test]
fn doctor_names_what_is_missing_with_its_remedy() -> Result<()> {
    let machine = Machine::new()?;
    let checks = machine.ctl(&["doctor", "--json"])?;
    let checks: serde_json::Value = serde_json::from_slice(&checks.stdout)?;
    let checks = checks.as_array().filter(|checks| !checks.is_empty());
    ensure!(checks.is_some(), "no checks");
    for check in checks.into_iter().flatten() {
        let remedy = check["remedy"].as_str().unwrap_or_default();
        ensure!(check["state"] == "ok" || !remedy.is_empty(), "{check}");
    }
    Ok(())
}
