//! Names in Nix files that nothing uses: deadnix, which crates.io has and Debian has not.

use crate::program::{Pace, capture, run};
use crate::workspace::{cargo_at, target_directory};
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// With another version other things would be found.
const VERSION: &str = "1.3.1";

pub(super) fn check(files: &[PathBuf]) -> Result<()> {
    let deadnix = installed()?;
    looked(&deadnix, files)?;
    // One that has something unused is found.
    let unused = target_directory().join("nix/unused.nix");
    std::fs::write(&unused, "let nobody = 1; in 2\n")?;
    let Err(error) = looked(&deadnix, &[unused]) else { bail!("a name that nothing uses was not found") };
    ensure!(format!("{error:#}").contains("nobody"), "{error:#}");
    Ok(())
}

fn looked(deadnix: &Path, files: &[PathBuf]) -> Result<()> {
    let output = Command::new(deadnix).args(["--fail", "--output-format", "json"]).args(files).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Where it is, after it was installed there once. That takes a minute, so somebody may have it done beside other things.
pub(crate) fn installed() -> Result<PathBuf> {
    let tools = target_directory().join("tools");
    let deadnix = tools.join("bin/deadnix");
    let is_it = |text: String| text.trim() == format!("deadnix {VERSION}");
    if !capture(Command::new(&deadnix).arg("--version")).is_ok_and(is_it) {
        let mut install = cargo_at(Pace::Beside);
        install
            .args(["install", "--quiet", "--debug", "--locked", "deadnix", "--version", VERSION, "--root"])
            .arg(&tools);
        run(install.env("CARGO_TARGET_DIR", tools.join("build")))?;
    }
    Ok(deadnix)
}
