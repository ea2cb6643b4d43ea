//! Rules and the judgement over them.

use super::{HostName, Pattern, Target, Translators, canonical, internal_range, reached};
use crate::wire::{wire_enum, wire_struct};
use std::fmt;
use std::net::IpAddr;

wire_enum! {
    /// What is reachable without a rule.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Mode {
        /// Every public name and address.
        1 = Public,
        /// Nothing.
        2 = Allowlist,
    }
}

wire_enum! {
    /// What a rule says.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Verdict {
        /// It may be reached.
        1 = Allow,
        /// It may not, whatever allows it.
        2 = Deny,
    }
}

wire_struct! {
    /// One rule.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Rule {
        /// What it says.
        pub verdict: Verdict,
        /// About what.
        pub target: Target,
        /// Of a rule that allows names: they may have internal addresses. A rule that names addresses
        /// needs no such word.
        pub internal: bool,
        /// Where it is written: `FILE: KEY`, `preset claude`, `group @npm`, `agentboxctl allow`.
        pub origin: String,
    }
}

wire_struct! {
    /// All rules of a session.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Rules {
        /// What holds where no rule says anything.
        pub mode: Mode,
        /// The rules; their order does not matter.
        pub rules: Vec<Rule>,
    }
}

wire_enum! {
    /// Where a session wants to.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Destination {
        /// A name.
        1 = Name {
            /// The name.
            name: HostName,
        },
        /// An address that was not asked for by name.
        2 = Address {
            /// The address.
            address: IpAddr,
        },
        /// The loopback of the machine that the session runs on.
        3 = HostLoopback,
    }
}

wire_enum! {
    /// Why something is not reached.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Reason {
        /// No rule allows it.
        1 = NotListed,
        /// A rule denies it.
        2 = Denied,
        /// A rule allows the host, but not this port.
        3 = PortNotListed,
        /// The address is internal, or every address of the name is.
        4 = Internal,
        /// The address is one of this machine's own.
        5 = OwnAddress,
        /// The address is in a network that this machine is connected to.
        6 = OnLink,
        /// The name in TLS or HTTP is not the one whose address was asked for.
        7 = NameMismatch,
        /// TLS or HTTP without a name, for which no judgement is possible.
        8 = NoName,
        /// What was sent is neither TLS nor HTTP on a port where one of these is expected.
        9 = Malformed,
        /// The name does not exist.
        10 = NotFound,
        /// The resolver did not answer, or with an error.
        11 = Unresolved,
        /// The other side did not accept a connection.
        12 = Unreachable,
        /// The session has sent as much as it may.
        13 = Budget,
        /// The session has sent as much to this name as it may.
        14 = NameBudget,
        /// Too many connections, names or questions at once.
        15 = TooMany,
        /// The supervisor is not there; it is asked before each connection.
        16 = SupervisorAway,
        /// The client said nothing on a port where TLS or HTTP is expected, and for too long.
        17 = Silent,
        /// More different destinations in a short time than the trail has room for.
        18 = ManyDestinations,
    }
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::NotListed,
        Self::Denied,
        Self::PortNotListed,
        Self::Internal,
        Self::OwnAddress,
        Self::OnLink,
        Self::NameMismatch,
        Self::NoName,
        Self::Malformed,
        Self::NotFound,
        Self::Unresolved,
        Self::Unreachable,
        Self::Budget,
        Self::NameBudget,
        Self::TooMany,
        Self::SupervisorAway,
        Self::Silent,
        Self::ManyDestinations,
    ];

    /// A short name, as the trail and `denials.jsonl` have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotListed => "not-listed",
            Self::Denied => "denied",
            Self::PortNotListed => "port-not-listed",
            Self::Internal => "internal",
            Self::OwnAddress => "own-address",
            Self::OnLink => "on-link",
            Self::NameMismatch => "name-mismatch",
            Self::NoName => "no-name",
            Self::Malformed => "malformed",
            Self::NotFound => "not-found",
            Self::Unresolved => "unresolved",
            Self::Unreachable => "unreachable",
            Self::Budget => "budget",
            Self::NameBudget => "name-budget",
            Self::TooMany => "too-many",
            Self::SupervisorAway => "supervisor-away",
            Self::Silent => "silent",
            Self::ManyDestinations => "many-destinations",
        }
    }

    /// Whether a policy decided it; otherwise the network did.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        !matches!(self, Self::NotFound | Self::Unresolved | Self::Unreachable)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotListed => "no rule allows it",
            Self::Denied => "a rule denies it",
            Self::PortNotListed => "a rule allows the host, but not this port",
            Self::Internal => "its address is in an internal range",
            Self::OwnAddress => "its address is this machine's own",
            Self::OnLink => "its address is in a network that this machine is connected to",
            Self::NameMismatch => "the name in TLS or HTTP is another one",
            Self::NoName => "TLS or HTTP without a name cannot be judged",
            Self::Malformed => "what was sent is neither TLS nor HTTP",
            Self::NotFound => "the name does not exist",
            Self::Unresolved => "the resolver gave no answer",
            Self::Unreachable => "the other side accepted no connection",
            Self::Budget => "the session has sent as much as it may",
            Self::NameBudget => "the session has sent as much to this name as it may",
            Self::TooMany => "there are too many at once",
            Self::SupervisorAway => "the supervisor is not there to be asked",
            Self::Silent => "nothing was said where TLS or HTTP has to come first",
            Self::ManyDestinations => {
                "the session has reached too many different destinations in a short time"
            }
        })
    }
}

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may be reached, by this rule, or by the mode.
    Allowed {
        /// Its place among the rules.
        rule: Option<u32>,
    },
    /// It may not.
    Denied {
        /// Why.
        reason: Reason,
        /// Which rule says so, when one does.
        rule: Option<u32>,
    },
}

