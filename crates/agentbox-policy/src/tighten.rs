//! What of the system's configuration, when it is read again, holds at once for sessions that run: what of a session's
//! network it closes. Whatever it opens, and everything else, is for sessions that start.

use crate::config::{Config, HostRule, InternalName, differences};
use crate::lattice::Setting;
use crate::paths::{expand, overlap};
use crate::policy::BUILT_IN;
use crate::posture::Chain;
use crate::resolve::COMMAND_LINE;
use crate::{Network, ProjectTable, System, ceiling};
use agentbox_plan::net::{Mode, Rule, Rules, Verdict};

/// How the origin of what an agent needs begins.
const PRESET: &str = "preset ";

/// A session that runs.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// Name of its profile; empty when it has none.
    pub profile: &'a str,
    /// Name of its posture.
    pub posture: &'a str,
    /// Path of its project.
    pub project: &'a str,
    /// The home of whom it is.
    pub home: &'a str,
    /// Where the value of its network comes from.
    pub network_origin: &'a str,
    /// Where its agent comes from.
    pub agent_origin: &'a str,
}

/// What a session loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tightened {
    /// What holds where no rule says anything, and why when that is tighter than before.
    pub mode: (Mode, Option<String>),
    /// Rules that deny, and are not there yet.
    pub denials: Vec<Rule>,
    /// Rules that allowed, and hold no more.
    pub withdrawn: Vec<Rule>,
}

impl Tightened {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.mode.1.is_none() && self.denials.is_empty() && self.withdrawn.is_empty()
    }
}

/// What a session with these rules loses when `old` becomes `new`.
#[must_use]
pub fn tightened(old: &System, new: &System, session: Running<'_>, rules: &Rules) -> Tightened {
    let bound = bounds(new, session).into_iter().max_by_key(|(network, _)| *network);
    let closed = bound.as_ref().filter(|(network, _)| *network == Network::None);
    let narrowed = bound.as_ref().filter(|(network, _)| *network >= Network::Allowlist);
    let narrowed = narrowed.filter(|_| rules.mode == Mode::Public || closed.is_some());
    let mode = narrowed.map_or((rules.mode, None), |(_, origin)| (Mode::Allowlist, Some(origin.clone())));
    let mut denials = Vec::new();
    let (before, after) = (lists(old, session), lists(new, session));
    for list in &after {
        for rule in list.deny.iter().flat_map(|host| host.rules(Verdict::Deny, &list.origin("deny"))) {
            let is_known = |old: &Rule| old.verdict == Verdict::Deny && old.target == rule.target;
            if !rules.rules.iter().any(is_known) && !denials.iter().any(is_known) {
                denials.push(rule);
            }
        }
    }
    let allowed = |lists: &[List<'_>]| lists.iter().flat_map(List::allowed).collect::<Vec<_>>();
    let (gave, gives) = (allowed(&before), allowed(&after));
    let is_in = |list: &[Rule], rule: &Rule, with_origin: bool| {
        let same = |other: &Rule| (&other.target, other.internal) == (&rule.target, rule.internal);
        list.iter().any(|other| same(other) && (!with_origin || other.origin == rule.origin))
    };
    let agent_by_system = agent_is_systems(new, session);
    let withdrawn = rules.rules.iter().filter(|rule| {
        let by_system = is_in(&gives, rule, false) || agent_by_system && rule.origin.starts_with(PRESET);
        let is_gone = is_in(&gave, rule, true) && !is_in(&gives, rule, false);
        // What was above the old one was consented to.
        let is_above = !by_system
            && ceiling::above(&new.source, rule).is_some()
            && ceiling::above(&old.source, rule).is_none();
        rule.verdict == Verdict::Allow && (is_gone || is_above || closed.is_some())
    });
    let withdrawn: Vec<Rule> = withdrawn.cloned().collect();
    // A second reading of the same has nothing left to do.
    let is_new = rules.mode != mode.0 || !withdrawn.is_empty();
    Tightened { mode: (mode.0, mode.1.filter(|_| is_new)), denials, withdrawn }
}

/// What is otherwise in a configuration and not for sessions that run: each key, and what it waits for.
#[must_use]
pub fn waiting(old: &System, new: &System) -> Vec<String> {
    let changed = differences(&old.source.config, &new.source.config);
    let waits = |what: &String| {
        let key = what.split([' ', ':']).next().unwrap_or_default();
        match key.split('.').next() {
            Some("uid_range" | "resolvers") => format!("{what}: waits for a restart of agentboxd"),
            _ => format!("{what}: for sessions that start, but for what closes a network"),
        }
    };
    changed.iter().map(waits).collect()
}

/// Every network that the session may not be looser than, with its origin.
fn bounds(system: &System, session: Running<'_>) -> Vec<(Network, String)> {
    let (source, config) = (&system.source, &system.source.config);
    let mut found = Vec::new();
    let mut add =
        |network: Option<Network>, origin: String| found.extend(network.map(|network| (network, origin)));
    add(config.floor.as_ref().and_then(|floor| floor.network), source.rule("floor.network"));
    let profile = config.profile.get(session.profile);
    add(
        profile.and_then(|profile| profile.network),
        source.rule(&format!("profile.{}.network", session.profile)),
    );
    for (name, project) in projects(config, session) {
        add(project.network, source.rule(&format!("project.{name}.network")));
        let posture = project.posture.as_ref().and_then(|posture| of_posture(system, posture.as_str()));
        add(posture, source.rule(&format!("project.{name}.posture")));
    }
    // What was asked for by name took the place of what the posture says.
    if session.network_origin != COMMAND_LINE && config.posture.contains_key(session.posture) {
        let origin = source.rule(&format!("posture.{}.network", session.posture));
        add(of_posture(system, session.posture), origin);
    }
    found
}

/// Whether nobody but the system, or nobody at all, chose the agent: then the ceiling does not hold for what it needs.
fn agent_is_systems(system: &System, session: Running<'_>) -> bool {
    let source = &system.source;
    let projects = projects(&source.config, session);
    let mut rules = projects
        .filter(|(_, table)| table.agent.is_some())
        .map(|(name, _)| source.rule(&format!("project.{name}.agent")))
        .chain([BUILT_IN.to_owned(), source.rule(&format!("profile.{}.agent", session.profile))]);
    rules.any(|rule| rule == session.agent_origin)
}

fn of_posture(system: &System, name: &str) -> Option<Network> {
    let chain = Chain { own: &system.source, below: None };
    chain.settings(name).into_iter().find_map(|(setting, _)| match setting {
        Setting::Network(network) => Some(network),
        _ => None,
    })
}

fn projects<'a>(
    config: &'a Config,
    session: Running<'a>,
) -> impl Iterator<Item = (&'a str, &'a ProjectTable)> {
    config.project.iter().filter_map(move |(name, table)| {
        let path = expand(table.path.as_ref()?, session.home);
        overlap(session.project, &path).then_some((name.as_str(), table))
    })
}

