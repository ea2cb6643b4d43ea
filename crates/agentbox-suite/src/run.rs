//! Commands in bounded time: one that hangs fails its test with what it had said, rather than all tests.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A command that has ended.
#[derive(Clone)]
pub struct Finished {
    /// Its exit status, or 128 + n after signal n.
    pub status: i32,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Itself when the status is 0.
    ///
    /// # Errors
    /// With all that it said when it is not.
    pub fn success(self) -> Result<Self> {
        if self.status != 0 {
            bail!("{self:?}");
        }
        Ok(self)
    }

    /// The JSON on standard output.
    ///
    /// # Errors
    /// When it failed or printed something else.
    pub fn json(self) -> Result<serde_json::Value> {
        let finished = self.success()?;
        serde_json::from_slice(&finished.stdout).with_context(|| format!("no JSON: {finished:?}"))
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
            if bytes.len() > 4000 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
        };
        write!(
            f,
            "status {}\nstdout: {}\nstderr: {}",
            self.status,
            brief(&self.stdout).escape_debug(),
            brief(&self.stderr).escape_debug()
        )
    }
}

/// A command that runs, with its three streams.
#[derive(Debug)]
pub struct Running {
    child: Child,
    process: OwnedFd,
    what: String,
    stdin: Option<ChildStdin>,
    unsent: Vec<u8>,
    close_when_sent: bool,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    said: Vec<u8>,
    errors: Vec<u8>,
    status: Option<i32>,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn start(command: &mut Command) -> Result<Self> {
        let what = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {what}"))?;
        let id = rustix::process::Pid::from_child(&child);
        let process = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty())?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        for stream in [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ]
        .into_iter()
        .flatten()
        {
            fcntl_setfl(stream, fcntl_getfl(stream)? | OFlags::NONBLOCK)?;
        }
        Ok(Self {
            child,
            process,
            what,
            stdin,
            unsent: Vec::new(),
            close_when_sent: false,
            stdout,
            stderr,
            said: Vec::new(),
            errors: Vec::new(),
            status: None,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Queues bytes for its standard input.
    pub fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Ends its standard input once all that was queued is sent.
    pub fn end_input(&mut self) {
        self.close_when_sent = true;
        if self.unsent.is_empty() {
            self.stdin = None;
        }
    }

    /// Stops reading its standard output, as a reader that goes away.
    pub fn close_output(&mut self) {
        self.stdout = None;
    }

    /// What it has written so far.
    #[must_use]
    pub fn so_far(&self) -> &[u8] {
        &self.said
    }

    /// Waits for the next line of standard output.
    ///
    /// # Errors
    /// When it ended or the time is over before there is one.
    pub fn line(&mut self, limit: Duration) -> Result<String> {
        let until = Instant::now() + limit;
        loop {
            if let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
                let line = self.said.drain(..=end).collect::<Vec<u8>>();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.status.is_some() && self.stdout.is_none() {
                let finished = self.take_finished();
                bail!("{} ended without a line: {finished:?}", self.what);
            }
            self.step(until)?;
        }
    }

    /// Lines that are there already or arrive while nothing else is waited for.
    ///
    /// # Errors
    /// When it cannot be read from.
    pub fn lines_so_far(&mut self) -> Result<Vec<String>> {
        self.read_what_is_there()?;
        let mut lines = Vec::new();
        while let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
            let line = self.said.drain(..=end).collect::<Vec<u8>>();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        Ok(lines)
    }

    /// Waits until its standard output holds these bytes.
    ///
    /// # Errors
    /// When it ended or the time is over before.
    pub fn wait_for(&mut self, wanted: &[u8], limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while !self.said.windows(wanted.len()).any(|window| window == wanted) {
            if self.status.is_some() && self.stdout.is_none() {
                let finished = self.take_finished();
                bail!("{} ended first: {finished:?}", self.what);
            }
            self.step(until)?;
        }
        Ok(())
    }

    /// Ends its input and waits for its end.
    ///
    /// # Errors
    /// When the time is over; it is killed then.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        self.end_input();
        let until = Instant::now() + limit;
        while self.status.is_none() {
            self.step(until)?;
        }
        // What it wrote is in the pipes by now. Others may hold them open, so their end is not waited for.
        self.read_what_is_there()?;
        Ok(self.take_finished())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.process, signal)?)
    }

    fn take_finished(&mut self) -> Finished {
        Finished {
            status: self.status.unwrap_or(-1),
            stdout: std::mem::take(&mut self.said),
            stderr: std::mem::take(&mut self.errors),
        }
    }

    /// Waits for anything to happen and takes it in.
    fn step(&mut self, until: Instant) -> Result<()> {
        let Some(left) = until.checked_duration_since(Instant::now()) else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let finished = self.take_finished();
            bail!("{} took too long; until then: {finished:?}", self.what);
        };
        let wait =
            Timespec { tv_sec: i64::try_from(left.as_secs())?, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut watched = vec![PollFd::new(&self.process, PollFlags::IN)];
        watched.extend(self.stdout.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        watched.extend(self.stderr.iter().map(|stream| PollFd::new(stream, PollFlags::IN)));
        if !self.unsent.is_empty() {
            watched.extend(self.stdin.iter().map(|stream| PollFd::new(stream, PollFlags::OUT)));
        }
        match poll(&mut watched, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.write_what_fits();
        self.read_what_is_there()?;
        if self.status.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            self.status = Some(status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(-1));
            // All that it wrote is in the pipes now.
            self.read_what_is_there()?;
            if self.status.is_some() && self.stdout.is_some() {
                self.stdout = None;
                self.stderr = None;
            }
        }
        Ok(())
    }

    fn write_what_fits(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            while !self.unsent.is_empty() {
                match stdin.write(&self.unsent) {
                    Ok(length) => drop(self.unsent.drain(..length)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    // Whoever does not read any more does not get more.
                    Err(_) => self.unsent.clear(),
                }
            }
        }
        if self.close_when_sent && self.unsent.is_empty() {
            self.stdin = None;
        }
    }

    fn read_what_is_there(&mut self) -> Result<()> {
        if read_all(self.stdout.as_mut(), &mut self.said)? {
            self.stdout = None;
        }
        if read_all(self.stderr.as_mut(), &mut self.errors)? {
            self.stderr = None;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads until nothing is left for now; true at the end of the stream.
fn read_all(stream: Option<&mut impl Read>, into: &mut Vec<u8>) -> Result<bool> {
    let Some(stream) = stream else { return Ok(false) };
    let mut piece = [0; 65536];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(length) => into.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be executed or takes longer than `limit`; what it exits with is no error here.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Finished> {
    let mut running = Running::start(command)?;
    running.send(input);
    running.finish(limit)
}

/// Asks until there is an answer, at growing distances, for what nothing announces.
///
/// # Errors
/// When asking fails or the time is over.
pub fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let until = Instant::now() + limit;
    let mut distance = Duration::from_millis(2);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= until {
            bail!("not within {limit:?}: {what}");
        }
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(distance.subsec_nanos()) };
        let _ = poll(&mut [], Some(&wait));
        distance = (distance * 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn streams_and_status_arrive_whole() {
        let input = vec![b'x'; 300_000];
        let finished = run(&mut shell("cat; echo no >&2; exit 3"), &input, LIMIT).unwrap();
        assert_eq!((finished.status, finished.stdout.len()), (3, 300_000));
        assert_eq!(finished.stderr, b"no\n");
        assert_eq!(run(&mut shell("kill -9 $$"), b"", LIMIT).unwrap().status, 137);
    }

    #[test]
    fn what_hangs_is_ended_and_told() {
        let error = run(&mut shell("echo before; exec sleep 600"), b"", Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("before"), "{error}");
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipes_holds_nothing_up() {
        let script = "sleep 600 & echo $!";
        let finished = run(&mut shell(script), b"", LIMIT).unwrap();
        let pid = finished.text().trim().parse().unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }

    #[test]
    fn lines_arrive_while_it_runs() {
        let mut running = Running::start(&mut shell("echo one; read word; echo $word")).unwrap();
        assert_eq!(running.line(LIMIT).unwrap(), "one");
        running.send(b"two\n");
        assert_eq!(running.line(LIMIT).unwrap(), "two");
        assert_eq!(running.finish(LIMIT).unwrap().status, 0);
    }
}