impl Decision {
    /// Whether it may be reached.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl Pattern {
    pub(super) fn matches(&self, destination: &Destination) -> bool {
        match (self, destination) {
            (Self::Name { name }, Destination::Name { name: wanted }) => name == wanted,
            (Self::Child { parent }, Destination::Name { name }) => name.is_child_of(parent),
            (Self::Below { parent }, Destination::Name { name }) => name.is_below(parent),
            (Self::Network { range }, Destination::Address { address }) => {
                range.contains(canonical(*address)) || range.contains(reached(*address))
            }
            (Self::HostLoopback, Destination::HostLoopback) => true,
            _ => false,
        }
    }
}

impl Rules {
    /// Nothing is reachable.
    #[must_use]
    pub fn nothing() -> Self {
        Self { mode: Mode::Allowlist, rules: Vec::new() }
    }

    fn of(&self, verdict: Verdict) -> impl Iterator<Item = (u32, &Rule)> {
        (0u32..).zip(&self.rules).filter(move |(_, rule)| rule.verdict == verdict)
    }

    /// Whether a destination may be reached, as far as can be said before its addresses are known.
    pub fn judge(&self, destination: &Destination, port: u16) -> Decision {
        let about = |rule: &Rule| rule.target.pattern.matches(destination);
        if let Some((at, _)) =
            self.of(Verdict::Deny).find(|(_, rule)| about(rule) && rule.target.denies_port(port))
        {
            return Decision::Denied { reason: Reason::Denied, rule: Some(at) };
        }
        let mut other_port = None;
        for (at, rule) in self.of(Verdict::Allow).filter(|(_, rule)| about(rule)) {
            if rule.target.allows_port(port) {
                return Decision::Allowed { rule: Some(at) };
            }
            other_port.get_or_insert(at);
        }
        match (self.mode, destination) {
            (Mode::Public, Destination::Name { .. }) => Decision::Allowed { rule: None },
            (Mode::Public, Destination::Address { address }) if internal_range(*address).is_none() => {
                Decision::Allowed { rule: None }
            }
            (Mode::Public, Destination::Address { .. }) => {
                Decision::Denied { reason: Reason::Internal, rule: None }
            }
            _ if other_port.is_some() => Decision::Denied { reason: Reason::PortNotListed, rule: other_port },
            _ => Decision::Denied { reason: Reason::NotListed, rule: None },
        }
    }

