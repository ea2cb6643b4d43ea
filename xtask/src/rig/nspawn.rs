//! The container rig: systemd-nspawn(1) with systemd as PID 1, on this machine's kernel.
//!
//! Real in it: the service manager, the system bus, polkit, the journal. Not there on a host with hybrid
//! control groups: the controllers of memory, processes and CPU, which such a host holds in version 1;
//! limits are asserted in a virtual machine.

use super::group::Group;
use super::place::Place;
use super::root::Root;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A second on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// Half a second; SIGKILL afterwards.
const HALT_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at a container that is booting.
const LOOK: Duration = Duration::from_millis(50);

/// What is in the container.
pub(super) const ROOT: Root = Root {
    name: "nspawn",
    packages: &[
        // The system itself.
        "dbus",
        "libpam-systemd",
        "polkitd",
        "systemd",
        "systemd-sysv",
        // What agentbox needs.
        "nftables",
        // What tests and sessions run.
        "bubblewrap",
        "ca-certificates",
        "curl",
        "git",
        "iproute2",
        "iptables",
        "less",
        "make",
        "man-db",
        "network-manager",
        "openssh-client",
        "openssl",
        "passwd",
        "procps",
        "python3",
        "util-linux",
        "vim-tiny",
    ],
    hook: None,
};

/// A container that runs. Dropping it halts it and removes everything of it.
#[derive(Debug)]
pub(super) struct Nspawn {
    process: Child,
    leader: u32,
    /// Both are removed when nothing runs in them any more.
    group: Group,
    place: Place,
}

impl Nspawn {
    /// Boots one with agentbox installed. `prepare` may put more into its root before.
    pub(super) fn boot(programs: &Path, prepare: impl FnOnce(&Place) -> Result<()>) -> Result<Self> {
        let place = Place::make(&ROOT, programs)?;
        prepare(&place)?;
        let group = Group::make(&name())?;
        let process = start(&place, &group)?;
        let mut rig = Self { process, leader: 0, group, place };
        rig.boot_to_its_end()?;
        Ok(rig)
    }

    fn boot_to_its_end(&mut self) -> Result<()> {
        let booted = self.wait_until_booted();
        let log = log(&self.place);
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        booted.with_context(|| format!("the container did not boot; it said:\n{said}"))
    }

    /// Reboots it: what is not on its disk is gone.
    pub(super) fn reboot(&mut self) -> Result<()> {
        let _ = self.command("systemctl").arg("reboot").status()?;
        // systemd-nspawn(1) ends with a status of its own, which asks for another start.
        self.wait_until_halted();
        self.process = start(&self.place, &self.group)?;
        self.leader = 0;
        self.boot_to_its_end()
    }

    fn wait_until_booted(&mut self) -> Result<()> {
        let end = Instant::now() + BOOT_LIMIT;
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("systemd-nspawn ended with {status}");
            }
            if Instant::now() > end {
                bail!("not within {} seconds", BOOT_LIMIT.as_secs());
            }
            // The first process of the container is a child of systemd-nspawn, and before it another one for a
            // moment.
            let pid = self.process.id();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
            self.leader =
                children.split_whitespace().next_back().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            if self.leader != 0 && self.is_booted() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Degraded is booted: a container cannot load kernel modules.
    fn is_booted(&self) -> bool {
        let state = self.command("systemctl").arg("is-system-running").output();
        state.is_ok_and(|output| matches!(output.stdout.trim_ascii(), b"running" | b"degraded"))
    }

    /// A command inside, as root, with an environment of its own.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.leader.to_string()).args(["--all", "--wdns=/", "--"]).arg(program);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", "/root").env("LANG", "C.UTF-8").env("TERM", "xterm-256color");
        command
    }
}

fn log(place: &Place) -> PathBuf {
    place.path().with_extension("log")
}

/// Of this run's container.
fn name() -> String {
    format!("agentbox-rig-{}", std::process::id())
}

fn start(place: &Place, group: &Group) -> Result<Child> {
    let mut command = group.command("systemd-nspawn");
    command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").arg("--directory").arg(place.path());
    command.arg(format!("--machine={}", name()));
    command.args(["--quiet", "--register=no", "--keep-unit", "--boot", "--private-network"]);
    command.args(["--console=passive", "--capability=all", "--system-call-filter=@known"]);
    let output = File::create(log(place))?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot run systemd-nspawn")
}

impl Drop for Nspawn {
    fn drop(&mut self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        // systemd-nspawn passes it on as an order to halt.
        let _ = pid.map(|pid| rustix::process::kill_process(pid, Signal::TERM));
        self.wait_until_halted();
    }
}

impl Nspawn {
    fn wait_until_halted(&mut self) {
        let end = Instant::now() + HALT_LIMIT;
        loop {
            match self.process.try_wait() {
                Ok(None) if Instant::now() < end => std::thread::sleep(LOOK),
                Ok(None) => {
                    eprintln!("the container did not halt within {} seconds", HALT_LIMIT.as_secs());
                    let _ = self.process.kill();
                    let _ = self.process.wait();
                    return;
                }
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }
}
