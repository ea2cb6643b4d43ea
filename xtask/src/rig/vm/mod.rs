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
use crate::workspace::cargo;
use anyhow::{Context as _, Result, bail};
use machine::Machine;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Test programs that run there: package, name.
const TESTS: &[(&str, &str)] =
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
        let mut command = cargo();
        command.args(["test", "--no-run", "--message-format=json", "--package", package, "--test", test]);
        let output =
            command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
        if !output.status.success() {
            bail!("the tests of the rig could not be built");
        }
        let built = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
            .next_back();
        programs.push(built.with_context(|| format!("{package}: no test program {test}"))?);
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
