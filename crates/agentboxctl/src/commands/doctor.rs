//! `doctor`: what this host can and cannot do.

use crate::arguments::Doctor;
use crate::errors::{FAILURE, Failure};
use crate::output::table::{Columns, Tone};
use crate::output::{escape, print, print_json};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{Check, CheckState};

pub(super) fn run(doctor: &Doctor, embedded: bool) -> Result<u8, Failure> {
    let supervisor = match Supervisor::connect(embedded) {
        Ok(supervisor) => supervisor,
        // A supervisor that cannot be reached is a finding like the others.
        Err(failure) if !doctor.repair => return report(&[unreachable_supervisor(&failure)], doctor.json),
        Err(failure) => return Err(failure),
    };
    if doctor.repair {
        let cleaned = supervisor.ask(async |manager| manager.repair().await)?;
        if doctor.json {
            print_json(&cleaned)?;
        } else if cleaned.is_empty() {
            print("nothing was left behind\n")?;
        } else {
            print(
                &cleaned.iter().map(|what| format!("removed {}\n", escape::name(what))).collect::<String>(),
            )?;
        }
        return Ok(0);
    }
    let answers = supervisor.ask(async |manager| manager.diagnose().await)?;
    let checks = answers.into_iter().map(understand).collect::<Result<Vec<Check>, _>>()?;
    report(&checks, doctor.json)
}

fn unreachable_supervisor(failure: &Failure) -> Check {
    let (found, remedy) = failure.text().split_once('\n').unwrap_or((failure.text(), ""));
    Check {
        check: "supervisor".into(),
        state: CheckState::Missing,
        found: found.to_owned(),
        remedy: remedy.replace('\n', "; "),
    }
}

fn report(checks: &[Check], json: bool) -> Result<u8, Failure> {
    if json {
        print_json(checks)?;
    } else {
        let mut columns = Columns::new(&["CHECK", "STATE", "FOUND", "REMEDY"]);
        for check in checks {
            let (state, tone) = match check.state {
                CheckState::Ok => ("ok", Tone::Good),
                CheckState::Warning => ("warning", Tone::Warning),
                CheckState::Missing => ("missing", Tone::Bad),
            };
            let [name, found, remedy] =
                [&check.check, &check.found, &check.remedy].map(|text| (text.as_str(), Tone::Plain));
            columns.row([name, (state, tone), found, remedy]);
        }
        print(&columns.finish())?;
    }
    let missing = checks.iter().any(|check| check.state == CheckState::Missing);
    Ok(if missing { FAILURE } else { 0 })
}
