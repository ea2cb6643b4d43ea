//! Rules that come and go while a session runs, and why something is refused.

use super::host::HostNetwork;
use super::session::{self, SessionNetwork, shown};
use crate::neighbours::Apart;
use crate::session::Session;
use crate::supervisor::Supervisor;
use agentbox_ipc::{AllowAnswer, Error, WhyAnswer};
use agentbox_plan::gate::HOST_NAMES;
use agentbox_plan::net::{
    Decision, Destination, Mode, Reason, Refused, Rule, Rules, Verdict, internal_range,
};
use agentbox_policy::{
    HostRule, LIVE_ALLOW, LIVE_DENY, Running, System, Tightened, live_allow, live_deny, stays_inside,
    tightened, with_live,
};
use serde_json::json;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Longest time that a rule may be asked for; longer is until the end of the session.
const MAX_TIME: Duration = Duration::from_secs(366 * 24 * 3600);
/// The port that is judged when none is named.
const DEFAULT_PORT: u16 = 443;

/// Whether a rule was added while its session ran.
pub(super) fn is_live(rule: &Rule) -> bool {
    rule.origin.ends_with(LIVE_ALLOW) || rule.origin.ends_with(LIVE_DENY)
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// More may be reached.
    Allow {
        /// Whether somebody who may has consented to more than the ceiling of the configuration. What is
        /// denied stays so.
        above_ceiling: bool,
    },
    /// Less may be reached.
    Deny,
}

/// For what, by whom, and next to which sessions.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// The host or network.
    pub(crate) target: &'a str,
    /// How long; 0 is until the end of the session.
    pub(crate) for_ms: u64,
    /// Who asks.
    pub(crate) caller_uid: u32,
    /// Other persons' sessions that have no part in the project.
    pub(crate) apart: &'a Apart,
}

/// Changes the rules of a session.
pub(crate) fn change(
    supervisor: &Supervisor,
    system: &System,
    session: &Session,
    change: Change,
    &Asked { target, for_ms, caller_uid, apart }: &Asked<'_>,
) -> Result<AllowAnswer, Error> {
    let asked: HostRule =
        target.parse().map_err(|error| Error::Invalid(format!("`{}`: {error}", target.escape_debug())))?;
    let network = session.network().ok_or_else(|| without_gate(session))?;
    let rules = network.rules();
    let more = match change {
        Change::Deny => live_deny(&asked),
        Change::Allow { above_ceiling } => live_allow(system, &rules, &asked, above_ceiling)
            .map_err(|error| crate::start::policy_error(&error))?,
    };
    let changed = with_live(&rules, &more).map_err(|error| crate::start::policy_error(&error))?;
    let warning = match change {
        Change::Allow { .. } => judge_legs(supervisor, session, &changed, apart)?,
        Change::Deny => None,
    };
    let time = Duration::from_millis(for_ms);
    let until = (for_ms > 0 && time < MAX_TIME).then(|| SystemTime::now() + time);
    for rule in more {
        network.add(rule, until);
    }
    let now = network.rules();
    let host = supervisor.network_if_open();
    let cut = host.map_or(0, |host| host.cut(network));
    let mut event = json!({
        "event": "rule-added",
        "verdict": if change == Change::Deny { "deny" } else { "allow" },
        "target": asked.to_string(),
        "for_ms": (for_ms > 0).then_some(for_ms),
        "caller_uid": caller_uid,
        "cut": cut,
    });
    if matches!(change, Change::Allow { above_ceiling: true }) {
        event["above_ceiling"] = true.into();
    }
    network.audit(supervisor, event);
    let rules = u32::try_from(now.rules.len()).unwrap_or(u32::MAX);
    Ok(AllowAnswer { target: asked.to_string(), rules, cut, warnings: warning.into_iter().collect() })
}

/// Whether the trifecta lets a session have these rules. Who asks does it outside of the session and for this
/// one rule, which is the confirmation that a profile can want; it is in the trail, and kept nowhere else.
fn judge_legs(
    supervisor: &Supervisor,
    session: &Session,
    rules: &Rules,
    apart: &Apart,
) -> Result<Option<String>, Error> {
    let Some(neighbour) = session.record.neighbour.clone() else { return Ok(None) };
    let (project, owner_uid) = (&session.record.project, session.record.owner_uid);
    let others = crate::neighbours::of(supervisor, project, owner_uid, Some(session), apart);
    let judged = neighbour.with_live(rules).judge(&others, true);
    judged.map_err(|error| crate::start::policy_error(&error))
}

