//! Which legs of the trifecta stand in a session, from what was resolved.

use super::choice::Choice;
use super::{Sources, refused};
use crate::agent::SshAgent;
use crate::config::HostRule;
use crate::cover::denied_by;
use crate::environment::Rules as Variables;
use crate::lattice::Key;
use crate::legs::{Leg, Legs};
use crate::paths::is_within;
use crate::places::credentials;
use crate::policy::{Grant, Held, Sourced, Variable};
use crate::preset::Preset;
use crate::reach::Reach;
use crate::secrets::SecretGrant;
use crate::text::printable;
use crate::{Filesystem, Inputs, Network, PolicyError, Settings, Sign};
use agentbox_plan::net::{Pattern, Target, Verdict};
use std::collections::BTreeMap;

pub(super) struct Context<'a, 'b> {
    pub(super) inputs: &'b Inputs<'b>,
    pub(super) sources: &'b Sources<'a>,
    pub(super) choice: &'b Choice<'a>,
    pub(super) preset: &'b Preset,
    pub(super) held: Held,
    pub(super) origins: &'b BTreeMap<Key, String>,
    pub(super) grants: &'b [Grant],
    pub(super) environment: &'b BTreeMap<String, Variable>,
    pub(super) reach: &'b Reach,
    pub(super) ssh_agent: Option<&'b SshAgent>,
    pub(super) secrets: &'b [SecretGrant],
}

pub(super) fn collect(context: &Context<'_, '_>) -> Result<Legs, PolicyError> {
    let mut legs = Legs::default();
    private(context, &mut legs)?;
    untrusted(context, &mut legs);
    external(context, &mut legs);
    Ok(legs)
}

/// A session that is held less than what was found in its project asks for has to be meant.
pub(super) fn check_recommended(
    inputs: &Inputs<'_>,
    posture: &Sourced<String>,
    settings: &Settings,
) -> Result<(), PolicyError> {
    let Some(recommended) = inputs.inspection.and_then(|inspection| inspection.recommendation()) else {
        return Ok(());
    };
    if inputs.request.posture.is_some() || !recommended.is_above(settings) {
        return Ok(());
    }
    Err(refused(
        format!("posture `{}` for a project in which was found: {}", posture.value, recommended.reasons()),
        format!("{}; looser than recommended must be said aloud", posture.origin),
        format!(
            "look at it (agentboxctl inspect) and use --posture {}, or say --posture {}",
            recommended.posture, posture.value
        ),
    ))
}

impl Context<'_, '_> {
    fn origin(&self, key: Key) -> String {
        self.origins.get(&key).cloned().unwrap_or_else(|| crate::policy::BUILT_IN.to_owned())
    }

    /// Who says that what is seen is private or not. Yes counts from anybody, no from who is trusted.
    fn marked(&self) -> (Option<String>, Option<String>) {
        let mut said: Vec<(bool, String)> = Vec::new();
        if let Some((_, table)) = self.choice.table {
            said.extend(table.private.map(|private| (private, self.choice.profile_rule("private"))));
        }
        for entry in &self.choice.entries {
            said.extend(entry.table.private.map(|private| (private, entry.rule("private"))));
        }
        let no = said.iter().find(|(private, _)| !private).map(|(_, rule)| rule.clone());
        let file = self.sources.file.filter(|file| file.config.private == Some(true));
        said.extend(file.map(|file| (true, file.rule("private"))));
        (said.into_iter().find(|(private, _)| *private).map(|(_, rule)| rule), no)
    }
}

