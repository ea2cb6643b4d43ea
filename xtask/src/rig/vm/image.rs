//! The disks of the machine.

use super::super::root::Root;
use crate::program;
use anyhow::{Context as _, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is on the root disk.
const ROOT: Root = Root {
    name: "vm",
    packages: &[
        // The system itself.
        "dbus",
        "kmod",
        "libpam-systemd",
        "linux-image-cloud-amd64",
        "polkitd",
        "systemd",
        "systemd-sysv",
        // What agentbox needs.
        "nftables",
        // What tests and sessions run.
        "ca-certificates",
        "git",
        "iproute2",
        "less",
        "make",
        "openssl",
        "passwd",
        "procps",
        "python3",
        "util-linux",
    ],
    // Of all drivers only those of the machine: unpacking the rest takes a minute where it is emulated.
    hook: Some(
        "mkdir -p \"$1/etc/initramfs-tools/conf.d\" \
         && echo MODULES=list > \"$1/etc/initramfs-tools/conf.d/rig\" \
         && printf 'virtio_pci\\nvirtio_blk\\next4\\n' > \"$1/etc/initramfs-tools/modules\" \
         && chroot \"$1\" update-initramfs -u",
    ),
};

/// What the root disk has beside packages: path, mode, content.
const FILES: &[(&str, u32, &str)] = &[
    // Process 1 of the machine without a service manager.
    ("usr/sbin/agentbox-rig", 0o755, include_str!("bare.sh")),
    // What the service manager of the other one runs.
    ("usr/sbin/agentbox-rig-service", 0o755, include_str!("service.sh")),
    ("etc/systemd/system/agentbox-rig.service", 0o644, include_str!("agentbox-rig.service")),
    // A first boot would enable every unit that there is.
    ("etc/machine-id", 0o444, "6b1a5c8e2f8d4c6e9a7b3d5f1e0c2a48\n"),
    // The journal is kept over a reboot.
    ("var/log/journal/.keep", 0o644, ""),
];

/// Least room of a file system for what programs write.
const ROOM_MIB: u64 = 700;

/// The root disk with its kernel.
#[derive(Debug)]
pub(super) struct RootDisk {
    pub(super) disk: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

/// Makes the root disk when it is not there or what it is made of has changed.
pub(super) fn root() -> Result<RootDisk> {
    let archive = ROOT.archive()?;
    let directory = ROOT.directory();
    let at = |name: &str| directory.join(name);
    let made = RootDisk { disk: at("root.img"), kernel: at("vmlinuz"), initrd: at("initrd.img") };
    let stamp = format!("{:?}\n{FILES:?}", fs::metadata(&archive)?.modified()?);
    if made.disk.exists() && fs::read_to_string(at("root.made")).is_ok_and(|of| of == stamp) {
        return Ok(made);
    }
    let unpacked = tempfile::Builder::new().prefix("unpacked-").tempdir_in(&directory)?;
    program::run(
        Command::new("tar").arg("-C").arg(unpacked.path()).args(["--numeric-owner", "-xpf"]).arg(&archive),
    )?;
    let boot = unpacked.path().join("boot");
    for (prefix, to) in [("vmlinuz-", &made.kernel), ("initrd.img-", &made.initrd)] {
        let mut entries = fs::read_dir(&boot)?.flatten();
        let from = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        fs::copy(from.with_context(|| format!("no {prefix} in the root"))?.path(), to)?;
    }
    for (path, mode, content) in FILES {
        write(&unpacked.path().join(path), *mode, content)?;
    }
    let new = at("root.new");
    ext4(unpacked.path(), &new)?;
    fs::rename(new, &made.disk)?;
    fs::write(at("root.made"), stamp)?;
    Ok(made)
}

/// What is brought to the machine.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    pub(super) programs: &'a Path,
    pub(super) testing: &'a Path,
    /// The package to be installed, where it is.
    pub(super) package: Option<&'a Path>,
    /// Files with these names beside it.
    pub(super) files: &'a [(&'a str, String)],
    pub(super) tests: &'a [PathBuf],
    pub(super) script: &'a str,
}

/// A disk with it, removed when dropped.
pub(super) fn payload(contents: &Contents<'_>) -> Result<tempfile::NamedTempFile> {
    let directory = ROOT.directory();
    let staged = tempfile::Builder::new().prefix("staged-").tempdir_in(&directory)?;
    // Everybody runs what is in it.
    fs::set_permissions(staged.path(), fs::Permissions::from_mode(0o755))?;
    for (from, to) in [(contents.programs, "programs"), (contents.testing, "testing")] {
        let files: Vec<PathBuf> = fs::read_dir(from)?.flatten().map(|entry| entry.path()).collect();
        copy(&files, &staged.path().join(to))?;
    }
    copy(contents.tests, &staged.path().join("tests"))?;
    if let Some(package) = contents.package {
        fs::copy(package, staged.path().join("agentbox.deb")).context("cannot copy the package")?;
    }
    for (name, text) in contents.files {
        write(&staged.path().join(name), 0o644, text)?;
    }
    fs::write(staged.path().join("run"), contents.script)?;
    let disk = tempfile::Builder::new().prefix("payload-").tempfile_in(&directory)?;
    ext4(staged.path(), disk.path())?;
    Ok(disk)
}

fn copy(files: &[PathBuf], to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for file in files {
        let copy = to.join(file.file_name().context("a program without a name")?);
        fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        // Symbols of tests are most of what the machine would have to read.
        program::run(Command::new("strip").arg("--strip-debug").arg(&copy))?;
    }
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// A file system with what is in a directory, and room.
fn ext4(from: &Path, to: &Path) -> Result<()> {
    let used = program::capture(Command::new("du").args(["--summarize", "--block-size=1M"]).arg(from))?;
    let used: u64 = used.split_whitespace().next().and_then(|size| size.parse().ok()).context("du(1)")?;
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(from)
        .arg(to)
        .arg(format!("{}M", used * 5 / 4 + ROOM_MIB));
    program::run(&mut make)
}
