//! Sessions on an overlay of the machine's project.

use crate::machine::Machine;
use crate::run::Finished;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is below a directory: mode with the kind, owner and content by path.
pub type State = BTreeMap<PathBuf, (u32, u32, Vec<u8>)>;

/// The layers of a machine, by id.
///
/// # Errors
/// When the directory cannot be read.
pub fn layers(machine: &Machine) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(machine.state().join("overlay")) else { return Ok(Vec::new()) };
    let mut ids: Vec<String> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    ids.sort();
    Ok(ids)
}

/// Runs a script in a session on an overlay, to its end; the session's id, and what the script said.
///
/// # Errors
/// When it fails, or leaves no layer.
pub fn session(machine: &Machine, posture: &str, script: &str) -> Result<(String, Finished)> {
    let before = layers(machine)?;
    let arguments = machine.start_arguments(
        posture,
        &["--workspace", "overlay", "--network", "none"],
        &["sh", "-ec", script],
    );
    let finished = machine.ctl(&arguments)?.success()?;
    let new: Vec<String> = layers(machine)?.into_iter().filter(|id| !before.contains(id)).collect();
    let [id] = new.as_slice() else { anyhow::bail!("layers {new:?} after {finished:?}") };
    Ok((id.clone(), finished))
}

/// `agentboxctl VERB ID MORE…` as root.
///
/// # Errors
/// When it takes too long.
pub fn review(machine: &Machine, verb: &str, id: &str, more: &[&str]) -> Result<Finished> {
    let mut arguments = vec![verb, id];
    arguments.extend(more);
    machine.ctl(&arguments)
}

/// Paths that `diff --json` lists, each with what it is.
///
/// # Errors
/// When it fails.
pub fn changes(machine: &Machine, id: &str) -> Result<BTreeMap<String, String>> {
    let listed = review(machine, "diff", id, &["--json"])?.json()?;
    let listed = listed.as_array().context("no list")?;
    let one = |change: &serde_json::Value| {
        Some((change["path"].as_str()?.to_owned(), change["what"].as_str()?.to_owned()))
    };
    listed.iter().map(|change| one(change).context("an odd change")).collect()
}

/// Everything below a directory: what it is, whose, its mode, its content. What the harness planted is left out.
///
/// # Errors
/// When it cannot be read.
pub fn state(directory: &Path) -> Result<State> {
    let mut all = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            let content = if metadata.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path)?.as_os_str().as_bytes().to_vec()
            } else if metadata.is_file() {
                fs::read(&path)?
            } else {
                Vec::new()
            };
            let name = path.strip_prefix(directory)?.to_owned();
            all.insert(name, (metadata.mode(), metadata.uid(), content));
        }
    }
    Ok(all)
}

/// Fails when two states differ, and says where.
///
/// # Errors
/// When they differ.
pub fn require_same(before: &State, after: &State) -> Result<()> {
    let differ: Vec<_> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    ensure!(differ.is_empty(), "differs: {differ:?}");
    Ok(())
}
