//! The virtual machine rig: a Debian kernel of its own, on a disk that is thrown away.
//!
//! Real in it: the kernel with its command line (`lsm=…,bpf`), control groups version 2 with all controllers,
//! a block device. It runs twice, at the same time: once without a service manager, where process 1 is a script that
//! mounts what the kernel gives, runs the tests and powers off; and once with systemd, the package installed, the supervisor
//! a service, and a reboot. What they say comes over the serial console.
//!
//! | file | responsible for |
//! |---|---|
//! | `image` | the disks: the root, cached, and one with programs and tests |
//! | `machine` | QEMU: with KVM where that works, emulated where not |
//! | `bare.sh` | process 1 of the machine without a service manager |
//! | `service.sh`, `agentbox-rig.service` | what systemd runs in the other one |

mod image;
mod machine;

use crate::test::Tally;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use machine::{Boot, Machine};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A test program: package, name, what the names of its tests have to hold.
type Test = (&'static str, &'static str, Option<&'static str>);

/// What runs without a service manager.
const BARE: &[Test] = &[("agentbox-kernel", "guard", None), ("agentbox-suite", "guard", None)];
/// What runs as an ordinary user, through the bus, with the supervisor a service.
const SERVICE: &[Test] = &[
    // Before those that configure the service themselves.
    ("agentbox-suite", "rig_rendered", None),
    ("agentbox-suite", "rig_limits", None),
    ("agentbox-suite", "bounds", Some("a_session_ends")),
    ("agentbox-suite", "battery_triggers", None),
    ("agentbox-suite", REBOOT, None),
];
/// The test of which one half runs before the reboot, as the last, and one after it.
const REBOOT: &str = "rig_reboot";

/// Whether all tests of a program of the suite run on this machine's own kernel.
pub(crate) fn runs(program: &str) -> bool {
    BARE.iter().chain(SERVICE).any(|test| *test == ("agentbox-suite", program, None))
}

/// One run of the machine.
struct Run<'a> {
    tests: &'a [Test],
    boot: &'static Boot,
    package: Option<&'a Path>,
    /// Files that are brought along, by their names.
    files: &'a [(&'a str, String)],
}

/// Boots the machines and runs there what belongs there.
pub(crate) fn run(programs: &Path, testing: &Path, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let (ran, result) = Machines::prepare(programs, testing, filter)?.run(&mut std::io::stdout());
    tally.add(ran);
    result
}

/// The machines, with what they run on their disks.
pub(crate) struct Machines {
    bare: Machine,
    service: Machine,
}

impl Machines {
    /// Builds the tests and makes the disks.
    ///
    /// # Errors
    /// Where one of them cannot be made.
    pub(crate) fn prepare(programs: &Path, testing: &Path, filter: Option<&str>) -> Result<Self> {
        let package = crate::deb::package(programs)?;
        // What the NixOS module renders, as in the container.
        let rendered = [
            ("agentbox.json", crate::nix::examples(programs)?.to_string()),
            ("every-option.json", crate::nix::every_option(programs)?.to_string()),
        ];
        let bare = Run { tests: BARE, boot: &machine::BARE, package: None, files: &[] };
        let service =
            Run { tests: SERVICE, boot: &machine::SERVICE, package: Some(&package), files: &rendered };
        Ok(Self {
            bare: bare.prepare(programs, testing, |tests| script(BARE, tests, filter))?,
            service: service.prepare(programs, testing, |tests| script(SERVICE, tests, filter))?,
        })
    }

    /// Boots them; what ran in them, and an error where something failed.
    pub(crate) fn run(&self, out: &mut (impl Write + Send)) -> (Tally, Result<()>) {
        // Each fills one processor; what the second says is shown when the first has ended.
        let mut said = Vec::new();
        let (bare, service) = std::thread::scope(|scope| {
            let service = scope.spawn(|| self.service.run(&mut said));
            let bare = self.bare.run(out);
            let panicked = |_| bail!("the thread of a machine panicked");
            (bare, service.join().unwrap_or_else(panicked))
        });
        let (mut tally, mut faults) = (Tally::default(), Vec::new());
        faults.extend(out.write_all(&said).err().map(|error| error.to_string()));
        for (name, ran) in [("without a service manager", bare), ("with systemd", service)] {
            match ran {
                Ok(ran) => {
                    tally.add(ran.tally);
                    if ran.failed > 0 {
                        faults.push(format!(
                            "{} test programs of the virtual machine {name} failed",
                            ran.failed
                        ));
                    }
                }
                Err(error) => faults.push(format!("the virtual machine {name}: {error:#}")),
            }
        }
        let result = if faults.is_empty() { Ok(()) } else { Err(anyhow!("{}", faults.join("\n"))) };
        (tally, result)
    }
}

