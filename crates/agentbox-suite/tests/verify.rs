//! `agentboxctl verify`: what a person is shown of their own machine.

use agentbox_suite::{Machine, Running, eventually};
use agentbox_verify::{Control, Report, Verdict};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
/// What verify plants bears this name.
const PLANTED: &str = ".agentbox-verify-";

fn report(machine: &Machine, options: &[&str]) -> Result<Report> {
    let said = machine.ctl(&[&["verify", ".", "--json"], options].concat())?;
    let report: Report = serde_json::from_slice(&said.stdout).with_context(|| format!("{said:?}"))?;
    let worked: Vec<_> = report.worked().collect();
    ensure!(said.status == 0 && worked.is_empty(), "{worked:#?}\n{:#?}", report.posture_diff);
    Ok(report)
}

/// What is left of verify in the person's home and where everybody may write.
fn planted(machine: &Machine) -> Vec<PathBuf> {
    let home = &machine.person.home;
    let places = [
        home.clone(),
        home.join(".ssh"),
        home.join(".aws"),
        PathBuf::from("/tmp"),
        PathBuf::from("/dev/shm"),
    ];
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let own = |path: &PathBuf| {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(path).is_ok_and(|found| found.uid() == machine.person.uid)
    };
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PLANTED) || name.starts_with("agentbox-probe-v") && own(path)
    };
    entries.map(|entry| entry.path()).filter(ours).collect()
}

#[test]
fn a_person_sees_that_every_attack_is_stopped() -> Result<()> {
    let machine = Machine::new()?;
    let page = machine.person.home.join("page.html");
    let before = fs::read(machine.person.home.join(".ssh/id_ed25519"))?;
    let said = machine.ctl(&["verify", ".", "--html", &page.to_string_lossy()])?;
    ensure!(said.status == 0 && said.stderr.is_empty(), "{said:?}");
    let text = said.text();
    for expected in ["HELD BY", "the gate", ", 0 worked.", "WHAT STAYS", "is what its policy says"] {
        ensure!(text.contains(expected), "no {expected:?} in {text}");
    }
    let html = fs::read_to_string(&page)?;
    ensure!(html.contains("Every attack that was tried was stopped or told") && html.ends_with("</html>\n"));
    ensure!(planted(&machine).is_empty(), "{:?}", planted(&machine));
    ensure!(fs::read(machine.person.home.join(".ssh/id_ed25519"))? == before);
    machine.ends_without_leftovers()
}

#[test]
fn most_attacks_are_seen_to_work_outside_and_the_rest_says_why_not() -> Result<()> {
    let machine = Machine::new()?;
    let report = report(&machine, &[])?;
    let (tried, shown) = report.tried();
    ensure!(tried > 240 && shown > 150, "{tried} tried, {shown} of them shown");
    for trial in &report.trials {
        let by_network = trial.id.starts_with("t2.") || trial.id.starts_with("t5.");
        // Whoever may not reach out of this machine has not done so.
        ensure!(
            !(by_network && trial.verdict == Verdict::RigOnly && matches!(trial.control, Control::Worked(_))),
            "{trial:?}"
        );
        ensure!(trial.verdict != Verdict::Stopped || !trial.detail.is_empty(), "{trial:?}");
    }
    ensure!(!report.residual.is_empty() && report.chosen.posture == "L2", "{:?}", report.chosen);
    Ok(())
}

#[test]
fn every_workspace_and_network_is_tried_as_it_is_configured() -> Result<()> {
    let machine = Machine::new()?;
    for (workspace, network) in [("overlay", "none"), ("readonly", "allowlist")] {
        let report = report(&machine, &["--workspace", workspace, "--network", network])?;
        ensure!(
            (&*report.chosen.workspace, &*report.chosen.network) == (workspace, network),
            "{:?}",
            report.chosen
        );
        let told = report.count(Verdict::Told);
        ensure!(told == 0, "{workspace}: {told} told");
    }
    // Nothing waits in a layer that nobody knows of.
    let all = machine.ctl(&["list", "--all", "--json"])?.json()?;
    ensure!(all.as_array().is_some_and(Vec::is_empty), "{all}");
    machine.ends_without_leftovers()
}

#[test]
fn what_the_configuration_grants_is_told_as_that() -> Result<()> {
    let machine = Machine::new()?;
    machine.configure("[profile.open]\nread = [\"~/.aws\"]\n")?;
    let report = report(&machine, &["--profile", "open"])?;
    let granted: Vec<_> = report.trials.iter().filter(|trial| trial.verdict == Verdict::Granted).collect();
    ensure!(granted.iter().any(|trial| trial.id == "t4.cloud-credentials"), "{granted:#?}");
    Ok(())
}

#[test]
fn where_nothing_is_held_there_is_nothing_to_verify() -> Result<()> {
    let machine = Machine::new()?;
    let said = machine.ctl(&["verify", ".", "--posture", "L0"])?;
    let errors = said.error_text();
    ensure!(said.status == 1 && errors.contains("holds nothing"), "{said:?}");
    Ok(())
}

#[test]
fn a_run_that_is_killed_leaves_nothing() -> Result<()> {
    let machine = Machine::new()?;
    // The supervisor is there whatever becomes of the one who asked.
    let session = machine.detached("L2", &["sleep", "1000"])?;
    let running = Running::start(&mut machine.command(&["verify", "."]))?;
    eventually("something is planted", PATIENCE, || Ok((!planted(&machine).is_empty()).then_some(())))?;
    let tries = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1).is_some_and(|word| word == b"__verify" || word == b"verify")
    };
    for pid in machine.person.processes().iter().filter(|pid| tries(pid)) {
        let pid = Pid::from_raw(i32::try_from(*pid)?).context("no process")?;
        kill_process(pid, Signal::KILL)?;
    }
    let said = running.finish(PATIENCE)?;
    ensure!(said.status != 0, "{said:?}");
    eventually("what was planted is gone", PATIENCE, || Ok(planted(&machine).is_empty().then_some(())))?;
    session.stop()?;
    Ok(())
}