    /// Whether a destination may be reached at this address of it, in a network with these translators.
    pub fn judge_address(
        &self,
        destination: &Destination,
        port: u16,
        address: IpAddr,
        translators: &Translators,
    ) -> Decision {
        let decision = self.judge(destination, port);
        let Decision::Allowed { .. } = decision else { return decision };
        for address in translators.behind(address).chain([address]) {
            let at_address = Destination::Address { address };
            let denies =
                |rule: &Rule| rule.target.pattern.matches(&at_address) && rule.target.denies_port(port);
            if let Some((at, _)) = self.of(Verdict::Deny).find(|(_, rule)| denies(rule)) {
                return Decision::Denied { reason: Reason::Denied, rule: Some(at) };
            }
        }
        // A rule grants what it names, not what somebody on the network says is the same.
        let is_internal =
            || translators.behind(address).chain([address]).any(|address| internal_range(address).is_some());
        match destination {
            Destination::HostLoopback if canonical(address).is_loopback() => decision,
            Destination::HostLoopback => Decision::Denied { reason: Reason::Internal, rule: None },
            Destination::Address { address: asked } if canonical(*asked) != canonical(address) => {
                Decision::Denied { reason: Reason::NameMismatch, rule: None }
            }
            _ if is_internal() && !self.grants_internal(destination, port, address) => {
                Decision::Denied { reason: Reason::Internal, rule: None }
            }
            _ => decision,
        }
    }

