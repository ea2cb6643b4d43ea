//! QEMU, until the machine powers off.

use super::image::RootDisk;
use crate::test::Tally;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest time of everything that runs in it: three times what it takes where it is emulated.
const LIMIT: Duration = Duration::from_secs(900);

/// A way to run it.
struct Way {
    name: &'static str,
    arguments: &'static [&'static str],
    /// From power to the first line of process 1.
    boot_limit: Duration,
}

/// The best first. A /dev/kvm that is there may still not work. What is emulated has one processor: several take half as
/// much time again for the same work, and made a kernel panic once. Its tables of pages have four levels, not five.
const WAYS: &[Way] = &[
    Way {
        name: "KVM",
        arguments: &["-accel", "kvm", "-cpu", "host", "-smp", "2"],
        boot_limit: Duration::from_secs(40),
    },
    Way {
        name: "emulation",
        arguments: &["-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-smp", "1"],
        boot_limit: Duration::from_secs(300),
    },
];

/// Yama, AppArmor and the others of Debian's default, and bpf. No program in it tries what processors leak.
const KERNEL: &str = "root=/dev/vda rw console=ttyS0 \
    lsm=landlock,lockdown,yama,integrity,apparmor,bpf panic=-1 quiet loglevel=1 mitigations=off";
/// What one machine is told beside that.
pub(super) struct Boot {
    kernel: &'static str,
    qemu: &'static [&'static str],
}

/// Without a service manager.
pub(super) const BARE: Boot = Boot { kernel: "init=/usr/sbin/agentbox-rig", qemu: &["-no-reboot"] };
/// With systemd, which leaves the console to the tests (kernel-command-line(7), systemd(1)).
pub(super) const SERVICE: Boot = Boot {
    kernel: "systemd.show_status=no systemd.log_level=warning \
        systemd.mask=serial-getty@ttyS0.service systemd.wants=agentbox-rig.service",
    qemu: &[],
};

/// A machine that can be run.
pub(super) struct Machine {
    pub(super) root: RootDisk,
    pub(super) payload: tempfile::NamedTempFile,
    pub(super) boot: &'static Boot,
}

/// What ran in it.
pub(super) struct Ran {
    pub(super) tally: Tally,
    /// Test programs that failed.
    pub(super) failed: u8,
}

/// How a run ended.
enum End {
    /// With these tests.
    Ran(Ran),
    /// Before process 1 said anything.
    NotBooted(String),
}

impl Machine {
    /// Runs the tests in it, shows what they say, and counts them.
    pub(super) fn run(&self, out: &mut (impl Write + Send)) -> Result<Ran> {
        let mut last = String::new();
        for way in WAYS {
            if way.name == "KVM" && !Path::new("/dev/kvm").exists() {
                writeln!(out, "no /dev/kvm: the machine is emulated")?;
                continue;
            }
            match self.try_way(way, out)? {
                End::Ran(ran) => return Ok(ran),
                End::NotBooted(why) => {
                    writeln!(out, "{} does not boot the machine: {why}", way.name)?;
                    last = why;
                }
            }
        }
        bail!("the machine did not boot: {last}")
    }

    fn try_way(&self, way: &Way, out: &mut impl Write) -> Result<End> {
        // Tests that run beside it have the processors first.
        let mut command = Command::new("nice");
        command.args(["-n", "19", "qemu-system-x86_64"]);
        command.args(["-M", "q35", "-m", "2048", "-nodefaults", "-display", "none"]);
        command.args(["-serial", "stdio"]).args(way.arguments);
        command.arg("-kernel").arg(&self.root.kernel).arg("-initrd").arg(&self.root.initrd);
        command.args(["-append", &format!("{KERNEL} {}", self.boot.kernel)]).args(self.boot.qemu);
        command.arg("-drive").arg(drive(&self.root.disk, "snapshot=on"));
        command.arg("-drive").arg(drive(self.payload.path(), "readonly=on"));
        let mut qemu = Running(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .context("cannot run qemu-system-x86_64")?,
        );
        let said = qemu.lines()?;
        let begun = Instant::now();
        let (mut end, mut up, mut status) = (begun + way.boot_limit, false, None);
        let (mut before, mut tally) = (Vec::new(), Tally::default());
        loop {
            let line = match said.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if up => {
                    bail!("the tests did not end in {} s", LIMIT.as_secs())
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(End::NotBooted(format!("nothing after {} s", way.boot_limit.as_secs())));
                }
            };
            if !up {
                if line.contains("internal error") {
                    return Ok(End::NotBooted(line));
                }
                if let Some(modules) = line.strip_prefix("agentbox-rig: up, ") {
                    writeln!(out, "{}: up after {} s, {modules}", way.name, begun.elapsed().as_secs())?;
                    (up, end) = (true, Instant::now() + LIMIT);
                }
                before.push(line);
                continue;
            }
            if let Some(text) = line.strip_prefix("agentbox-rig: ended ") {
                status = Some(text.trim().parse().context("the status of the tests")?);
                continue;
            }
            writeln!(out, "{line}")?;
            tally.note(&line);
        }
        match status {
            Some(failed) => Ok(End::Ran(Ran { tally, failed })),
            None if up => bail!("the machine ended before the tests did"),
            None => Ok(End::NotBooted(before.pop().unwrap_or_else(|| "it said nothing".to_owned()))),
        }
    }
}

fn drive(file: &Path, more: &str) -> String {
    format!("file={},if=virtio,format=raw,{more}", file.display())
}

/// A machine that is powered off when dropped.
struct Running(Child);

impl Running {
    /// What it says, from both of its streams.
    fn lines(&mut self) -> Result<Receiver<String>> {
        let (sender, receiver) = channel();
        let output: Box<dyn Read + Send> = Box::new(self.0.stdout.take().context("no output")?);
        let errors: Box<dyn Read + Send> = Box::new(self.0.stderr.take().context("no errors")?);
        for stream in [output, errors] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(receiver)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
