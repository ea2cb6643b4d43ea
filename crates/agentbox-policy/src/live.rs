//! Rules that a person adds to a session that runs. Pure, like the rest: the supervisor asks, and does.

use crate::config::HostRule;
use crate::cover::denied_by;
use crate::text::printable;
use crate::{PolicyError, System, ceiling};
use agentbox_plan::Wire;
use agentbox_plan::gate::MAX_ANSWER_BYTES;
use agentbox_plan::net::{Rule, Rules, Verdict};

/// Origin of rules that a person adds.
pub const LIVE_ALLOW: &str = "agentboxctl allow";
/// Origin of denials that a person adds.
pub const LIVE_DENY: &str = "agentboxctl deny";
/// Room for the words around the rules in an answer.
const ANSWER_BYTES: usize = 16;

/// Whether a denial was added to the session while it ran.
fn is_live(rule: &Rule) -> bool {
    rule.origin.strip_prefix(LIVE_DENY).is_some_and(|rest| rest.is_empty() || rest.starts_with(" @"))
}

/// The rules that a person adds with `agentboxctl allow`, held against the rules of the session as they
/// are. Their origin is [`LIVE_ALLOW`], with the name of the group where there is one.
///
/// # Errors
/// [`PolicyError::Refused`] with the `FILE: KEY` of the ceiling that they are above, or of the denial that
/// closes them. A denial that was added while the session ran closes nothing here: the newest word about a
/// target counts, and the supervisor takes the other one back.
pub fn ceiling_allow(system: &System, rules: &Rules, asked: &HostRule) -> Result<Vec<Rule>, PolicyError> {
    let more = live(asked, Verdict::Allow, LIVE_ALLOW);
    for rule in &more {
        ceiling::check_rule(&system.source, rule)?;
        let denials = rules.rules.iter().filter(|other| other.verdict == Verdict::Deny);
        check_denials(denials.filter(|other| !is_live(other)), rule)?;
    }
    check_size(rules, &more)?;
    Ok(more)
}

/// The denials that a person adds with `agentboxctl deny`. Whoever may speak for the session may always
/// add them: they only tighten.
///
/// # Errors
/// [`PolicyError::Refused`] when the gate takes no more rules.
pub fn live_deny(rules: &Rules, asked: &HostRule) -> Result<Vec<Rule>, PolicyError> {
    let more = live(asked, Verdict::Deny, LIVE_DENY);
    check_size(rules, &more)?;
    Ok(more)
}

fn live(asked: &HostRule, verdict: Verdict, origin: &str) -> Vec<Rule> {
    let origin = match asked {
        HostRule::Target(_) => origin.to_owned(),
        HostRule::Group(_) => format!("{origin} {asked}"),
    };
    let rule = |target| Rule { verdict, target, internal: false, origin: origin.clone() };
    asked.targets().into_iter().map(rule).collect()
}

fn check_size(rules: &Rules, more: &[Rule]) -> Result<(), PolicyError> {
    let mut all = rules.clone();
    all.rules.extend_from_slice(more);
    if all.to_bytes().len() + ANSWER_BYTES <= MAX_ANSWER_BYTES {
        return Ok(());
    }
    let what = more.iter().map(|rule| rule.target.to_string()).collect::<Vec<_>>().join(", ");
    Err(PolicyError::Refused {
        what: format!("`{}`: the session has {} rules already", printable(&what), rules.rules.len()),
        rule: format!("built-in: at most {MAX_ANSWER_BYTES} bytes of rules"),
        remedy: "use a wildcard in place of many names".to_owned(),
    })
}

