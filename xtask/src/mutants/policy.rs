//! Mutants of `agentbox-policy`: what a reload closes, what bounds a session, the ceiling, the project's own file, and
//! the order of every setting, the mask that its files are made with.

use super::{Mutant, Row, of};
use agentbox_policy::lattice::Key;

/// Every comparison here decides how tight a session is.
pub(super) const WHOLE: &[&str] = &[
    "tighten.rs",
    "lattice/mod.rs",
    "lattice/table.rs",
    "ceiling.rs",
    "cover.rs",
    "live.rs",
    "resolve/bounds.rs",
];

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = of("tighten.rs", TIGHTEN);
    all.extend(of("lattice/mod.rs", LATTICE));
    all.extend(orders());
    all.extend(of("lattice/table.rs", TABLE));
    all.extend(of("ceiling.rs", CEILING));
    all.extend(of("cover.rs", COVER));
    all.extend(of("live.rs", LIVE));
    all.extend(of("resolve/bounds.rs", BOUNDS));
    all.extend(of("resolve/grants.rs", GRANTS));
    all.extend(of("resolve/ssh_agent.rs", SSH_AGENT));
    all.extend(of("resolve/variables.rs", VARIABLES));
    all.extend(of("resolve/hosts/mod.rs", HOSTS));
    all.extend(of("loopback.rs", LOOPBACK));
    all.extend(of("resolve/hosts/publish.rs", PUBLISH));
    all.extend(of("config/join.rs", JOIN));
    all.extend(of("plan/mod.rs", PLAN));
    all
}

/// Each setting with its order upside down.
fn orders() -> Vec<Mutant> {
    const RANK: &str = "match *self { $(Self::$variant(value) => settings!(@rank $kind value),)* }";
    let upside_down = |key: &Key| Mutant {
        name: format!("{}: the looser value is the tighter one", key.as_str()),
        file: "lattice/mod.rs",
        text: RANK,
        instead: format!(
            "let rank = IT; if self.key() == Key::{key:?} {{ u64::MAX - rank }} else {{ rank }}"
        ),
        by: "every_setting_is_ordered_as_the_table_says",
    };
    Key::ALL.iter().map(upside_down).collect()
}

const BOUND: &str = "every_bound_of_the_network_narrows_it_at_once";
const CLOSED: &str = "what_is_denied_or_no_longer_allowed_is_closed_at_once";
const ABOVE: &str = "a_ceiling_that_comes_down_takes_what_a_person_allowed_and_not_what_the_system_did";
const NONE: &str = "no_network_leaves_no_rule_that_allows_and_is_told_once";
const POSTURE: &str = "the_posture_narrows_what_was_not_asked_for_by_name";
const TOLD: &str = "what_holds_already_is_told_no_second_time";

