//! The journal and the bus, killed at every step of a start and an end: nothing is left, and what runs is whole. Runs
//! in a rig.

use agentbox_suite::{Machine, Programs, eventually, run};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const MARK: &str = "/run/agentbox-suite-not-reached";

fn outside_of_rigs() -> bool {
    std::env::var_os("AGENTBOX_RIG").is_none()
}

/// Of all points those behind each step and behind each revert of one, or all when there is time.
fn points(programs: &Programs) -> Result<Vec<String>> {
    let mut command = Command::new(programs.path("agentboxd"));
    let listed = run(command.arg("--list-kill-points"), b"", LIMIT)?.success()?;
    let all = std::env::var_os("AGENTBOX_TEST_LONG").is_some();
    let wanted = |point: &&str| all || !point.starts_with("d:before-");
    let points: Vec<String> =
        listed.text().split_ascii_whitespace().filter(wanted).map(str::to_owned).collect();
    ensure!(points.len() >= 10, "{points:?}");
    Ok(points)
}

/// A unit that is started again as often as it is killed, as long as this lives.
struct Unlimited(std::path::PathBuf);

impl Unlimited {
    fn unit(unit: &str) -> Result<Self> {
        let directory = Path::new("/run/systemd/system").join(format!("{unit}.d"));
        fs::create_dir_all(&directory)?;
        let file = directory.join("suite.conf");
        fs::write(&file, "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\n")?;
        run(Command::new("systemctl").arg("daemon-reload"), b"", LIMIT)?.success()?;
        Ok(Self(file))
    }
}

impl Drop for Unlimited {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = run(Command::new("systemctl").arg("daemon-reload"), b"", LIMIT);
    }
}

/// What is wrong after this unit was killed at every point, and how many points were reached.
fn killed_everywhere(unit: &str, must_start: bool) -> Result<()> {
    let programs = Programs::testing()?;
    let machine = Machine::with(programs.clone(), &[])?;
    let service = machine.service().context("no service")?;
    let _unlimited = Unlimited::unit(unit)?;
    let (mut problems, mut reached) = (Vec::new(), 0);
    for point in points(&programs)? {
        println!("{point}");
        fs::write(MARK, "")?;
        let victim = service.property_of(unit, "MainPID")?;
        service.set(
            &programs,
            &[
                ("AGENTBOX_TEST_KILL".to_owned(), point.clone()),
                ("AGENTBOX_TEST_KILL_OF".to_owned(), victim.clone()),
                ("AGENTBOX_TEST_KILL_MARK".to_owned(), MARK.to_owned()),
            ],
        )?;
        service.restart()?;
        let started = machine.ctl(&machine.start_arguments("L2", &["--detach"], &["sleep", "600"]))?;
        if started.status == 0 {
            let id = started.text().trim().to_owned();
            let whole = machine.ctl(&["status", &id, "--json"]);
            if let Ok(status) = whole.and_then(|status| status.json())
                && status["posture_diff"].as_array().is_none_or(|diff| !diff.is_empty())
            {
                problems.push(format!("{point}: {status}"));
            }
            let _may_be_cut_off = machine.ctl(&["stop", &id, "--timeout", "2s"])?;
        } else if must_start {
            problems.push(format!("{point}: {started:?}"));
        }
        machine.remember_directories()?;
        reached += usize::from(!Path::new(MARK).exists());
        service.set(&programs, &[])?;
        eventually("the unit is there again", LIMIT, || {
            let now = service.property_of(unit, "MainPID")?;
            if now == "0" {
                service.systemctl(&["start", unit])?;
            }
            Ok((now != "0" && (now != victim || Path::new(MARK).exists())).then_some(()))
        })?;
        service.restart()?;
        problems.extend(machine.wrong_after_kill(&point)?);
    }
    let _ = fs::remove_file(MARK);
    ensure!(problems.is_empty(), "{problems:#?}");
    ensure!(reached > 10, "only {reached} points were reached");
    Ok(())
}

#[test]
fn a_journal_that_is_killed_at_any_step_changes_nothing() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    killed_everywhere("systemd-journald.service", true)
}

#[test]
fn nothing_is_left_when_the_bus_is_killed_at_any_step() -> Result<()> {
    if outside_of_rigs() {
        return Ok(());
    }
    killed_everywhere("dbus.service", false)
}
