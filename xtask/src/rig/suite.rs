//! Tests of the suite, built on this machine and run in a rig.

use super::nspawn::Nspawn;
use crate::test::Tally;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they lie inside.
const TESTS: &str = "/opt/agentbox/tests";
const PROGRAMS: &str = "/opt/agentbox/programs";
const TESTING_PROGRAMS: &str = "/opt/agentbox/testing";
const PACKAGE: &str = "/opt/agentbox/agentbox.deb";
/// The test of which one half runs before a reboot and one after it.
const REBOOT: &str = "rig_reboot";
/// What the NixOS module renders of the documented examples, and the people in them: the container boots with it, and
/// the first test looks at it. The others configure the service themselves.
const RENDERED: &str = "/etc/agentbox/agentbox.json";
/// What it renders of a configuration with every option, for the same test.
const EVERY_OPTION: &str = "/opt/agentbox/every-option.json";
const PEOPLE: &[&str] = &["ada", "grace"];
/// Has tests that take as long as one lets them take minutes instead of seconds.
const LONG: &str = "AGENTBOX_TEST_LONG";
/// Longest time of one test program.
const LIMIT_SECONDS: &str = "900";
/// Test programs that drive a supervisor which is a service: whole files of the suite, in this order. Those of
/// the other files speak of what only the embedded supervisor does, or need the internet of the lab. With some goes
/// what the names of their tests have to hold. The last one takes agentbox away.
pub(crate) const PARTS: &[(&str, Option<&str>)] = &[
    ("rig_rendered", None),
    // That every attack works where nothing holds it is proved on the machine itself: a container has no disks,
    // and its kernel's settings are read-only.
    ("battery_l2", Some("works_inside")),
    ("verify", None),
    ("bounds", None),
    ("rig_service", None),
    ("rig_consent", None),
    ("rig_restart", None),
    ("rig_audit", None),
    ("rig_crash", None),
    ("bus_objects", None),
    ("bus_fuzz", None),
    ("endurance", None),
    ("rig_network", None),
    (REBOOT, None),
    ("rig_package", None),
];

/// Boots a container and runs there what belongs there.
pub(crate) fn run(programs: &Path, testing: &Path, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let tests = build()?;
    let package = crate::deb::package(programs)?;
    let rendered =
        [(RENDERED, crate::nix::examples(programs)?), (EVERY_OPTION, crate::nix::every_option(programs)?)];
    let prepare = |place: &super::place::Place| -> Result<()> {
        place.copy_programs(TESTS, tests.iter().map(PathBuf::as_path))?;
        for (from, to) in [(programs, PROGRAMS), (testing, TESTING_PROGRAMS)] {
            let files: Vec<PathBuf> = std::fs::read_dir(from)?.flatten().map(|entry| entry.path()).collect();
            place.copy_programs(to, files.iter().map(PathBuf::as_path))?;
        }
        std::fs::copy(&package, place.inside(PACKAGE)).context("cannot copy the package")?;
        configure(place, &rendered)
    };
    let mut rig = Nspawn::boot(programs, prepare)?;
    let mut failed = Vec::new();
    for (test, (part, only)) in tests.iter().zip(PARTS) {
        let name = test.file_name().context("a test without a name")?.to_string_lossy().into_owned();
        let mut run = |rig: &Nspawn, boot: &str| {
            let mut command = rig.command("timeout");
            command.args(["--kill-after=10", LIMIT_SECONDS]).arg(format!("{TESTS}/{name}"));
            command.env("AGENTBOX_BIN_DIR", PROGRAMS).env("AGENTBOX_TESTING_BIN_DIR", TESTING_PROGRAMS);
            command.env("AGENTBOX_RIG", "nspawn").env("AGENTBOX_DEB", PACKAGE).env("AGENTBOX_BOOT", boot);
            if let Some(long) = std::env::var_os(LONG) {
                command.env(LONG, long);
            }
            command.arg("--test-threads=1").args(filter.or(*only));
            if let Err(error) = tally.count(&mut command, 0) {
                failed.push(format!("{name}: {error:#}"));
            }
        };
        run(&rig, "first");
        if *part == REBOOT {
            rig.reboot()?;
            run(&rig, "second");
        }
    }
    if !failed.is_empty() {
        // What the service said belongs to the failure.
        let mut journal = rig.command("journalctl");
        let _ = journal.args(["--no-pager", "--lines=200", "--unit=agentboxd.service"]).status();
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// Makes the people of the examples, and puts what was rendered where it is looked for.
fn configure(place: &super::place::Place, rendered: &[(&str, serde_json::Value)]) -> Result<()> {
    for person in PEOPLE {
        let mut add = Command::new("chroot");
        crate::program::run(add.arg(place.path()).args(["useradd", "--create-home", person]))?;
    }
    for (at, configuration) in rendered {
        let file = place.inside(at);
        let parent = file.parent().context("no directory")?;
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&file, configuration.to_string()))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Builds the test programs of [`PARTS`], in their order.
fn build() -> Result<Vec<PathBuf>> {
    let names: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
    let built = crate::suite::programs("agentbox-suite", &names)?;
    let of = |part: &str| built.iter().find(|(name, _)| name == part).map(|(_, program)| program.clone());
    names.iter().map(|part| of(part).with_context(|| format!("{part} was not built"))).collect()
}