#[rustfmt::skip]
const TIGHTEN: &[Row] = &[
    ("a mode that narrows is nothing", "«self.mode.1.is_none()» && self.denials", "true", BOUND),
    ("a denial is nothing", "«self.denials.is_empty()» &&", "true", CLOSED),
    ("a rule that is withdrawn is nothing", "&& «self.withdrawn.is_empty()»", "true", CLOSED),
    ("of two bounds the looser one holds", "bounds(new, session).into_iter().max_by_key(|(network, _)| *network)", "bounds(new, session).into_iter().min_by_key(|(network, _)| *network)", NONE),
    ("no network closes nothing", "*network == Network::None", "false", NONE),
    ("an allowlist narrows nothing", "*network >= Network::Allowlist", "*network > Network::Allowlist", BOUND),
    ("a public network narrows", "*network >= Network::Allowlist", "true", BOUND),
    ("what is public is not narrowed", "rules.mode == Mode::Public || closed.is_some()", "closed.is_some()", BOUND),
    ("an allowlist is closed without a word", "rules.mode == Mode::Public || closed.is_some()", "rules.mode == Mode::Public", NONE),
    ("a rule that allows is taken for a denial", "old.verdict == Verdict::Deny", "true", CLOSED),
    ("a denial of one is taken for that of all", "old.target == rule.target", "true", CLOSED),
    ("a denial is added that was there", "«!rules.rules.iter().any(is_known)» &&", "true", TOLD),
    ("a denial is added twice", "&& «!denials.iter().any(is_known)»", "true", TOLD),
    ("an internal rule is one that is not", "(&other.target, other.internal) == (&rule.target, rule.internal)", "other.target == rule.target", "what_is_taken_back_is_what_that_table_gave"),
    ("one target is every target", "(&other.target, other.internal) == (&rule.target, rule.internal)", "other.internal == rule.internal", CLOSED),
    ("a person's rule goes with the system's", "!with_origin || other.origin == rule.origin", "true", "what_is_taken_back_is_what_that_table_gave"),
    ("a rule by another origin is gone", "!with_origin || other.origin == rule.origin", "other.origin == rule.origin", "what_is_taken_back_is_what_that_table_gave"),
    ("the system's own rules are above its ceiling", "is_in(&gives, rule, false) || agent_by_system && rule.origin.starts_with(PRESET)", "agent_by_system && rule.origin.starts_with(PRESET)", "what_is_taken_back_is_what_that_table_gave"),
    ("what an agent of the system's needs is above", "is_in(&gives, rule, false) || agent_by_system && rule.origin.starts_with(PRESET)", "is_in(&gives, rule, false)", ABOVE),
    ("no ceiling for who has the system's agent", "is_in(&gives, rule, false) || agent_by_system && rule.origin.starts_with(PRESET)", "is_in(&gives, rule, false) || agent_by_system", ABOVE),
    ("no ceiling for any agent", "is_in(&gives, rule, false) || agent_by_system && rule.origin.starts_with(PRESET)", "is_in(&gives, rule, false) || rule.origin.starts_with(PRESET)", ABOVE),
    ("what is still listed is gone", "is_in(&gave, rule, true) && !is_in(&gives, rule, false)", "is_in(&gave, rule, true)", CLOSED),
    ("what was never listed is gone", "is_in(&gave, rule, true) && !is_in(&gives, rule, false)", "!is_in(&gives, rule, false)", ABOVE),
    ("the ceiling takes what the system gives", "«!by_system»\n            && ceiling::above(&new", "true", ABOVE),
    ("a ceiling takes all below it", "&& «ceiling::above(&new.source, rule).is_some()»", "true", ABOVE),
    ("what was consented to above the old one goes", "&& «ceiling::above(&old.source, rule).is_none()»", "true", ABOVE),
    ("denials are withdrawn", "rule.verdict == Verdict::Allow && (is_gone || is_above || closed.is_some())", "is_gone || is_above || closed.is_some()", NONE),
    ("what is gone stays", "rule.verdict == Verdict::Allow && (is_gone || is_above || closed.is_some())", "rule.verdict == Verdict::Allow && (is_above || closed.is_some())", CLOSED),
    ("what is above stays", "rule.verdict == Verdict::Allow && (is_gone || is_above || closed.is_some())", "rule.verdict == Verdict::Allow && (is_gone || closed.is_some())", ABOVE),
    ("what is closed stays", "rule.verdict == Verdict::Allow && (is_gone || is_above || closed.is_some())", "rule.verdict == Verdict::Allow && (is_gone || is_above)", NONE),
    ("the same is told again", "rules.mode != mode.0 || !withdrawn.is_empty()", "true", NONE),
    ("a mode that narrows is not told", "rules.mode != mode.0 || !withdrawn.is_empty()", "!withdrawn.is_empty()", BOUND),
    ("what closes an allowlist is not told", "rules.mode != mode.0 || !withdrawn.is_empty()", "rules.mode != mode.0", NONE),
    ("the floor bounds nothing that runs", "config.floor.as_ref().and_then(|floor| floor.network)", "None", BOUND),
    ("the profile bounds nothing that runs", "profile.and_then(|profile| profile.network)", "None", BOUND),
    ("the project bounds nothing that runs", "add(«project.network»,", "None", BOUND),
    ("the project's posture bounds nothing that runs", "project.posture.as_ref().and_then(|posture| of_posture(system, posture.as_str()))", "None", BOUND),
    ("the posture bounds what was asked for by name", "session.network_origin != COMMAND_LINE", "true", POSTURE),
    ("the posture bounds nothing that runs", "session.network_origin != COMMAND_LINE", "false", POSTURE),
    ("a person's agent is the system's", "rule == session.agent_origin", "true", ABOVE),
    ("the system's agent is a person's", "rule == session.agent_origin", "false", ABOVE),
    ("projects elsewhere bound it", "overlap(session.project, &path)", "true", BOUND),
];

