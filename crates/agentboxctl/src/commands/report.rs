//! `report`, and what a person is told when a session ends: what it left behind in its project.

use super::named;
use crate::arguments::Report;
use crate::errors::Failure;
use crate::output::network::counted;
use crate::output::{escape, note, print, print_json};
use crate::supervisor::{Supervisor, understand};
use crate::terminal::{self, RawMode};
use agentbox_ipc::{ReportAnswer, ReportLine};
use nix::sys::signal::SigSet;
use std::io::{self, Read as _, Write as _};

/// Lines that a person gets at the end of a session; `report` shows all.
const MOST_LINES: usize = 30;

pub(super) fn run(report: &Report, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let answer = named::ask(&supervisor, report.id.as_str(), |id| ask(&supervisor, id))?;
    if report.json {
        print_json(&answer)?;
    } else {
        print(&words(&answer, usize::MAX))?;
    }
    Ok(0)
}

fn ask(supervisor: &Supervisor, id: &str) -> Result<ReportAnswer, Failure> {
    let answer = supervisor
        .ask_patiently("looking at what changed in the project", async |manager| manager.report(id).await)?;
    understand(answer)
}

/// How the end of a session is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    /// Nothing is said that is not grave.
    pub(super) quiet: bool,
    /// Also where standard error is no terminal.
    pub(super) verbose: bool,
    /// Nobody has to press a key.
    pub(super) yes: bool,
}

/// After a session that changed its project in place. `supervisor` is the connection that started it; a
/// supervisor may have been replaced meanwhile.
pub(super) fn after_session(
    supervisor: Option<Supervisor>,
    id: &str,
    telling: Telling,
    embedded: bool,
) -> Result<(), Failure> {
    let to_person = terminal::is_terminal(io::stderr());
    if !to_person && !telling.verbose {
        return Ok(());
    }
    let first = supervisor.as_ref().map(|supervisor| ask(supervisor, id));
    let answer = match first {
        Some(Ok(answer)) => Ok(answer),
        _ => Supervisor::connect(embedded).and_then(|supervisor| ask(&supervisor, id)),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            note(&format!(
                "agentbox {id}: what the session changed is not known yet; see: agentboxctl report {id}"
            ));
            tell(&failure);
            return Ok(());
        }
    };
    let grave = answer.grave();
    if grave == 0 && (telling.quiet || answer.findings.is_empty() && answer.unseen_count == 0) {
        return Ok(());
    }
    note(words(&answer, MOST_LINES).trim_end());
    if grave > 0 && to_person && terminal::is_terminal(io::stdin()) && !telling.yes {
        press_a_key().map_err(|error| Failure::system("cannot read a key", error))?;
    }
    Ok(())
}

/// Tells what happens in the project of a session while this process is attached to it, in a thread of its own.
/// [`Notices::end`] gives the connection back.
#[derive(Debug)]
pub(super) struct Notices {
    thread: std::thread::JoinHandle<Supervisor>,
}

impl Notices {
    /// `all`: also what needs no answer.
    pub(super) fn begin(supervisor: Supervisor, id: &str, all: bool) -> Self {
        let id = id.to_owned();
        let raw = terminal::is_terminal(io::stdin());
        // Signals are for the thread that has the terminal; one that arrived here would end the program.
        let before = SigSet::thread_get_mask();
        let _taken_anyhow = SigSet::all().thread_block();
        let thread = std::thread::spawn(move || {
            let mut after = 0;
            while let Ok(notices) = supervisor.ask(async |manager| manager.notices(&id, after).await) {
                if notices.is_empty() {
                    break;
                }
                after += notices.len() as u64;
                // A session that is held does nothing until somebody knows, and one that ended says nothing more.
                let grave = |notice: &String| notice.starts_with("frozen: ") || notice.starts_with("ended: ");
                for notice in notices.into_iter().filter(|notice| all || grave(notice)) {
                    let text = format!("agentbox {id}: {}", escape::message(&notice));
                    // The terminal is in raw mode, and the agent's screen may be on it.
                    note(&if raw { format!("\r\n{}\r", text.replace('\n', "\r\n")) } else { text });
                }
            }
            supervisor
        });
        if let Ok(before) = before {
            let _restored = before.thread_set_mask();
        }
        Self { thread }
    }

    /// Waits until the session has ended.
    pub(super) fn end(self) -> Option<Supervisor> {
        self.thread.join().ok()
    }
}

/// The reason is the supervisor's; that there is none is what matters here.
fn tell(failure: &Failure) {
    if !failure.is_not_found() {
        failure.print();
    }
}

