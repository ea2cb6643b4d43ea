//! What the rules say of a destination before its port is known: when a name is asked for.

use super::{Destination, Mode, Pattern, Reason, Rules, Verdict};

/// How a destination stands with the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Standing {
    /// At least one port may be reached, by a rule that is about this destination alone.
    Named {
        /// Its place among the rules.
        rule: u32,
    },
    /// At least one port may be reached, by a rule that is about others as well.
    Matched {
        /// Its place among the rules.
        rule: u32,
    },
    /// It may be reached because of the mode; no rule is about it.
    Public,
    /// No port of it may be reached.
    Refused {
        /// Why.
        reason: Reason,
        /// Which rule says so, when one does.
        rule: Option<u32>,
    },
}

impl Standing {
    /// Whether at least one port may be reached.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

impl Rules {
    /// How a destination stands, whatever the port.
    pub fn standing(&self, destination: &Destination) -> Standing {
        let about = |verdict: Verdict| {
            (0u32..)
                .zip(&self.rules)
                .filter(move |(_, rule)| rule.verdict == verdict && rule.target.pattern.matches(destination))
        };
        if let Some((rule, _)) = about(Verdict::Deny).find(|(_, rule)| rule.target.port.is_none()) {
            return Standing::Refused { reason: Reason::Denied, rule: Some(rule) };
        }
        let denied = |port: u16| about(Verdict::Deny).find(|(_, rule)| rule.target.denies_port(port));
        let (mut matched, mut refused) = (None, None);
        for (at, rule) in about(Verdict::Allow) {
            let open = rule.target.allowed_ports().iter().any(|port| match denied(*port) {
                Some((by, _)) => {
                    refused.get_or_insert(by);
                    false
                }
                None => true,
            });
            match &rule.target.pattern {
                _ if !open => {}
                Pattern::Name { .. } | Pattern::HostLoopback => return Standing::Named { rule: at },
                Pattern::Network { .. } | Pattern::Child { .. } | Pattern::Below { .. } => {
                    matched.get_or_insert(at);
                }
            }
        }
        match (matched, self.mode, destination) {
            (Some(rule), ..) => Standing::Matched { rule },
            (None, Mode::Public, Destination::Name { .. }) => Standing::Public,
            (None, Mode::Public, Destination::Address { address })
                if super::internal_range(*address).is_none() =>
            {
                Standing::Public
            }
            (None, Mode::Public, Destination::Address { .. }) => {
                Standing::Refused { reason: Reason::Internal, rule: None }
            }
            _ if refused.is_some() => Standing::Refused { reason: Reason::Denied, rule: refused },
            _ => Standing::Refused { reason: Reason::NotListed, rule: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Rule;
    use proptest::prelude::*;

    fn rules(mode: Mode, rules: &[(Verdict, &str)]) -> Rules {
        let rule = |(verdict, target): &(Verdict, &str)| Rule {
            verdict: *verdict,
            target: target.parse().unwrap(),
            internal: false,
            origin: String::new(),
        };
        Rules { mode, rules: rules.iter().map(rule).collect() }
    }

    fn to(name: &str) -> Destination {
        Destination::Name { name: name.parse().unwrap() }
    }

    #[test]
    fn a_rule_for_the_name_alone_counts_more_than_one_for_many() {
        let rules = rules(
            Mode::Public,
            &[(Verdict::Allow, "**.a.org"), (Verdict::Allow, "x.a.org:22"), (Verdict::Deny, "b.org")],
        );
        assert_eq!(rules.standing(&to("x.a.org")), Standing::Named { rule: 1 });
        assert_eq!(rules.standing(&to("y.a.org")), Standing::Matched { rule: 0 });
        assert_eq!(rules.standing(&to("c.org")), Standing::Public);
        assert!(!rules.standing(&to("b.org")).is_allowed());
    }

    #[test]
    fn a_name_of_which_no_port_is_left_is_refused() {
        let mut list = vec![(Verdict::Allow, "a.org"), (Verdict::Deny, "a.org:80")];
        assert_eq!(rules(Mode::Allowlist, &list).standing(&to("a.org")), Standing::Named { rule: 0 });
        list.push((Verdict::Deny, "a.org:443"));
        let refused = rules(Mode::Allowlist, &list).standing(&to("a.org"));
        assert_eq!(refused, Standing::Refused { reason: Reason::Denied, rule: Some(1) });
        assert_eq!(rules(Mode::Public, &list).standing(&to("a.org")), Standing::Public);
    }

    fn any_rule() -> impl Strategy<Value = (Verdict, &'static str)> {
        const TARGETS: &[&str] = &[
            "a.org",
            "a.org:80",
            "a.org:443",
            "a.org:22",
            "*.a.org",
            "*.a.org:443",
            "*.a.org:80",
            "**.a.org:22",
            "x.a.org",
            "x.a.org:443",
            "8.8.8.8",
            "host:5432",
            "host:80",
            "10.0.0.0/8:443",
            "0.0.0.0/0:22",
        ];
        (prop_oneof![Just(Verdict::Allow), Just(Verdict::Deny)], proptest::sample::select(TARGETS))
    }

    proptest! {
        /// Over all ports that a rule names, and one that none names.
        #[test]
        fn a_destination_stands_as_its_ports_are_judged(
            mode in prop_oneof![Just(Mode::Public), Just(Mode::Allowlist)],
            about in proptest::collection::vec(any_rule(), 0..7),
            destination in prop_oneof![
                Just(to("a.org")), Just(to("x.a.org")), Just(to("y.x.a.org")), Just(Destination::HostLoopback),
                Just(Destination::Address { address: [8, 8, 8, 8].into() }),
                Just(Destination::Address { address: [10, 8, 8, 8].into() }),
            ],
        ) {
            let rules = rules(mode, &about);
            let reachable = [22, 80, 443, 5432, 9999].iter()
                .any(|port| rules.judge(&destination, *port).is_allowed());
            prop_assert_eq!(rules.standing(&destination).is_allowed(), reachable);
        }
    }
}
