//! Other sandboxes: where each comes from and how it is asked to run `true` with no network.

use super::launcher::Recording;
use crate::demo::Place;
use crate::program::{self, find};
use crate::workspace::target_directory;
use agentbox_plan::{Access, Confinement, Mount};
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Something to compare with.
pub(super) struct Peer {
    pub(super) name: &'static str,
    /// Makes what it needs and returns the command, or says why it cannot be measured.
    pub(super) prepare: fn(&Recording, &Place) -> Result<Command>,
}

pub(super) const BUBBLEWRAP: &str = "bubblewrap, the paths of L2";

pub(super) const PEERS: &[Peer] = &[
    Peer { name: "nothing: fork and exec", prepare: |_, _| Ok(Command::new("/usr/bin/true")) },
    Peer { name: "unshare, every namespace", prepare: unshare },
    Peer { name: BUBBLEWRAP, prepare: bubblewrap },
    Peer { name: "firejail", prepare: firejail },
    Peer { name: "podman run --rootfs", prepare: podman },
    Peer { name: "sandbox-runtime (srt)", prepare: |_, _| npm("@anthropic-ai/sandbox-runtime", "srt", &[]) },
    Peer { name: "codex sandbox", prepare: |_, _| npm("@openai/codex", "codex", &["sandbox", "--"]) },
    Peer { name: "nono", prepare: nono },
];

fn unshare(_: &Recording, _: &Place) -> Result<Command> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork", "/usr/bin/true"]);
    Ok(command)
}

/// The same list of paths and the same namespaces as the session; no Landlock, no seccomp, no leased
/// uid, no id-mapped mounts, because it has none of them.
fn bubblewrap(recording: &Recording, place: &Place) -> Result<Command> {
    let mut command = Command::new(find("bwrap").context("bwrap is not installed")?);
    command.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--unshare-net"]);
    command.args(["--die-with-parent", "--clearenv"]);
    let Confinement::Sandbox { sandbox } = &recording.plan.confinement else {
        bail!("the session was no sandbox");
    };
    let files = place.directory().join("bubblewrap");
    std::fs::create_dir_all(&files)?;
    for (number, mount) in sandbox.mounts.iter().enumerate() {
        let target = OsStr::from_bytes(mount.target().as_bytes());
        let is_in_dev = mount.target().parts().next() == Some(b"dev");
        match mount {
            Mount::Bind { access, .. } => {
                let how = if *access == Access::ReadWrite { "--bind" } else { "--ro-bind" };
                command.arg(how).args([recording.on_host(mount.target()).as_os_str(), target]);
            }
            Mount::File { content, .. } => {
                let file = files.join(number.to_string());
                std::fs::write(&file, &content.0)?;
                command.arg("--ro-bind").args([file.as_os_str(), target]);
            }
            Mount::Tmpfs { .. } if !is_in_dev && target != "/" => {
                command.arg("--tmpfs").arg(target);
            }
            Mount::Directory { .. } if !is_in_dev => {
                command.arg("--dir").arg(target);
            }
            Mount::Symlink { to, .. } if !is_in_dev => {
                command.arg("--symlink").args([OsStr::from_bytes(to.as_bytes()), target]);
            }
            Mount::Proc { .. } => {
                command.arg("--proc").arg(target);
            }
            // Its own /dev has all of these at once.
            Mount::DevPts { .. } => {
                command.args(["--dev", "/dev"]);
            }
            Mount::Mask { .. } => {
                if Path::new(target).is_dir() {
                    command.arg("--tmpfs").arg(target);
                } else if Path::new(target).exists() {
                    command.args([OsStr::new("--ro-bind"), OsStr::new("/dev/null"), target]);
                }
            }
            Mount::ReadOnly { .. } if Path::new(target).exists() => {
                command.arg("--ro-bind").args([target, target]);
            }
            _ => {}
        }
    }
    command.args(["--", "/usr/bin/true"]);
    Ok(command)
}

fn firejail(_: &Recording, _: &Place) -> Result<Command> {
    let mut command = Command::new(find("firejail").context("firejail is not installed")?);
    command.args(["--quiet", "--noprofile", "--net=none", "/usr/bin/true"]);
    Ok(command)
}