const JOINED: &str = "of_each_key_the_tighter_value_holds_whichever_file_says_it";

#[rustfmt::skip]
const LATTICE: &[Row] = &[
    ("a word is the first value that there is", "value.as_str() == text", "true", "every_value_is_read_as_it_is_written"),
    ("two files: the looser value holds", "setting.tightness() > mine.tightness()", "setting.tightness() < mine.tightness()", JOINED),
    ("two files: the last value holds", "setting.tightness() > mine.tightness()", "true", JOINED),
];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("a key is one that is longer", "self.key.split('.').count() == key.split('.').count()", "true", "every_key_stands_only_in_the_files_that_the_table_says"),
    ("every part of a key is any", "mine == \"NAME\" || mine == part", "true", "a_file_that_is_gone_still_holds_and_one_that_tightens_needs_no_word"),
    ("a name is none of a key", "mine == \"NAME\" || mine == part", "mine == part", "drop_ins_are_merged_key_by_key_and_errors_name_their_file"),
    ("every file may set every key", "self.who.contains(&kind)", "true", "every_key_stands_only_in_the_files_that_the_table_says"),
];

const CEILINGS: &str = "a_live_rule_is_within_the_ceiling";

#[rustfmt::skip]
const CEILING: &[Row] = &[
    ("a narrow range is public", "range.prefix() >= NARROW", "false", CEILINGS),
    ("all addresses are a narrow range", "range.prefix() >= NARROW", "true", CEILINGS),
    ("the host's loopback is public", "«opens_internal(rule)»\n        && let", "IT && !matches!(rule.target.pattern, Pattern::HostLoopback)", CEILINGS),
    ("an internal name is public", "«opens_internal(rule)»\n        && let", "IT && !rule.internal", "a_ceiling_bounds_the_person_and_not_the_system"),
    ("no ceiling of internal names", "(!allowed_by(internal, &rule.target)).then_some(\"ceiling.internal\")", "None", CEILINGS),
    ("no ceiling of hosts", "(!allowed_by(&allow, &rule.target)).then_some(\"ceiling.allow\")", "None", CEILINGS),
    ("no ceiling of ports", "list.is_none_or(|list| list.iter().any(|range| range.contains(publish.host_port)))", "true", "a_ceiling_bounds_the_person_and_not_the_system"),
];

const COVERED: &str = "what_is_covered_allows_no_more";
const TWO: &str = "a_rule_without_a_port_is_about_two";

#[rustfmt::skip]
const COVER: &[Row] = &[
    ("a name covers every name", "Pattern::Name { name: inner }) => «outer == inner»", "true", COVERED),
    ("`*.` covers what is further below", "name.is_child_of(parent)", "name.is_below(parent)", COVERED),
    ("`*.` covers every `*.`", "Pattern::Child { parent: inner }) => «outer == inner»", "true", COVERED),
    ("`**.` covers every name", "name.is_below(parent)", "true", COVERED),
    ("`**.` covers every `*.` and `**.`", "inner == outer || inner.is_below(outer)", "true", COVERED),
    ("a range covers one that is wider", "outer.prefix() <= inner.prefix() && outer.contains(inner.first())", "outer.contains(inner.first())", COVERED),
    ("a range covers one elsewhere", "outer.prefix() <= inner.prefix() && outer.contains(inner.first())", "outer.prefix() <= inner.prefix()", COVERED),
    ("one port is allowed for all", "«ports(inner)».into_iter().all(|port| {", "ports(inner)[..1].to_vec()", TWO),
    ("a port allows the others", "covers(&outer.pattern, &inner.pattern) && outer.allows_port(port)", "covers(&outer.pattern, &inner.pattern)", TWO),
    ("a host allows the others", "covers(&outer.pattern, &inner.pattern) && outer.allows_port(port)", "outer.allows_port(port)", COVERED),
    ("a port that is denied denies the others", "&& «ports(inner).into_iter().all(|port| outer.denies_port(port))»", "true", TWO),
];

