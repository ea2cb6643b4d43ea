//! Prefixes by which a network leads from IPv6 to IPv4 (NAT64): the IPv4 address behind an address of IPv6
//! (RFC 6052), and how a prefix shows in what resolvers say of [`IPV4_ONLY`] (RFC 7050).
//!
//! Whoever answers for names says which prefixes there are, and is not believed further than that: a prefix
//! makes more internal and grants nothing. What is behind one is judged besides the address itself.

use super::Cidr;
use crate::wire::{Reader, Wire, WireError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name that has IPv4 addresses only: a resolver that makes addresses of IPv6 makes its (RFC 7050, section 2).
pub const IPV4_ONLY: &str = "ipv4only.arpa";
/// Its addresses (RFC 7050, section 8.2).
const KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
/// How long a prefix may be, and which octets of an address are then those of the IPv4 address (RFC 6052,
/// section 2.2). Octet 8 is left out by all of them.
const PLACES: [(u8, [usize; 4]); 6] = [
    (32, [4, 5, 6, 7]),
    (40, [5, 6, 7, 9]),
    (48, [6, 7, 9, 10]),
    (56, [7, 9, 10, 11]),
    (64, [9, 10, 11, 12]),
    (96, [12, 13, 14, 15]),
];

fn at(address: Ipv6Addr, places: [usize; 4]) -> Ipv4Addr {
    let octets = address.octets();
    Ipv4Addr::from(places.map(|place| octets[place]))
}

/// One prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translator(Cidr);

impl Translator {
    /// The prefix; none when it is of IPv4, or not of a length that RFC 6052 knows.
    #[must_use]
    pub fn new(prefix: Cidr) -> Option<Self> {
        let is_known = PLACES.iter().any(|(length, _)| *length == prefix.prefix());
        (is_known && prefix.first().is_ipv6()).then_some(Self(prefix))
    }

    /// The prefixes that show in an address of [`IPV4_ONLY`]: wherever one of its IPv4 addresses stands.
    ///
    /// RFC 7050 (section 3) wants one place, and octet 8 to be zero. Somebody's translator may not care; a
    /// prefix too many makes some more addresses internal, and one too few opens what is behind it.
    pub fn shown_by(address: Ipv6Addr) -> impl Iterator<Item = Self> {
        let stands = move |(_, places): &(u8, [usize; 4])| KNOWN.contains(&at(address, *places));
        PLACES.into_iter().filter(stands).map(move |(length, _)| Self(Cidr::around(address.into(), length)))
    }

    /// Its prefix.
    #[must_use]
    pub const fn prefix(self) -> Cidr {
        self.0
    }

    /// The IPv4 address behind an address; none when that is not within the prefix.
    #[must_use]
    pub fn behind(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let (_, places) = PLACES.into_iter().find(|(length, _)| *length == self.0.prefix())?;
        self.0.contains(address.into()).then(|| at(address, places))
    }
}

impl Wire for Translator {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(input: &mut Reader<'_>) -> Result<Self, WireError> {
        let prefix = Cidr::get(input)?;
        Self::new(prefix).ok_or_else(|| input.invalid("prefix of a translator"))
    }
}

/// All prefixes that were heard of. They become more only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translators(Vec<Translator>);

impl Translators {
    /// Most prefixes that are believed. A network has one, rarely a few. Who names more is lying, or hides the one
    /// that counts: from then on every address of IPv6 is internal.
    pub const MOST: usize = 64;

    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Keeps one more; says whether that is new.
    pub fn add(&mut self, translator: Translator) -> bool {
        let is_new = !self.are_too_many() && !self.0.contains(&translator);
        if is_new {
            self.0.push(translator);
        }
        is_new
    }

    fn are_too_many(&self) -> bool {
        self.0.len() > Self::MOST
    }

    /// Those that are kept: one more than [`Self::MOST`] when there were too many.
    #[must_use]
    pub fn known(&self) -> &[Translator] {
        &self.0
    }

    /// What an address may lead to besides itself.
    pub fn behind(&self, address: IpAddr) -> impl Iterator<Item = IpAddr> {
        let v6 = match super::canonical(address) {
            IpAddr::V6(v6) => Some(v6),
            IpAddr::V4(_) => None,
        };
        // What it is cannot be said any more: an address that is nobody's.
        let unknown = v6.filter(|_| self.are_too_many()).map(|_| Ipv4Addr::UNSPECIFIED);
        let known = self.0.iter().filter_map(move |translator| translator.behind(v6?));
        known.chain(unknown).map(IpAddr::V4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Destination, Mode, Rule, Rules, Verdict, internal_range};
    use proptest::prelude::*;

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn shown(text: &str) -> Vec<String> {
        Translator::shown_by(v6(text)).map(|translator| translator.0.to_string()).collect()
    }

    fn translators(shown_by: &[Ipv6Addr]) -> Translators {
        let mut all = Translators::none();
        for translator in shown_by.iter().copied().flat_map(Translator::shown_by) {
            all.add(translator);
        }
        all
    }

    /// An address of IPv6 for one of IPv4, as RFC 6052 (section 2.2) has it.
    fn made(prefix: Ipv6Addr, length: u8, address: Ipv4Addr) -> Ipv6Addr {
        let IpAddr::V6(first) = Cidr::around(prefix.into(), length).first() else { unreachable!() };
        let (mut octets, mut place) = (first.octets(), usize::from(length / 8));
        for octet in address.octets() {
            place += usize::from(place == 8);
            octets[place] = octet;
            place += 1;
        }
        octets.into()
    }

    /// The table of RFC 6052, section 2.4, and the addresses of RFC 7050 in it.
    #[test]
    fn an_ipv4_address_stands_where_the_length_of_the_prefix_says() {
        for (prefix, with, known) in [
            ("2001:db8::/32", "2001:db8:c000:221::", "2001:db8:c000:aa::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::", "2001:db8:1c0:0:aa::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::", "2001:db8:122:c000:0:aa00::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::", "2001:db8:122:3c0:0:aa::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344:c0:0:aa00::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33", "2001:db8:122:344::192.0.0.170"),
        ] {
            let translator = Translator::new(prefix.parse().unwrap()).unwrap();
            assert_eq!(translator.behind(v6(with)), Some([192, 0, 2, 33].into()), "{prefix}");
            assert_eq!(shown(known), [prefix]);
        }
        assert_eq!(shown("64:ff9b::192.0.0.171"), ["64:ff9b::/96"]);
        let outside = Translator::new("2001:db8::/32".parse().unwrap()).unwrap();
        assert_eq!(outside.behind(v6("2001:db9:c000:221::")), None);
    }

    #[test]
    fn what_shows_no_known_address_is_no_prefix_and_what_shows_two_is_two() {
        assert!(shown("2001:db8::192.0.0.172").is_empty() && shown("2001:db8::192.0.2.170").is_empty());
        let twice = shown("2001:db8:c000:aa::192.0.0.171");
        assert_eq!(twice, ["2001:db8::/32", "2001:db8:c000:aa::/96"]);
    }

    #[test]
    fn no_other_length_is_a_prefix() {
        for length in 0..=128 {
            let prefix = Cidr::around(v6("2001:db8::").into(), length);
            assert_eq!(
                Translator::new(prefix).is_some(),
                [32, 40, 48, 56, 64, 96].contains(&length),
                "{length}"
            );
            let read = Translator::from_bytes(&prefix.to_bytes());
            assert_eq!(read.ok(), Translator::new(prefix));
        }
        assert_eq!(Translator::new("10.0.0.0/32".parse().unwrap()), None);
    }

    #[test]
    fn who_names_too_many_has_all_of_ipv6_refused() {
        let mut all = Translators::none();
        let outside = || v6("2606:4700::1111").into();
        for number in 0..Translators::MOST as u16 {
            let known = Ipv6Addr::from([0x2a0e, number, 0, 0, 0, 0, 0xc000, 0xaa]);
            assert!(Translator::shown_by(known).all(|translator| all.add(translator)));
        }
        assert_eq!(all.behind(outside()).count(), 0);
        let one_more = Translator::shown_by(v6("2a0f::192.0.0.170")).next().unwrap();
        assert!(all.add(one_more) && !all.add(one_more));
        assert!(all.behind(outside()).all(|image| internal_range(image).is_some()));
        assert_eq!(all.behind(outside()).count(), 1);
        assert_eq!(all.behind([8, 8, 8, 8].into()).count(), 0);
        assert_eq!(all.known().len(), Translators::MOST + 1);
        let mut again = Translators::none();
        assert!(all.known().iter().all(|translator| again.add(*translator)) && again == all);
    }

    fn rule(verdict: Verdict, target: &str, internal: bool) -> Rule {
        Rule { verdict, target: target.parse().unwrap(), internal, origin: "test".into() }
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        const TARGETS: &[&str] =
            &["a.org", "10.0.0.5", "10.0.0.0/8", "0.0.0.0/0", "::/0", "2a0e::/32", "8.8.8.8", "fd00::/8"];
        let rule = (proptest::sample::select(TARGETS), any::<bool>(), any::<bool>()).prop_map(
            |(target, allow, internal)| {
                let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
                rule(verdict, target, allow && internal && target == "a.org")
            },
        );
        (any::<bool>(), proptest::collection::vec(rule, 0..5)).prop_map(|(public, rules)| Rules {
            mode: if public { Mode::Public } else { Mode::Allowlist },
            rules,
        })
    }

    fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
        let known = &[[10, 0, 0, 5], [127, 0, 0, 1], [192, 0, 0, 170], [169, 254, 169, 254], [8, 8, 8, 8]];
        prop_oneof![3 => proptest::sample::select(&known[..]).prop_map(Ipv4Addr::from), 1 => any::<Ipv4Addr>()]
    }

    /// Addresses within a few prefixes of every length, and any.
    fn any_v6() -> impl Strategy<Value = Ipv6Addr> {
        let prefix = proptest::sample::select(&["2a0e:b107:64::", "fd00::", "64:ff9b::", "2606:4700::"][..]);
        let length = proptest::sample::select(PLACES.map(|(length, _)| length).to_vec());
        let within = (prefix, length, any_v4()).prop_map(|(prefix, length, v4)| made(v6(prefix), length, v4));
        prop_oneof![5 => within, 1 => any::<Ipv6Addr>()]
    }

    proptest! {
        #[test]
        fn whatever_resolvers_say_only_less_is_granted(
            heard in proptest::collection::vec(any_v6(), 0..100),
            rules in any_rules(), address in any_v6(), port in proptest::sample::select(&[443_u16, 22][..]),
        ) {
            let (name, none) = ("a.org".parse().unwrap(), Translators::none());
            for to in [Destination::Name { name }, Destination::Address { address: address.into() }] {
                let after = rules.judge_address(&to, port, address.into(), &translators(&heard));
                let before = rules.judge_address(&to, port, address.into(), &none);
                prop_assert!(before.is_allowed() || !after.is_allowed());
            }
        }

        #[test]
        fn no_internal_address_is_granted_behind_any_prefix_that_was_heard_of(
            prefix in any_v6(), length in proptest::sample::select(PLACES.map(|(length, _)| length).to_vec()),
            others in proptest::collection::vec(any_v6(), 0..100), last in any::<bool>(), v4 in any_v4(),
        ) {
            let known = made(prefix, length, KNOWN[usize::from(last)]);
            let heard = translators(&[vec![known], others].concat());
            let address = made(prefix, length, v4).into();
            let to = Destination::Name { name: "a.org".parse().unwrap() };
            let rules = Rules { mode: Mode::Public, rules: vec![rule(Verdict::Allow, "10.0.0.5", false)] };
            let decision = rules.judge_address(&to, 443, address, &heard);
            // Behind the well-known prefix the rule is about that address.
            let is_named = crate::net::reached(address) == IpAddr::from([10, 0, 0, 5]);
            prop_assert!(internal_range(v4.into()).is_none() || is_named || !decision.is_allowed());
        }
    }
}
