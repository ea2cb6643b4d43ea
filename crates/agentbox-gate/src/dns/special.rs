//! Names that are not looked up like others.

use crate::names::is_host;
use agentbox_plan::net::HostName;

/// What a name is by its last label or by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// The session's own loopback (RFC 6761, section 6.3).
    Loopback,
    /// The machine that the session runs on.
    Host,
    /// Names of somebody's own network: `.local` (RFC 6762), `.internal`, `.test` (RFC 6761), `.arpa` with
    /// `home.arpa` (RFC 8375), and those of one label. Nothing outside knows them, so only a rule makes them names.
    OwnNetwork,
    /// `.onion`, `.alt` and `.invalid`: never names of DNS (RFC 7686, RFC 9476, RFC 6761 section 6.4).
    Never,
    /// None of these.
    Ordinary,
}

/// What a name is.
pub(super) fn of(name: &HostName) -> Special {
    if is_host(name) {
        return Special::Host;
    }
    let (has_dot, last) = match name.as_str().rsplit_once('.') {
        Some((_, last)) => (true, last),
        None => (false, name.as_str()),
    };
    match last {
        "localhost" => Special::Loopback,
        "onion" | "alt" | "invalid" => Special::Never,
        "local" | "internal" | "test" | "arpa" => Special::OwnNetwork,
        _ if !has_dot => Special::OwnNetwork,
        _ => Special::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_what_its_end_says() {
        for (name, special) in [
            ("localhost", Special::Loopback),
            ("a.localhost", Special::Loopback),
            ("localhost.org", Special::Ordinary),
            ("host", Special::Host),
            ("host.agentbox.internal", Special::Host),
            ("x.host.agentbox.internal", Special::OwnNetwork),
            ("host.org", Special::Ordinary),
            ("nas", Special::OwnNetwork),
            ("nas.local", Special::OwnNetwork),
            ("nas.home.arpa", Special::OwnNetwork),
            ("1.2.0.192.in-addr.arpa", Special::OwnNetwork),
            ("a.onion", Special::Never),
            ("onion", Special::Never),
            ("a.alt", Special::Never),
            ("a.invalid", Special::Never),
            ("db.test", Special::OwnNetwork),
            ("a.org", Special::Ordinary),
        ] {
            assert_eq!(of(&name.parse().unwrap()), special, "{name}");
        }
    }
}
