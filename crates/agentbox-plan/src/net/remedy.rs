//! What a person does about a refusal: the same words in the trail's, the session's and the gate's mouth.

use super::{Destination, HostName, Reason, Rule};

/// Where a rule that somebody allowed while its session ran comes from: its origin ends with this.
pub const LIVE_ALLOW: &str = "agentboxctl allow";
/// The same of one that somebody denied.
pub const LIVE_DENY: &str = "agentboxctl deny";

/// What was refused.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Where a connection was to go.
    pub destination: &'a Destination,
    /// Port; 0 for a question for a name.
    pub port: u16,
    /// Why it does not.
    pub reason: Reason,
    /// The rule that says so.
    pub rule: Option<&'a Rule>,
    /// The name that was named instead.
    pub other: Option<&'a HostName>,
}

impl Refused<'_> {
    /// What a person does so that it is not; in one line, except for what an origin holds.
    #[must_use]
    pub fn remedy(&self, session: &str) -> String {
        let Self { destination, port, reason, rule, other } = *self;
        let suffix = if matches!(port, 0 | 80 | 443) { String::new() } else { format!(":{port}") };
        let target = match (destination, other) {
            (_, Some(other)) => format!("{other}{suffix}"),
            (Destination::Address { address }, None) if address.is_ipv6() && !suffix.is_empty() => {
                format!("[{address}]{suffix}")
            }
            (Destination::Address { address }, None) => format!("{address}{suffix}"),
            (Destination::Name { name }, None) => format!("{name}{suffix}"),
            (Destination::HostLoopback, None) => format!("host:{port}"),
        };
        let is_live = |rule: &Rule| rule.origin.ends_with(LIVE_ALLOW) || rule.origin.ends_with(LIVE_DENY);
        match (reason, rule) {
            (Reason::Denied, Some(rule)) if !is_live(rule) => {
                format!("take `{}` out of {}", rule.target, rule.origin)
            }
            (Reason::Internal | Reason::OwnAddress | Reason::OnLink, _)
                if matches!(destination, Destination::Name { .. }) =>
            {
                format!("name it in `internal` of the profile: internal = [\"{target}\"]")
            }
            (
                Reason::NotListed
                | Reason::Denied
                | Reason::PortNotListed
                | Reason::Internal
                | Reason::OwnAddress
                | Reason::OnLink,
                _,
            ) => format!("agentboxctl allow {session} {target}"),
            (Reason::Budget, _) => "start with a larger `upload_max`".to_owned(),
            (Reason::NameBudget, _) => "start with a larger `name_upload_max`".to_owned(),
            // Allowing it does not make the address that of the other name.
            (Reason::NameMismatch, _) if let Some(other) = other => format!(
                "connect to {other} by its own name; if that is refused: agentboxctl allow {session} {target}"
            ),
            (Reason::NameMismatch | Reason::NoName, _) => {
                "say the name whose address was asked for, in TLS and in HTTP".to_owned()
            }
            (Reason::Malformed | Reason::Silent, _) => match port {
                443 => "port 443 is for TLS only: speak another protocol on another port".to_owned(),
                80 => "port 80 is for HTTP/1 and TLS only: speak another protocol on another port".to_owned(),
                _ => "what begins like TLS has to go on as TLS".to_owned(),
            },
            (Reason::TooMany, _) => "wait until some have ended".to_owned(),
            (Reason::ManyDestinations, _) => {
                "wait: each half a second there is room in the trail for one more".to_owned()
            }
            (Reason::NotFound, _) => "look at how the name is written".to_owned(),
            (Reason::Unresolved | Reason::Unreachable | Reason::SupervisorAway, _) => {
                "try it again".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Verdict;

    fn remedy(
        destination: &str,
        port: u16,
        reason: Reason,
        origin: Option<&str>,
        other: Option<&str>,
    ) -> String {
        let destination = match destination.parse() {
            Ok(address) => Destination::Address { address },
            Err(_) => Destination::Name { name: destination.parse().unwrap() },
        };
        let rule = origin.map(|origin| Rule {
            verdict: Verdict::Deny,
            target: "a.org".parse().unwrap(),
            internal: false,
            origin: origin.into(),
        });
        let other: Option<HostName> = other.map(|other| other.parse().unwrap());
        let refused =
            Refused { destination: &destination, port, reason, rule: rule.as_ref(), other: other.as_ref() };
        refused.remedy("abc")
    }

    #[test]
    fn every_refusal_has_a_remedy_of_its_own() {
        for (said, expected) in [
            (remedy("a.org", 443, Reason::NotListed, None, None), "agentboxctl allow abc a.org"),
            (remedy("2606::1", 22, Reason::NotListed, None, None), "agentboxctl allow abc [2606::1]:22"),
            (remedy("9.9.9.9", 443, Reason::NotListed, None, Some("b.org")), "agentboxctl allow abc b.org"),
            (
                remedy("a.org", 443, Reason::Denied, Some("x.toml: deny"), None),
                "take `a.org` out of x.toml: deny",
            ),
            (remedy("a.org", 443, Reason::Denied, Some(LIVE_DENY), None), "agentboxctl allow abc a.org"),
            (remedy("10.0.0.1", 80, Reason::Internal, None, None), "agentboxctl allow abc 10.0.0.1"),
            (
                remedy("a.org", 80, Reason::OnLink, None, None),
                "name it in `internal` of the profile: internal = [\"a.org\"]",
            ),
            (remedy("a.org", 80, Reason::Budget, None, None), "start with a larger `upload_max`"),
            (
                remedy("a.org", 80, Reason::ManyDestinations, None, None),
                "wait: each half a second there is room in the trail for one more",
            ),
            (
                remedy("a.org", 80, Reason::NameMismatch, None, Some("b.org")),
                "connect to b.org by its own name; if that is refused: agentboxctl allow abc b.org",
            ),
            (
                remedy("a.org", 443, Reason::Malformed, None, None),
                "port 443 is for TLS only: speak another protocol on another port",
            ),
            (
                remedy("a.org", 80, Reason::Silent, None, None),
                "port 80 is for HTTP/1 and TLS only: speak another protocol on another port",
            ),
            (
                remedy("a.org", 8443, Reason::Malformed, None, None),
                "what begins like TLS has to go on as TLS",
            ),
        ] {
            assert_eq!(said, expected);
        }
    }
}
