//! `deb`: a package for Debian and its derivatives.

use crate::build::{Kind, build};
use crate::program::{capture, find, run as run_program};
use crate::{install, setup, workspace::target_directory};
use anyhow::{Context as _, Result, bail};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Programs that `build` has collected; default: builds optimised ones
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// What the maintainer scripts do stands in them.
const SCRIPTS: &[(&str, &str)] = &[
    ("postinst", include_str!("postinst")),
    ("prerm", include_str!("prerm")),
    ("postrm", include_str!("postrm")),
];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(&[setup::Verb::Build])?;
    let programs = match &arguments.programs {
        Some(programs) => programs.clone(),
        None => build(Kind::Release)?,
    };
    println!("{}", package(&programs)?.display());
    Ok(ExitCode::SUCCESS)
}

/// Makes the package of these programs.
pub(crate) fn package(programs: &Path) -> Result<PathBuf> {
    if find("dpkg-deb").is_none() {
        bail!("packages for Debian are made by dpkg-deb, which this machine does not have; use `install`");
    }
    let stage = tempfile::tempdir().context("cannot make a directory for the package")?;
    // A directory for the owner alone would become the root directory of whoever installs it.
    std::fs::set_permissions(stage.path(), std::fs::Permissions::from_mode(0o755))?;
    install::into(programs, stage.path())?;
    let meta = stage.path().join("DEBIAN");
    std::fs::create_dir(&meta)?;
    let architecture = capture(Command::new("dpkg").arg("--print-architecture"))?;
    let libc = capture(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    std::fs::write(meta.join("control"), control(architecture.trim(), &libc)?)?;
    for (name, text) in SCRIPTS {
        std::fs::write(meta.join(name), text)?;
        std::fs::set_permissions(meta.join(name), std::fs::Permissions::from_mode(0o755))?;
    }
    let file = format!("agentbox_{}_{}.deb", env!("CARGO_PKG_VERSION"), architecture.trim());
    let to = target_directory().join("agentbox").join(file);
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "-Zxz", "-z1", "--build"]).arg(stage.path()).arg(&to);
    run_program(&mut command)?;
    Ok(to)
}

/// systemd 253 brought `Type=notify-reload`.
fn control(architecture: &str, libc: &str) -> Result<String> {
    let libc = libc.trim().strip_prefix("glibc ").context("this machine's C library is not glibc")?;
    Ok(format!(
        "Package: agentbox\nVersion: {}\nArchitecture: {architecture}\nSection: admin\nPriority: optional\n\
         Maintainer: The agentbox authors <agentbox@localhost>\n\
         Depends: libc6 (>= {libc}), systemd (>= 253), default-dbus-system-bus | dbus-system-bus, polkitd, nftables\n\
         Description: sessions of coding agents, held by the kernel\n \
         Starts agents with an identity, file system and network of their own, so that a careless or\n \
         compromised one costs an hour of work and nothing else.\n",
        env!("CARGO_PKG_VERSION")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_asks_for_the_library_it_was_built_with() {
        let control = control("amd64", "glibc 2.36\n").unwrap();
        assert!(control.contains("libc6 (>= 2.36)") && control.ends_with(".\n"));
        assert!(super::control("amd64", "musl").is_err());
    }
}