    /// Whether a rule grants an address although it is internal, this machine's or in one of its networks:
    /// one that names the address, or one that allows the name and says `internal`.
    #[must_use]
    pub fn grants_internal(&self, destination: &Destination, port: u16, address: IpAddr) -> bool {
        let at_address = Destination::Address { address };
        self.of(Verdict::Allow).any(|(_, rule)| {
            rule.target.allows_port(port)
                && match &rule.target.pattern {
                    // `0.0.0.0/0` means the internet, not what is behind it.
                    Pattern::Network { range } => {
                        range.prefix() >= 8 && rule.target.pattern.matches(&at_address)
                    }
                    Pattern::HostLoopback => {
                        *destination == Destination::HostLoopback && canonical(address).is_loopback()
                    }
                    pattern => rule.internal && pattern.matches(destination),
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(verdict: Verdict, target: &str) -> Rule {
        Rule { verdict, target: target.parse().unwrap(), internal: false, origin: "test".into() }
    }

    /// The judgement in a network that translates nothing of its own.
    fn at_address(rules: &Rules, destination: &Destination, port: u16, address: IpAddr) -> Decision {
        rules.judge_address(destination, port, address, &Translators::none())
    }

    fn rules(mode: Mode, allow: &[&str], deny: &[&str]) -> Rules {
        let allow = allow.iter().map(|target| rule(Verdict::Allow, target));
        let deny = deny.iter().map(|target| rule(Verdict::Deny, target));
        Rules { mode, rules: allow.chain(deny).collect() }
    }

    fn to(text: &str) -> Destination {
        match text.parse() {
            Ok(address) => Destination::Address { address },
            Err(_) => Destination::Name { name: text.parse().unwrap() },
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_allowlist_allows_what_is_listed() {
        let rules =
            rules(Mode::Allowlist, &["a.org", "a.org:22", "*.b.org", "**.c.org:8443", "9.9.9.0/24:53"], &[]);
        for (host, port) in [
            ("a.org", 443),
            ("a.org", 80),
            ("a.org", 22),
            ("x.b.org", 443),
            ("x.y.c.org", 8443),
            ("9.9.9.9", 53),
        ] {
            assert!(rules.judge(&to(host), port).is_allowed(), "{host}:{port}");
        }
        for (host, port, reason) in [
            ("a.org", 25, Reason::PortNotListed),
            ("b.org", 443, Reason::NotListed),
            ("x.y.b.org", 443, Reason::NotListed),
            ("x.c.org", 443, Reason::PortNotListed),
            ("9.9.8.9", 53, Reason::NotListed),
            ("9.9.9.9", 443, Reason::PortNotListed),
        ] {
            let decision = rules.judge(&to(host), port);
            assert!(
                matches!(decision, Decision::Denied { reason: said, .. } if said == reason),
                "{host}:{port}: {decision:?}"
            );
        }
    }

    #[test]
    fn a_rule_that_denies_wins() {
        let rules = rules(Mode::Public, &["a.org"], &["**.b.org", "a.org", "9.9.9.9"]);
        assert!(!rules.judge(&to("a.org"), 443).is_allowed());
        assert!(!rules.judge(&to("x.b.org"), 25).is_allowed());
        assert!(rules.judge(&to("a.com"), 25).is_allowed());
        assert!(!at_address(&rules, &to("a.com"), 443, address("9.9.9.9")).is_allowed());
    }

    /// Names of a content network have their addresses together.
    #[test]
    fn an_address_that_belongs_to_several_names_is_denied_for_all_of_them_and_on_its_ports_alone() {
        let rules = rules(Mode::Public, &["a.org"], &["9.9.9.9:443", "bad.org"]);
        for name in ["a.org", "b.org"] {
            assert!(!at_address(&rules, &to(name), 443, address("9.9.9.9")).is_allowed(), "{name}");
            assert!(at_address(&rules, &to(name), 80, address("9.9.9.9")).is_allowed(), "{name}");
            assert!(at_address(&rules, &to(name), 443, address("9.9.9.8")).is_allowed(), "{name}");
        }
        // A name that is denied takes nothing from the others at its address.
        assert!(!at_address(&rules, &to("bad.org"), 80, address("9.9.9.8")).is_allowed());
    }

    #[test]
    fn an_address_that_was_asked_for_is_the_one_that_is_reached() {
        let rules = rules(Mode::Public, &[], &[]);
        let to_other = at_address(&rules, &to("9.9.9.9"), 443, address("8.8.8.8"));
        assert_eq!(to_other, Decision::Denied { reason: Reason::NameMismatch, rule: None });
        assert!(at_address(&rules, &to("::ffff:9.9.9.9"), 443, address("9.9.9.9")).is_allowed());
        let internal = rules.judge(&to("10.0.0.5"), 443);
        assert_eq!(internal, Decision::Denied { reason: Reason::Internal, rule: None });
    }

    #[test]
    fn behind_a_translator_rules_are_about_the_address_that_is_reached() {
        let rules = rules(Mode::Public, &[], &["9.9.9.9"]);
        assert!(at_address(&rules, &to("a.com"), 443, address("64:ff9b::8.8.8.8")).is_allowed());
        for refused in ["64:ff9b::9.9.9.9", "64:ff9b::10.0.0.5", "64:ff9b::127.0.0.1", "64:ff9b:1::8.8.8.8"] {
            assert!(!at_address(&rules, &to("a.com"), 443, address(refused)).is_allowed(), "{refused}");
        }
        // The translator's own range can be named as well.
        let rules = self::rules(Mode::Public, &[], &["64:ff9b::/96"]);
        assert!(!at_address(&rules, &to("a.com"), 443, address("64:ff9b::8.8.8.8")).is_allowed());
    }

    #[test]
    fn an_internal_address_needs_a_grant_of_its_own() {
        let mut mine = rules(Mode::Public, &["a.lan", "10.0.0.5:22", "0.0.0.0/0"], &[]);
        assert!(!at_address(&mine, &to("a.lan"), 443, address("10.0.0.5")).is_allowed());
        assert!(at_address(&mine, &to("a.lan"), 22, address("10.0.0.5")).is_allowed());
        assert!(at_address(&mine, &to("10.0.0.5"), 22, address("10.0.0.5")).is_allowed());
        assert!(!at_address(&mine, &to("10.0.0.5"), 443, address("10.0.0.5")).is_allowed());
        assert!(!at_address(&mine, &to("a.lan"), 22, address("10.0.0.6")).is_allowed());
        mine.rules[0].internal = true;
        assert!(at_address(&mine, &to("a.lan"), 443, address("10.0.0.5")).is_allowed());
        assert!(!at_address(&mine, &to("b.lan"), 443, address("::ffff:10.0.0.5")).is_allowed());
    }

    #[test]
    fn the_loopback_of_the_host_is_reached_by_its_rule_only() {
        let mine = rules(Mode::Public, &["host:5432"], &[]);
        let host = Destination::HostLoopback;
        assert!(at_address(&mine, &host, 5432, address("127.0.0.1")).is_allowed());
        assert!(!at_address(&mine, &host, 5433, address("127.0.0.1")).is_allowed());
        assert!(!at_address(&mine, &host, 5432, address("10.0.0.1")).is_allowed());
        assert!(!at_address(&mine, &to("evil.com"), 5432, address("127.0.0.1")).is_allowed());
        assert!(!at_address(&mine, &to("127.0.0.1"), 5432, address("127.0.0.1")).is_allowed());
        assert!(mine.grants_internal(&host, 5432, address("::1")));
        assert!(!mine.grants_internal(&host, 5432, address("10.0.0.1")));
    }

    fn any_target() -> impl Strategy<Value = Target> {
        const NAMES: &[&str] =
            &["a.org", "*.a.org", "**.a.org", "b.com:22", "8.8.8.0/24", "0.0.0.0/0", "::/0", "host:5432"];
        proptest::sample::select(NAMES).prop_map(|text| text.parse().unwrap())
    }

    fn any_destination() -> impl Strategy<Value = Destination> {
        prop_oneof![
            proptest::sample::select(&["a.org", "x.a.org", "b.com", "c.net"][..]).prop_map(to),
            any::<IpAddr>().prop_map(|address| Destination::Address { address }),
            Just(Destination::HostLoopback),
        ]
    }

    proptest! {
        /// Whatever names resolve to and in whatever form an address is written.
        #[test]
        fn no_internal_address_is_reached_without_a_grant(
            targets in proptest::collection::vec((any_target(), any::<bool>()), 0..6),
            public in any::<bool>(),
            destination in any_destination(),
            port in proptest::sample::select(&[22u16, 80, 443, 5432][..]),
            address in any::<IpAddr>(),
        ) {
            let rules = targets.into_iter().map(|(target, allow)| Rule {
                verdict: if allow { Verdict::Allow } else { Verdict::Deny }, target, internal: false, origin: String::new(),
            });
            let rules = Rules { mode: if public { Mode::Public } else { Mode::Allowlist }, rules: rules.collect() };
            let allowed = at_address(&rules, &destination, port, address).is_allowed();
            let to_host = destination == Destination::HostLoopback && canonical(address).is_loopback();
            if internal_range(address).is_some() && !to_host {
                prop_assert!(!allowed, "{:?} at {}", destination, address);
            }
        }

        /// One more rule that denies never opens anything.
        #[test]
        fn a_further_denial_never_loosens(
            allow in proptest::collection::vec(any_target(), 0..4),
            deny in any_target(),
            destination in any_destination(),
            address in any::<IpAddr>(),
        ) {
            let mut rules: Vec<_> = allow.into_iter()
                .map(|target| Rule { verdict: Verdict::Allow, target, internal: true, origin: String::new() }).collect();
            let before = Rules { mode: Mode::Public, rules: rules.clone() };
            rules.push(Rule { verdict: Verdict::Deny, target: deny, internal: false, origin: String::new() });
            let after = Rules { mode: Mode::Public, rules };
            if at_address(&after, &destination, 443, address).is_allowed() {
                prop_assert!(at_address(&before, &destination, 443, address).is_allowed());
            }
        }
    }
}