const DENIED: &str = "a_live_rule_never_reopens_what_configuration_denies";
const CONSENT: &str = "consent_lifts_the_ceiling_and_no_denial";
const NEWEST: &str = "the_newest_word_about_a_target_counts";

#[rustfmt::skip]
const LIVE: &[Row] = &[
    ("live: a rule of the loopback inside", "loopback::check(rule)?", "()", "what_stays_inside_is_no_rules_to_allow"),
    ("consent is given by nobody", "!above_ceiling", "false", CEILINGS),
    ("consent lifts nothing", "!above_ceiling", "true", CONSENT),
    ("configuration that denies is no denial", "«check_denials(configured, rule)?»;\n    }", "()", DENIED),
    ("a rule that allows denies", "other.verdict == Verdict::Deny", "true", NEWEST),
    ("a person's own denial cannot be taken back", "!is_live(other, LIVE_DENY)", "true", NEWEST),
    ("a denial closes nothing", "denied_by(&denial.target, &rule.target)", "false", DENIED),
    ("what was allowed before stays", "is_live(other, LIVE_ALLOW) || is_live(other, LIVE_DENY)", "is_live(other, LIVE_DENY)", NEWEST),
    ("what was denied before stays", "is_live(other, LIVE_ALLOW) || is_live(other, LIVE_DENY)", "is_live(other, LIVE_ALLOW)", NEWEST),
    ("a word replaces what is configured", "live && other.target == rule.target", "other.target == rule.target", NEWEST),
    ("a word replaces every word before", "live && other.target == rule.target", "live", "rules_that_are_accepted_fit_into_an_answer"),
    ("rules are more than an answer takes", "rules.to_bytes().len() + ANSWER_BYTES > MAX_ANSWER_BYTES", "rules.to_bytes().len() > MAX_ANSWER_BYTES + 4096", "rules_that_are_accepted_fit_into_an_answer"),
];

