//! What a client reads when it is refused.

use crate::relay::{Expected, Refusal};
use agentbox_plan::SessionId;
use agentbox_plan::net::{Destination, Reason, Refused, Rule, Rules};
use std::fmt::Write as _;

/// What there is to say about a refusal.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// Of which session.
    pub session: &'a SessionId,
    /// Where the connection goes.
    pub expected: &'a Expected,
    /// Why it does not.
    pub refusal: &'a Refusal,
}

/// A whole response that says what was refused, by which rule, and what a person can do.
#[must_use]
pub fn response(words: &Words<'_>) -> Vec<u8> {
    let status = match words.refusal.reason {
        Reason::Malformed => "400 Bad Request",
        reason if reason.is_refusal() => "403 Forbidden",
        _ => "502 Bad Gateway",
    };
    let body = body(words);
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
         Cache-Control: no-store\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn body(words: &Words<'_>) -> String {
    let Words { session, expected, refusal } = *words;
    let port = expected.port;
    let wanted = text(&expected.destination);
    let mut out = format!("agentbox: {wanted}, port {port}: {}\n", refusal.reason);
    if let Some(other) = &refusal.other {
        let _ = writeln!(out, "named:  {other}");
    }
    let rule = refusal.rule.and_then(|rule| harmless(&expected.rules, rule));
    match &rule {
        Some(rule) => _ = writeln!(out, "rule:   {} ({})", rule.target, rule.origin),
        None if refusal.reason == Reason::NotListed => {
            out.push_str("rule:   none of this session is about it\n")
        }
        None => {}
    }
    let refused = Refused {
        destination: &expected.destination,
        port,
        reason: refusal.reason,
        rule: rule.as_ref(),
        other: refusal.other.as_ref(),
    };
    let _ = writeln!(out, "remedy: {}", refused.remedy(session.as_str()));
    out
}

fn text(destination: &Destination) -> String {
    match destination {
        Destination::Name { name } => name.to_string(),
        Destination::Address { address } => address.to_string(),
        Destination::HostLoopback => "host".to_owned(),
    }
}

/// A rule and where it is written. A path can be of the session's choosing: it becomes one harmless line.
fn harmless(rules: &Rules, rule: u32) -> Option<Rule> {
    const MOST: usize = 300;
    let rule = rules.rules.get(usize::try_from(rule).ok()?)?;
    let origin = rule.origin.chars().take(MOST).flat_map(char::escape_default).collect::<String>();
    Some(Rule { origin, ..rule.clone() })
}
