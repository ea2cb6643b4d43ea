//! What bash offers, asked as bash asks.

use super::{fake::Fake, text};
use std::fs;

/// What bash makes of a line whose last word is being typed.
fn offered(fake: &Fake, line: &[&str]) -> Vec<String> {
    let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let script = format!(
        "source <(\"$0\" completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         $(complete -p agentboxctl | sed 's/.*-F \\([^ ]*\\).*/\\1/') agentboxctl \"${{COMP_WORDS[COMP_CWORD]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let program = fake.command(&[]);
    let path = std::path::Path::new(program.get_program()).parent().unwrap().display().to_string();
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", &script]).arg(program.get_program());
    bash.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bash.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()));
    let output = bash.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|word| word.trim_end().to_owned()).collect()
}

#[test]
fn tab_completes_sessions_projects_and_profiles() {
    let fake = Fake::new(|_console| {});
    let configuration = fake.command(&[]);
    let directory = configuration.get_envs().find(|(name, _)| *name == "CONFIGURATION_DIRECTORY");
    let directory = std::path::PathBuf::from(directory.unwrap().1.unwrap());
    fs::create_dir_all(&directory).unwrap();
    let text =
        "[profile.work]\n[profile.wood]\n[profile.other]\n[project.website]\npath = \"/srv/website\"\n";
    fs::write(directory.join("agentbox.toml"), text).unwrap();
    for verb in ["attach", "stop", "status", "log", "why", "exec"] {
        assert!(offered(&fake, &["agentboxctl", verb, ""]).contains(&"abc".to_owned()), "{verb}");
    }
    assert_eq!(offered(&fake, &["agentboxctl", "profile", "show", "wo"]), ["wood", "work"]);
    assert_eq!(offered(&fake, &["agentboxctl", "start", "--profile", "ot"]), ["other"]);
    assert!(offered(&fake, &["agentboxctl", "start", "web"]).contains(&"website".to_owned()));
    assert!(offered(&fake, &["agentboxctl", "expl"]).contains(&"explain".to_owned()));
}
