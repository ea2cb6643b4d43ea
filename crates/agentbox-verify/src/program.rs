//! Running a program with bounds in time and bytes.

use crate::Error;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest line, and most lines, of a program that is believed to be ours and may be an attacker's.
const MOST_LINE_BYTES: u64 = 1 << 20;
const MOST_LINES: usize = 100_000;
const MOST_ERROR_BYTES: u64 = 16 << 10;

/// A program whose output is read line by line. Ended when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    errors: Option<std::thread::JoinHandle<String>>,
    said: usize,
}

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Line(String),
    /// Nothing in this time.
    Quiet,
    /// The output has ended.
    End,
}

impl Running {
    /// Starts it without standard input.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Error> {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// Starts it with whatever input the command has.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self, Error> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| Error::io(format!("cannot run {program}"), error))?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut output = BufReader::new(output);
                for _ in 0..MOST_LINES {
                    let mut line = Vec::new();
                    match output.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut line) {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {
                            let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                            if sender.send(line).is_err() {
                                break;
                            }
                        }
                    }
                }
            });
        }
        let errors = child.stderr.take().map(|errors| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = errors.take(MOST_ERROR_BYTES).read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })
        });
        Ok(Self { child, lines, errors, said: 0 })
    }

    /// The next line, waiting for at most this long.
    pub(crate) fn next(&mut self, patience: Duration) -> Next {
        match self.lines.recv_timeout(patience) {
            Ok(line) => {
                self.said += 1;
                Next::Line(line)
            }
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Lets a program that waits for the end of its input go.
    pub(crate) fn let_go(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end. The status, and what it wrote to standard error.
    pub(crate) fn finish(mut self, patience: Duration) -> Result<(i32, String), Error> {
        let until = Instant::now() + patience;
        // Whoever reads no output of it waits for the end of that first.
        while !matches!(self.next(until.saturating_duration_since(Instant::now())), Next::End) {
            if Instant::now() >= until {
                self.end();
                return Err(Error::new("a program did not end in time"));
            }
        }
        let status = self.child.wait().map_err(|error| Error::io("cannot wait for a program", error))?;
        let errors = self.errors.take().and_then(|reading| reading.join().ok()).unwrap_or_default();
        Ok((status.code().unwrap_or(128), errors))
    }

    fn end(&mut self) {
        let _already_dead = self.child.kill();
        let _nothing_to_know = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// All lines of a program that has to succeed.
pub(crate) fn lines(command: &mut Command, patience: Duration) -> Result<Vec<String>, Error> {
    let mut running = Running::start(command)?;
    let (until, mut lines) = (Instant::now() + patience, Vec::new());
    loop {
        match running.next(until.saturating_duration_since(Instant::now())) {
            Next::Line(line) => lines.push(line),
            Next::End => break,
            Next::Quiet => {
                return Err(Error::new(format!("{} said nothing in time", command.get_program().display())));
            }
        }
    }
    match running.finish(patience)? {
        (0, _) => Ok(lines),
        (status, errors) => Err(Error::new(if errors.trim().is_empty() {
            format!("{} ended with {status}", command.get_program().display())
        } else {
            // It names itself, as whoever shows this does.
            errors.trim().trim_start_matches("agentboxctl: ").to_owned()
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_succeeds_gives_its_lines_and_one_that_fails_its_reason() {
        assert_eq!(lines(&mut shell("echo a; echo b"), PATIENCE).unwrap(), ["a", "b"]);
        assert_eq!(lines(&mut shell("echo why >&2; exit 3"), PATIENCE).unwrap_err().to_string(), "why");
    }

    #[test]
    fn a_program_without_end_is_ended() {
        assert!(lines(&mut shell("exec sleep 1000"), Duration::from_millis(20)).is_err());
        let mut running = Running::start(&mut shell("echo a; exec sleep 1000")).unwrap();
        assert_eq!(running.next(PATIENCE), Next::Line("a".to_owned()));
        assert_eq!(running.next(Duration::from_millis(20)), Next::Quiet);
    }
}