/// A root with one program and what it is linked with, so that no image is needed.
fn podman(_: &Recording, place: &Place) -> Result<Command> {
    let podman = find("podman").context("podman is not installed")?;
    let root = place.directory().join("rootfs");
    for name in ["proc", "sys", "dev", "run", "tmp", "etc", "usr/bin"] {
        std::fs::create_dir_all(root.join(name))?;
    }
    std::fs::copy("/usr/bin/true", root.join("usr/bin/true"))?;
    let linked = program::capture(Command::new("ldd").arg("/usr/bin/true"))?;
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let inside = root.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(inside.parent().unwrap_or(&root))?;
        std::fs::copy(library, inside)?;
    }
    let mut command = Command::new(podman);
    // A limit that it may not raise would be an error of its own.
    command.args(["run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
    command.arg("--rootfs").arg(root).arg("/usr/bin/true");
    Ok(command)
}

/// A sandbox from npm, installed once below target/.
pub(super) fn install(package: &str, name: &str) -> Result<PathBuf> {
    let prefix = target_directory().join("bench").join(name);
    let program: PathBuf = prefix.join("node_modules/.bin").join(name);
    if !program.exists() {
        std::fs::create_dir_all(&prefix)?;
        let mut install = Command::new(find("npm").context("npm is not installed")?);
        install.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]);
        println!("installing {package} into {}", prefix.display());
        program::capture(install.arg(&prefix).arg(package))?;
    }
    Ok(program)
}

fn npm(package: &str, name: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(install(package, name)?);
    command.args(arguments).arg("/usr/bin/true");
    Ok(command)
}

fn nono(_: &Recording, _: &Place) -> Result<Command> {
    let nono = find("nono").context("no package of Debian or npm; measured when it is in /usr/local/bin")?;
    let mut command = Command::new(nono);
    command.args(["run", "--allow", ".", "--", "/usr/bin/true"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::wire::Bytes;
    use agentbox_plan::{
        Identity, Ids, InnerPath, Owner, Plan, Process, Sandbox, SourceIndex, Streams, TerminalSize,
    };

    fn plan(mounts: Vec<Mount>) -> Plan {
        let ids = || Ids { uid: 1, gid: 1, groups: vec![] };
        let sandbox = Sandbox {
            hostname: c"box".into(),
            network: agentbox_plan::NetworkNamespace::Empty,
            idmaps: vec![],
            mounts,
            unix_sockets: true,
        };
        Plan {
            session: "abc".parse().unwrap(),
            label: "L2".to_owned(),
            identity: Identity { agent: ids(), console: ids() },
            confinement: Confinement::Sandbox { sandbox },
            limits: vec![],
            oom_score_adj: 0,
            umask: 0o22,
            process: Process {
                arguments: vec![c"true".into()],
                environment: vec![],
                directory: InnerPath::new("/").unwrap(),
                streams: Streams::PIPES,
                size: TerminalSize::default(),
            },
        }
    }

    #[test]
    fn bubblewrap_runs_with_the_paths_of_the_session() {
        let path = |text: &str| InnerPath::new(text).unwrap();
        let bind = |text: &str, access| Mount::Bind {
            source: SourceIndex { index: 0 },
            target: path(text),
            access,
            recursive: true,
            idmap: None,
        };
        let programs = tempfile::tempdir().unwrap();
        std::fs::write(programs.path().join("agentbox-probe"), "").unwrap();
        let place = Place::make("unit", programs.path()).unwrap();
        let recording = Recording::imaginary(plan(vec![
            bind("/usr", Access::ReadOnly),
            Mount::Symlink { path: path("/lib"), to: c"usr/lib".into() },
            Mount::Symlink { path: path("/lib64"), to: c"usr/lib64".into() },
            Mount::File {
                path: path("/etc/hosts"),
                mode: 0o644,
                owner: Owner::Root,
                content: Bytes(b"x".into()),
            },
            Mount::Proc { target: path("/proc") },
            Mount::Mask { target: path("/proc/kcore") },
            Mount::ReadOnly { target: path("/proc/sys") },
            Mount::DevPts { target: path("/dev/pts") },
            bind("/var/tmp", Access::ReadWrite),
        ]));
        let mut command = bubblewrap(&recording, &place).unwrap();
        let shown = program::shown(&command);
        for part in
            ["--ro-bind /usr /usr", "--symlink usr/lib /lib", "--bind /var/tmp /var/tmp", "--dev /dev"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        program::run(&mut command).unwrap();
    }
}
