//! Rules that a person adds to a session that runs. Pure, like the rest: the supervisor asks, and does.

use crate::config::HostRule;
use crate::cover::denied_by;
use crate::text::printable;
use crate::{PolicyError, System, ceiling, loopback};
use agentbox_plan::Wire;
use agentbox_plan::gate::MAX_ANSWER_BYTES;
use agentbox_plan::net::{Rule, Rules, Verdict};

pub use agentbox_plan::net::{LIVE_ALLOW, LIVE_DENY};
/// Room for the words around the rules in an answer.
const ANSWER_BYTES: usize = 16;

/// Whether a rule was added to the session while it ran.
fn is_live(rule: &Rule, origin: &str) -> bool {
    rule.origin.ends_with(origin)
}

/// The rules that a person adds with `agentboxctl allow`, for [`with_live`].
///
/// # Errors
/// [`PolicyError::Refused`] with the `FILE: KEY` of the ceiling that they are above, or of the denial that
/// closes them. A denial that the person added to the same session closes nothing here: it is taken back.
///
/// `above_ceiling`: somebody who may lift the ceiling has consented.
pub fn live_allow(
    system: &System,
    rules: &Rules,
    asked: &HostRule,
    above_ceiling: bool,
) -> Result<Vec<Rule>, PolicyError> {
    let more = asked.rules(Verdict::Allow, LIVE_ALLOW);
    for rule in &more {
        loopback::check(rule)?;
        if !above_ceiling {
            ceiling::check_rule(&system.source, rule)?;
        }
        let denials = rules.rules.iter().filter(|other| other.verdict == Verdict::Deny);
        let configured = denials.filter(|other| !is_live(other, LIVE_DENY));
        check_denials(configured, rule)?;
    }
    Ok(more)
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

/// The denials that a person adds with `agentboxctl deny`, for [`with_live`]. Always allowed: they only
/// tighten.
#[must_use]
pub fn live_deny(asked: &HostRule) -> Vec<Rule> {
    asked.rules(Verdict::Deny, LIVE_DENY)
}

/// The rules of a session with more of them. What a person said before about the same target, while the
/// session ran, is replaced.
///
/// # Errors
/// [`PolicyError::Refused`] when they are more than the gate takes.
pub fn with_live(rules: &Rules, more: &[Rule]) -> Result<Rules, PolicyError> {
    let mut rules = rules.clone();
    for rule in more {
        rules.rules.retain(|other| {
            let live = is_live(other, LIVE_ALLOW) || is_live(other, LIVE_DENY);
            !(live && other.target == rule.target)
        });
        rules.rules.push(rule.clone());
    }
    if rules.to_bytes().len() + ANSWER_BYTES > MAX_ANSWER_BYTES {
        let what = more.iter().map(|rule| rule.target.to_string()).collect::<Vec<_>>().join(", ");
        return Err(PolicyError::Refused {
            what: format!("`{}`: the session has {} rules already", printable(&what), rules.rules.len()),
            rule: format!("built-in: at most {MAX_ANSWER_BYTES} bytes of rules"),
            remedy: "use a wildcard in place of many names".to_owned(),
        });
    }
    Ok(rules)
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
        live_allow(&system(SYSTEM), &rules(), &text.parse().unwrap(), false)
            .map_err(|error| error.to_string())
    }

    fn reaches(rules: &Rules, name: &str) -> bool {
        rules.judge(&Destination::Name { name: name.parse().unwrap() }, 443).is_allowed()
    }

    #[test]
    fn a_live_rule_is_within_the_ceiling() {
        for text in ["a.example.org", "a.example.org:443", "@npm", "registry.npmjs.org", "host:5432"] {
            let more = allow(text).unwrap();
            assert!(
                more.iter().all(|rule| rule.verdict == Verdict::Allow && rule.origin.ends_with(LIVE_ALLOW))
            );
            assert!(with_live(&rules(), &more).unwrap().rules.len() > rules().rules.len());
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
    fn what_stays_inside_is_no_rules_to_allow() {
        for text in ["localhost:3000", "127.0.0.1:3000"] {
            assert_eq!(
                live_allow(&system(""), &rules(), &text.parse().unwrap(), true).unwrap_err().to_string(),
                format!(
                    "refused: a rule that allows `{text}`: inside that is the session's own loopback\n\
                     rule: agentboxctl allow\n\
                     a port of this machine is `host:3000`, and inside host.agentbox.internal:3000"
                )
            );
        }
    }

    #[test]
    fn consent_lifts_the_ceiling_and_no_denial() {
        let consented = |text: &str| live_allow(&system(SYSTEM), &rules(), &text.parse().unwrap(), true);
        assert!(allow("@github").is_err() && consented("@github").is_ok());
        assert!(consented("bad.example.org").is_err());
    }

    #[test]
    fn a_live_rule_never_reopens_what_configuration_denies() {
        assert_eq!(
            allow("bad.example.org:443").unwrap_err(),
            "refused: a rule that allows `bad.example.org:443` (agentboxctl allow): `bad.example.org` is denied\n\
             rule: /etc/agentbox/agentbox.toml: profile.w.deny\nleave it out, or change the rule that denies it"
        );
        // A wildcard around it is no way in either.
        let after = with_live(&rules(), &allow("*.example.org").unwrap()).unwrap();
        assert!(!reaches(&after, "bad.example.org") && reaches(&after, "good.example.org"));
    }

    #[test]
    fn the_newest_word_about_a_target_counts() {
        let entry: HostRule = "a.example.org".parse().unwrap();
        let allowed = with_live(&rules(), &allow("a.example.org").unwrap()).unwrap();
        assert!(reaches(&allowed, "a.example.org"));
        assert!(live_allow(&system(SYSTEM), &allowed, &entry, false).is_ok(), "it is allowed already");
        let denied = with_live(&allowed, &live_deny(&entry)).unwrap();
        assert!(!reaches(&denied, "a.example.org"));
        let again = live_allow(&system(SYSTEM), &denied, &entry, false).unwrap();
        assert_eq!(with_live(&denied, &again).unwrap(), allowed);
        // What configuration says about it stays beside.
        let system = "[profile.w]\nnetwork = \"allowlist\"\nallow = [\"a.example.org\"]";
        let world = World::new().system(system).ask(|request| request.profile = Some("w".into()));
        let configured = world.resolve().unwrap().network_rules().clone();
        let denied = with_live(&configured, &live_deny(&entry)).unwrap();
        assert_eq!(denied.rules.len(), configured.rules.len() + 1);
    }

    #[test]
    fn rules_that_are_accepted_fit_into_an_answer() {
        let mut rules = Rules { mode: Mode::Allowlist, rules: Vec::new() };
        let refusal = (0..9999).find_map(|at| {
            let more = live_deny(&format!("{at}.{}.org", "a".repeat(60)).parse().unwrap());
            match with_live(&rules, &more) {
                Ok(more) => {
                    rules = more;
                    None
                }
                Err(error) => Some(error.to_string()),
            }
        });
        assert!(refusal.unwrap().contains("rules already"));
        assert!(Answer::Rules { rules }.to_bytes().len() <= MAX_ANSWER_BYTES);
    }
}