/// Measures there what the guard costs; what is to be said of it.
pub(crate) fn bench(programs: &Path, rounds: usize) -> Result<String> {
    let script = format!(
        "AGENTBOX_TEST_ROUNDS={rounds} sh -c '/opt/agentbox/tests/guard-* --exact cost --nocapture --color=never'\n"
    );
    let run = Run { tests: &BARE[..1], boot: &machine::BARE, package: None, files: &[] };
    let mut said = Vec::new();
    let ran = run.prepare(programs, programs, |_| Ok(script))?.run(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    ensure!(ran.failed == 0, "{} test programs of the virtual machine failed: {said}", ran.failed);
    let line = said.lines().find(|line| line.starts_with("10 000 files:"));
    let line = line.with_context(|| format!("the test said nothing of the costs: {said}"))?;
    let emulated =
        if said.contains("the machine is emulated") { ", whose processor is emulated here" } else { "" };
    Ok(format!(
        "In the virtual machine{emulated}, by a task that the guard holds and by one that it does not:\n\n{}.",
        line.trim()
    ))
}

impl Run<'_> {
    /// `script` is made of the test programs.
    fn prepare(
        &self,
        programs: &Path,
        testing: &Path,
        script: impl FnOnce(&[PathBuf]) -> Result<String>,
    ) -> Result<Machine> {
        let mut tests = Vec::new();
        for (package, test, _) in self.tests {
            tests.extend(crate::suite::programs(package, &[test])?.into_iter().map(|(_, program)| program));
        }
        let (root, script) = (image::root()?, script(&tests)?);
        let (package, files) = (self.package, self.files);
        let contents = image::Contents { programs, testing, package, files, tests: &tests, script: &script };
        Ok(Machine { root, payload: image::payload(&contents)?, boot: self.boot })
    }
}

/// What runs in it: every test program, counting those that fail; after a reboot only what belongs there.
fn script(tests: &[Test], programs: &[PathBuf], filter: Option<&str>) -> Result<String> {
    if filter.is_some_and(|filter| !filter.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'))
    {
        bail!("a filter of tests is letters, digits, `_` and `:`");
    }
    let mut script = String::from("failed=0\n");
    for ((_, test, only), program) in tests.iter().zip(programs) {
        let name = program.file_name().context("a test without a name")?.to_string_lossy();
        // Names that hold both cannot be asked for.
        let words = filter.or(*only).unwrap_or_default();
        let when = if *test == REBOOT { "" } else { "[ \"$AGENTBOX_BOOT\" = second ] || " };
        script.push_str(&format!(
            "{when}{{ echo \"running {name}\"; \
             /opt/agentbox/tests/{name} --test-threads=1 --color=never {words} || failed=$((failed+1)); }}\n"
        ));
    }
    script.push_str("exit $failed\n");
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_no_shell() {
        let programs = [PathBuf::from("/a/guard-1")];
        assert!(script(&BARE[..1], &programs, Some("x; rm -rf /")).is_err());
        let script = script(&BARE[..1], &programs, Some("guard::holds")).unwrap();
        assert!(script.contains("/opt/agentbox/tests/guard-1 --test-threads=1 --color=never guard::holds"));
    }

    #[test]
    fn after_a_reboot_only_what_belongs_there_runs() {
        let programs: Vec<_> = SERVICE.iter().map(|(_, name, _)| PathBuf::from(name)).collect();
        let script = script(SERVICE, &programs, None).unwrap();
        let lines = |begin: &str| script.lines().filter(|line| line.starts_with(begin)).count();
        assert_eq!(lines("[ \"$AGENTBOX_BOOT\" = second ] || { echo"), SERVICE.len() - 1);
        assert!(lines("{ echo \"running rig_reboot") == 1);
    }

    #[test]
    fn a_program_of_which_a_part_runs_proves_nothing_of_the_rest() {
        assert!(runs("guard") && runs("battery_triggers") && !runs("bounds") && !runs("work"));
    }
}
