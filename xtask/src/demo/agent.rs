//! A real agent program does a task inside a session: its service is the lab's, everything else is real.

use super::internet::{ANTHROPIC, Internet, OPENAI};
use super::{Person, Place, Sessions, sessions_of};
use crate::program;
use crate::terminal::{Paint, printable};
use anyhow::{Context as _, Result};
use std::process::Command;

/// An agent that npm installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Agent {
    Claude,
    Codex,
}

/// What the person asks for.
const WISH: &str = "Repair sum.c and run its test.";
/// What the agent says at the end, when its last tool call showed that the test passes.
const REPAIRED: &str = "Repaired: the test passes.";
/// The calls that the agent was told to make, in this order.
const STEPS: [&str; 4] = ["-> read", "-> edit", "-> test", "-> say"];

/// Runs before the task: what of the person's own settings is there.
const LOOK: &str = r#"
exec 2>&1 < /dev/null
if grep -qs hook-has-run "$HOME/.claude/settings.json"; then echo EVIL-HOOK-IS-HERE; fi
"#;

impl Agent {
    fn package(self) -> &'static str {
        match self {
            Self::Claude => "@anthropic-ai/claude-code",
            Self::Codex => "@openai/codex",
        }
    }

    /// Its preset, and its profile in the demonstration.
    fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }

    /// The name of its service, which its preset allows.
    fn service(self) -> &'static str {
        match self {
            Self::Claude => ANTHROPIC,
            Self::Codex => OPENAI,
        }
    }

    /// A profile in which it believes the lab's authority, with a key that opens nothing.
    pub(super) fn profile(self, place: &Place, internet: &Internet) -> String {
        let (key, authority) = match self {
            Self::Claude => ("ANTHROPIC_API_KEY", "NODE_EXTRA_CA_CERTS"),
            Self::Codex => ("OPENAI_API_KEY", "CODEX_CA_CERTIFICATE"),
        };
        format!(
            "[profile.{}]\nnetwork = \"allowlist\"\nread = [{:?}]\n\
             env.set = {{ {key} = \"sk-of-the-lab\", {authority} = {:?} }}\n",
            self.name(),
            place.shared().display().to_string(),
            internet.certificate.display().to_string(),
        )
    }

    /// The task as it is given on a command line.
    fn script(self) -> String {
        let task = match self {
            Self::Claude => "claude --version\nclaude --print \"$1\" --dangerously-skip-permissions",
            // Named as a provider, so that it does not ask for a WebSocket or for a list of models first.
            Self::Codex => {
                "codex --version\ncodex exec --sandbox danger-full-access --config model=gpt-5 \
                 --config model_provider=lab --config 'model_providers.lab={name=\"lab\",\
                 base_url=\"https://api.openai.com/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}' \"$1\""
            }
        };
        format!("{LOOK}{task}\n")
    }
}

/// Has it repair the project; whether it did, and nothing else happened.
pub(super) fn show(
    agent: Agent,
    paint: Paint,
    place: &Place,
    person: &Person,
    sessions: &Sessions,
    internet: &Internet,
) -> Result<bool> {
    paint.headline(&format!("{} from npm repairs the program, inside a session", agent.package()));
    let prefix = install(agent, place, person)?;
    person.break_again()?;
    println!("what its preset allows is open to it; of that the lab has {}, its service\n", agent.service());

    let before = internet.standin.asked().len();
    let mut start = sessions.start_as(agent.name());
    start.env("PATH", format!("{prefix}/bin:/usr/local/bin:/usr/bin:/bin"));
    start.args(["--agent", agent.name(), "--", "sh", "-ec", &agent.script(), "sh", WISH]);
    let output = start.output().context("cannot run agentboxctl")?;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().chain(String::from_utf8_lossy(&output.stderr).lines()) {
        println!("  {}", printable(line));
    }
    println!("\nwhat its service was asked:");
    let asked = internet.standin.asked().split_off(before);
    asked.iter().for_each(|line| println!("  {}", printable(line)));
    println!("\nwhat is changed in the project:");
    let mut git = person.command("git");
    let diff = program::capture(git.arg("-C").arg(&person.project).args(["diff", "--unified=0"]))?;
    diff.lines().for_each(|line| println!("  {}", printable(line)));
    if let Some(id) = sessions_of(place)?.last() {
        println!("\nits connections, in the audit trail:");
        sessions.capture(&["log", id])?.lines().for_each(|line| println!("  {}", printable(line)));
    }

    let mut held = true;
    let mut say = |good: bool, yes: &str, no: &str| {
        held &= good;
        println!("{}", if good { paint.good(yes) } else { paint.bad(no) });
    };
    println!();
    say(
        output.status.success() && text.contains(REPAIRED) && in_order(&asked, &STEPS),
        "the agent read, edited and tested, each call decided by the result of the last one",
        "the agent did not do its task",
    );
    say(
        diff.contains("+int sum(int a, int b) { return a + b; }"),
        "the program is repaired on the host",
        "the program is not repaired on the host",
    );
    say(
        !text.contains("EVIL-HOOK-IS-HERE") && !person.home.join("hook-has-run").exists(),
        "its settings are private to the session: the hook planted on the host is not there and did not run",
        "the hook planted on the host reached the session",
    );
    Ok(held)
}

/// Fetched by the one who called, whose npm knows the registry here; what the package itself runs at its
/// installation is run as the throw-away person. Sessions read it with the person's rights.
fn install(agent: Agent, place: &Place, person: &Person) -> Result<String> {
    let prefix = place.shared().join("npm");
    let mut npm = Command::new("npm");
    npm.args(["install", "--global", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    program::run(npm.arg("--prefix").arg(&prefix).arg(agent.package()))?;
    let owner = format!("{}:{}", person.uid, person.gid);
    program::run(Command::new("chown").args(["--recursive", "--no-dereference", &owner]).arg(&prefix))?;
    let mut rebuild = person.command("npm");
    rebuild
        .args(["rebuild", "--global", "--loglevel=error", "--no-update-notifier", "--prefix"])
        .arg(&prefix);
    program::run(rebuild.arg(agent.package()))?;
    Ok(prefix.display().to_string())
}

/// Whether lines with these endings follow each other, whatever is between them.
fn in_order(lines: &[String], endings: &[&str]) -> bool {
    let mut left = lines.iter();
    endings.iter().all(|ending| left.any(|line| line.ends_with(ending)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_count_only_in_their_order() {
        let lines = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        assert!(in_order(&lines("a -> read|b|c -> edit|-> test|-> say"), &STEPS));
        assert!(!in_order(&lines("-> edit|-> read|-> test|-> say"), &STEPS));
        assert!(!in_order(&lines("-> read"), &STEPS));
    }
}