fn press_a_key() -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(b"press a key when you have read it ")?;
    out.flush()?;
    let stdin = io::stdin();
    let raw = RawMode::enter(&stdin, true)?;
    let mut key = [0];
    // The end of the terminal is an answer as well.
    let read = stdin.lock().read(&mut key);
    drop(raw);
    out.write_all(b"\n")?;
    read.map(drop)
}

/// The whole report: the grave findings, the others, what was not seen.
fn words(answer: &ReportAnswer, most: usize) -> String {
    let id = escape::name(&answer.id);
    let grave = answer.findings.iter().filter(|finding| finding.grave).count();
    let total = answer.findings.len() + answer.more as usize;
    let mut text = format!("agentbox {id} changed in {}:", escape::name(&answer.project));
    text.push_str(&match (grave, total) {
        (0, 0) if answer.failed.is_some() => " nobody knows what\n".to_owned(),
        (0, 0) => " nothing that acts later\n".to_owned(),
        (0, total) => format!(" {}\n", counted(total as u64, "file that acts later", "files that act later")),
        (grave, _) => format!(" {} to look at first\n", counted(grave as u64, "finding", "findings")),
    });
    if let Some(why) = &answer.failed {
        text.push_str(&format!("  ! it could not all be looked at: {}\n", escape::name(why)));
    }
    for finding in answer.findings.iter().take(most) {
        text.push_str(&line(finding));
    }
    let left = total.saturating_sub(most.min(answer.findings.len()));
    if left > 0 {
        text.push_str(&format!("  … and {left} more: agentboxctl report {id}\n"));
    }
    if answer.unseen_count > 0 {
        let shown: Vec<_> = answer.unseen.iter().take(most.min(5)).map(|name| escape::name(name)).collect();
        text.push_str(&format!(
            "  not looked into: {} ({})\n",
            counted(answer.unseen_count.into(), "directory", "directories"),
            shown.join(", ")
        ));
    }
    text
}

fn line(finding: &ReportLine) -> String {
    let mark = if finding.grave { '!' } else { '·' };
    let what = match finding.kind.as_str() {
        "trigger" => "",
        "git-config" => "",
        "git-pointer" => "pointer of git's ",
        "set-id" => "set-id file ",
        "hard-link" => "file with names outside of the project ",
        "socket" => "socket ",
        "pipe" => "named pipe ",
        "device" => "device ",
        "odd-name" => "odd name ",
        "repository" => "git repository ",
        "bare-repository" => "bare git repository ",
        other => other,
    };
    let mut text = format!(
        "  {mark} {} {}{}",
        escape::name(&finding.change),
        escape::name(what),
        escape::name(&finding.path)
    );
    if !finding.actor.is_empty() && finding.kind == "trigger" {
        text.push_str(&format!(" ({})", escape::name(&finding.actor)));
    }
    if !finding.detail.is_empty() {
        text.push_str(&format!(": {}", escape::name(&finding.detail)));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: &str, path: &str, grave: bool) -> ReportLine {
        ReportLine {
            kind: kind.into(),
            change: "added".into(),
            path: path.into(),
            actor: "git".into(),
            detail: "x\x1b[2J".into(),
            grave,
        }
    }

    #[test]
    fn a_report_is_harmless_lines_with_the_grave_first_and_says_what_it_leaves_out() {
        let answer = ReportAnswer {
            id: "abc".into(),
            project: "/p\x1b".into(),
            findings: vec![
                finding("trigger", ".git/hooks/a\n", true),
                finding("set-id", "x", true),
                finding("pipe", "y", false),
            ],
            more: 4,
            unseen: vec!["deep (too deep)".into()],
            unseen_count: 9,
            ..ReportAnswer::default()
        };
        assert_eq!(
            words(&answer, 2),
            "agentbox abc changed in /p\\x1b: 2 findings to look at first\n  \
             ! added .git/hooks/a\\n (git): x\\x1b[2J\n  ! added set-id file x: x\\x1b[2J\n  \
             … and 5 more: agentboxctl report abc\n  not looked into: 9 directories (deep (too deep))\n"
        );
        let nothing = ReportAnswer { id: "abc".into(), project: "/p".into(), ..ReportAnswer::default() };
        assert_eq!(words(&nothing, 9), "agentbox abc changed in /p: nothing that acts later\n");
        let failed = ReportAnswer { failed: Some("took too long".into()), ..nothing };
        assert_eq!(
            words(&failed, 9),
            "agentbox abc changed in /p: nobody knows what\n  ! it could not all be looked at: took too long\n"
        );
    }
}
