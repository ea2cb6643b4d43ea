//! `build`: every program, collected in one directory that can be run from or copied.
//!
//! The launcher, the gate, the looker and the probe are built statically. The launcher is the first process of a session
//! and the gate its network: neither loads anything; a static probe runs in any session, whatever of the host is visible in it.

use crate::workspace::{cargo, host_triple, root, target_directory};
use crate::{elf, program, suite};
use anyhow::{Context as _, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Optimised, as a distribution would build it
    #[arg(long, conflicts_with = "testing")]
    release: bool,
    /// With failpoints and steps that can be switched off, for the suite only
    #[arg(long)]
    testing: bool,
    /// The test programs of the suite instead, under the names of their files
    #[arg(long, conflicts_with_all = ["release", "testing"])]
    suite: bool,
}

const FAILPOINTS: &[u8] = b"AGENTBOX_TEST_";

/// Which programs to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Debug,
    Release,
    Testing,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
            Self::Testing => "testing",
        }
    }

    fn profile_directory(self) -> &'static str {
        if self == Self::Release { "release" } else { "debug" }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.suite {
        println!("{}", suite()?.display());
        return Ok(ExitCode::SUCCESS);
    }
    let kind = match arguments {
        Arguments { release: true, .. } => Kind::Release,
        Arguments { testing: true, .. } => Kind::Testing,
        Arguments { .. } => Kind::Debug,
    };
    println!("{}", build(kind)?.display());
    Ok(ExitCode::SUCCESS)
}

/// Packages are always built together: with other ones cargo would choose other features of what they share, and build all of
/// that again.
const PLAIN: &[&str] = &["agentboxd", "agentboxctl"];
const STATIC: &[&str] = &["agentbox-gate", "agentbox-launch", "agentbox-look", "agentbox-probe"];

/// One run of cargo: packages that share features and flags.
struct Run {
    packages: &'static [&'static str],
    features: Option<&'static str>,
    is_static: bool,
    /// Those whose programs are wanted.
    collected: &'static [&'static str],
}

/// Builds them and returns the absolute path of the directory that holds them all.
pub(crate) fn build(kind: Kind) -> Result<PathBuf> {
    let target = target_directory();
    let plain = |features, collected| Run { packages: PLAIN, features, is_static: false, collected };
    let fixed = |features, collected| Run { packages: STATIC, features, is_static: true, collected };
    let runs = match kind {
        Kind::Debug | Kind::Release => vec![plain(None, PLAIN), fixed(None, STATIC)],
        Kind::Testing => vec![
            plain(Some("agentboxd/testing"), &["agentboxd"]),
            fixed(
                Some("agentbox-gate/testing,agentbox-launch/testing,agentbox-look/testing"),
                &["agentbox-gate", "agentbox-launch", "agentbox-look"],
            ),
        ],
    };
    let collected = target.join("agentbox").join(kind.name());
    std::fs::create_dir_all(&collected).with_context(|| format!("cannot make {}", collected.display()))?;
    let triple = host_triple()?;
    for run in &runs {
        let mut built = target.clone();
        let mut command = cargo();
        command.arg("build");
        if kind == Kind::Release {
            command.arg("--release");
        }
        for package in run.packages {
            command.args(["--package", package]);
        }
        command.args(run.features.map(|features| format!("--features={features}")));
        if run.is_static {
            // With --target the flags hold for the programs only, not for build scripts and macros,
            // which could not be loaded by the compiler if they were static.
            command.args(["--target", &triple]);
            command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
            built.push(&triple);
        }
        program::run(&mut command)?;
        built.push(kind.profile_directory());
        for package in run.collected {
            if run.is_static {
                elf::require_static(&built.join(package))?;
            }
            if kind != Kind::Testing {
                require_no_failpoints(&built.join(package))?;
            }
            collect(&built.join(package), &collected.join(package))?;
        }
    }
    if kind == Kind::Testing {
        // They cannot be switched off.
        let debug = build(Kind::Debug)?;
        for package in ["agentboxctl", "agentbox-probe"] {
            collect(&debug.join(package), &collected.join(package))?;
        }
    }
    Ok(collected)
}

/// Builds the suite's test programs and returns the directory that holds them.
fn suite() -> Result<PathBuf> {
    let collected = target_directory().join("agentbox/suite");
    std::fs::create_dir_all(&collected).with_context(|| format!("cannot make {}", collected.display()))?;
    for (name, program) in suite::programs("agentbox-suite", &[])? {
        collect(&program, &collected.join(name))?;
    }
    Ok(collected)
}

/// Ends with an error when the program knows how to switch its own confinement off: that is for the
/// suite's programs only, and the names of its variables begin with this.
fn require_no_failpoints(program: &Path) -> Result<()> {
    let bytes = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    if has_failpoints(&bytes) {
        bail!("{} was built with the feature `testing`", program.display());
    }
    Ok(())
}

fn has_failpoints(program: &[u8]) -> bool {
    program.windows(FAILPOINTS.len()).any(|window| window == FAILPOINTS)
}

/// Copies a program to its place at once: who starts it meanwhile gets the old one or the new one.
fn collect(from: &Path, to: &Path) -> Result<()> {
    let mut new: OsString = to.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    std::fs::copy(from, &new)
        .and_then(|_| std::fs::rename(&new, to))
        .with_context(|| format!("cannot copy {} to {}", from.display(), root().join(to).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_failpoints_is_found_out() {
        assert!(has_failpoints(b"\0AGENTBOX_TEST_SKIP\0"));
        assert!(!has_failpoints(b"\0AGENTBOX_TEST\0"));
        let this = std::env::current_exe().unwrap();
        assert!(require_no_failpoints(&this).is_err());
    }

    #[test]
    fn a_collected_program_is_a_copy_that_replaces_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("new"), directory.path().join("program"));
        std::fs::write(&from, "new").unwrap();
        std::fs::write(&to, "old").unwrap();
        let held = std::fs::File::open(&to).unwrap();
        collect(&from, &to).unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
        assert_eq!(std::io::read_to_string(held).unwrap(), "old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
