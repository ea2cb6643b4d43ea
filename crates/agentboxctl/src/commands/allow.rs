//! `allow` and `deny`: the rules of a session that runs.

use crate::arguments::{Allow, Deny};
use crate::errors::Failure;
use crate::output::network::counted;
use crate::output::{escape, note, print, print_json, units};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::AllowAnswer;

pub(super) fn allow(allow: &Allow, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let (id, target) = (allow.id.as_str(), allow.target.as_str());
    let for_ms = allow.lasting.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let answer = supervisor.ask(async |manager| manager.allow(id, target, for_ms).await)?;
    let until = match for_ms {
        0 => "until it ends".to_owned(),
        ms => format!("for {}", units::span(ms)),
    };
    report(understand(answer)?, allow.json, |target| format!("{id} may reach {target} {until}"))
}

pub(super) fn deny(deny: &Deny, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let (id, target) = (deny.id.as_str(), deny.target.as_str());
    let answer = supervisor.ask(async |manager| manager.deny(id, target).await)?;
    report(understand(answer)?, deny.json, |target| format!("{id} may not reach {target} until it ends"))
}

fn report(answer: AllowAnswer, json: bool, what: impl FnOnce(&str) -> String) -> Result<u8, Failure> {
    if json {
        print_json(&answer)?;
        return Ok(0);
    }
    let mut text = what(&escape::name(&answer.target));
    if answer.cut > 0 {
        text.push_str(&format!("; {} cut", counted(answer.cut.into(), "connection was", "connections were")));
    }
    text.push_str(&format!("; it has {} now\n", counted(answer.rules.into(), "rule", "rules")));
    print(&text)?;
    for warning in &answer.warnings {
        note(&format!("warning: {}", escape::message(warning)));
    }
    Ok(0)
}
