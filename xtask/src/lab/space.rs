//! A network namespace, held by a process that does nothing else and ends with the one who made it: what
//! is interrupted leaves nothing that somebody has to remove.

use crate::program;
use anyhow::{Context as _, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the holder to have its namespace.
const BEGIN: Duration = Duration::from_secs(10);

/// A network namespace of its own.
#[derive(Debug)]
pub(crate) struct Space {
    holder: Child,
}

impl Space {
    pub(crate) fn make() -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "unshare", "--net", "sleep", "infinity"]);
        let holder = command.stdin(Stdio::null()).spawn().context("cannot make a network namespace")?;
        let space = Self { holder };
        let begun = Instant::now();
        // The same file until unshare(1) has done its work.
        while std::fs::read_link(space.path()).ok() == std::fs::read_link("/proc/self/ns/net").ok() {
            if begun.elapsed() > BEGIN {
                bail!("the holder of a network namespace did not begin");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(space)
    }

    pub(super) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// What nsenter(1) takes.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.pid()))
    }

    /// A program in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        within(&self.path(), program)
    }

    /// Runs it on a thread in the namespace; sockets that it makes stay there.
    pub(crate) fn enter<T: Send>(&self, run: impl FnOnce() -> T + Send) -> Result<T> {
        let space = File::open(self.path()).context("the network namespace is gone")?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("cannot enter the network namespace")?;
                Ok(run())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Gives lines to ip(8) in the namespace.
    pub(super) fn ip(&self, lines: &str) -> Result<()> {
        // `-6` is no word of a line in a batch: each family is a batch of its own.
        let of_family = |is_v6: bool| -> String {
            let mine = lines.lines().filter(|line| line.trim().starts_with("-6 ") == is_v6);
            mine.map(|line| format!("{}\n", line.trim().trim_start_matches("-6 "))).collect()
        };
        for (option, batch) in [("-4", of_family(false)), ("-6", of_family(true))] {
            if batch.is_empty() {
                continue;
            }
            let mut command = self.command("ip");
            if option == "-6" {
                command.arg(option);
            }
            let mut child = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
            child.stdin.take().context("ip has no input")?.write_all(batch.as_bytes())?;
            if !child.wait()?.success() {
                bail!("ip did not accept:\n{batch}");
            }
        }
        Ok(())
    }
}

/// A program in the network namespace at this path.
pub(crate) fn within(space: &Path, program: impl AsRef<OsStr>) -> Command {
    let nsenter = program::find("nsenter").unwrap_or_else(|| "nsenter".into());
    let mut command = Command::new(nsenter);
    let mut option = std::ffi::OsString::from("--net=");
    option.push(space);
    command.arg(option).arg("--").arg(program);
    command
}

impl Drop for Space {
    fn drop(&mut self) {
        if let Err(error) = self.holder.kill().and_then(|()| self.holder.wait()) {
            eprintln!("cannot end the holder of a network namespace: {error}");
        }
    }
}
