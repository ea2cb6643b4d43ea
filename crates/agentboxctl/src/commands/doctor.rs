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
        Err(failure) if !doctor.repair => {
            return report(
                &[unreachable_supervisor(&failure), proxy(|name| std::env::var(name).ok())],
                doctor.json,
            );
        }
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
    let mut checks = answers.into_iter().map(understand).collect::<Result<Vec<Check>, _>>()?;
    checks.push(proxy(|name| std::env::var(name).ok()));
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

/// Whether the person's network has its way out through a proxy (curl(1), "ENVIRONMENT"). Gates connect
/// directly and use none.
fn proxy(variable: impl Fn(&str) -> Option<String>) -> Check {
    const NAMES: [&str; 6] =
        ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
    let named = NAMES.into_iter().find_map(|name| {
        let value = variable(name).filter(|value| !value.trim().is_empty())?;
        // Before the `@` there may be a password.
        let place = value.rsplit('@').next().unwrap_or_default();
        let place = place.rsplit("//").next().unwrap_or_default().trim_end_matches('/').to_owned();
        Some(format!("{name} names {place}"))
    });
    let (state, found, remedy) = match named {
        None => (CheckState::Ok, "no variable names one".to_owned(), String::new()),
        Some(found) => (
            CheckState::Warning,
            found,
            "sessions do not use it: their gates connect directly. Where it is the only way out, allow the \
             proxy itself with its port (`allow = [\"ADDRESS:PORT\"]`) and set its variable for sessions \
             (`env.set`); what is behind it is then for the proxy to refuse"
                .to_owned(),
        ),
    };
    Check { check: "proxy".into(), state, found, remedy }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        let check =
            proxy(|name| (name == "HTTPS_PROXY").then(|| "http://me:secret@proxy.example:3128/".into()));
        assert_eq!(check.state, CheckState::Warning);
        assert_eq!(check.found, "HTTPS_PROXY names proxy.example:3128");
        assert!(!check.remedy.is_empty());
        assert_eq!(proxy(|_| None).state, CheckState::Ok);
        assert_eq!(proxy(|_| Some(" ".into())).state, CheckState::Ok);
    }
}
