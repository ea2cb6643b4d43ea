//! The suite's programs in two lanes. Most tests wait more than they compute; those of one lane want the machine to
//! themselves, and take turns.

use super::tally::Tally;
use crate::workspace::root;
use anyhow::{Context as _, Result, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

type Programs = Vec<(String, PathBuf)>;

/// What a test calls that keeps other heavy ones waiting.
const TURN: &str = "alone()";
/// Those that take longest, which begin first.
const LONG: &[&str] = &["battery_network", "soak", "mutation", "agents", "bounds", "crash", "net_crash"];

/// Runs them all. Their output comes whole, when each has ended.
///
/// # Errors
/// Names those that failed.
pub(super) fn run(
    programs: Programs,
    prepare: &(dyn Fn(&mut Command) + Sync),
    tally: &mut Tally,
) -> Result<()> {
    let directory = root().join("crates/agentbox-suite");
    let takes_turns = |name: &str| {
        let text = std::fs::read_to_string(directory.join("tests").join(format!("{name}.rs")));
        text.is_ok_and(|text| text.contains(TURN))
    };
    let (turns, rest) = lanes(programs, takes_turns);
    let rest = Mutex::new(rest.into_iter());
    let (whole, failed) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let try_one = |(name, program): (String, PathBuf)| {
        let mut own = Tally::default();
        let result = one(&name, &program, &directory, prepare, &mut own);
        if let Ok(mut whole) = whole.lock() {
            whole.add(own);
        }
        if let (Err(error), Ok(mut failed)) = (result, failed.lock()) {
            failed.push(format!("{name}: {error:#}"));
        }
    };
    let next = || rest.lock().ok().and_then(|mut rest| rest.next());
    std::thread::scope(|scope| {
        // Who has had all turns helps with the rest.
        scope.spawn(|| turns.into_iter().chain(std::iter::from_fn(next)).for_each(try_one));
        scope.spawn(|| std::iter::from_fn(next).for_each(try_one));
    });
    tally.add(whole.into_inner().unwrap_or_default());
    let failed = failed.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// One lane takes turns, the other does not; in both the longest come first.
fn lanes(programs: Programs, takes_turns: impl Fn(&str) -> bool) -> (Programs, Programs) {
    let (mut turns, mut rest): (Vec<_>, Vec<_>) =
        programs.into_iter().partition(|(name, _)| takes_turns(name));
    for lane in [&mut turns, &mut rest] {
        lane.sort_by_key(|(name, _)| LONG.iter().position(|long| long == name).unwrap_or(LONG.len()));
    }
    (turns, rest)
}

fn one(
    name: &str,
    program: &Path,
    directory: &Path,
    prepare: &(dyn Fn(&mut Command) + Sync),
    tally: &mut Tally,
) -> Result<()> {
    let mut command = Command::new(program);
    // Where cargo would run it.
    command.current_dir(directory).env("CARGO_MANIFEST_DIR", directory);
    prepare(&mut command);
    let mut said = Vec::new();
    let result = tally.count_quietly(&mut command, &mut said);
    let mut out = std::io::stdout().lock();
    writeln!(out, "     Running tests/{name}.rs").context("cannot write")?;
    out.write_all(&said).context("cannot write")?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_take_turns_are_in_one_lane_and_the_longest_come_first() {
        let programs =
            ["a", "soak", "b", "battery_network"].map(|name| (name.to_owned(), PathBuf::from(name)));
        let (turns, rest) = lanes(programs.to_vec(), |name| name.starts_with('b'));
        let names =
            |lane: &[(String, PathBuf)]| lane.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&turns), ["battery_network", "b"]);
        assert_eq!(names(&rest), ["soak", "a"]);
    }
}