/// What is said of a session without one.
pub(crate) fn without_gate(session: &Session) -> Error {
    let network = &session.record.network;
    Error::Refused(format!(
        "refused: session `{}` has no network that could be changed\nrule: network `{network}`\n\
         start it with --network allowlist or public",
        session.id()
    ))
}

/// The configuration was read again: what it closes now is closed to sessions that run, and cut. What it opens, and
/// every other change, is for sessions that start.
pub(crate) fn tighten(supervisor: &Supervisor, session: &Session, old: &System, new: &System) {
    let Some(network) = session.network() else { return };
    let record = &session.record;
    let origin = |of: &str| {
        let row = record.values.iter().find(|[key, ..]| key == of);
        row.map_or("", |[_, _, origin]| origin.as_str())
    };
    let running = Running {
        profile: &record.profile,
        posture: &record.posture,
        project: &record.project,
        home: &record.owner_home,
        network_origin: origin("network"),
        agent_origin: origin("agent"),
    };
    let rules = network.rules();
    let found = tightened(old, new, running, &rules);
    if found.is_nothing() {
        return;
    }
    let Tightened { mode: (mut mode, narrowed), mut denials, mut withdrawn } = found;
    if let Err(error) = with_live(&rules, &denials) {
        // A gate that cannot be told what is denied lets nothing through.
        supervisor.report(format!("session {}: all of its network is closed: {error}", session.id()));
        denials.clear();
        mode = Mode::Allowlist;
        withdrawn = rules.rules.iter().filter(|rule| rule.verdict == Verdict::Allow).cloned().collect();
    }
    let told = denials.iter().map(|rule| ("rule-added", "deny", rule.target.to_string()));
    let told = told.chain(withdrawn.iter().map(|rule| ("rule-removed", "allow", rule.target.to_string())));
    let told: Vec<_> = told.collect();
    network.narrow(mode, &withdrawn);
    denials.into_iter().for_each(|rule| network.add(rule, None));
    let host = supervisor.network_if_open();
    let cut = host.map_or(0, |host| host.cut(network));
    if let Some(origin) = narrowed {
        network.audit(supervisor, json!({ "event": "network-narrowed", "origin": origin, "cut": cut }));
    }
    for (event, verdict, target) in told {
        network.audit(
            supervisor,
            json!({
                "event": event, "verdict": verdict, "target": target, "for_ms": null,
                "caller_uid": null, "cut": cut,
            }),
        );
    }
}

/// Ends rules whose time is over.
pub(super) fn expire(supervisor: &Supervisor, host: &HostNetwork, network: &SessionNetwork) {
    let ended = network.expire();
    if ended.is_empty() {
        return;
    }
    let cut = host.cut(network);
    for rule in ended {
        network.audit(
            supervisor,
            json!({
                "event": "rule-removed",
                "verdict": if rule.verdict == Verdict::Allow { "allow" } else { "deny" },
                "target": rule.target.to_string(),
                "for_ms": null,
                "caller_uid": null,
                "cut": cut,
            }),
        );
    }
}

/// Which rule decides about a destination; no name is resolved for it. `what_is` says what an address is to this
/// machine.
pub(crate) fn why(
    network: &SessionNetwork,
    what_is: impl Fn(IpAddr) -> Option<Reason>,
    what: &str,
) -> Result<WhyAnswer, Error> {
    let (destination, port) = destination(what)?;
    if stays_inside(&destination) {
        return Ok(WhyAnswer {
            destination: shown(&destination),
            port,
            allowed: true,
            reason: "it is the session's own loopback, which no rule concerns".to_owned(),
            remedy: format!(
                "this machine's: agentboxctl allow {} host:{port}, and inside {}:{port}",
                network.id, HOST_NAMES[0]
            ),
            ..WhyAnswer::default()
        });
    }
    let (rules, translators) = (network.rules(), network.translators());
    let decision = match &destination {
        Destination::Address { address } => rules.judge_address(&destination, port, *address, &translators),
        _ => rules.judge(&destination, port),
    };
    let (reason, rule) = match (decision, &destination) {
        (Decision::Denied { reason, rule }, _) => (Some(reason), rule),
        (Decision::Allowed { rule }, Destination::Address { address }) => {
            (super::gate::next_to(&rules, &translators, what_is, &destination, *address, port), rule)
        }
        (Decision::Allowed { rule }, _) => (None, rule),
    };
    let rule = rule.and_then(|at| rules.rules.get(at as usize));
    let range = match (&destination, reason) {
        (Destination::Address { address }, Some(Reason::Internal)) => {
            translators.behind(*address).chain([*address]).find_map(internal_range)
        }
        _ => None,
    };
    let words = |reason: Reason| match range {
        Some(range) => format!("{reason}: {range}"),
        None => reason.to_string(),
    };
    Ok(WhyAnswer {
        destination: shown(&destination),
        port,
        allowed: reason.is_none(),
        reason: reason.map(words).unwrap_or_default(),
        rule: match rule {
            Some(rule) => rule.target.to_string(),
            None => format!("network `{}`", mode(&rules)),
        },
        origin: rule.map(|rule| rule.origin.clone()).unwrap_or_default(),
        remedy: reason.map_or_else(String::new, |reason| {
            let refused = Refused { destination: &destination, port, reason, rule, other: None };
            refused.remedy(network.id.as_str())
        }),
        access: None,
    })
}

