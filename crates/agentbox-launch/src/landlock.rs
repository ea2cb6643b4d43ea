//! Landlock as a second layer below the mounts: what is not writable stays so even if a mount's flag
//! were lost, and no signal or abstract socket reaches out of the session. A rule holds for all that is below it, so this
//! is not so for what is mounted read-only in a directory that is writable, such as a home that is the agent's own; what
//! is the person's there has a map by which nobody writes to it (agentbox-policy: `plan/owners.rs`).

use crate::step::{InStep as _, StepError};
use agentbox_plan::{Mount, Sandbox};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

/// Newest Landlock that the rules below were written for. An older kernel enforces what it knows.
const NEWEST: ABI = ABI::V7;

const STEP: &str = "Landlock";

/// Confines this process and all that it starts to the plan's tree: read and execute everywhere,
/// write below the writable mounts.
///
/// # Errors
/// When the kernel has no Landlock (before Linux 5.13, or not in `lsm=`).
pub(crate) fn confine(sandbox: &Sandbox) -> Result<(), StepError> {
    let mut rules = reading_below("/")?;
    // What is held in the project lies below a rule of the project's.
    let own = |mount: &&Mount| mount.is_writable() && !matches!(mount, Mount::Hold { .. });
    for mount in sandbox.mounts.iter().filter(own) {
        let target = OsStr::from_bytes(mount.target().as_bytes());
        let step = || format!("{STEP}: {}", mount.target());
        let place = PathFd::new(target).map_err(|error| StepError::new(step(), error))?;
        let is_directory = rustix::fs::fstat(&place).step_with(step)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
        // Rights over names make no sense for a file, and the kernel refuses such a rule.
        let rights = if is_directory { AccessFs::from_all(NEWEST) } else { AccessFs::from_file(NEWEST) };
        rules =
            rules.add_rule(PathBeneath::new(place, rights)).map_err(|error| StepError::new(step(), error))?;
    }
    enforce(rules)
}

/// Confines the outer half, which opens nothing but its own entries of /proc.
///
/// # Errors
/// As [`confine`].
pub(crate) fn confine_console() -> Result<(), StepError> {
    enforce(reading_below("/proc")?)
}

/// Confines a looker to the places that it looks at. It reads there, and writes only files of git's
/// configuration anew beside the old ones.
///
/// # Errors
/// As [`confine`].
pub(crate) fn confine_look(places: &[OwnedFd]) -> Result<(), StepError> {
    let rights = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(|error| StepError::new(STEP, error))?;
    for place in places {
        rules = rules
            .add_rule(PathBeneath::new(place, rights))
            .map_err(|error| StepError::new(format!("{STEP}: a place"), error))?;
    }
    enforce(rules)
}

/// Confines a gate: no file, no connection, no socket or process of others.
///
/// # Errors
/// As [`confine`].
pub(crate) fn confine_gate() -> Result<(), StepError> {
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(|error| StepError::new(STEP, error))?;
    enforce(rules)
}

/// Everything that Landlock knows refused, but reading and executing below `path`.
fn reading_below(path: &str) -> Result<RulesetCreated, StepError> {
    let step = || format!("{STEP}: {path}");
    let place = PathFd::new(path).map_err(|error| StepError::new(step(), error))?;
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rule(PathBeneath::new(place, AccessFs::from_read(NEWEST))))
        .map_err(|error| StepError::new(step(), error))
}

fn enforce(rules: RulesetCreated) -> Result<(), StepError> {
    // no_new_privs is a step of its own, so that leaving it out shows.
    let status = rules.no_new_privs(false).restrict_self().map_err(|error| StepError::new(STEP, error))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(StepError::new(
            STEP,
            "this kernel has no Landlock: Linux 5.13 or later with `landlock` in its lsm= list is needed",
        )),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_looker_reaches_nothing_but_its_places() {
        let name = format!("agentbox-looker-{}", std::process::id());
        let here = std::env::temp_dir().join(&name).join("place");
        fs::create_dir_all(&here).unwrap();
        let place = OwnedFd::from(fs::File::open(&here).unwrap());
        let file = here.join("file");
        fs::write(&file, "x").unwrap();
        let outside = here.parent().unwrap().join("outside-of-the-place");
        fs::write(&outside, "x").unwrap();
        // Landlock confines one thread (landlock_restrict_self(2)).
        let inside = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let control = fs::read(&outside).is_ok();
            confine_look(&[place]).unwrap();
            let within = fs::read(&file).is_ok() && fs::write(&file, "y").is_ok();
            let beyond = [fs::read(&outside).is_ok(), fs::write(&outside, "y").is_ok()];
            let links = std::os::unix::fs::symlink("x", file.with_extension("link")).is_ok();
            (control, within, beyond, links)
        });
        let inside = inside.join().unwrap();
        for path in [here.join("file"), here.parent().unwrap().join("outside-of-the-place")] {
            fs::remove_file(path).unwrap();
        }
        fs::remove_dir(&here).unwrap();
        fs::remove_dir(here.parent().unwrap()).unwrap();
        assert_eq!(inside, (true, true, [false, false], false));
    }
}
