//! The table of controls and threats on a terminal.

use crate::holder::{HOLDERS, Holder, is_of_packages};
use crate::report::{Control, Report, Trial, Verdict};
use std::fmt::Write as _;

/// The threats, in order.
pub(crate) const THREATS: [(&str, &str); 8] = [
    ("T1", "host files"),
    ("T2", "exfiltration"),
    ("T3", "supply chain"),
    ("T4", "credentials"),
    ("T5", "lateral movement"),
    ("T6", "persistence"),
    ("T7", "privilege"),
    ("T8", "other projects"),
];

/// Of the attacks of one threat that one control holds: how many were tried, and how many of them worked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cell {
    /// Tried and judged.
    pub tried: usize,
    /// Of these, worked.
    pub worked: usize,
}

impl Cell {
    /// As it is shown.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self { tried: 0, .. } => "·".to_owned(),
            Self { tried, worked: 0 } => tried.to_string(),
            Self { tried, worked } => format!("{worked}/{tried}!"),
        }
    }
}

/// A row for each control that held something, a cell for each threat.
#[must_use]
pub fn matrix(report: &Report) -> Vec<(&'static Holder, [Cell; 8])> {
    let rows = HOLDERS.iter().map(|holder| {
        let mut cells = [Cell::default(); 8];
        for trial in report.trials.iter().filter(|one| one.held_by == holder.id && one.verdict.is_judged()) {
            for (cell, (threat, _)) in cells.iter_mut().zip(THREATS) {
                if trial.threat == threat || threat == "T3" && is_of_packages(&trial.id) {
                    cell.tried += 1;
                    cell.worked += usize::from(trial.verdict == Verdict::Worked);
                }
            }
        }
        (holder, cells)
    });
    rows.filter(|(_, cells)| cells.iter().any(|cell| cell.tried > 0)).collect()
}

/// All of it as text. Of what programs said, only what is escaped is given to this.
#[must_use]
pub fn text(report: &Report) -> String {
    let chosen = &report.chosen;
    let mut text = format!(
        "posture {} · network {} · workspace {} · guard {}{}\n\n",
        chosen.posture,
        chosen.network,
        chosen.workspace,
        chosen.guard,
        if chosen.profile.is_empty() { String::new() } else { format!(" · profile {}", chosen.profile) },
    );
    let _ = write!(text, "{:<24}", "HELD BY");
    for (threat, _) in THREATS {
        let _ = write!(text, "{threat:>7}");
    }
    text.push('\n');
    for (holder, cells) in matrix(report) {
        let _ = write!(text, "{:<24}", holder.name);
        for cell in cells {
            let _ = write!(text, "{:>7}", cell.text());
        }
        text.push('\n');
    }
    let (tried, shown) = report.tried();
    let worked = report.count(Verdict::Worked);
    let _ = write!(
        text,
        "\n{tried} attacks tried inside, {} stopped, {} told, {worked} worked. {shown} of them were first seen to work outside, \
         on this machine;\nthe others need root or a machine of a test's own for that.\n",
        report.count(Verdict::Stopped),
        report.count(Verdict::Told),
    );
    for (verdict, what) in [
        (Verdict::NothingHere, "have nothing to attack on this machine"),
        (Verdict::RigOnly, "need a network of a test's own and run where agentbox is tested"),
        (Verdict::Granted, "work because the configuration grants it"),
        (Verdict::NotPromised, "are not promised here"),
    ] {
        match report.count(verdict) {
            0 => {}
            count => {
                let _ = writeln!(text, "{count} {what}.");
            }
        }
    }
    match report.posture_diff.len() {
        0 => text.push_str("What the kernel shows of the session is what its policy says.\n"),
        _ => {
            text.push_str("\nTHE KERNEL SHOWS SOMETHING ELSE THAN THE POLICY SAYS\n");
            report.posture_diff.iter().for_each(|line| {
                let _ = writeln!(text, "  {line}");
            });
        }
    }
    if worked > 0 {
        text.push_str("\nWORKED INSIDE\n");
        report.worked().for_each(|trial| text.push_str(&line(trial)));
    }
    for trial in report.trials.iter().filter(|trial| trial.verdict == Verdict::Granted) {
        let _ = writeln!(text, "\ngranted: {}", trial.detail);
    }
    text.push_str("\nWHAT STAYS\n");
    for residual in &report.residual {
        let _ = writeln!(text, "  {}\n    {}", residual.risk, residual.remedy);
    }
    text
}

fn line(trial: &Trial) -> String {
    format!("  {}: {}\n    {}\n", trial.id, trial.title, trial.detail)
}

/// In a few words, what came of the attack where nothing holds it.
pub(crate) fn control_text(control: &Control) -> String {
    match control {
        Control::Worked(detail) => format!("worked: {detail}"),
        Control::NothingHere(detail) => format!("nothing to attack on this machine: {detail}"),
        Control::NeedsRoot => "needs root; shown where agentbox is tested".to_owned(),
        Control::RigOnly => {
            "may be tried only on a machine of a test's own; shown where agentbox is tested".to_owned()
        }
        Control::NonePossible(reason) => format!("none possible: {reason}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::Chosen;

    pub(crate) fn report() -> Report {
        let trial = |id: &str, verdict, control| Trial {
            id: id.to_owned(),
            threat: id[..2].to_uppercase(),
            title: "do <something>".to_owned(),
            held_by: crate::holder_of(id).id.to_owned(),
            control,
            verdict,
            detail: "EPERM".to_owned(),
        };
        Report {
            version: "1".to_owned(),
            begun_unix_s: 1_700_000_000,
            took_ms: 1234,
            kernel: "6.12".to_owned(),
            chosen: Chosen { posture: "L2".to_owned(), ..Chosen::default() },
            trials: vec![
                trial("t1.read-shadow", Verdict::Stopped, Control::NeedsRoot),
                trial("t7.bpf", Verdict::Worked, Control::Worked("done".to_owned())),
                trial("t5.lan4", Verdict::RigOnly, Control::RigOnly),
            ],
            posture_diff: Vec::new(),
            residual: Vec::new(),
        }
    }

    #[test]
    fn what_worked_is_told_and_the_rest_is_counted() {
        let report = report();
        assert!(!report.holds());
        assert_eq!(report.tried(), (2, 1));
        let text = text(&report);
        assert!(text.contains("2 attacks tried inside, 1 stopped, 0 told, 1 worked."), "{text}");
        assert!(text.contains("WORKED INSIDE\n  t7.bpf: do <something>"), "{text}");
        assert!(text.contains("1/1!"), "{text}");
        // What a package would try stands under T3 as well.
        let files = &matrix(&report)[0];
        assert_eq!((files.0.id, files.1[0].tried, files.1[2].tried), ("files", 1, 1));
    }
}
