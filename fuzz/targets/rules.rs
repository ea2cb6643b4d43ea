//! Targets of rules as a project's own file may spell them, and the judgement over them.
#![no_main]

use agentbox_plan::net::{
    Destination, HostName, Mode, Pattern, Rule, Rules, Target, Translator, Translators, Verdict,
    internal_range,
};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv6Addr};

/// A name or an address, as a session would ask for it.
fn destination(text: &str) -> Option<Destination> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Destination::Address { address });
    }
    text.parse::<HostName>().ok().map(|name| Destination::Name { name })
}

// First line: where to. Every other one: a rule that allows, or with `!` before it one that denies.
fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let wanted = lines.next().and_then(destination);
    let mut rules = Rules::nothing();
    for line in lines {
        let (verdict, written) = match line.strip_prefix('!') {
            Some(rest) => (Verdict::Deny, rest),
            None => (Verdict::Allow, line),
        };
        let Ok(target) = written.parse::<Target>() else { continue };
        // What is shown to a person is read back as the same.
        assert_eq!(target.to_string().parse().as_ref(), Ok(&target), "{written:?}");
        rules.rules.push(Rule { verdict, target, internal: false, origin: String::new() });
    }
    let Some(wanted) = wanted else { return };
    let open = Rules { mode: Mode::Public, ..rules.clone() };
    let allows = rules.rules.iter().any(|rule| rule.verdict == Verdict::Allow);
    let is_denied = rules.rules.iter().any(|rule| denies_everywhere(rule, &wanted));
    let names_addresses =
        rules.rules.iter().any(|rule| matches!(rule.target.pattern, Pattern::Network { .. }));
    let mut translators = Translators::none();
    for translator in Translator::shown_by(SHOWN) {
        translators.add(translator);
    }
    for port in [1, 22, 80, 443, u16::MAX] {
        let decision = rules.judge(&wanted, port);
        assert!(allows || !decision.is_allowed());
        // A wider mode never forbids what the narrow one allows, and a rule that denies holds in both.
        assert!(!decision.is_allowed() || open.judge(&wanted, port).is_allowed());
        assert!(!is_denied || !open.judge(&wanted, port).is_allowed());
        for address in ADDRESSES {
            let Ok(address) = address.parse::<IpAddr>() else { continue };
            let at_address = rules.judge_address(&wanted, port, address, &Translators::none());
            // The address can only take away, and so can what resolvers say of the network.
            assert!(decision.is_allowed() || !at_address.is_allowed());
            let translated = rules.judge_address(&wanted, port, address, &translators);
            assert!(at_address.is_allowed() || !translated.is_allowed(), "{address}");
            let mut reached = translators.behind(address).chain([address]);
            let is_granted = reached.all(|address| internal_range(address).is_none()) || names_addresses;
            assert!(is_granted || !translated.is_allowed(), "{address}");
        }
    }
});

/// A public one, and internal ones in several spellings.
const ADDRESSES: [&str; 8] = [
    "1.1.1.1",
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "::ffff:10.0.0.1",
    "fd00::1",
    "2a0e:b107:64::a00:1",
    "2a0e:b107:64::101:101",
];
/// What a resolver says of a network that translates by 2a0e:b107:64::/96.
const SHOWN: Ipv6Addr = Ipv6Addr::new(0x2a0e, 0xb107, 0x64, 0, 0, 0, 0xc000, 0xaa);

/// A rule that denies exactly this name at every port.
fn denies_everywhere(rule: &Rule, wanted: &Destination) -> bool {
    let exactly = match (&rule.target.pattern, wanted) {
        (Pattern::Name { name }, Destination::Name { name: wanted }) => name == wanted,
        _ => false,
    };
    exactly && rule.verdict == Verdict::Deny && rule.target.port.is_none()
}
