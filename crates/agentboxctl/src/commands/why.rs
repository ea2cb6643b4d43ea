//! `why`: which rule decides, where it is written, and what would change it.

use crate::arguments::Why;
use crate::errors::Failure;
use crate::output::network::endpoint;
use crate::output::{escape, print, print_json};
use crate::supervisor::{Supervisor, understand};
use agentbox_ipc::{Access, WhyAnswer};
use agentbox_plan::gate::HOST_NAMES;
use std::net::IpAddr;

pub(super) fn run(why: &Why, embedded: bool) -> Result<u8, Failure> {
    let supervisor = Supervisor::connect(embedded)?;
    let answer = supervisor.ask(async |manager| manager.why(why.id.as_str(), &why.what).await)?;
    let answer: WhyAnswer = understand(answer)?;
    if why.json {
        print_json(&answer)?
    } else {
        print(&words(&answer))?
    }
    Ok(0)
}

/// What is decided, and a line each for the rule, its origin and the remedy.
fn words(answer: &WhyAnswer) -> String {
    let verdict = match answer.access {
        Some(Access::Writable) => "can be read and changed",
        Some(Access::ReadOnly) => "can be read, not changed",
        Some(Access::Hidden) => "is hidden",
        Some(Access::Private) => "of this machine does not exist inside",
        None if answer.allowed => "is allowed",
        None => "is refused",
    };
    let mut text = format!("{} {verdict}", escape::name(&endpoint(&answer.destination, answer.port)));
    if !answer.reason.is_empty() {
        text.push_str(&format!(": {}", escape::name(&answer.reason)));
    }
    for (head, line) in [("rule", &answer.rule), ("from", &answer.origin)] {
        if !line.is_empty() {
            text.push_str(&format!("\n  {head}    {}", escape::name(line)));
        }
    }
    if !answer.remedy.is_empty() {
        // Only this one may have lines of its own.
        text.push_str(&format!(
            "\n  remedy  {}",
            escape::message(&answer.remedy).replace('\n', "\n          ")
        ));
    }
    // What is said to be allowed for a reason of its own is no matter of rules.
    let ruled = answer.allowed && answer.access.is_none() && answer.reason.is_empty();
    if ruled && is_name(&answer.destination) {
        text.push_str("\n  but     an address of it that is internal is refused, unless `internal` names it");
    }
    text.push('\n');
    text
}

/// Whether it is a name. None is resolved to answer, so of its addresses nothing is known yet.
fn is_name(destination: &str) -> bool {
    destination.parse::<IpAddr>().is_err() && !HOST_NAMES.contains(&destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_by_which_rule_and_what_to_do() {
        let answer = WhyAnswer {
            destination: "x.evil.org".into(),
            port: 443,
            reason: "a rule denies it".into(),
            rule: "*.evil.org".into(),
            origin: "/etc/agentbox/agentbox.toml: profile.work.deny\nx".into(),
            remedy: "take the rule out\nor\x1b[2J".into(),
            ..WhyAnswer::default()
        };
        assert_eq!(
            words(&answer),
            "x.evil.org:443 is refused: a rule denies it\n  rule    *.evil.org\n  \
             from    /etc/agentbox/agentbox.toml: profile.work.deny\\nx\n  \
             remedy  take the rule out\n          or\\x1b[2J\n"
        );
        let allowed =
            WhyAnswer { destination: "2606::1".into(), port: 53, allowed: true, ..WhyAnswer::default() };
        assert_eq!(words(&allowed), "[2606::1]:53 is allowed\n");
        let loopback = WhyAnswer { destination: "host".into(), ..allowed.clone() };
        assert_eq!(words(&loopback), "host:53 is allowed\n");
        let name = WhyAnswer { destination: "a.org".into(), ..allowed };
        assert!(words(&name).starts_with("a.org:53 is allowed\n  but     an address of it that is internal"));
    }

    #[test]
    fn a_path_is_seen_or_not() {
        for (access, words_of_it) in [
            (Access::Hidden, "/a\\nb is hidden\n"),
            (Access::Private, "/a\\nb of this machine does not exist inside\n"),
            (Access::ReadOnly, "/a\\nb can be read, not changed\n"),
            (Access::Writable, "/a\\nb can be read and changed\n"),
        ] {
            let answer =
                WhyAnswer { destination: "/a\nb".into(), access: Some(access), ..WhyAnswer::default() };
            assert_eq!(words(&answer), words_of_it);
        }
    }
}