fn mode(rules: &agentbox_plan::net::Rules) -> &'static str {
    match rules.mode {
        agentbox_plan::net::Mode::Public => "public",
        agentbox_plan::net::Mode::Allowlist => "allowlist",
    }
}

/// `HOST` or `HOST:PORT`, the host a name, an address or the host itself.
pub(crate) fn destination(what: &str) -> Result<(Destination, u16), Error> {
    let invalid = |why: &dyn std::fmt::Display| {
        Error::Invalid(format!(
            "`{}`: {why}\nagentboxctl why ID HOST[:PORT]",
            what.escape_debug().take(300).collect::<String>()
        ))
    };
    if let Ok(address) = what.parse() {
        return Ok((Destination::Address { address }, DEFAULT_PORT));
    }
    let (host, port) = match what.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse::<u16>().ok().filter(|port| *port != 0);
            (host, port.ok_or_else(|| invalid(&"the port behind `:` is 1 to 65535"))?)
        }
        None => (what, DEFAULT_PORT),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((session::destination(host).map_err(|error| invalid(&error))?, port))
}

#[cfg(test)]
mod tests {
    use super::super::session::{Fixed, OnLoss};
    use super::*;

    #[test]
    fn every_way_to_write_a_destination_is_understood() {
        for (text, shows, port) in [
            ("a.org", "a.org", 443),
            ("A.org:22", "a.org", 22),
            ("9.9.9.9", "9.9.9.9", 443),
            ("9.9.9.9:53", "9.9.9.9", 53),
            ("2606:4700::1111", "2606:4700::1111", 443),
            ("[2606:4700::1111]:53", "2606:4700::1111", 53),
            ("host:5432", "host", 5432),
            ("Host:5432", "host", 5432),
            ("host.:5432", "host", 5432),
            ("host.AgentBox.internal", "host", 443),
        ] {
            let (destination, judged) = destination(text).unwrap();
            assert_eq!((shown(&destination).as_str(), judged), (shows, port), "{text}");
        }
        for bad in ["", "a.org:0", "a.org:x", "a b", "https://a.org", "a\u{1b}[31m"] {
            assert!(destination(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_next_to_the_machine_is_not_said_to_be_allowed() {
        let fixed = Fixed {
            gate_uid: 7,
            ipv6: true,
            published: vec![],
            upload_max: None,
            name_upload_max: None,
            on_loss: OnLoss::Repair,
        };
        let rule = |target: &str| Rule {
            verdict: Verdict::Allow,
            target: target.parse().unwrap(),
            internal: true,
            origin: "x".into(),
        };
        let rules = Rules { mode: Mode::Public, rules: vec![rule("9.9.9.8:443")] };
        let network = SessionNetwork::new("abc".parse().unwrap(), 1000, fixed, rules);
        let what_is = |address: IpAddr| address.to_string().starts_with("9.9.9.").then_some(Reason::OnLink);
        for (what, allowed, remedy) in [
            ("8.8.8.8", true, ""),
            ("9.9.9.9", false, "agentboxctl allow abc 9.9.9.9"),
            // Granted by its rule.
            ("9.9.9.8", true, ""),
            ("a.org", true, ""),
            (
                "127.0.0.1:3000",
                true,
                "this machine's: agentboxctl allow abc host:3000, and inside host.agentbox.internal:3000",
            ),
            (
                "localhost",
                true,
                "this machine's: agentboxctl allow abc host:443, and inside host.agentbox.internal:443",
            ),
        ] {
            let said = why(&network, what_is, what).unwrap();
            assert_eq!((said.allowed, said.remedy.as_str()), (allowed, remedy), "{what}: {}", said.reason);
        }
    }
}
