//! docs/BENCHMARKS.md: the machine, the versions, the tables.

use super::files::Row;
use super::peer::BUBBLEWRAP;
use super::round::Measured;
use super::start::{ALLOWLIST, COLD, LAUNCHER, STOP, WARM};
use crate::program;
use crate::table::Table;
use anyhow::{Context as _, Result};
use std::process::Command;

/// A run's sections of the document.
#[derive(Debug)]
pub(super) struct Report {
    machine: Vec<(String, String)>,
    /// By what it was written, and how busy the machine was when it began.
    origin: String,
    sections: Vec<(&'static str, String)>,
}

/// Sections in their order.
const SECTIONS: &[&str] = &[START, BUS, FILES, NETWORK, GUARD];
pub(super) const START: &str = "Start";
pub(super) const BUS: &str = "Start through the bus";
pub(super) const FILES: &str = "File work";
pub(super) const NETWORK: &str = "Network";
pub(super) const GUARD: &str = "Guard of trigger files";

impl Report {
    /// An empty one about this machine; `command` is what was asked for.
    pub(super) fn new(command: &str) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let field = |text: &str, name: &str, until: char| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map_or("unknown".to_owned(), |rest| rest.trim_matches([' ', '\t', until, '"']).to_owned())
        };
        let cpu = read("/proc/cpuinfo")?;
        let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
        let system = read("/etc/os-release")?;
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut machine = vec![
            ("processor".to_owned(), format!("{cores} × {}", field(&cpu, "model name", ':'))),
            ("memory".to_owned(), field(&read("/proc/meminfo")?, "MemTotal:", ':')),
            ("kernel".to_owned(), kernel),
            ("system".to_owned(), field(&system, "PRETTY_NAME=", '"')),
        ];
        for (name, argument) in [
            ("bwrap", "--version"),
            ("firejail", "--version"),
            ("podman", "--version"),
            ("node", "--version"),
            ("git", "--version"),
            ("rustc", "--version"),
        ] {
            let version = program::capture(Command::new(name).arg(argument)).unwrap_or_default();
            if let Some(line) = version.lines().next() {
                machine.push((name.to_owned(), line.to_owned()));
            }
        }
        let load = read("/proc/loadavg")?;
        let load = load.split(' ').next().unwrap_or_default();
        let origin = format!("By `{command}`, begun at load {load}.");
        Ok(Self { machine, origin, sections: Vec::new() })
    }

    /// Adds a section: what is between its head and the next one.
    pub(super) fn say(&mut self, title: &'static str, text: &str) {
        self.sections.push((title, format!("## {title}\n\n{}\n\n{}\n", self.origin, text.trim())));
    }

    pub(super) fn markdown(&self) -> String {
        self.sections.iter().map(|(_, text)| format!("\n{text}")).collect()
    }

    /// Puts the sections into the document, in the place of older ones; others stay.
    pub(super) fn write(&self) -> Result<()> {
        let path = crate::workspace::root().join("docs/BENCHMARKS.md");
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, self.merged(&old))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("\nwritten: {}", path.display());
        Ok(())
    }

    fn merged(&self, old: &str) -> String {
        let mut table = Table::new(&["machine", ""]);
        for (name, value) in &self.machine {
            table.row([name, value]);
        }
        let mut out = format!("{HEAD}\n{}", table.markdown());
        let kept: Vec<&str> = old.split("\n## ").skip(1).collect();
        for title in SECTIONS {
            let new = self.sections.iter().find(|(name, _)| name == title).map(|(_, text)| text.clone());
            let old = || kept.iter().find(|text| text.lines().next() == Some(title));
            if let Some(text) = new.or_else(|| old().map(|text| format!("## {}\n", text.trim_end()))) {
                out.push_str(&format!("\n{text}"));
            }
        }
        out
    }
}

const HEAD: &str = "# Benchmarks\n\nWritten by `cargo xtask bench --write`, each part on a machine that did nothing else. Everybody \
                    takes turns in one run, so the ratios say more than the times; the first turn of each is not counted. \
                    Numbers of another machine are other numbers.\n";

