//! What the program does without a supervisor.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn agentboxctl(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_agentboxctl"))
        .args(arguments)
        .current_dir(directory)
        .env("RUNTIME_DIRECTORY", directory.join("run"))
        .env("CONFIGURATION_DIRECTORY", directory.join("etc"))
        .env("LOGS_DIRECTORY", directory.join("log"))
        .env("HOME", directory.join("home"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn check_names_file_and_line_of_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("good.toml"), "default_posture = \"L2\"\n").unwrap();
    fs::write(directory.path().join("bad.toml"), "default_posture = \"L2\"\n\ndefault_pasture = \"L1\"\n")
        .unwrap();
    let good = agentboxctl(directory.path(), &["check", "good.toml"]);
    assert_eq!(
        (good.status.code(), text(&good.stdout), text(&good.stderr)),
        (Some(0), "good.toml: ok\n", "")
    );
    let bad = agentboxctl(directory.path(), &["check", "good.toml", "bad.toml"]);
    assert_eq!((bad.status.code(), text(&bad.stdout)), (Some(1), "good.toml: ok\n"));
    assert!(text(&bad.stderr).starts_with("bad.toml:3:"), "{}", text(&bad.stderr));
    assert!(text(&bad.stderr).contains("default_posture"), "names the nearest key: {}", text(&bad.stderr));
}

#[test]
fn check_knows_whose_file_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".agentbox.toml");
    fs::write(&file, "users = [\"me\"]\n").unwrap();
    assert_eq!(agentboxctl(directory.path(), &["check", ".agentbox.toml"]).status.code(), Some(1));
    assert_eq!(
        agentboxctl(directory.path(), &["check", "--person", ".agentbox.toml"]).status.code(),
        Some(1)
    );
    assert_eq!(
        agentboxctl(directory.path(), &["check", "--system", ".agentbox.toml"]).status.code(),
        Some(0)
    );
    fs::write(&file, "network = \"none\"\n").unwrap();
    assert_eq!(agentboxctl(directory.path(), &["check", ".agentbox.toml"]).status.code(), Some(0));
    assert_eq!(
        agentboxctl(directory.path(), &["check", "--system", ".agentbox.toml"]).status.code(),
        Some(1)
    );
}

#[test]
fn check_without_files_looks_at_all_that_are_used_here() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("etc/conf.d")).unwrap();
    let nothing = agentboxctl(directory.path(), &["check"]);
    assert_eq!(nothing.status.code(), Some(0), "{}", text(&nothing.stderr));
    fs::write(directory.path().join("etc/conf.d/10-x.toml"), "no_such_key = 1\n").unwrap();
    fs::write(directory.path().join(".agentbox.toml"), "network = \"none\"\n").unwrap();
    let found = agentboxctl(directory.path(), &["check"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stderr).contains("conf.d/10-x.toml:1:"), "{}", text(&found.stderr));
    assert!(text(&found.stdout).contains(".agentbox.toml: ok"), "{}", text(&found.stdout));
}

#[test]
fn check_judges_what_the_systems_files_mean_together() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.toml"), "[posture.a]\nextends = \"b\"\n").unwrap();
    fs::write(directory.path().join("b.toml"), "[posture.b]\nextends = \"a\"\n").unwrap();
    fs::write(directory.path().join(".agentbox.toml"), "no_such_key = 1\n").unwrap();
    let circle = agentboxctl(directory.path(), &["check", "a.toml", "b.toml", ".agentbox.toml"]);
    assert_eq!(circle.status.code(), Some(1));
    let told: Vec<_> = text(&circle.stderr).lines().collect();
    assert_eq!(told.len(), 2, "both the circle and the unknown key: {told:?}");
    assert!(told[0].starts_with(".agentbox.toml:1:") && told[1].contains("extends"), "{told:?}");
}

#[test]
fn check_escapes_what_a_project_wrote() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".agentbox.toml"), "\"\\u001b[2J\\u202e\" = 1\n").unwrap();
    let refused = agentboxctl(directory.path(), &["check", ".agentbox.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!text(&refused.stderr).contains(['\x1b', '\u{202e}']), "{:?}", text(&refused.stderr));
}

#[test]
fn the_schema_is_json_that_knows_the_keys() {
    let printed = agentboxctl(Path::new("/"), &["schema"]);
    assert!(printed.status.success());
    let schema: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    for key in ["default_posture", "profile", "project", "posture"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = agentboxctl(Path::new("/"), &["completions", shell]);
        assert!(script.status.success(), "{shell}");
        assert!(text(&script.stdout).contains("agentboxctl"), "{shell}");
    }
    assert_eq!(agentboxctl(Path::new("/"), &["completions", "elvish"]).status.code(), Some(1));
}

#[test]
fn failures_have_the_status_that_belongs_to_them() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, status) in [
        (&["start", "/nonexistent", "--", "true"][..], 125),
        (&["start", "--no-such-option"], 125),
        (&["attach"], 125),
        (&["check", "/nonexistent.toml"], 1),
        (&["list", "--no-such-option"], 2),
        (&["start", "--allow", "*.org"], 125),
        (&["allow", "abc", "*.org"], 2),
        (&["why", "abc", "https://a.org"], 2),
        (&["no-such-verb"], 2),
        (&["--help"], 0),
        (&["start", "--help"], 0),
    ] {
        let ended = agentboxctl(directory.path(), arguments);
        assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {}", text(&ended.stderr));
        assert_eq!(status == 0, ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_hostile_project_file_is_refused_before_anything_is_started() {
    let directory = tempfile::tempdir().unwrap();
    let project = directory.path().join("project");
    fs::create_dir(&project).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", project.join(".agentbox.toml")).unwrap();
    let refused = agentboxctl(directory.path(), &["--embedded", "start", "project", "--", "true"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(text(&refused.stderr).contains("symbolic link"), "{}", text(&refused.stderr));
    assert!(!directory.path().join("run").exists(), "no supervisor");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_agentboxctl"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), ""));
}