/// What a table allows and denies.
struct List<'a> {
    system: &'a System,
    table: String,
    allow: &'a [HostRule],
    internal: &'a [InternalName],
    deny: &'a [HostRule],
}

impl<'a> List<'a> {
    fn new(
        system: &'a System,
        table: String,
        [allow, deny]: [&'a Option<Vec<HostRule>>; 2],
        internal: &'a Option<Vec<InternalName>>,
    ) -> Self {
        Self {
            system,
            table,
            allow: allow.as_deref().unwrap_or_default(),
            internal: internal.as_deref().unwrap_or_default(),
            deny: deny.as_deref().unwrap_or_default(),
        }
    }

    fn origin(&self, key: &str) -> String {
        self.system.source.rule(&format!("{}.{key}", self.table))
    }

    fn allowed(&self) -> Vec<Rule> {
        let origin = self.origin("allow");
        let mut rules: Vec<Rule> =
            self.allow.iter().flat_map(|host| host.rules(Verdict::Allow, &origin)).collect();
        let origin = self.origin("internal");
        for name in self.internal {
            let named = HostRule::Target(name.target().clone()).rules(Verdict::Allow, &origin);
            rules.extend(named.into_iter().map(|rule| Rule { internal: true, ..rule }));
        }
        rules
    }
}

fn lists<'a>(system: &'a System, session: Running<'a>) -> Vec<List<'a>> {
    let config = &system.source.config;
    let profile = config.profile.get(session.profile).map(|table| {
        List::new(
            system,
            format!("profile.{}", session.profile),
            [&table.allow, &table.deny],
            &table.internal,
        )
    });
    let projects = projects(config, session).map(|(name, table)| {
        List::new(system, format!("project.{name}"), [&table.allow, &table.deny], &table.internal)
    });
    profile.into_iter().chain(projects).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{World, system};

    const SESSION: Running<'_> = Running {
        profile: "w",
        posture: "L2",
        project: "/home/me/src/site",
        home: "/home/me",
        network_origin: "built-in: L2",
        agent_origin: BUILT_IN,
    };
    const OLD: &str = "[profile.w]\nallow = [\"a.org\", \"b.org\"]";

