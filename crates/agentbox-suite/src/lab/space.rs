//! One network namespace: made with `ip netns`, removed when dropped, swept when its maker is gone.

use crate::run::run;
use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PREFIX: &str = "ab-lab-";
const NAMESPACES: &str = "/run/netns";
const LIMIT: Duration = Duration::from_secs(30);

/// A network namespace.
#[derive(Debug)]
pub struct Space {
    name: String,
    handle: File,
}

impl Space {
    /// Makes one; nothing in it is up.
    pub(super) fn new(lab: u32, short: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{lab}-{short}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]), b"", LIMIT)?.success()?;
        let path = Path::new(NAMESPACES).join(&name);
        let handle = File::open(&path).with_context(|| path.display().to_string())?;
        let space = Self { name, handle };
        space.ip("link set lo up")?;
        // Addresses are good at once: there is nobody else to have them.
        space.set(&[
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/dad_transmits", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
        ])?;
        Ok(space)
    }

    /// Its name for `ip netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is kept.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    /// Does something in it. Sockets that were made there stay there.
    ///
    /// # Errors
    /// When it cannot be entered.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T> {
        // A namespace is a thread's, so it gets one of its own that nothing else runs on.
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> Result<T> {
                move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(act())
            });
            thread.join().map_err(|_| anyhow!("a thread in {} failed", self.name))?
        })
    }

    /// A program in it; it sees the machine's files.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program.as_ref());
        command
    }

    /// Commands for ip(8), one a line; those that begin with `-6` after the others.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let (mut plain, mut v6) = (String::new(), String::new());
        for line in lines.lines().map(str::trim) {
            // ip(8) takes the family only for a whole batch.
            let (into, line) = line.strip_prefix("-6 ").map_or((&mut plain, line), |line| (&mut v6, line));
            into.push_str(line);
            into.push('\n');
        }
        for (family, batch) in
            [(None, plain), (Some("-6"), v6)].into_iter().filter(|(_, batch)| !batch.is_empty())
        {
            let mut command = Command::new("ip");
            command.args(["-netns", &self.name]).args(family);
            let finished = run(command.args(["-batch", "-"]), batch.as_bytes(), LIMIT)?;
            finished.success().with_context(|| format!("in {}: {batch}", self.name))?;
        }
        Ok(())
    }

    /// Commands for nft(8).
    ///
    /// # Errors
    /// When one of them fails.
    pub fn nft(&self, script: &str) -> Result<()> {
        let mut command = self.command("nft");
        let finished = run(command.args(["-f", "-"]), script.as_bytes(), LIMIT)?;
        finished.success().with_context(|| format!("in {}: {script}", self.name)).map(drop)
    }

    /// What nft(8) lists, as JSON.
    ///
    /// # Errors
    /// When it is not there.
    pub fn nft_list(&self, what: &[&str]) -> Result<serde_json::Value> {
        run(self.command("nft").args(["-j", "list"]).args(what), b"", LIMIT)?.json()
    }

    /// Sets what sysctl(8) sets, below `net/`.
    ///
    /// # Errors
    /// When the kernel has no such setting or does not take it.
    pub fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            settings.iter().try_for_each(|(name, value)| {
                let path = Path::new("/proc/sys/net").join(name);
                fs::write(&path, value).with_context(|| path.display().to_string())
            })
        })?
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn remove(name: &str) {
    // A directory that was never made is no error.
    let _ = fs::remove_file(resolver_file(name));
    let _ = fs::remove_dir(Path::new("/etc/netns").join(name));
    if let Err(error) =
        run(Command::new("ip").args(["netns", "delete", name]), b"", LIMIT).and_then(|done| done.success())
    {
        eprintln!("the namespace {name} is left: {error:#}");
    }
}

/// What `ip netns exec` shows as /etc/resolv.conf.
pub(super) fn resolver_file(name: &str) -> PathBuf {
    Path::new("/etc/netns").join(name).join("resolv.conf")
}

/// Removes namespaces whose makers are gone.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(NAMESPACES) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
