//! A login is made once, by the agent's own dialogue, and is the profile's from then on.

use agentbox_suite::{Machine, Npm, Programs};
use anyhow::{Context, Result, ensure};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const KEY: &str = "sk-typed-by-the-person";
/// What is shown of it.
const HIDDEN: &str = "▪▪▪▪";

#[test]
fn a_login_that_was_made_once_is_there_in_its_profile_and_in_no_other() -> Result<()> {
    let npm = Npm::install("opencode-ai")?;
    let program = npm.program("opencode")?;
    let path = format!("{}:/usr/bin:/bin", program.parent().context("no parent")?.display());
    let machine = Machine::with(Programs::real()?, &[("PATH", &path)])?;
    let of = |name: &str| {
        format!(
            "[profile.{name}]\nagent = \"opencode\"\nnetwork = \"none\"\nread = [{:?}]\n\
             persist = [\"opencode:credentials\"]\n",
            npm.prefix().display().to_string()
        )
    };
    machine.configure(&format!("{}{}", of("work"), of("home")))?;
    let logins = |more: &[&str]| -> Result<String> {
        let script = "opencode auth list; cat ~/.local/share/opencode/auth.json 2>/dev/null; true";
        let said = machine.ctl(&machine.start_arguments("L2", more, &["sh", "-c", script]))?.success()?;
        Ok(said.text())
    };
    let nobody = logins(&["--profile", "work"])?;
    ensure!(nobody.contains("0 credentials") && !nobody.contains(KEY), "{nobody}");

    let login = ["profile", "login", "work", "--owner", &machine.person.name];
    let mut terminal = machine.terminal(&login, 40, 120)?;
    terminal.wait_for("Select provider", LIMIT)?;
    terminal.send("anthropic")?;
    terminal.wait_for("Anthropic", LIMIT)?;
    terminal.send("\r")?;
    terminal.wait_for("API key", LIMIT)?;
    // A dialogue that has drawn itself may not listen yet: what it did not hear is typed again.
    let heard = (0..6)
        .any(|_| terminal.send(KEY).is_ok() && terminal.wait_for(HIDDEN, Duration::from_secs(20)).is_ok());
    ensure!(heard, "{}", terminal.seen_text());
    terminal.send("\r")?;
    ensure!(terminal.finish(LIMIT)? == 0, "{}", terminal.seen_text());
    ensure!(!terminal.seen_text().contains(KEY), "it was shown: {}", terminal.seen_text());

    let work = logins(&["--profile", "work"])?;
    ensure!(work.contains("1 credentials") && work.contains("Anthropic") && work.contains(KEY), "{work}");
    for other in
        [&["--profile", "home"][..], &["--agent", "opencode"], &["--profile", "work", "--state", "ephemeral"]]
    {
        let said = machine.ctl(&machine.start_arguments(
            "L2",
            other,
            &["sh", "-c", "cat ~/.local/share/opencode/auth.json 2>/dev/null; true"],
        ))?;
        ensure!(said.clone().success()?.text().is_empty(), "{other:?}: {said:?}");
    }
    let log = machine.ctl(&["log", "--json"])?.success()?.text();
    ensure!(log.contains("opencode:credentials") && !log.contains(KEY), "{log}");
    ensure!(!machine.person.home.join(".local/share/opencode").exists(), "it is in the person's own home");
    machine.ctl(&["profile", "reset", "work", "--owner", &machine.person.name])?.success()?;
    ensure!(!logins(&["--profile", "work"])?.contains(KEY), "it outlived the reset");
    Ok(())
}