    fn rules(text: &str) -> Rules {
        let mut world = World::new().system(text);
        world.request.profile = Some("w".to_owned());
        world.resolve().unwrap().network_rules().clone()
    }

    fn after(new: &str) -> Tightened {
        tightened(&system(OLD), &system(new), SESSION, &rules(OLD))
    }

    #[test]
    fn every_bound_of_the_network_narrows_it_at_once() {
        assert!(after(OLD).is_nothing());
        for (more, origin) in [
            ("\n[floor]\nnetwork = \"allowlist\"", "floor.network"),
            ("\nnetwork = \"allowlist\"", "profile.w.network"),
            ("\n[project.s]\npath = \"~/src/site\"\nnetwork = \"allowlist\"", "project.s.network"),
            (
                "\n[project.s]\npath = \"~/src\"\nposture = \"x\"\n[posture.x]\nnetwork = \"allowlist\"",
                "project.s.posture",
            ),
        ] {
            let found = after(&format!("{OLD}{more}"));
            assert_eq!(found.mode.0, Mode::Allowlist, "{more}");
            assert!(!found.is_nothing(), "{more}");
            assert!(found.mode.1.is_some_and(|by| by.ends_with(origin)), "{more}");
            assert!(found.withdrawn.is_empty(), "{more}");
        }
        // What is elsewhere, and what is looser, changes nothing.
        for more in [
            "\n[project.s]\npath = \"~/src/other\"\nnetwork = \"allowlist\"",
            "\n[floor]\nnetwork = \"public\"",
            "\n[posture.x]\nnetwork = \"none\"",
        ] {
            assert!(after(&format!("{OLD}{more}")).is_nothing(), "{more}");
        }
    }

    #[test]
    fn the_posture_narrows_what_was_not_asked_for_by_name() {
        let new = system(&format!("{OLD}\n[posture.x]\nnetwork = \"allowlist\""));
        let session = Running { posture: "x", ..SESSION };
        let of = |session| tightened(&system(OLD), &new, session, &rules(OLD)).mode.0;
        assert_eq!(of(session), Mode::Allowlist);
        assert_eq!(of(Running { network_origin: COMMAND_LINE, ..session }), Mode::Public);
    }

    #[test]
    fn no_network_leaves_no_rule_that_allows_and_is_told_once() {
        let new = system(&format!("{OLD}\n[floor]\nnetwork = \"none\""));
        let old = rules(OLD);
        let found = tightened(&system(OLD), &new, SESSION, &old);
        let allowed = old.rules.iter().filter(|rule| rule.verdict == Verdict::Allow).count();
        assert!(allowed > 1 && found.withdrawn.len() == allowed, "{found:?}");
        let left = Rules { mode: found.mode.0, rules: Vec::new() };
        assert!(tightened(&new, &new, SESSION, &left).is_nothing());
        // Nor does a looser bound beside it, or that only what is listed was reached before.
        let listed = format!("{OLD}\ndeny = [\"c.org\"]\nnetwork = \"allowlist\"");
        let (new, old) = (system(&format!("{listed}\n[floor]\nnetwork = \"none\"")), rules(&listed));
        let found = tightened(&system(&listed), &new, SESSION, &old);
        assert!(found.mode.1.is_some_and(|by| by.ends_with("floor.network")));
        assert!(!found.withdrawn.is_empty());
        assert!(found.withdrawn.iter().all(|rule| rule.verdict == Verdict::Allow));
    }

    #[test]
    fn what_is_denied_or_no_longer_allowed_is_closed_at_once() {
        let found = after(
            "[profile.w]\nallow = [\"a.org\"]\ndeny = [\"c.org\"]\n[project.s]\npath = \"~/src\"\ndeny = [\"d.org\"]",
        );
        let targets = |rules: &[Rule]| rules.iter().map(|rule| rule.target.to_string()).collect::<Vec<_>>();
        assert!(targets(&found.withdrawn).iter().all(|target| target.contains("b.org")), "{found:?}");
        assert!(!found.withdrawn.is_empty());
        let denied = targets(&found.denials).join(" ");
        assert!(denied.contains("c.org") && denied.contains("d.org"), "{denied}");
        for new in ["[profile.w]\nallow = [\"a.org\"]".to_owned(), format!("{OLD}\ndeny = [\"a.org\"]")] {
            assert!(!after(&new).is_nothing(), "{new}");
        }
    }

    #[test]
    fn what_holds_already_is_told_no_second_time() {
        let denying = format!("{OLD}\ndeny = [\"c.org\"]");
        let (same, there) = (system(&denying), rules(&denying));
        assert!(tightened(&same, &same, SESSION, &there).is_nothing());
        let twice = format!("{denying}\n[project.s]\npath = \"~/src\"\ndeny = [\"c.org\"]");
        assert_eq!(after(&twice).denials.len(), 1);
    }

