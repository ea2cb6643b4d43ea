//! A check that cannot fail proves nothing: each confinement step is switched off once, and what a person sees of it
//! (`agentboxctl verify`) must notice. Needs the testing build.

use agentbox_suite::battery::Level;
use agentbox_suite::{Machine, Programs, accounts_unchanged};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;

/// Each step with those that hide its absence, which are switched off beside it: two walls, one behind the
/// other, and the one in front would be all that the attacks meet. Last, what has to notice it, as the
/// beginning of its name.
type Step = (&'static str, &'static [&'static str], &'static str);

const STEPS: &[Step] = &[
    ("namespace-pid", &[], "t8.process-exists"),
    ("namespace-ipc", &[], "t8.shared-memory"),
    ("namespace-uts", &[], "t8.host-name-seen"),
    ("namespace-cgroup", &[], "t8.cgroup-path-seen"),
    ("namespace-net", &[], "t7.network-devices"),
    ("mount-nosuid", &[], "t1.mount-honours-set-id"),
    ("mount-nodev", &[], "t1.mount-honours-devices"),
    ("mount-readonly", &[], "t1.system-mount-writable"),
    ("root-readonly", &[], "t1.root-mount-writable"),
    ("idmap", &[], "t1.written-as-another"),
    ("proc-mask", &[], "t1.proc-unmasked"),
    // The watch would freeze what has come to be.
    ("project-holds", &["project-watch"], "t6.git-hook"),
    ("capabilities", &[], "t7.capability-sets"),
    ("bounding-set", &[], "t7.bounding-set"),
    // Both of the walls refuse to stand without it, which ends the start.
    ("no-new-privs", &["seccomp", "landlock"], "t7.new-privileges"),
    ("environment", &[], "t8.launcher-environment"),
    ("old-root", &[], "diff: "),
    ("control-group", &[], "diff: control group"),
    ("groups", &[], "diff: supplementary groups"),
    ("console-seccomp", &[], "t7.console-unconfined"),
    ("terminal-filter", &[], "t6.clipboard"),
    ("seccomp", &[], "t7.no-filter"),
    ("landlock", &[], "t7.no-landlock"),
    ("rlimits", &[], "t7.core-dumps"),
    ("undumpable", &[], "t4.first-process-memory"),
    ("close-descriptors", &[], "diff: first process holds"),
    ("keyring", &["seccomp"], "t4.session-keyring"),
    ("umask", &[], "t7.umask"),
    ("oom-score", &[], "t7.out-of-memory"),
    // Root without capabilities may not even enter the person's directories.
    ("uid", &["capabilities"], "t7.person-uid"),
];

/// The same of L1, where the host's file system is seen and other steps keep it from the agent.
const STEPS_L1: &[Step] = &[
    ("mount-readonly", &["landlock"], "t1.write-own-file"),
    ("proc-mask", &[], "t4.ssh-keys"),
    ("unix-sockets", &[], "t8.path-sockets"),
    ("namespace-net", &["unix-sockets", "landlock"], "t8.abstract-socket"),
];

#[test]
fn every_confinement_step_is_missed_when_it_is_off() -> Result<()> {
    steps_are_missed(Level::L2, STEPS)
}

#[test]
fn what_l1_is_held_by_is_missed_when_it_is_off() -> Result<()> {
    steps_are_missed(Level::L1, STEPS_L1)
}

fn steps_are_missed(level: Level, steps: &[Step]) -> Result<()> {
    let clean = noticed(level, "")?;
    ensure!(clean.is_empty(), "with every step in force: {clean:#?}");
    let mut unnoticed = Vec::new();
    for (step, walls, by) in steps {
        let without_walls =
            if walls.is_empty() { BTreeSet::new() } else { noticed(level, &walls.join(","))? };
        let off: Vec<&str> = walls.iter().chain([step]).copied().collect();
        let seen: BTreeSet<_> = noticed(level, &off.join(","))?.difference(&without_walls).cloned().collect();
        let beside = if walls.is_empty() { String::new() } else { format!(" beside {}", walls.join(",")) };
        let found = seen.iter().any(|name| name.starts_with(by));
        println!(
            "{:<18} {:>4} {} {by}{beside}",
            step,
            seen.len(),
            if found { "noticed by" } else { "MISSED by" }
        );
        if !found {
            unnoticed.push(format!("{step}{beside}: {by} did not notice; these did: {seen:?}"));
        }
    }
    ensure!(unnoticed.is_empty(), "{unnoticed:#?}");
    Ok(())
}

/// What is seen with these steps off: attacks that work, and differences from the policy.
fn noticed(level: Level, skip: &str) -> Result<BTreeSet<String>> {
    let environment: &[(&str, &str)] = if skip.is_empty() { &[] } else { &[("AGENTBOX_TEST_SKIP", skip)] };
    let machine = Machine::with(Programs::testing()?, environment)?;
    // L1 covers files of the host, which come off when an account is made.
    let _accounts = if level == Level::L1 { Some(accounts_unchanged()?) } else { None };
    let said = machine.ctl(&["verify", ".", "--json", "--posture", level.name()])?;
    let Ok(report) = serde_json::from_slice::<agentbox_verify::Report>(&said.stdout) else {
        // A start that fails is noticed as well; it is not the same as an attack that works.
        return Ok(BTreeSet::from([format!("no session: {}", first_line(&said.error_text()))]));
    };
    ensure!(said.status == i32::from(!report.holds()), "{said:?}");
    let mut seen: BTreeSet<String> = report.worked().map(|trial| trial.id.clone()).collect();
    seen.extend(report.posture_diff.iter().map(|line| format!("diff: {}", first_line(line))));
    Ok(seen)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(60).collect()
}

/// Those that a testing build has with failpoints or switches; the others have neither.
const TESTING: &[&str] = &["agentboxd", "agentbox-launch", "agentbox-gate", "agentbox-look"];

#[test]
fn programs_without_the_testing_feature_know_nothing_of_it() -> Result<()> {
    let knows = |path: &Path| -> Result<bool> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Ok(bytes.windows(13).any(|window| window == b"AGENTBOX_TEST"))
    };
    let (programs, testing) = (Programs::real()?, Programs::testing()?);
    let mut names: Vec<_> =
        std::fs::read_dir(programs.directory())?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    names.retain(|path| path.is_file());
    ensure!(names.len() > TESTING.len(), "{names:?}");
    for path in names {
        ensure!(!knows(&path)?, "{} knows of AGENTBOX_TEST", path.display());
    }
    for name in TESTING {
        ensure!(
            !knows(&programs.path(name))? && knows(&testing.path(name))?,
            "the testing build of {name} is none"
        );
    }
    Ok(())
}
