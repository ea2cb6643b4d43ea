//! `install`: the programs and everything in `dist/`, where a distribution puts them; `dist`: writes what in
//! `dist/` and docs/dbus.md is made of tables in the code.

use crate::build::{Kind, build};
use crate::workspace::root;
use anyhow::{Context as _, Result};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Root of the file system that it is installed into
    #[arg(long, value_name = "DIR")]
    destdir: PathBuf,
    /// Programs that `build` has collected; default: builds optimised ones
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Each program and its directory. The client is what a person types; the rest is started by it or by the
/// service manager.
const PROGRAMS: &[(&str, &str)] = &[
    ("agentboxctl", "usr/bin"),
    ("agentboxd", "usr/libexec/agentbox"),
    ("agentbox-gate", "usr/libexec/agentbox"),
    ("agentbox-launch", "usr/libexec/agentbox"),
    ("agentbox-look", "usr/libexec/agentbox"),
    ("agentbox-probe", "usr/libexec/agentbox"),
];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let programs = match &arguments.programs {
        Some(programs) => programs.clone(),
        None => build(Kind::Release)?,
    };
    for file in into(&programs, &arguments.destdir)? {
        println!("{}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs into a root; the files that were installed.
pub(crate) fn into(programs: &Path, destination: &Path) -> Result<Vec<PathBuf>> {
    let mut installed = Vec::new();
    for (name, directory) in PROGRAMS {
        let to = destination.join(directory).join(name);
        copy(&programs.join(name), &to, 0o755)?;
        installed.push(to);
    }
    tree(&root().join("dist"), destination, &mut installed)?;
    for (path, content) in crate::manual::pages()? {
        let to = destination.join(&path);
        make_parent(&to)?;
        std::fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o644))?;
        installed.push(to);
    }
    Ok(installed)
}

fn tree(from: &Path, to: &Path, installed: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            tree(&entry.path(), &to, installed)?;
        } else {
            copy(&entry.path(), &to, 0o644)?;
            installed.push(to);
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    make_parent(to)?;
    // A program that runs is replaced, not written into.
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    std::fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode))?)
}

/// Makes what is missing of a path, readable for all whatever the umask.
fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if parent.is_dir() {
        return Ok(());
    }
    make_parent(parent)?;
    std::fs::create_dir(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    Ok(std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755))?)
}

/// Writes what is made of tables. Tests of the crates with the tables compare.
pub(crate) fn write_dist() -> Result<ExitCode> {
    let dist = root().join("dist/usr/share");
    std::fs::write(dist.join("dbus-1/system.d/org.agentbox1.conf"), agentbox_ipc::bus_policy())?;
    std::fs::write(dist.join("polkit-1/actions/org.agentbox1.policy"), agentbox_ipc::polkit_actions())?;
    std::fs::write(root().join("docs/dbus.md"), crate::manual::bus::page()?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_installed_with_its_mode_and_twice_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        let (programs, to) = (directory.path().join("programs"), directory.path().join("root"));
        std::fs::create_dir(&programs).unwrap();
        for (name, _) in PROGRAMS {
            std::fs::write(programs.join(name), "program").unwrap();
        }
        std::fs::create_dir(&to).unwrap();
        let first = into(&programs, &to).unwrap();
        assert_eq!(first, into(&programs, &to).unwrap());
        let mode = |path: &str| std::fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("usr/bin/agentboxctl"), 0o755);
        assert_eq!(mode("usr/lib/systemd/system/agentboxd.service"), 0o644);
        assert_eq!(mode("usr/share/man/man1/agentboxctl.1"), 0o644);
    }
}
