//! A real agent program inside a session, as far as it goes without an account.

use super::{Person, Place, Sessions};
use crate::program;
use crate::terminal::{Paint, printable};
use anyhow::{Context as _, Result};
use std::process::Command;

/// An agent that npm installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Agent {
    Claude,
}

impl Agent {
    fn package(self) -> &'static str {
        match self {
            Self::Claude => "@anthropic-ai/claude-code",
        }
    }

    fn preset(self) -> &'static str {
        match self {
            Self::Claude => "claude",
        }
    }
}

/// What is run inside: versions and settings, then what of the person's home is there.
const SCRIPT: &str = r#"
exec 2>&1
claude --version
claude mcp list
claude --help | head -n 3
ls -la "$HOME"
ls -la "$HOME/.claude"
if grep -qs hook-has-run "$HOME/.claude/settings.json"; then echo EVIL-HOOK-IS-HERE; fi
"#;

pub(super) fn show(
    agent: Agent,
    paint: Paint,
    place: &Place,
    person: &Person,
    sessions: &Sessions,
) -> Result<bool> {
    paint.headline(&format!("{} from npm, inside a session", agent.package()));
    // Fetched by the one who called, whose npm knows the registry here; what the package itself runs at
    // its installation is run as the throw-away person. Sessions read it with the person's rights.
    let prefix = place.shared().join("npm");
    let mut npm = Command::new("npm");
    npm.args(["install", "--global", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    program::run(npm.arg("--prefix").arg(&prefix).arg(agent.package()))?;
    let owner = format!("{}:{}", person.uid, person.gid);
    program::run(Command::new("chown").args(["--recursive", "--no-dereference", &owner]).arg(&prefix))?;
    let mut rebuild = person.command("npm");
    rebuild.args(["rebuild", "--global", "--loglevel=error", "--prefix"]).arg(&prefix);
    program::run(rebuild.arg(agent.package()))?;

    let mut start = sessions.start();
    start.env("PATH", format!("{}/bin:/usr/local/bin:/usr/bin:/bin", prefix.display()));
    start.args(["--agent", agent.preset(), "--", "sh", "-ux", "-c", SCRIPT]);
    let output = start.output().context("cannot run agentboxctl")?;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().chain(String::from_utf8_lossy(&output.stderr).lines()) {
        println!("{}", printable(line));
    }
    let ran = output.status.success() && text.contains("Claude Code");
    let hidden = !text.contains("EVIL-HOOK-IS-HERE");
    let hook_ran = person.home.join("hook-has-run").exists();
    let say = |good: bool, yes: &str, no: &str| {
        println!("{}", if good { paint.good(yes) } else { paint.bad(no) });
    };
    println!();
    say(ran, "the agent starts inside", "the agent did not start inside");
    say(
        hidden && !hook_ran,
        "its ~/.claude is private to the session: the hook planted on the host is not there and did not run",
        "the hook planted on the host reached the session",
    );
    Ok(ran && hidden && !hook_ran)
}
