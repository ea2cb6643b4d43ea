//! The virtual machine rig: a Debian kernel of its own, on a disk that is thrown away.
//!
//! Real in it: the kernel with its command line (`lsm=…,bpf`), control groups version 2 with all controllers,
//! a block device. There is no service manager: process 1 is a script that mounts what the kernel gives, runs
//! the tests and powers off. What they say comes over the serial console.
//!
//! | file | responsible for |
//! |---|---|
//! | `image` | the disks: the root, cached, and one with programs and tests |
//! | `machine` | QEMU: with KVM where that works, emulated where not |

mod image;
mod machine;

use crate::test::Tally;
use anyhow::{Context as _, Result, bail};
use machine::Machine;
use std::path::{Path, PathBuf};

/// Test programs that run there: package, name.
pub(crate) const TESTS: &[(&str, &str)] =
    &[("agentbox-kernel", "guard"), ("agentbox-suite", "guard"), ("agentbox-suite", "battery_triggers")];

/// Boots the machine and runs there what belongs there.
pub(crate) fn run(programs: &Path, testing: &Path, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let tests = build(TESTS)?;
    let script = script(&tests, filter)?;
    boot(programs, testing, &tests, &script, tally)
}

/// Measures there what the guard costs.
pub(crate) fn bench(programs: &Path, rounds: usize) -> Result<()> {
    let tests = build(&TESTS[..1])?;
    let script = format!(
        "AGENTBOX_TEST_ROUNDS={rounds} sh -c '/opt/agentbox/tests/guard-* --exact cost --nocapture --color=never'\n"
    );
    boot(programs, programs, &tests, &script, &mut Tally::default())
}

fn boot(programs: &Path, testing: &Path, tests: &[PathBuf], script: &str, tally: &mut Tally) -> Result<()> {
    let root = image::root()?;
    let contents = image::Contents { programs, testing, tests, script };
    let payload = image::payload(&contents)?;
    let status = Machine { root: &root, payload: payload.path() }.run(tally)?;
    if status != 0 {
        bail!("{status} test programs of the virtual machine failed");
    }
    Ok(())
}

/// What process 1 runs: every test program, counting those that fail.
fn script(tests: &[PathBuf], filter: Option<&str>) -> Result<String> {
    let filter = filter.unwrap_or_default();
    if filter.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
        bail!("a filter of tests is letters, digits, `_` and `:`");
    }
    let mut script = String::from("failed=0\n");
    for test in tests {
        let name = test.file_name().context("a test without a name")?.to_string_lossy();
        script.push_str(&format!(
            "echo \"running {name}\"\n\
             /opt/agentbox/tests/{name} --test-threads=1 --color=never {filter} || failed=$((failed+1))\n"
        ));
    }
    script.push_str("exit $failed\n");
    Ok(script)
}

/// Builds test programs.
fn build(tests: &[(&str, &str)]) -> Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    for (package, test) in tests {
        programs.extend(crate::suite::programs(package, &[test])?.into_iter().map(|(_, program)| program));
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_no_shell() {
        let tests = [PathBuf::from("/a/guard-1")];
        assert!(script(&tests, Some("x; rm -rf /")).is_err());
        let script = script(&tests, Some("guard::holds")).unwrap();
        assert!(script.contains("/opt/agentbox/tests/guard-1 --test-threads=1 --color=never guard::holds"));
    }
}
