//! What a client's own first words name, and whether that is where its connection goes.

use agentbox_plan::net::{Decision, Destination, HostName, Reason, Rules, canonical};
use std::net::IpAddr;
use std::rc::Rc;

/// What TLS or HTTP names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing.
    Nothing,
    /// A name.
    Name(HostName),
    /// An address.
    Address(IpAddr),
}

/// Where a connection goes, and by which rules.
#[derive(Debug, Clone)]
pub struct Expected {
    /// What the session asked for.
    pub destination: Destination,
    /// Port.
    pub port: u16,
    /// What the session may reach.
    pub rules: Rc<Rules>,
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Which rule says so, when one does.
    pub rule: Option<u32>,
    /// The name that was named instead.
    pub other: Option<HostName>,
}

impl Refusal {
    /// One that no rule says, about the destination itself.
    #[must_use]
    pub fn because(reason: Reason) -> Self {
        Self { reason, rule: None, other: None }
    }
}

impl Expected {
    /// Whether a client may name this here.
    ///
    /// A connection to a name is for that name only. At an address that was not asked for by name any name may
    /// be named that the rules allow: in public mode all but those that a rule denies, in an allowlist those that
    /// are listed, so that an address of a content network does not open all that is behind it. The loopback of
    /// the host was granted by port, whatever its service is called.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn judge(&self, claim: &Claim) -> Result<(), Refusal> {
        if !agentbox_launch::in_force("gate-claims") {
            return Ok(());
        }
        match (&self.destination, claim) {
            (Destination::HostLoopback, _) | (Destination::Address { .. }, Claim::Nothing) => Ok(()),
            (Destination::Name { name }, Claim::Name(claimed)) if name == claimed => Ok(()),
            (Destination::Name { .. }, Claim::Nothing) => Err(Refusal::because(Reason::NoName)),
            (Destination::Name { .. }, Claim::Name(claimed)) => {
                Err(Refusal { reason: Reason::NameMismatch, rule: None, other: Some(claimed.clone()) })
            }
            (Destination::Address { address }, Claim::Address(claimed))
                if canonical(*address) == canonical(*claimed) =>
            {
                Ok(())
            }
            (_, Claim::Address(_)) => Err(Refusal::because(Reason::NameMismatch)),
            (Destination::Address { .. }, Claim::Name(claimed)) => {
                match self.rules.judge(&Destination::Name { name: claimed.clone() }, self.port) {
                    Decision::Allowed { .. } => Ok(()),
                    Decision::Denied { reason, rule } => {
                        Err(Refusal { reason, rule, other: Some(claimed.clone()) })
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_plan::net::{Mode, Rule, Verdict};

    fn expected(destination: Destination, mode: Mode) -> Expected {
        let rule = |verdict, target: &str| Rule {
            verdict,
            target: target.parse().unwrap(),
            internal: false,
            origin: "test".into(),
        };
        let rules = vec![rule(Verdict::Allow, "a.org"), rule(Verdict::Deny, "bad.org")];
        Expected { destination, port: 443, rules: Rc::new(Rules { mode, rules }) }
    }

    fn name(text: &str) -> Claim {
        Claim::Name(text.parse().unwrap())
    }

    fn reason(expected: &Expected, claim: &Claim) -> Option<Reason> {
        expected.judge(claim).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn a_connection_to_a_name_is_for_that_name_only() {
        for mode in [Mode::Public, Mode::Allowlist] {
            let at = expected(Destination::Name { name: "a.org".parse().unwrap() }, mode);
            assert_eq!(reason(&at, &name("a.org")), None);
            assert_eq!(reason(&at, &name("b.org")), Some(Reason::NameMismatch));
            assert_eq!(reason(&at, &Claim::Nothing), Some(Reason::NoName));
            assert_eq!(reason(&at, &Claim::Address([1, 1, 1, 1].into())), Some(Reason::NameMismatch));
        }
    }

    #[test]
    fn at_an_address_any_name_may_be_named_that_the_rules_allow() {
        let destination = Destination::Address { address: [1, 1, 1, 1].into() };
        let open = expected(destination.clone(), Mode::Public);
        assert_eq!(reason(&open, &name("b.org")), None);
        assert_eq!(reason(&open, &name("bad.org")), Some(Reason::Denied));
        let listed = expected(destination, Mode::Allowlist);
        assert_eq!(reason(&listed, &name("a.org")), None);
        assert_eq!(reason(&listed, &name("b.org")), Some(Reason::NotListed));
        for at in [open, listed] {
            assert_eq!(reason(&at, &Claim::Nothing), None);
            assert_eq!(reason(&at, &Claim::Address("::ffff:1.1.1.1".parse().unwrap())), None);
            assert_eq!(reason(&at, &Claim::Address([1, 1, 1, 2].into())), Some(Reason::NameMismatch));
        }
        let host = expected(Destination::HostLoopback, Mode::Allowlist);
        assert_eq!(reason(&host, &name("anything")), None);
    }
}
