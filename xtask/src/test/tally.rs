//! Counting tests: what cargo's test programs print is read while it passes by.

use crate::program;
use anyhow::{Context as _, Result, bail};
use std::fmt;
use std::io::{BufRead as _, BufReader, Write};
use std::process::{Command, Stdio};

/// Longest time of one `cargo test`, building included: twice what a cold start took on two cores.
const LIMIT_SECONDS: &str = "3000";

/// Of what a failed test said, so many lines of so many characters are told again at the end.
const TOLD_LINES: usize = 25;
const TOLD_CHARACTERS: usize = 400;
/// Of so many tests.
const TOLD_TESTS: usize = 12;

/// Tests that ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// The beginning of what failed tests said: it is far above when the whole run ends.
    pub(crate) told: Vec<String>,
    /// Whether the lines that come now are a failed test's.
    is_telling: bool,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.told.extend(other.told);
    }

    /// Adds what a line of a test program says, when it is a result, and keeps what a failed test said.
    pub(crate) fn note(&mut self, line: &str) {
        if let Some(result) = Self::parse(line) {
            self.add(result);
        }
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            self.told.push(String::new());
            self.is_telling = true;
        } else if matches!(line, "failures:" | "Stack backtrace:" | "stack backtrace:") {
            self.is_telling = false;
        }
        if let Some(told) = self.told.last_mut().filter(|told| told.lines().count() < TOLD_LINES)
            && self.is_telling
            && !line.is_empty()
        {
            told.extend(line.chars().take(TOLD_CHARACTERS));
            told.push('\n');
        }
    }

    /// What failed tests said, in short.
    pub(super) fn failures(&self) -> String {
        self.told.iter().take(TOLD_TESTS).map(String::as_str).collect()
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            passed: self.passed - before.passed,
            failed: self.failed - before.failed,
            ignored: self.ignored - before.ignored,
            ..Self::default()
        }
    }

    /// Runs `cargo test`, shows what it prints, and adds up its result lines. Fewer tests than `least`
    /// are an error: then what should have run did not.
    pub(crate) fn count(&mut self, command: &mut Command, least: u64) -> Result<()> {
        self.count_into(&mut bounded(command), least, &mut std::io::stdout())
    }

    /// The same without a least number; what is printed goes there.
    pub(super) fn count_quietly(&mut self, command: &mut Command, out: &mut Vec<u8>) -> Result<()> {
        // What a test says besides comes in the same order as its lines.
        let mut whole = Command::new("sh");
        whole.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program()).args(command.get_args());
        program::copy_surroundings(command, &mut whole);
        self.count_into(&mut bounded(&whole), 0, out)
    }

    fn count_into(&mut self, command: &mut Command, least: u64, out: &mut impl Write) -> Result<()> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program::shown(command)))?;
        let output = child.stdout.take().context("the test program has no output")?;
        let before = self.passed + self.failed;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read what the tests print")?;
            let line = String::from_utf8_lossy(&line);
            writeln!(out, "{line}")?;
            self.note(&line);
        }
        let status = child.wait().context("cannot wait for the test program")?;
        if !status.success() {
            bail!("{} ended with {status}", program::shown(command));
        }
        let ran = self.passed + self.failed - before;
        if ran < least {
            bail!("only {ran} tests ran");
        }
        Ok(())
    }

    /// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| {
            counts.split("; ").find_map(|count| count.strip_suffix(what)?.trim_end().parse::<u64>().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
            ..Self::default()
        })
    }
}

/// The same command with an end: a test that waits for ever must fail in words. coreutils' timeout(1)
/// ends the whole process group.
fn bounded(command: &Command) -> Command {
    let mut bounded = Command::new("timeout");
    bounded.args(["--verbose", "--kill-after=10", LIMIT_SECONDS]);
    bounded.arg(command.get_program()).args(command.get_args());
    program::copy_surroundings(command, &mut bounded);
    bounded
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_command_is_the_same_command() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo \"$NAME in $PWD\""]).env("NAME", "value").current_dir("/");
        let output = bounded(&command).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "value in /\n");
    }

    #[test]
    fn result_lines_are_added_up() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Tally::parse(line), Some(Tally { passed: 12, failed: 3, ignored: 1, ..Tally::default() }));
        for other in ["test a ... ok", "test result: ok", "  test result: ok. 1 passed; 0 failed; 0 ignored"]
        {
            assert_eq!(Tally::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_failed_test_said_is_told_without_where_it_was_called_from() {
        let mut tally = Tally::default();
        let said = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nError: no\nStack backtrace:\n 0: x\n\n\
                    ---- b stdout ----\nother\n\nfailures:\n    a\n    b\n";
        said.lines().for_each(|line| tally.note(line));
        assert_eq!(tally.failures(), "---- a stdout ----\nError: no\n---- b stdout ----\nother\n");
        tally.note("---- c stdout ----");
        (0..100).for_each(|_| tally.note(&"x".repeat(1000)));
        assert_eq!(tally.told[2].lines().count(), TOLD_LINES);
        assert!(tally.told[2].lines().all(|line| line.len() <= TOLD_CHARACTERS));
    }

    #[test]
    fn a_run_of_too_few_tests_is_an_error() {
        let mut tally = Tally::default();
        // Shown elsewhere: a result line of this test would be counted by the one who counts it.
        let mut shown = Vec::new();
        assert!(tally.count_into(&mut Command::new("true"), 1, &mut shown).is_err());
        assert!(tally.count_into(&mut Command::new("false"), 0, &mut shown).is_err());
        let mut echo = Command::new("echo");
        echo.arg("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.count_into(&mut echo, 2, &mut shown).unwrap();
        assert!(shown.starts_with(b"test result: ok. 2 passed"));
        assert_eq!(tally.to_string(), "2 passed, 0 failed");
    }
}
