//! What a client reads when it is refused.

use crate::relay::{Expected, Refusal};
use agentbox_plan::SessionId;
use agentbox_plan::net::{Destination, Reason, Rules};
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
    match refusal.rule.and_then(|rule| origin(&expected.rules, rule)) {
        Some(rule) => _ = writeln!(out, "rule:   {rule}"),
        None if refusal.reason == Reason::NotListed => {
            out.push_str("rule:   none of this session is about it\n")
        }
        None => {}
    }
    let named = refusal.other.as_ref().map_or(wanted, ToString::to_string);
    match refusal.reason {
        Reason::NotListed | Reason::PortNotListed => {
            let bracketed = if named.contains(':') { format!("[{named}]") } else { named };
            let _ = writeln!(out, "remedy: agentboxctl allow {session} {bracketed}:{port}");
        }
        // Allowing it does not make the address that of the other name.
        Reason::NameMismatch if refusal.other.is_some() => {
            let _ = writeln!(
                out,
                "remedy: connect to {named} by its own name; if that is refused: agentboxctl allow {session} {named}:{port}"
            );
        }
        Reason::Denied => out.push_str("remedy: change the rule that denies it\n"),
        _ => {}
    }
    out
}

fn text(destination: &Destination) -> String {
    match destination {
        Destination::Name { name } => name.to_string(),
        Destination::Address { address } => address.to_string(),
        Destination::HostLoopback => "host".to_owned(),
    }
}

/// A rule as it is written and where. A path can be of the session's choosing: it becomes one harmless line.
fn origin(rules: &Rules, rule: u32) -> Option<String> {
    const MOST: usize = 300;
    let rule = rules.rules.get(usize::try_from(rule).ok()?)?;
    let origin = rule.origin.chars().take(MOST).flat_map(char::escape_default).collect::<String>();
    Some(format!("{} ({})", rule.target, origin))
}
