//! Real agents from npm call their tool for commands, with the settings that are made for them: their own
//! sandboxes are off, and agentbox holds the command as it holds everything else. Their services are the lab's.

use agentbox_suite::lab::{Guest, Lab};
use agentbox_suite::{Finished, Npm, run};
use anyhow::{Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(200);
/// Says what holds the process that runs it. What is reached, read or made is named; what is not is left out.
const LOOK: &str = r#"
grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp|Seccomp_filters):' /proc/self/status
for name in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$name; done
touch ~/beside 2>/dev/null && echo writes: beside the project
grep -qs KEY ~/.ssh/id_ed25519 && echo reads: a key
unshare --user true 2>/dev/null && echo makes: a namespace
for name in work refused; do
    curl --silent --max-time 30 --cacert .planted-authority.crt https://$name.example.com/version >/dev/null \
        && echo reaches: $name
done
true
"#;

/// Named as a provider, so that it asks for no WebSocket and no list of models first.
macro_rules! codex {
    ($more:literal) => {
        concat!(
            "exec ",
            $more,
            " --config model=gpt-5 --config model_provider=lab --config 'model_providers.lab={name=\"lab\",",
            "base_url=\"https://api.openai.com/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}'"
        )
    };
}

/// An agent, and how it is asked to run something.
struct Agent {
    preset: &'static str,
    package: &'static str,
    key: &'static str,
    /// Behind the program, before the question.
    arguments: &'static str,
    /// The same with its own sandbox on, where that needs nothing else on the machine.
    sandboxed: Option<&'static str>,
    /// A part of the path that its service was asked for.
    asked: &'static str,
}

fn write(guest: &Guest<'_>, name: &str, text: &str) -> Result<()> {
    guest.person.write(&guest.project().join(name), text.as_bytes(), 0o644)
}

/// Asks it to look, into a file of this name.
fn question(agent: &Agent, program: &str, into: &str) -> String {
    let Agent { arguments, .. } = agent;
    format!("{program} {arguments} 'run: sh look.sh > {into} 2>&1;;' < /dev/null > {into}.log 2>&1 || true\n")
}

fn seen(guest: &Guest<'_>, name: &str) -> Result<String> {
    Ok(fs::read_to_string(guest.project().join(name)).unwrap_or_default())
}

/// As the person, on the host of the lab.
fn outside(guest: &Guest<'_>, agent: &Agent, script: &str) -> Result<Finished> {
    let mut command = guest.lab().outside("setpriv");
    let (uid, gid) = (guest.person.uid.to_string(), guest.person.gid.to_string());
    command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups", "sh", "-ec", script]);
    command.current_dir(guest.project()).env("HOME", &guest.person.home).env(agent.key, "sk-of-the-lab");
    run(&mut command, b"", LIMIT)
}

/// Has it look inside, and compares with what a program sees that it did not start.
fn look(agent: &Agent) -> Result<()> {
    let lab = Lab::new()?;
    let guest = lab.machine()?;
    let npm = Npm::install(agent.package)?;
    let program = npm.program(agent.preset)?.display().to_string();
    // A login is a token from a file here.
    let token = guest.config().join("token");
    fs::write(&token, "sk-of-the-lab\n")?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
    guest.configure_more(&format!(
        "[profile.work]\nagent = {:?}\nread = [{:?}]\n[profile.work.env]\n{} = {{ file = {token:?} }}\n",
        agent.preset,
        npm.prefix().display().to_string(),
        agent.key,
    ))?;
    write(&guest, "look.sh", LOOK)?;
    let key = guest.person.home.join(".ssh/id_ed25519");
    guest.person.write(&key, b"-----BEGIN OPENSSH PRIVATE KEY-----\n", 0o600)?;
    // Outside the same script finds all that there is to find.
    let control = outside(&guest, agent, "sh look.sh")?.success()?.text();
    for found in ["writes: beside", "reads: a key", "makes: a namespace", "reaches: work", "reaches: refused"]
    {
        ensure!(control.contains(found), "the control does not work: {found}: {control}");
    }
    fs::remove_file(guest.person.home.join("beside"))?;
    if let Some(arguments) = agent.sandboxed {
        // With its own sandbox, which works there, it sees something else.
        let confined = question(&Agent { arguments, ..*agent }, &program, "confined.txt");
        outside(&guest, agent, &confined)?.success()?;
        let (confined, log) = (seen(&guest, "confined.txt")?, seen(&guest, "confined.txt.log")?);
        ensure!(confined.contains("NoNewPrivs"), "the control does not work: {log}");
        ensure!(!confined.contains("writes:") && !confined.contains("reaches:"), "{confined}");
    }
    let script = format!("sh look.sh > plain.txt 2>&1\n{}", question(agent, &program, "tool.txt"));
    let start = ["--profile", "work", "--network", "allowlist", "--allow", "work.example.com"];
    guest.sh(&start, &script)?.success()?;
    let (plain, tool, log) =
        (seen(&guest, "plain.txt")?, seen(&guest, "tool.txt")?, seen(&guest, "tool.txt.log")?);
    ensure!(lab.wan().heard_of(agent.asked), "its service was not asked: {log}");
    ensure!(!tool.is_empty(), "it did not run the command: {log}");
    ensure!(plain == tool, "something else than agentbox holds it:\n{plain}\n{tool}\n{log}");
    // And agentbox does.
    for (line, held) in [
        ("NoNewPrivs:\t1", true),
        ("Seccomp:\t2", true),
        ("writes: beside the project", true),
        ("reaches: work", true),
        ("reads: a key", false),
        ("makes: a namespace", false),
        ("reaches: refused", false),
    ] {
        ensure!(tool.contains(line) == held, "{line}: {tool}");
    }
    ensure!(!guest.person.home.join("beside").exists(), "it is in the person's own home");
    Ok(())
}

#[test]
fn what_claude_code_runs_is_held_by_agentbox_alone() -> Result<()> {
    look(&Agent {
        preset: "claude",
        package: "@anthropic-ai/claude-code",
        key: "ANTHROPIC_API_KEY",
        arguments: "--dangerously-skip-permissions --print",
        sandboxed: None,
        asked: "/v1/messages",
    })
}

#[test]
fn what_codex_runs_is_held_by_agentbox_alone() -> Result<()> {
    look(&Agent {
        preset: "codex",
        package: "@openai/codex",
        key: "OPENAI_API_KEY",
        arguments: codex!(""),
        sandboxed: Some(codex!("--sandbox workspace-write")),
        asked: "/v1/responses",
    })
}

#[test]
fn what_gemini_runs_is_held_by_agentbox_alone() -> Result<()> {
    look(&Agent {
        preset: "gemini",
        package: "@google/gemini-cli",
        key: "GEMINI_API_KEY",
        // With a model of its own choosing it asks another one first which it shall be.
        arguments: "--skip-trust --approval-mode yolo --model gemini-2.5-pro --prompt",
        sandboxed: None,
        asked: "/v1beta/models/",
    })
}

#[test]
fn what_opencode_runs_is_held_by_agentbox_alone() -> Result<()> {
    look(&Agent {
        preset: "opencode",
        package: "opencode-ai",
        key: "ANTHROPIC_API_KEY",
        arguments: "run --model anthropic/claude-sonnet-4-5",
        sandboxed: None,
        asked: "/v1/messages",
    })
}