pub(super) fn start_section(starts: &[Measured]) -> String {
    let baseline = starts.iter().find(|row| row.name == BUBBLEWRAP).and_then(Measured::median_ms);
    let mut table = Table::new(&["start of `true`", "median ms", "p95 ms", "against bubblewrap"]);
    let mut missing = Vec::new();
    for row in starts.iter().filter(|row| row.name != STOP) {
        match (row.median_ms(), row.p95_ms(), &row.times) {
            (Some(median), Some(p95), _) => {
                let ratio =
                    baseline.map_or("–".to_owned(), |baseline| format!("{:.2}×", median / baseline));
                table.row([row.name.clone(), format!("{median:.2}"), format!("{p95:.2}"), ratio]);
            }
            (_, _, Err(why)) => missing.push(format!("* {}: {why}\n", row.name)),
            _ => missing.push(format!("* {}: never ran\n", row.name)),
        }
    }
    let mut out = format!(
        "From the spawn of the command to its end. {BUBBLEWRAP}: the same paths and namespaces as the session, \
         without its leased uid, id-mapped mounts, Landlock, seccomp, control group and audit trail. {LAUNCHER}: the plan \
         of a real session put into force, no supervisor. {WARM}: `agentboxctl start`. {COLD}: the same where none runs yet, \
         the start of the supervisor included. {ALLOWLIST}: as the one before that, with an own network and its gate; \
         all others have no network.\n\n![Start of true in each of them](benchmarks/start.svg)\n\n{}",
        table.markdown()
    );
    let stop = starts.iter().find(|row| row.name == STOP);
    if let Some((median, p95)) = stop.and_then(|row| row.median_ms().zip(row.p95_ms())) {
        out.push_str(&format!(
            "\nStop of a session with network `allowlist` that waits, until nothing of it is left: median {median:.2} ms, \
             p95 {p95:.2} ms.\n"
        ));
    }
    if !missing.is_empty() {
        out.push_str(&format!("\nNot measured:\n\n{}", missing.concat()));
    }
    out
}

pub(super) fn files_section(rows: &[Row]) -> String {
    let mut table = Table::new(&["work in a project", "outside ms", "inside ms", "speed inside"]);
    for (name, outside, inside) in rows {
        let cell = |value: Option<f64>| value.map_or("not run".to_owned(), |value| format!("{value:.1}"));
        let ratio = inside.speed_against(outside).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        table.row([name.clone(), cell(outside.median_ms()), cell(inside.median_ms()), ratio]);
    }
    format!(
        "The same script at posture L2 and outside, turn by turn, timed by the script itself; 1.00 is the \
         host's own speed, the median of the ratios of each round. What does little else than ask the kernel about \
         files pays for the system call filter ([decision 8](decisions/0008-the-price-of-the-filter.md)). Without a \
         session: the person's own shell in a mount of the kernel's overlayfs, with nothing of agentbox, so what is left \
         of a difference there is the kernel's.\n\n\
         ![Speed of file work inside](benchmarks/files.svg)\n\n{}",
        table.markdown()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn new_sections_stand_in_the_place_of_old_ones_and_others_stay() {
        let mut report = Report { machine: vec![], origin: "By it.".to_owned(), sections: vec![] };
        report.say(FILES, "new files\n");
        let text = report.merged(
            "# Old\n\nhead\n\n## File work\n\nold files\n\n## Start\n\nold start\n### more\n\n## Gone\n\nx\n",
        );
        let sections = "\n## Start\n\nold start\n### more\n\n## File work\n\nBy it.\n\nnew files\n";
        assert!(text.starts_with("# Benchmarks") && text.ends_with(sections), "{text}");
    }

    #[test]
    fn who_was_not_measured_is_listed_with_the_reason() {
        let measured =
            |name: &str, ms| Measured { name: name.to_owned(), times: Ok(vec![Duration::from_millis(ms)]) };
        let text =
            start_section(&[measured(BUBBLEWRAP, 10), measured("own", 5), Measured::not("nono", "absent")]);
        assert!(text.contains("0.50×"), "{text}");
        assert!(text.contains("* nono: absent"), "{text}");
    }
}
