//! `check`: is this configuration right? Needs no supervisor and no privilege, so that a build can ask.

use crate::account::own_home;
use crate::arguments::Check;
use crate::errors::{FAILURE, Failure};
use crate::layers::{self, PROJECT_FILE};
use crate::output::{escape, print};
use agentbox_policy::{LayerKind, merge_system};
use std::path::{Path, PathBuf};

pub(super) fn run(check: &Check) -> Result<u8, Failure> {
    let files = if check.files.is_empty() { files_here()? } else { named(check) };
    let mut failures = Vec::new();
    let (mut system, mut fine) = (Vec::new(), Vec::new());
    let mut system_is_read = true;
    for (path, kind) in &files {
        match layers::layer(path, *kind) {
            Ok(layer) => {
                fine.push(path);
                if *kind == LayerKind::System {
                    system.push(layer);
                }
            }
            Err(failure) => {
                system_is_read &= *kind != LayerKind::System;
                failures.push(failure);
            }
        }
    }
    // What keys mean together can only be judged when all of them could be read.
    if system_is_read && let Err(error) = merge_system(system) {
        fine.retain(|path| path.to_string_lossy() != error.file);
        failures.push(error.into());
    }
    let lines: String =
        fine.iter().map(|path| format!("{}: ok\n", escape::name(&path.to_string_lossy()))).collect();
    print(&lines)?;
    failures.iter().for_each(Failure::print_plain);
    Ok(if failures.is_empty() { 0 } else { FAILURE })
}

fn named(check: &Check) -> Vec<(PathBuf, LayerKind)> {
    let kind = |path: &PathBuf| match path.file_name() {
        _ if check.person => LayerKind::Person,
        Some(name) if name == PROJECT_FILE && !check.system => LayerKind::Project,
        _ => LayerKind::System,
    };
    check.files.iter().map(|path| (path.clone(), kind(path))).collect()
}

/// Every file that a start in this directory would use.
fn files_here() -> Result<Vec<(PathBuf, LayerKind)>, Failure> {
    let system = layers::system_files()
        .map_err(|error| Failure::system("cannot look at the system's configuration", error))?;
    let mut files: Vec<_> = system.into_iter().map(|path| (path, LayerKind::System)).collect();
    let person = own_home().map(|home| (layers::person_file(&home), LayerKind::Person));
    let project = (Path::new(PROJECT_FILE).to_path_buf(), LayerKind::Project);
    files.extend(person.into_iter().chain([project]).filter(|(path, _)| path.symlink_metadata().is_ok()));
    Ok(files)
}
