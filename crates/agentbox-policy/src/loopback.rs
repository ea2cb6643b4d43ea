//! The loopback of a session, which no rule concerns: nothing that stays in its own network passes its gate.

use crate::PolicyError;
use crate::text::printable;
use agentbox_plan::net::{Destination, HostName, Pattern, Rule, Target};
use core::net::IpAddr;

/// The name of every machine for itself (RFC 6761, section 6.3).
const NAME: &str = "localhost";

/// Whether somebody inside who goes there stays inside.
#[must_use]
pub fn stays_inside(destination: &Destination) -> bool {
    match destination {
        Destination::Name { name } => is_name(name),
        Destination::Address { address } => is_address(*address),
        Destination::HostLoopback => false,
    }
}

/// Refuses a rule that allows what it cannot concern.
pub(crate) fn check(rule: &Rule) -> Result<(), PolicyError> {
    let Some((what, remedy)) = fault(&rule.target) else { return Ok(()) };
    Err(PolicyError::Refused {
        what: format!("a rule that allows {what}"),
        rule: rule.origin.clone(),
        remedy,
    })
}

/// What is wrong with an entry of a list that allows, and what to write instead.
pub(crate) fn fault(target: &Target) -> Option<(String, String)> {
    let inside = match &target.pattern {
        Pattern::Name { name } => is_name(name),
        Pattern::Child { parent } | Pattern::Below { parent } => is_name(parent),
        // A range that holds others as well begins with another.
        Pattern::Network { range } => is_address(range.first()),
        Pattern::HostLoopback => false,
    };
    let port = target.port.map_or_else(|| "PORT".to_owned(), |port| port.to_string());
    inside.then(|| {
        (
            format!("`{}`: inside that is the session's own loopback", printable(&target.to_string())),
            format!("a port of this machine is `host:{port}`, and inside host.agentbox.internal:{port}"),
        )
    })
}

fn is_name(name: &HostName) -> bool {
    name.as_str().rsplit('.').next() == Some(NAME)
}

fn is_address(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_inside_is_told_from_what_does_not() {
        for text in [
            "localhost",
            "localhost:3000",
            "LocalHost.:1",
            "app.localhost:80",
            "*.app.localhost",
            "127.0.0.1:3001",
            "127.9.9.9",
            "127.0.0.0/8:1",
            "::1",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            let target: Target = text.parse().unwrap();
            assert!(fault(&target).is_some(), "{text}");
        }
        for text in [
            "host:3000",
            "localhost.org",
            "notlocalhost.org",
            "126.0.0.0/7",
            "128.0.0.1",
            "0.0.0.0/0",
            "::2",
            "::/0",
        ] {
            let target: Target = text.parse().unwrap();
            assert!(fault(&target).is_none(), "{text}");
        }
    }
}