fn private(context: &Context<'_, '_>, legs: &mut Legs) -> Result<(), PolicyError> {
    let mut add = |what: String, rule: &str, remedy: String| legs.add(Leg::Private, what, rule, remedy);
    let (yes, no) = context.marked();
    if let Some(rule) = yes {
        add("it is marked private".to_owned(), &rule, format!("say private = false at {rule}"));
    }
    let home = &context.inputs.person.home;
    if context.held.filesystem != Filesystem::Listed {
        let rule = context.origin(Key::Filesystem);
        add(format!("the files of `{}` can be read", printable(home)), &rule, "use posture L2".to_owned());
    }
    let secret = credentials(home)?;
    for grant in context.grants.iter().filter(|grant| !grant.preset) {
        if secret.iter().any(|place| is_within(&grant.path, place)) {
            let what = format!("`{}`, a place of credentials", printable(&grant.path));
            add(what, &grant.origin, format!("take it out of {}", grant.origin));
        }
    }
    let rules = Variables::load()?;
    for (name, variable) in context.environment {
        if variable.passed && rules.is_denied(name) {
            let what = format!("the variable `{name}`, which by its name is a secret");
            add(what, &variable.origin, format!("take it out of {}", variable.origin));
        }
    }
    for secret in context.secrets {
        let what = format!("the secret `{}`", secret.name);
        add(what, &secret.origin, format!("take it out of {}", secret.origin));
    }
    if context.ssh_agent.is_some() {
        let rule = context.choice.profile_rule("ssh_agent");
        add("keys that it signs with".to_owned(), &rule, format!("take `ssh_agent` out of {rule}"));
    }
    if no.is_some() {
        return Ok(());
    }
    for finding in context.inputs.inspection.iter().flat_map(|inspection| &inspection.findings) {
        if finding.sign == Sign::PrivateRemote {
            let remedy = "if it is public, say private = false in the project's entry".to_owned();
            add(format!("a repository that is private: {}", finding.what), &finding.place, remedy);
        }
    }
    for rule in context.reach.written.iter().filter(|written| opens_internal(written.key, &written.text)) {
        let what = format!("what is at `{}`, which is not public", rule.text);
        add(what, &rule.origin, format!("take it out of {}", rule.origin));
    }
    Ok(())
}

fn opens_internal(key: &str, text: &str) -> bool {
    let internal = |target: &Target| match &target.pattern {
        Pattern::Network { range } => agentbox_plan::net::internal_range(range.first()).is_some(),
        Pattern::HostLoopback => true,
        _ => false,
    };
    match key {
        "internal" => true,
        "allow" => targets(text).iter().any(internal),
        _ => false,
    }
}

fn targets(text: &str) -> Vec<Target> {
    text.parse::<HostRule>().map(|rule| rule.targets()).unwrap_or_default()
}

impl Context<'_, '_> {
    /// Whether something of a target is left by what denies.
    fn is_left(&self, target: &Target) -> bool {
        let denials = self.reach.rules.rules.iter().filter(|rule| rule.verdict == Verdict::Deny);
        !denials.clone().any(|denial| denied_by(&denial.target, target))
    }
}

fn untrusted(context: &Context<'_, '_>, legs: &mut Legs) {
    let mut add = |what: String, rule: &str, remedy: String| legs.add(Leg::Untrusted, what, rule, remedy);
    let (project, person) = (&context.inputs.project, &context.inputs.person);
    if project.owner_uid != person.uid {
        let what = format!("the project belongs to uid {}", project.owner_uid);
        add(
            what,
            "the project's directory",
            "give it to its person (chown), once it was looked at".to_owned(),
        );
    }
    match context.inputs.inspection {
        None => {
            let remedy = "start with agentboxctl, which looks".to_owned();
            add("nobody looked into the project".to_owned(), "the request", remedy);
        }
        Some(inspection) => {
            for finding in inspection.findings.iter().filter(|finding| finding.sign.is_untrusted()) {
                let remedy = match finding.sign {
                    Sign::Stranger => "read it first; nothing here makes it one's own".to_owned(),
                    _ => format!("take `{}` away, or pin what it names in the profile", finding.place),
                };
                add(format!("{}: {}", finding.sign.as_str(), finding.what), &finding.place, remedy);
            }
        }
    }
    if matches!(context.held.network, Network::Public | Network::Host) {
        let rule = context.origin(Key::Network);
        add(
            format!("network `{}`: what anybody wrote is read", context.held.network),
            &rule,
            "use network `allowlist` or `none`".to_owned(),
        );
        return;
    }
    for name in context.reach.foreign.iter().filter(|name| context.is_left(&name.target)) {
        let remedy = match name.origin.starts_with("preset ") {
            true => format!("say deny = [\"{}\"] in the profile", name.target),
            false => format!("take it out of {}", name.origin),
        };
        add(format!("strangers write what is read at `{}`", name.target), &name.origin, remedy);
    }
}

