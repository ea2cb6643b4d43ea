//! QEMU, until the machine powers off.

use super::image::RootDisk;
use crate::test::Tally;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest time of everything that runs in it: nine minutes is what it may take where it is emulated.
const LIMIT: Duration = Duration::from_secs(540);

/// A way to run it.
struct Way {
    name: &'static str,
    arguments: &'static [&'static str],
    /// From power to the first line of process 1.
    boot_limit: Duration,
}

/// The best first. A /dev/kvm that is there may still not work; several emulated processors made a kernel
/// panic once.
const WAYS: &[Way] = &[
    Way {
        name: "KVM",
        arguments: &["-accel", "kvm", "-cpu", "host", "-smp", "2"],
        boot_limit: Duration::from_secs(40),
    },
    Way {
        name: "emulation",
        arguments: &["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"],
        boot_limit: Duration::from_secs(240),
    },
    Way {
        name: "emulation of one processor",
        arguments: &["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "1"],
        boot_limit: Duration::from_secs(300),
    },
];

/// Yama, AppArmor and the others of Debian's default, and bpf.
const KERNEL: &str = "root=/dev/vda rw console=ttyS0 init=/usr/sbin/agentbox-rig \
    lsm=landlock,lockdown,yama,integrity,apparmor,bpf panic=-1 quiet loglevel=1";

/// A machine that can be run.
pub(super) struct Machine<'a> {
    pub(super) root: &'a RootDisk,
    pub(super) payload: &'a Path,
}

/// How a run ended.
enum End {
    /// With the status of the tests.
    Ran(u8),
    /// Before process 1 said anything.
    NotBooted(String),
}

impl Machine<'_> {
    /// Runs the tests in it, counts them, and returns how many programs failed.
    pub(super) fn run(&self, tally: &mut Tally) -> Result<u8> {
        let mut last = String::new();
        for way in WAYS {
            if way.name == "KVM" && !Path::new("/dev/kvm").exists() {
                println!("no /dev/kvm: the machine is emulated");
                continue;
            }
            match self.try_way(way, tally)? {
                End::Ran(status) => return Ok(status),
                End::NotBooted(why) => {
                    println!("{} does not boot the machine: {why}", way.name);
                    last = why;
                }
            }
        }
        bail!("the machine did not boot: {last}")
    }

    fn try_way(&self, way: &Way, tally: &mut Tally) -> Result<End> {
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-M", "q35", "-m", "2048", "-nodefaults", "-display", "none", "-no-reboot"]);
        command.args(["-serial", "stdio"]).args(way.arguments);
        command.arg("-kernel").arg(&self.root.kernel).arg("-initrd").arg(&self.root.initrd);
        command.args(["-append", KERNEL]);
        command.arg("-drive").arg(drive(&self.root.disk, "snapshot=on"));
        command.arg("-drive").arg(drive(self.payload, "readonly=on"));
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
        let mut before = Vec::new();
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
                    println!("{}: up after {} s, {modules}", way.name, begun.elapsed().as_secs());
                    (up, end) = (true, Instant::now() + LIMIT);
                }
                before.push(line);
                continue;
            }
            if let Some(text) = line.strip_prefix("agentbox-rig: ended ") {
                status = Some(text.trim().parse().context("the status of the tests")?);
                continue;
            }
            println!("{line}");
            tally.note(&line);
        }
        match status {
            Some(status) => Ok(End::Ran(status)),
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
