//! How long a start by an ordinary user takes through the bus, its scope included, against bubblewrap in the same run;
//! how many there are in a second; how soon `list` answers under load.

use super::nspawn::Nspawn;
use crate::table::Table;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// What the script says: milliseconds, and starts a second.
#[derive(serde::Deserialize)]
struct Times {
    /// bubblewrap, and through the bus; after a rest, and one after another.
    starts: [[f64; 2]; 2],
    rate: f64,
    /// The median and the longest.
    list: [f64; 2],
}

/// What is run there.
const SCRIPT: &str = include_str!("bench.py");

/// Boots a container with these programs and measures there; what is to be said of it.
pub(crate) fn run(programs: &Path, rounds: usize) -> Result<String> {
    let rig = Nspawn::boot(programs, |_| Ok(()))?;
    let add = rig.command("useradd").args(["--create-home", "--groups", "agentbox", "bench"]).status()?;
    if !add.success() {
        bail!("useradd(8) ended with {add}");
    }
    let output = rig.command("python3").args(["-c", SCRIPT, &rounds.to_string()]).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let Times { starts, rate, list } = serde_json::from_slice(&output.stdout).context("the times")?;
    let mut table = Table::new(&["start of `true` by an ordinary user", "median", "ratio"]);
    for (when, [bare, boxed]) in ["after a rest", "one after another"].into_iter().zip(starts) {
        for (name, median) in [("bubblewrap", bare), ("agentbox: through the bus, in a scope", boxed)] {
            let name = format!("{name}, {when}");
            table.row([&name, &format!("{median:.1} ms"), &format!("{:.2}", median / bare)]);
        }
    }
    let load = "a session forks, one fills its memory, and a stranger floods the bus";
    Ok(format!(
        "In a container with systemd, dbus-daemon and polkit. Through the bus: `agentboxctl start` by a member of the \
         group, the session in a scope of the service manager, without a network. After a rest of 0.3 s a scope is \
         in stock ([decision 13](decisions/0013-scopes-are-held-open.md)); one that comes sooner waits for that, or makes its own.\n\n{}\n\
         Many at once: {rate:.1} starts a second for each processor. `agentboxctl list` while {load}: median {:.0} ms, \
         longest {:.0} ms.",
        table.markdown(),
        list[0],
        list[1]
    ))
}