#[rustfmt::skip]
const BOUNDS: &[Row] = &[
    ("L0 keeps nothing without a profile either", "if «isolation != Isolation::None»)", "true", "the_default_postures_reach_what_their_networks_say"),
    ("a path without a profile keeps what a profile keeps", "choice.profile.is_none() && isolated", "false", "refusals_say_what_which_rule_and_what_to_do"),
    ("a chosen value is joined with no bound", "join(chosen, bounds)", "join(chosen, Vec::new())", "sessions_on_one_project_are_judged_together"),
    ("a value that is looser is no refusal", "refuse_looser(inputs.request, choice, &chosen, &bounds)?", "()", "a_directory_around_a_project_is_bound_by_its_rules"),
    ("nothing is asked for twice", "asked_twice(inputs.request, held, &settled)?", "()", "refusals_say_what_which_rule_and_what_to_do"),
    ("what this version has not is promised", "in_this_version(held, &settled)?", "()", "refusals_say_what_which_rule_and_what_to_do"),
    ("what nothing keeps is promised", "fit_together(held, &settled)?", "()", "what_configuration_allows_is_left_out_where_no_gate_keeps_it"),
    ("the floor is no bound", "add(«*floor»,", "Settings::default()", "every_rule_names_where_it_is_written"),
    ("the profile is no bound", "«profile.settings()», &|key| choice", "Settings::default()", "what_configuration_allows_is_left_out_where_no_gate_keeps_it"),
    ("the project is no bound", "«entry.table.settings()», &|key| entry", "Settings::default()", "every_rule_names_where_it_is_written"),
    ("the project's posture is no bound", "add(«floor», &|_| entry", "Settings::default()", "a_directory_around_a_project_is_bound_by_its_rules"),
    ("the project's own file is no bound", "«file.config.settings()», &|key| file", "Settings::default()", "what_is_asked_for_is_had_or_refused"),
    ("a posture names nothing", "matches!(key, Key::Isolation | Key::Filesystem | Key::Identity)", "false", "a_directory_around_a_project_is_bound_by_its_rules"),
    ("a posture names all it has", "matches!(key, Key::Isolation | Key::Filesystem | Key::Identity)", "true", "every_cause_says_its_rule_and_what_would_remove_it"),
    ("what is named is none", "«explicit.get(key).is_some()» || (by_posture", "false", "refusals_say_what_which_rule_and_what_to_do"),
    ("a bound of one setting is that of all", "bound.setting.key() == key", "true", "the_default_postures_reach_what_their_networks_say"),
    ("a bound that says the same refuses", "bound.setting.tightness() > asked.setting.tightness()", "bound.setting.tightness() >= asked.setting.tightness()", "what_is_asked_for_is_had_or_refused"),
    ("a looser bound refuses", "bound.setting.tightness() > asked.setting.tightness()", "bound.setting.tightness() < asked.setting.tightness()", "what_configuration_allows_is_left_out_where_no_gate_keeps_it"),
    ("of bounds the loosest holds", "b.setting.tightness().cmp(&a.setting.tightness())", "a.setting.tightness().cmp(&b.setting.tightness())", "what_configuration_allows_is_left_out_where_no_gate_keeps_it"),
    ("no sandbox is needed to ask once", "held.isolation != Isolation::None || (request.allow_unconfined && request.posture.is_some())", "true", "refusals_say_what_which_rule_and_what_to_do"),
    ("a yes alone is enough", "held.isolation != Isolation::None || (request.allow_unconfined && request.posture.is_some())", "held.isolation != Isolation::None || request.allow_unconfined", "refusals_say_what_which_rule_and_what_to_do"),
    ("a posture alone is enough", "held.isolation != Isolation::None || (request.allow_unconfined && request.posture.is_some())", "held.isolation != Isolation::None || request.posture.is_some()", "refusals_say_what_which_rule_and_what_to_do"),
    ("a virtual machine is there", "matches!(held.isolation, Isolation::Vm | Isolation::Remote | Isolation::Managed)", "false", "refusals_say_what_which_rule_and_what_to_do"),
    ("a sandbox has the host's network", "held.isolation == Isolation::Sandbox && held.network == Network::Host", "false", "refusals_say_what_which_rule_and_what_to_do"),
    ("without isolation nothing has to fit", "if «held.isolation == Isolation::None» {", "false", "the_default_postures_reach_what_their_networks_say"),
    ("L0 holds a filesystem", "held.filesystem != Filesystem::Host", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds an identity", "held.identity != Identity::Caller", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds a network", "held.network != Network::Host", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds a workspace", "held.workspace != Workspace::Direct", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds a state", "held.state != State::Profile", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds the size of /tmp", "settled.0.tmp_size.is_some()", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds the size of a home", "settled.0.home_size.is_some()", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds what is sent", "settled.0.upload_max.is_some()", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds what is sent to a name", "settled.0.name_upload_max.is_some()", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds what a lost gate does", "settled.0.on_gate_loss.is_some()", "false", "what_nothing_holds_is_not_promised"),
    ("L0 holds a guard", "settled.0.guard == Some(Guard::Require)", "false", "what_nothing_holds_is_not_promised"),
    ("a sandbox has the host's files", "held.filesystem == Filesystem::Host", "false", "refusals_say_what_which_rule_and_what_to_do"),
    ("a stranger is in the person's home", "held.filesystem == Filesystem::Shared && held.identity == Identity::Leased", "false", "refusals_say_what_which_rule_and_what_to_do"),
];

#[rustfmt::skip]
const GRANTS: &[Row] = &[
    ("paths: the ceiling of a person's list", "if «list.own» {", "false", "refusals_say_what_which_rule_and_what_to_do"),
    ("paths: the ceiling of a person's pin", "if «own» {\n        check_ceiling", "false", "what_a_person_pins_is_within_the_ceiling"),
    ("paths: what is written is read as far as the ceiling goes", "if «grant.write» { (&ceiling.write", "false", "refusals_say_what_which_rule_and_what_to_do"),
    ("paths: no ceiling", "list.iter().any(|top| is_within(&grant.path, &expand(top, home)))", "true", "refusals_say_what_which_rule_and_what_to_do"),
    ("paths: the project's file keeps all", "list.as_ref().is_none_or(|list| list.iter().any(|path| expand(path, home) == grant.path))", "true", "a_project_file_tightens"),
    ("paths: the home", "«is_within(home, path)» {", "false", "grants_that_cannot_be_are_refused"),
    ("paths: what no session sees", "base.closed_place(path)", "None::<String>.as_deref()", "what_is_secret_or_closed_is_no_skill"),
    ("paths: what every session has for itself", "base.private.contains(path)", "false", "grants_that_cannot_be_are_refused"),
    ("paths: the system's is written", "if «grant.write»\n        && let Some(place) = base.system", "false", "grants_that_cannot_be_are_refused"),
    ("paths: what agentbox makes", "base.made.iter().any(|made| is_within(made, path))", "false", "grants_that_cannot_be_are_refused"),
    ("paths: around what is shown", "!base.shows(path) && base.shown.iter().any(|shown| is_within(shown, path))", "false", "grants_that_cannot_be_are_refused"),
    ("paths: credentials as a pin", "credentials(home)?.iter().any(|place| crate::paths::overlap(&grant.path, place))", "false", "what_is_secret_or_closed_is_no_skill"),
    ("paths: a read-only project through a grant", "workspace == Workspace::Direct", "true", "a_readonly_project_cannot_be_written_through_a_grant_around_it"),
    ("paths: they have no end", "grants.len() > MOST", "false", "there_is_an_end_to_what_can_be_granted"),
];

#[rustfmt::skip]
const SSH_AGENT: &[Row] = &[
    ("ssh-agent: no ceiling of hosts", "!allowed.iter().any(|AgentHost(one)| one == *host)", "false", "a_ceiling_bounds_what_a_person_says_of_it_and_not_what_the_system_says"),
    ("ssh-agent: no ceiling of signatures", "sign_git && ceiling.sign.as_ref().is_some_and(|allowed| !allowed.contains(&SignFor::Git))", "false", "a_ceiling_bounds_what_a_person_says_of_it_and_not_what_the_system_says"),
    ("ssh-agent: the ceiling asks nobody", "[table.confirm, ceiling.and_then(|ceiling| ceiling.confirm)].contains(&Some(true))", "table.confirm == Some(true)", "a_ceiling_bounds_what_a_person_says_of_it_and_not_what_the_system_says"),
    ("ssh-agent: no ceiling", "sources.is_person(source)", "false", "a_ceiling_bounds_what_a_person_says_of_it_and_not_what_the_system_says"),
    ("ssh-agent: the ceiling holds for the system", "sources.is_person(source)", "true", "a_ceiling_bounds_what_a_person_says_of_it_and_not_what_the_system_says"),
    ("ssh-agent: outside of L2", "held.isolation == Isolation::None || held.filesystem != Filesystem::Listed", "false", "where_there_is_none_it_is_said"),
];

#[rustfmt::skip]
const VARIABLES: &[Row] = &[
    ("variables: no ceiling", "if «!covered» {", "false", "secrets_are_within_the_ceiling_and_one_thing_each"),
    ("variables: a wildcard allows what is denied", "«!rules.is_denied(name)»,\n            Grant::Absent", "true", "refusals_say_what_which_rule_and_what_to_do"),
    ("variables: the ceiling holds for the system", "!sources.is_person(source)", "false", "a_project_file_tightens"),
];

#[rustfmt::skip]
const LOOPBACK: &[Row] = &[
    ("loopback: a name of it is allowed", "name.as_str().rsplit('.').next() == Some(NAME)", "false", "what_stays_inside_is_told_from_what_does_not"),
    ("loopback: an address of it is allowed", "is_address(range.first())", "false", "what_stays_inside_is_told_from_what_does_not"),
];

const HOSTS: &[Row] = &[
    (
        "hosts: a rule of the loopback inside",
        "loopback::check(rule)?",
        "()",
        "what_is_asked_for_is_had_or_refused",
    ),
    (
        "hosts: the ceiling of a person's rule",
        "ceiling::check_rule(system, rule)?",
        "()",
        "a_ceiling_bounds_the_person_and_not_the_system",
    ),
    (
        "hosts: the ceiling holds for the system",
        "entry.whose != Whose::System",
        "true",
        "every_rule_names_where_it_is_written",
    ),
    (
        "hosts: a person's word opens what is denied",
        "live::check_denials(denials.iter().filter(|other| other.verdict == Verdict::Deny), rule)?",
        "()",
        "what_is_asked_for_is_had_or_refused",
    ),
    (
        "hosts: the ceiling holds not for an agent",
        "above.filter(|_| !choice.agent_by_system)",
        "above.filter(|_| false)",
        "a_ceiling_bounds_the_person_and_not_the_system",
    ),
    (
        "hosts: the ceiling holds for the system's agent",
        "above.filter(|_| !choice.agent_by_system)",
        "above",
        "every_rule_names_where_it_is_written",
    ),
    (
        "hosts: the project's file keeps all",
        "rule.verdict == Verdict::Allow && !kept.contains(&rule.target)",
        "false",
        "what_is_asked_for_is_had_or_refused",
    ),
    (
        "hosts: the project's file drops denials",
        "rule.verdict == Verdict::Allow && !kept.contains(&rule.target)",
        "!kept.contains(&rule.target)",
        "a_project_file_picks_from_what_is_allowed",
    ),
    (
        "hosts: what the file drops is silent",
        "«entry.whose == Whose::Request»\n            && let",
        "false",
        "what_is_asked_for_is_had_or_refused",
    ),
    (
        "hosts: rules have no end",
        "bytes <= MAX_RULES_BYTES",
        "true",
        "rules_that_the_gate_does_not_take_are_refused",
    ),
    (
        "hosts: a network that nothing judges denies",
        "entry.written.key == \"deny\" && network == Network::Host",
        "false",
        "what_configuration_allows_is_left_out_where_no_gate_keeps_it",
    ),
    (
        "hosts: a rule without a network",
        "entry.whose == Whose::Request && entry.written.key == \"allow\"",
        "false",
        "what_is_asked_for_is_had_or_refused",
    ),
];

#[rustfmt::skip]
const PUBLISH: &[Row] = &[
    ("publish: ports of root's", "publish.is_privileged() && context.inputs.person.uid != 0", "false", "what_is_asked_for_is_had_or_refused"),
    ("publish: the ceiling of a person's list", "if «own» {", "false", "a_ceiling_bounds_the_person_and_not_the_system"),
    ("publish: one port twice", "Some((other, rule)) if «other != publish»", "false", "what_is_asked_for_is_had_or_refused"),
    ("publish: they have no end", "published.len() > MOST_PUBLISHED", "false", "what_is_asked_for_is_had_or_refused"),
];

#[rustfmt::skip]
const JOIN: &[Row] = &[
    ("a project's file: the accepted settings are forgotten", "one.settings().join(&other.settings())", "one.settings()", JOINED),
    ("a project's file: the accepted `read` is forgotten", "read: «both(read, &other.read)»", "read.clone()", JOINED),
    ("a project's file: the accepted `write` is forgotten", "write: «both(write, &other.write)»", "write.clone()", JOINED),
    ("a project's file: the accepted `allow` is forgotten", "allow: «both(allow, &other.allow)»", "allow.clone()", JOINED),
    ("a project's file: the accepted `deny` is forgotten", "deny: «either(deny, &other.deny)»", "deny.clone()", JOINED),
    ("a project's file: the accepted `mask` is forgotten", "mask: «either(mask, &other.mask)»", "mask.clone()", JOINED),
    ("a project's file: the accepted `env.pass` is forgotten", "both(&pass(env), &pass(&other.env))", "pass(env)", JOINED),
    ("a project's file: the accepted `private` is forgotten", "Some(*one == Some(true) || other == Some(true))", "*one", JOINED),
    ("of two lists all is allowed", "other.contains(item)", "true", JOINED),
];

const UMASK: &str = "a_session_has_the_mask_of_its_person_and_others_never_write";

#[rustfmt::skip]
const PLAN: &[Row] = &[
    ("umask: everybody may write where the person lets them", "umask: «(facts.umask & 0o777) | UMASK_LEAST»", "facts.umask & 0o777", UMASK),
    ("umask: that of nobody in particular", "umask: «(facts.umask & 0o777) | UMASK_LEAST»", "0o022", UMASK),
];