fn external(context: &Context<'_, '_>, legs: &mut Legs) {
    let mut add = |what: String, rule: &str, remedy: String| legs.add(Leg::External, what, rule, remedy);
    if matches!(context.held.network, Network::Public | Network::Host) {
        let rule = context.origin(Key::Network);
        add(
            format!("network `{}`", context.held.network),
            &rule,
            "use network `allowlist` or `none`".to_owned(),
        );
        return;
    }
    if context.reach.mode.is_none() {
        return;
    }
    // What the agent itself talks to is no leg: without it there is no session.
    let own = |target: &Target| context.preset.names.iter().any(|host| host.target == *target);
    for rule in context.reach.written.iter().filter(|rule| rule.key != "deny") {
        let beyond = |target: &Target| !own(target) && context.is_left(target);
        if targets(&rule.text).iter().any(beyond) {
            add(
                format!("`{}` can be reached", rule.text),
                &rule.origin,
                format!("take it out of {}", rule.origin),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;
    use crate::{Finding, Inspection};

    const LOCKED: &str = "[profile.w]\nnetwork = \"allowlist\"\n";

    fn standing(world: &World) -> Vec<Leg> {
        world.resolve().unwrap().legs().standing().collect()
    }

    fn locked(more: &str) -> World {
        let mut world =
            World::new().system(&format!("{LOCKED}{more}")).ask(|request| request.profile = Some("w".into()));
        world.inspection = Some(Inspection::default());
        world
    }

    fn with(sign: Sign) -> World {
        let mut world = locked("");
        let finding = Finding { sign, place: ".mcp.json".into(), what: "it".into() };
        world.inspection = Some(Inspection { findings: vec![finding] });
        world
    }

    #[test]
    fn each_leg_stands_for_its_reasons_and_falls_without_them() {
        assert_eq!(standing(&locked("")), []);
        assert_eq!(standing(&locked("private = true")), [Leg::Private]);
        assert_eq!(standing(&locked("read = [\"~/.aws\"]")), [Leg::Private]);
        assert_eq!(standing(&locked("allow = [\"example.org\"]")), [Leg::External]);
        assert_eq!(standing(&locked("allow = [\"example.org\"]\ndeny = [\"example.org\"]")), []);
        assert_eq!(standing(&locked("allow = [\"@npm\"]")), [Leg::Untrusted, Leg::External]);
        assert_eq!(standing(&locked("internal = [\"git.corp\"]")), [Leg::Private, Leg::External]);
        assert_eq!(standing(&locked("internal = [\"git.corp\"]\nprivate = false")), [Leg::External]);
        assert_eq!(standing(&locked("env.pass = [\"SECRET_TOKEN\"]\nprivate = false")), [Leg::Private]);
        for sign in [Sign::Stranger, Sign::Instructions, Sign::Server, Sign::Skill] {
            assert_eq!(standing(&with(sign)), [Leg::Untrusted], "{sign:?}");
        }
        assert_eq!(standing(&with(Sign::PrivateRemote)), [Leg::Private]);
        assert_eq!(standing(&with(Sign::HardLink)), []);
        let mut unseen = locked("");
        unseen.inspection = None;
        assert_eq!(standing(&unseen), [Leg::Untrusted]);
        let mut foreign = locked("");
        foreign.project.owner_uid = 1001;
        assert_eq!(standing(&foreign), [Leg::Untrusted]);
    }

    #[test]
    fn what_the_agent_itself_needs_is_no_communication_but_what_strangers_write_there_is_read() {
        let mut world = locked("agent = \"claude\"");
        assert_eq!(standing(&world), [Leg::Untrusted]);
        world = locked("agent = \"claude\"\ndeny = [\"claude.ai\"]");
        assert_eq!(standing(&world), []);
    }

    #[test]
    fn an_open_network_is_two_legs_and_files_of_the_host_are_the_third() {
        let mut world = World::new();
        world.inspection = Some(Inspection::default());
        assert_eq!(standing(&world), [Leg::Untrusted, Leg::External]);
        assert_eq!(
            standing(&world.clone().ask(|request| request.posture = Some("L1".into()))),
            [Leg::Private]
        );
        let host = world.ask(|request| {
            request.posture = Some("L0".into());
            request.allow_unconfined = true;
        });
        assert_eq!(standing(&host), Leg::ALL);
    }

    #[test]
    fn a_project_can_call_itself_private_and_never_public() {
        assert_eq!(standing(&locked("").file("private = true")), [Leg::Private]);
        assert_eq!(standing(&locked("private = true").file("private = false")), [Leg::Private]);
    }

    #[test]
    fn three_legs_are_told_asked_or_refused_and_two_are_not() {
        let judge = |more: &str, confirmed: bool| {
            let mut policy = locked(&format!("allow = [\"@npm\"]\n{more}")).resolve().unwrap();
            policy.share(&[], confirmed)
        };
        assert_eq!(judge("trifecta = \"refuse\"", false), Ok(None));
        let three = |how: &str| format!("private = true\ntrifecta = \"{how}\"");
        assert!(judge(&three("warn"), false).unwrap().unwrap().contains("private data"));
        assert!(matches!(judge(&three("confirm"), false), Err(PolicyError::Unconfirmed { .. })));
        assert_eq!(judge(&three("confirm"), true), Ok(None));
        let refused = judge(&three("refuse"), true).unwrap_err();
        assert!(matches!(refused, PolicyError::Refused { .. }));
        assert!(refused.to_string().contains("profile.w.trifecta"), "{refused}");
    }

    #[test]
    fn sessions_on_one_project_are_judged_together() {
        let one = |name: &str, policy: &crate::Policy| [(name.to_owned(), policy.neighbour())];
        let reader = locked("private = true").resolve().unwrap();
        let mut sender = locked("allow = [\"@npm\"]\ntrifecta = \"refuse\"").resolve().unwrap();
        assert_eq!(sender.share(&[], false), Ok(None));
        let refused = sender.share(&one("babc", &reader), false).unwrap_err().to_string();
        assert!(refused.contains("session babc"), "{refused}");
        assert_eq!((sender.legs().count(), sender.shared_legs().count()), (2, 3));
        // The word of whoever was there first holds for who comes.
        let mut reader = reader;
        let refused = reader.share(&one("bxyz", &sender), false).unwrap_err().to_string();
        assert!(
            refused.contains("session bxyz: /etc/agentbox/agentbox.toml: profile.w.trifecta"),
            "{refused}"
        );
    }

    #[test]
    fn what_a_person_allows_a_session_that_runs_counts() {
        let policy = locked("private = true\ntrifecta = \"refuse\"").resolve().unwrap();
        assert_eq!(policy.neighbour().judge(&[], false), Ok(None));
        let mut rules = policy.network_rules().clone();
        let asked: HostRule = "registry.npmjs.org".parse().unwrap();
        rules.rules.extend(asked.rules(Verdict::Allow, crate::LIVE_ALLOW));
        assert!(policy.neighbour().with_live(&rules).judge(&[], false).is_err());
    }

    #[test]
    fn every_cause_says_its_rule_and_what_would_remove_it() {
        let world = World::new().ask(|request| request.posture = Some("L1".into()));
        let policy = world.resolve().unwrap();
        for leg in policy.legs().standing() {
            for cause in policy.legs().causes(leg) {
                assert!(!cause.rule.is_empty() && !cause.remedy.is_empty(), "{cause:?}");
            }
        }
    }
}
