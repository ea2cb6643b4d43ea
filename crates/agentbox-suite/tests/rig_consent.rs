//! What polkit may consent to where a rule refuses, and that nothing of it happens without: other people's
//! sessions, sessions that are not confined, hosts above the ceiling. Runs in a rig.

use agentbox_suite::{Finished, Machine, Person, eventually, run};
use anyhow::{Result, ensure};
use std::fs;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const RULES: &str = "/etc/polkit-1/rules.d/00-agentbox-suite.rules";

fn outside_of_rigs() -> bool {
    std::env::var_os("AGENTBOX_RIG").is_none()
}

/// What an administrator allows a user, as long as this lives.
struct Consent;

impl Consent {
    fn to(user: &str, action: &str) -> Result<Self> {
        let rule = format!(
            "polkit.addRule(function(action, subject) {{ if (action.id == \"{action}\" && subject.user == \"{user}\") \
             return polkit.Result.YES; }});\n"
        );
        fs::write(RULES, rule)?;
        Ok(Self)
    }
}

impl Drop for Consent {
    fn drop(&mut self) {
        let _ = fs::remove_file(RULES);
    }
}

fn ask(machine: &Machine, person: &Person, arguments: &[&str]) -> Result<Finished> {
    let mut command = person.command(machine.programs.path("agentboxctl"));
    run(command.args(arguments), b"", LIMIT)
}

/// polkit looks at its directory of rules by itself, a moment later.
fn becomes(wanted: bool, what: &str, mut ask: impl FnMut() -> Result<Finished>) -> Result<()> {
    eventually(what, LIMIT, || Ok(((ask()?.status == 0) == wanted).then_some(())))
}

#[test]
fn somebody_elses_session_is_unknown_without_consent_and_each_consent_is_for_one_thing() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let other = Person::new()?;
    let mut member = Command::new("usermod");
    run(member.args(["--append", "--groups", "agentbox", &other.name]), b"", LIMIT)?.success()?;
    let session = machine.detached("L2", &["sleep", "600"])?;
    let id = session.id.as_str();
    let unknown = ask(&machine, &other, &["status", "nosuchid"])?;
    for arguments in [&["status", id][..], &["stop", id], &["exec", id, "--", "true"], &["why", id, "/etc"]] {
        let refused = ask(&machine, &other, arguments)?;
        ensure!(refused.status != 0, "{refused:?}");
        // The same words as for one that never was.
        ensure!(refused.error_text() == unknown.error_text().replace("nosuchid", id), "{refused:?}");
    }
    ensure!(!ask(&machine, &other, &["list"])?.success()?.text().contains(id));
    let consent = Consent::to(&other.name, "org.agentbox1.inspect")?;
    becomes(true, "status with consent", || ask(&machine, &other, &["status", id]))?;
    // Seeing is not ending.
    ensure!(ask(&machine, &other, &["stop", id])?.status != 0);
    drop(consent);
    let _consent = Consent::to(&other.name, "org.agentbox1.control")?;
    becomes(true, "exec with consent", || ask(&machine, &other, &["exec", id, "--", "true"]))?;
    ensure!(ask(&machine, &other, &["status", id])?.status != 0, "the first consent is over");
    ensure!(ask(&machine, &other, &["stop", id])?.status == 0);
    machine.ends_without_leftovers()
}

#[test]
fn a_session_that_is_not_confined_needs_consent_beside_the_persons_own_word() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    let start = || machine.inside("L0", &["true"]);
    let refused = start()?;
    ensure!(refused.status == 125, "{refused:?}");
    ensure!(refused.error_text().contains("org.agentbox1.start-unconfined"), "{refused:?}");
    // The control: what is confined needs none.
    machine.inside("L1", &["true"])?.success()?;
    machine.inside("L2", &["true"])?.success()?;
    let _consent = Consent::to(&machine.person.name, "org.agentbox1.start-unconfined")?;
    becomes(true, "a start with consent", start)
}

#[test]
fn a_host_above_the_ceiling_needs_consent_and_a_denied_one_stays_denied() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    let machine = Machine::new()?;
    machine.configure(
        "[ceiling]\nallow = [\"*.example.org\"]\n[profile.w]\nnetwork = \"allowlist\"\ndeny = [\"bad.example.org\"]",
    )?;
    let session = machine.detached_with("L2", &["--profile", "w"], &["sleep", "600"])?;
    let allow = |target: &str| machine.ctl(&["allow", &session.id, target]);
    allow("good.example.org")?.success()?;
    ensure!(allow("elsewhere.net")?.error_text().contains("ceiling.allow"));
    let _consent = Consent::to(&machine.person.name, "org.agentbox1.widen")?;
    becomes(true, "a rule with consent", || allow("elsewhere.net"))?;
    ensure!(allow("bad.example.org")?.status != 0, "consent reopened what is denied");
    let trail = run(Command::new("cat").arg(machine.logs().join("audit.jsonl")), b"", LIMIT)?.text();
    ensure!(
        trail.lines().any(|line| line.contains("elsewhere.net") && line.contains("\"above_ceiling\":true"))
    );
    session.stop()
}
