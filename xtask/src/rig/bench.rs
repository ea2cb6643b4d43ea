//! How long a start by an ordinary user takes through the bus, its scope included, against bubblewrap in the same run.

use super::nspawn::Nspawn;
use crate::table::Table;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// What is run there.
const SCRIPT: &str = include_str!("bench.py");

/// Boots a container with these programs and measures there.
pub(crate) fn run(programs: &Path, rounds: usize) -> Result<()> {
    let rig = Nspawn::boot(programs, |_| Ok(()))?;
    let add = rig.command("useradd").args(["--create-home", "--groups", "agentbox", "bench"]).status()?;
    if !add.success() {
        bail!("useradd(8) ended with {add}");
    }
    let output = rig.command("python3").args(["-c", SCRIPT, &rounds.to_string()]).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let medians: [f64; 2] = serde_json::from_slice(&output.stdout).context("the times")?;
    let mut table = Table::new(&["start of `true` by an ordinary user", "median", "ratio"]);
    for (name, median) in [("bubblewrap", medians[0]), ("agentbox: through the bus, in a scope", medians[1])]
    {
        table.row([name, &format!("{median:.1} ms"), &format!("{:.2}", median / medians[0])]);
    }
    print!("{}", table.text());
    Ok(())
}