    #[test]
    fn what_is_taken_back_is_what_that_table_gave() {
        // It is given by another table now.
        let moved = "[profile.w]\nallow = [\"a.org\"]\n[project.s]\npath = \"~/src\"\nallow = [\"b.org\"]";
        assert!(after(moved).is_nothing());
        // A person allowed the same.
        let mut own = rules(OLD);
        own.rules.iter_mut().for_each(|rule| rule.origin = crate::LIVE_ALLOW.to_owned());
        let fewer = system("[profile.w]\nallow = [\"a.org\"]");
        assert!(tightened(&system(OLD), &fewer, SESSION, &own).is_nothing());
        // It is still given, and no longer for internal addresses.
        let internal = "[profile.w]\ninternal = [\"wiki.corp:443\"]";
        let public = system("[profile.w]\nallow = [\"wiki.corp:443\"]");
        let found = tightened(&system(internal), &public, SESSION, &rules(internal));
        assert!(matches!(&found.withdrawn[..], [rule] if rule.internal), "{found:?}");
        // The system's own table is above no ceiling of the system's.
        let wide = format!("{OLD}\n[ceiling]\nallow = [\"a.org\", \"b.org\"]");
        let narrow = system(&format!("{OLD}\n[ceiling]\nallow = []"));
        assert!(tightened(&system(&wide), &narrow, SESSION, &rules(&wide)).withdrawn.is_empty());
    }

    #[test]
    fn a_ceiling_that_comes_down_takes_what_a_person_allowed_and_not_what_the_system_did() {
        let old = "[ceiling]\nallow = [\"*.x.org\", \"anthropic.com\", \"*.anthropic.com\"]\ninternal = [\"git.corp\"]\n\
            [profile.w]\nallow = [\"a.org\"]\ninternal = [\"wiki.corp:443\", \"git.corp:443\"]";
        let mut world = World::new().system(old);
        world.request.profile = Some("w".to_owned());
        world.request.agent = Some("claude".to_owned());
        world.request.allow = vec!["p.x.org".parse().unwrap(), "q.x.org".parse().unwrap()];
        let mut rules = world.resolve().unwrap().network_rules().clone();
        // An administrator consented to what is above the ceiling.
        rules.rules.extend("r.net".parse::<HostRule>().unwrap().rules(Verdict::Allow, crate::LIVE_ALLOW));
        let presets = rules.rules.iter().filter(|rule| rule.origin.starts_with(PRESET)).count();
        assert!(presets > 0);
        let taken = |new: &str, agent_origin| {
            let session = Running { agent_origin, ..SESSION };
            let found = tightened(&system(old), &system(new), session, &rules);
            let shown = |rule: &Rule| rule.target.to_string();
            found.withdrawn.iter().map(shown).collect::<Vec<_>>()
        };
        assert!(taken(old, BUILT_IN).is_empty());
        let narrow = old.replace("\"*.x.org\"", "\"p.x.org\"");
        let without = |taken: Vec<String>| {
            taken
                .into_iter()
                .filter(|target| target.starts_with("q.") || target.starts_with("p."))
                .collect::<Vec<_>>()
        };
        assert_eq!(without(taken(&narrow, BUILT_IN)), ["q.x.org"]);
        assert!(!taken(&narrow, BUILT_IN).iter().any(|target| target == "a.org" || target == "r.net"));
        // What an agent needs goes when a person chose the agent.
        let nothing = old.replace("\"*.x.org\", \"anthropic.com\", \"*.anthropic.com\"", "");
        assert_eq!(taken(&nothing, BUILT_IN), ["p.x.org", "q.x.org"]);
        assert!(taken(&nothing, COMMAND_LINE).len() > 2);
        // Internal names of a table are taken back as the others are.
        let internal =
            old.replace("internal = [\"wiki.corp:443\", \"git.corp:443\"]", "internal = [\"git.corp:443\"]");
        assert_eq!(taken(&internal, BUILT_IN), ["wiki.corp:443"]);
    }

    #[test]
    fn what_waits_is_named() {
        let waits = waiting(
            &system(OLD),
            &system(&format!("resolvers = [\"9.9.9.9\"]\n{OLD}\ntrifecta = \"refuse\"")),
        );
        assert!(waits.iter().any(|what| what.contains("resolvers") && what.contains("restart")), "{waits:?}");
        assert!(waits.iter().any(|what| what.starts_with("profile: ")), "{waits:?}");
    }
}
