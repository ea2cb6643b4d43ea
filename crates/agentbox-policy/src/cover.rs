//! Whether all that one target names is named by others.

use agentbox_plan::net::{Pattern, Target};

/// Whether every host of `inner` is one of `outer`.
pub(crate) fn covers(outer: &Pattern, inner: &Pattern) -> bool {
    match (outer, inner) {
        (Pattern::Name { name: outer }, Pattern::Name { name: inner }) => outer == inner,
        (Pattern::Child { parent }, Pattern::Name { name }) => name.is_child_of(parent),
        (Pattern::Child { parent: outer }, Pattern::Child { parent: inner }) => outer == inner,
        (Pattern::Below { parent }, Pattern::Name { name }) => name.is_below(parent),
        (
            Pattern::Below { parent: outer },
            Pattern::Child { parent: inner } | Pattern::Below { parent: inner },
        ) => inner == outer || inner.is_below(outer),
        (Pattern::Network { range: outer }, Pattern::Network { range: inner }) => {
            outer.prefix() <= inner.prefix() && outer.contains(inner.first())
        }
        (Pattern::HostLoopback, Pattern::HostLoopback) => true,
        _ => false,
    }
}

/// Whether some host is one of both. Of two patterns that share a host one holds the other: names are
/// trees, and so are ranges.
pub(crate) fn overlap(one: &Pattern, other: &Pattern) -> bool {
    covers(one, other) || covers(other, one)
}

/// The ports of a rule that allows.
fn ports(target: &Target) -> Vec<u16> {
    match target.port {
        Some(port) => vec![port],
        None => vec![80, 443],
    }
}

/// Whether all that `inner` allows is allowed by one of `outer`, port by port.
pub(crate) fn allowed_by(outer: &[Target], inner: &Target) -> bool {
    ports(inner).into_iter().all(|port| {
        outer.iter().any(|outer| covers(&outer.pattern, &inner.pattern) && outer.allows_port(port))
    })
}

/// Whether nothing of what `inner` allows is left by a rule that denies `outer`.
pub(crate) fn denied_by(outer: &Target, inner: &Target) -> bool {
    covers(&outer.pattern, &inner.pattern) && ports(inner).into_iter().all(|port| outer.denies_port(port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::net::{Destination, Mode, Rule, Rules, Verdict};

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_without_a_port_is_about_two() {
        let mine = ports(&target("a.org"));
        let all: Vec<u16> = (0..=u16::MAX).filter(|port| target("a.org").allows_port(*port)).collect();
        assert_eq!(mine, all);
        assert!(allowed_by(
            &[target("a.org:80"), target("*.org.org"), target("a.org:443")],
            &target("a.org")
        ));
        assert!(!allowed_by(&[target("a.org")], &target("a.org:22")));
        for one in ["a.org:80", "a.org:443"] {
            assert!(!allowed_by(&[target(one)], &target("a.org")), "{one}");
        }
        assert!(denied_by(&target("a.org"), &target("a.org:22")));
        assert!(!denied_by(&target("a.org:443"), &target("a.org")));
    }

    const TARGETS: &[&str] = &[
        "a.org",
        "a.org:443",
        "a.org:22",
        "x.a.org",
        "y.x.a.org",
        "*.a.org",
        "*.a.org:22",
        "**.a.org",
        "*.x.a.org",
        "**.x.a.org",
        "10.0.0.0/8:22",
        "10.0.0.0/16:22",
        "10.1.0.0/16:22",
        "10.1.2.3:22",
        "10.1.2.3",
        "::/0",
        "2001:db8::/32",
        "0.0.0.0/0",
        "host:22",
        "host:80",
    ];
    const HOSTS: &[&str] =
        &["a.org", "x.a.org", "y.x.a.org", "b.org", "10.1.2.3", "10.2.0.0", "2001:db8::1", "9.9.9.9", "host"];

    fn destination(text: &str) -> Destination {
        match text.parse() {
            Ok(address) => Destination::Address { address },
            Err(_) if text == "host" => Destination::HostLoopback,
            Err(_) => Destination::Name { name: text.parse().unwrap() },
        }
    }

    fn allows(text: &str, host: &str, port: u16) -> bool {
        let rule =
            Rule { verdict: Verdict::Allow, target: target(text), internal: false, origin: String::new() };
        Rules { mode: Mode::Allowlist, rules: vec![rule] }.judge(&destination(host), port).is_allowed()
    }

    /// Said with the judgement itself, for every pair.
    #[test]
    fn what_is_covered_allows_no_more() {
        for (outer, inner) in TARGETS.iter().flat_map(|outer| TARGETS.iter().map(move |inner| (outer, inner)))
        {
            if !allowed_by(&[target(outer)], &target(inner)) {
                continue;
            }
            for (host, port) in HOSTS.iter().flat_map(|host| [22u16, 80, 443, 25].map(|port| (host, port))) {
                let more = allows(inner, host, port) && !allows(outer, host, port);
                assert!(!more, "{inner} in {outer}: {host}:{port}");
            }
        }
    }
}