/// Refuses a rule of which denials leave nothing.
pub(crate) fn check_denials<'a>(
    mut denials: impl Iterator<Item = &'a Rule>,
    rule: &Rule,
) -> Result<(), PolicyError> {
    let Some(denial) = denials.find(|denial| denied_by(&denial.target, &rule.target)) else { return Ok(()) };
    Err(PolicyError::Refused {
        what: format!(
            "a rule that allows `{}` ({}): `{}` is denied",
            rule.target, rule.origin, denial.target
        ),
        rule: denial.origin.clone(),
        remedy: "leave it out, or change the rule that denies it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{World, system};
    use agentbox_plan::gate::Answer;
    use agentbox_plan::net::{Destination, Mode};

    const SYSTEM: &str = "[ceiling]\nallow = [\"@npm\", \"*.example.org\", \"9.9.9.0/24:53\"]\ninternal = [\"git.corp\", \"host:5432\"]\n\
        [profile.w]\nnetwork = \"allowlist\"\ndeny = [\"bad.example.org\"]";

    fn rules() -> Rules {
        let world = World::new().system(SYSTEM).ask(|request| request.profile = Some("w".into()));
        world.resolve().unwrap().network_rules().clone()
    }

    fn allow(text: &str) -> Result<Vec<Rule>, String> {
        ceiling_allow(&system(SYSTEM), &rules(), &text.parse().unwrap()).map_err(|error| error.to_string())
    }

    fn with(rules: &Rules, more: Vec<Rule>) -> Rules {
        let mut rules = rules.clone();
        rules.rules.extend(more);
        rules
    }

    fn reaches(rules: &Rules, name: &str) -> bool {
        rules.judge(&Destination::Name { name: name.parse().unwrap() }, 443).is_allowed()
    }

    #[test]
    fn a_live_rule_is_within_the_ceiling() {
        for text in ["a.example.org", "a.example.org:443", "@npm", "registry.npmjs.org", "host:5432"] {
            let more = allow(text).unwrap();
            assert!(
                more.iter().all(|rule| rule.verdict == Verdict::Allow && rule.origin.starts_with(LIVE_ALLOW))
            );
        }
        for (text, key) in [
            ("a.example.org:22", "allow"),
            ("x.a.example.org", "allow"),
            ("@github", "allow"),
            ("host:22", "internal"),
            ("10.0.0.1:22", "internal"),
            // In a network of this machine it would be one of its addresses.
            ("9.9.9.9:53", "internal"),
            ("0.0.0.0/0", "allow"),
        ] {
            let refusal = allow(text).unwrap_err();
            assert!(
                refusal.contains(&format!("rule: /etc/agentbox/agentbox.toml: ceiling.{key}\n")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_live_rule_never_reopens_what_configuration_denies() {
        assert_eq!(
            allow("bad.example.org:443").unwrap_err(),
            "refused: a rule that allows `bad.example.org:443` (agentboxctl allow): `bad.example.org` is denied\n\
             rule: /etc/agentbox/agentbox.toml: profile.w.deny\nleave it out, or change the rule that denies it"
        );
        // A wildcard around it is no way in either.
        let after = with(&rules(), allow("*.example.org").unwrap());
        assert!(!reaches(&after, "bad.example.org") && reaches(&after, "good.example.org"));
    }

    #[test]
    fn a_person_takes_back_what_the_person_denied_and_nothing_else() {
        for text in ["a.example.org", "@npm"] {
            let entry: HostRule = text.parse().unwrap();
            let denied = with(&rules(), live_deny(&rules(), &entry).unwrap());
            assert!(ceiling_allow(&system(SYSTEM), &denied, &entry).is_ok(), "{text}");
            // A file that is called like it is none.
            let mut configured = denied.clone();
            configured.rules.iter_mut().for_each(|rule| rule.origin = format!("{LIVE_DENY}: deny"));
            assert!(ceiling_allow(&system(SYSTEM), &configured, &entry).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_that_are_accepted_fit_into_an_answer() {
        let mut rules = Rules { mode: Mode::Allowlist, rules: Vec::new() };
        let refusal = (0..9999).find_map(|at| {
            let entry = format!("{at}.{}.org", "a".repeat(60)).parse().unwrap();
            let more = live_deny(&rules, &entry).map_err(|error| error.to_string());
            more.map(|more| rules.rules.extend(more)).err()
        });
        assert!(refusal.unwrap().contains("rules already"));
        assert!(Answer::Rules { rules }.to_bytes().len() <= MAX_ANSWER_BYTES);
    }
}
