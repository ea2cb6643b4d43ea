//! A command on a pseudo-terminal, driven as a person would.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A terminal with a command on it.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    /// Kept open, so that what was printed last can be read after the command has ended.
    slave: OwnedFd,
    child: Child,
    process: OwnedFd,
    seen: Vec<u8>,
    /// Up to where `seen` was waited for.
    mark: usize,
}

impl Terminal {
    /// Starts the command.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start(command: &mut Command, rows: u16, columns: u16) -> Result<Self> {
        let flags = rustix::pty::OpenptFlags::RDWR
            | rustix::pty::OpenptFlags::NOCTTY
            | rustix::pty::OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        tcsetwinsize(&slave, size(rows, columns))?;
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let id = rustix::process::Pid::from_child(&child);
        let process = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty())?;
        // `command` would keep the terminal open as long as it lives.
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        Ok(Self { master: File::from(master), slave, child, process, seen: Vec::new(), mark: 0 })
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal takes nothing.
    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.master.write_all(text.as_bytes())?)
    }

    /// Gives the window another size, as dragging its edge does.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        Ok(tcsetwinsize(&self.master, size(rows, columns))?)
    }

    /// Waits until this appears after what was last waited for.
    ///
    /// # Errors
    /// When the command ends or the time is over before; tells what was seen.
    pub fn wait_for(&mut self, wanted: &str, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            let new = &self.seen[self.mark..];
            if let Some(at) = new.windows(wanted.len()).position(|window| window == wanted.as_bytes()) {
                self.mark += at + wanted.len();
                return Ok(());
            }
            if !self.step(until)? {
                bail!("no {wanted:?}; seen: {}", self.seen_text().escape_debug());
            }
        }
    }

    /// Everything that was printed so far.
    #[must_use]
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// The same as text.
    #[must_use]
    pub fn seen_text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Whether typed lines are edited and echoed, as a shell's caller left it.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn is_cooked(&self) -> Result<bool> {
        use rustix::termios::LocalModes;
        Ok(tcgetattr(&self.slave)?
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG))
    }

    /// Waits for the end of the command and returns its exit status, or 128 + n after signal n.
    ///
    /// # Errors
    /// When the time is over.
    pub fn finish(&mut self, limit: Duration) -> Result<i32> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.read_what_is_there()?;
                return Ok(status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(-1));
            }
            if !self.step(until)? && self.child.try_wait()?.is_none() {
                bail!("it did not end; seen: {}", self.seen_text().escape_debug());
            }
        }
    }

    /// Waits for output or the end; false at the end or when the time is over.
    fn step(&mut self, until: Instant) -> Result<bool> {
        let Some(left) = until.checked_duration_since(Instant::now()) else { return Ok(false) };
        let wait =
            Timespec { tv_sec: i64::try_from(left.as_secs())?, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut watched =
            [PollFd::new(&self.process, PollFlags::IN), PollFd::new(&self.master, PollFlags::IN)];
        match poll(&mut watched, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ended = !watched[0].revents().is_empty();
        let read = self.read_what_is_there()?;
        Ok(read || !ended)
    }

    fn read_what_is_there(&mut self) -> Result<bool> {
        let (mut piece, mut any) = ([0; 65536], false);
        loop {
            match self.master.read(&mut piece) {
                Ok(0) => return Ok(any),
                Ok(length) => {
                    self.seen.extend_from_slice(&piece[..length]);
                    any = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // EIO: nobody holds the other side any more.
                Err(error) if error.raw_os_error() == Some(5) => return Ok(any),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_sees_a_terminal_of_its_size_and_its_interrupt() {
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", "/bin/sh", "-c"]);
        command.arg(
            "stty size; trap 'echo in''terrupted; exit 4' INT; echo rea''dy; while :; do read word; done",
        );
        let mut terminal = Terminal::start(&mut command, 33, 77).unwrap();
        terminal.wait_for("33 77", LIMIT).unwrap();
        terminal.wait_for("ready", LIMIT).unwrap();
        assert!(terminal.is_cooked().unwrap());
        terminal.send("\u{3}").unwrap();
        terminal.wait_for("interrupted", LIMIT).unwrap();
        assert_eq!(terminal.finish(LIMIT).unwrap(), 4);
    }
}
