//! What of the network a session reaches: what preset, profile, project and request allow and deny, held
//! against the ceiling, what is denied, and the project's file.

mod publish;
#[cfg(test)]
mod tests;

use super::choice::Choice;
use super::{COMMAND_LINE, Sources, refused};
use crate::config::HostRule;
use crate::policy::{Held, Sourced};
use crate::preset::Preset;
use crate::reach::{ForeignName, MAX_RULES_BYTES, Reach, Written};
use crate::text::printable;
use crate::{Inputs, Isolation, Network, PolicyError, ceiling, groups, live, loopback};
use agentbox_plan::Wire;
use agentbox_plan::net::{Mode, Rule, Rules, Target, Verdict};
use std::collections::BTreeMap;

pub(super) struct Context<'a, 'b> {
    pub(super) inputs: &'b Inputs<'b>,
    pub(super) sources: &'b Sources<'a>,
    pub(super) choice: &'b Choice<'a>,
    pub(super) preset: &'b Preset,
    pub(super) held: Held,
    /// The rule that says which network it is.
    pub(super) network: String,
}

/// Whose word an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// A preset's or the system's: no ceiling.
    System,
    /// The person's file: the ceiling holds.
    Person,
    /// The person's own words for this session: the ceiling holds, and they are kept or refused.
    Request,
}

/// An entry of a list.
struct Entry {
    whose: Whose,
    written: Written,
    rules: Vec<Rule>,
    /// Its list, of which is told what strangers write; none for what the person did not configure.
    list: Option<String>,
}

pub(super) fn collect(context: &Context<'_, '_>, warnings: &mut Vec<String>) -> Result<Reach, PolicyError> {
    groups::load()?;
    let mut entries = entries(context, warnings);
    let system = context.sources.system;
    for entry in entries.iter().filter(|entry| entry.whose != Whose::System) {
        for rule in entry.rules.iter().filter(|rule| rule.verdict == Verdict::Allow) {
            ceiling::check_rule(system, rule)?;
        }
    }
    let publish = publish::collect(context)?;
    let denials: Vec<_> = entries.iter().flat_map(|entry| &entry.rules).cloned().collect();
    for entry in entries.iter().filter(|entry| entry.whose == Whose::Request) {
        for rule in entry.rules.iter().filter(|rule| rule.verdict == Verdict::Allow) {
            loopback::check(rule)?;
            live::check_denials(denials.iter().filter(|other| other.verdict == Verdict::Deny), rule)?;
        }
    }
    check_size(context, &entries)?;
    only_what_the_file_keeps(context, &mut entries)?;
    check_size(context, &entries)?;
    let mode = match (context.held.isolation, context.held.network) {
        (Isolation::Sandbox, Network::Public) => Mode::Public,
        (Isolation::Sandbox, Network::Allowlist) => Mode::Allowlist,
        _ => {
            without_gate(context, &entries)?;
            return Ok(Reach::none());
        }
    };
    let foreign = foreign(&entries, mode, warnings)?;
    let mut written: Vec<Written> = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    for entry in entries {
        let same = |other: &Rule, rule: &Rule| {
            (other.verdict, &other.target, other.internal) == (rule.verdict, &rule.target, rule.internal)
        };
        for rule in entry.rules {
            if !rules.iter().any(|other| same(other, &rule)) {
                rules.push(rule);
            }
        }
        if !written.iter().any(|other| (other.key, &other.text) == (entry.written.key, &entry.written.text)) {
            written.push(entry.written);
        }
    }
    let resolvers = match &system.config.resolvers {
        Some(list) => {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            Sourced::new(list.join(", "), system.rule("resolvers"))
        }
        None => Sourced::new("the host's".to_owned(), "/etc/resolv.conf"),
    };
    let (publish, publish_origins) = publish.into_iter().unzip();
    let rules = Rules { mode, rules };
    Ok(Reach { mode: Some(mode), rules, written, publish, publish_origins, foreign, resolvers })
}

fn entry(key: &'static str, rule: &HostRule, origin: &str, whose: Whose) -> Entry {
    let verdict = if key == "deny" { Verdict::Deny } else { Verdict::Allow };
    Entry {
        whose,
        written: Written { key, text: rule.to_string(), origin: rule.origin(origin) },
        rules: rule.rules(verdict, origin),
        list: (whose != Whose::Request).then(|| printable(origin)),
    }
}

/// Every entry of every list.
fn entries(context: &Context<'_, '_>, warnings: &mut Vec<String>) -> Vec<Entry> {
    let (choice, sources) = (context.choice, context.sources);
    let mut entries = of_preset(context, warnings);
    let whose = |source| if sources.is_person(source) { Whose::Person } else { Whose::System };
    let mut add = |key: &'static str, list: &Option<Vec<HostRule>>, whose: Whose, origin: &str| {
        entries.extend(list.iter().flatten().map(|rule| entry(key, rule, origin, whose)));
    };
    let internal = |list: &Option<Vec<crate::InternalName>>| -> Option<Vec<HostRule>> {
        Some(list.as_ref()?.iter().map(|name| HostRule::Target(name.target().clone())).collect())
    };
    if let Some((source, table)) = choice.table {
        add("allow", &table.allow, whose(source), &choice.profile_rule("allow"));
        add("internal", &internal(&table.internal), whose(source), &choice.profile_rule("internal"));
        add("deny", &table.deny, whose(source), &choice.profile_rule("deny"));
    }
    if let Some(own) = choice.own() {
        add("allow", &own.table.allow, whose(own.source), &own.rule("allow"));
        add("internal", &internal(&own.table.internal), whose(own.source), &own.rule("internal"));
    }
    // As bounds do, denials of directories around and inside hold as well.
    for other in &choice.entries {
        add("deny", &other.table.deny, whose(other.source), &other.rule("deny"));
    }
    let request = context.inputs.request;
    add("allow", &Some(request.allow.clone()), Whose::Request, COMMAND_LINE);
    add("deny", &Some(request.deny.clone()), Whose::Request, COMMAND_LINE);
    if let Some(file) = sources.file {
        add("deny", &file.config.deny, Whose::System, &file.rule("deny"));
    }
    for entry in &mut entries {
        if entry.written.key == "internal" {
            entry.rules.iter_mut().for_each(|rule| rule.internal = true);
        }
    }
    entries
}

/// What the agent needs. Where a person chose the agent the ceiling holds for what comes with it.
fn of_preset(context: &Context<'_, '_>, warnings: &mut Vec<String>) -> Vec<Entry> {
    let choice = context.choice;
    let origin = format!("preset {}", choice.agent.value);
    let mut entries = Vec::new();
    for host in &context.preset.names {
        let mut entry = entry("allow", &HostRule::Target(host.target.clone()), &origin, Whose::System);
        entry.list = None;
        let system = context.sources.system;
        let above = entry.rules.iter().find_map(|rule| ceiling::above(system, rule));
        match above.filter(|_| !choice.agent_by_system) {
            Some(key) => warnings.push(format!(
                "the agent `{}` needs `{}`, which no rule allows: it is not within {}",
                choice.agent.value,
                host.target,
                system.rule(key)
            )),
            None => entries.push(entry),
        }
    }
    entries
}

/// The project's file picks from what is allowed, letter for letter.
fn only_what_the_file_keeps(context: &Context<'_, '_>, entries: &mut Vec<Entry>) -> Result<(), PolicyError> {
    let Some(file) = context.sources.file else { return Ok(()) };
    let Some(list) = &file.config.allow else { return Ok(()) };
    let kept: Vec<Target> = list.iter().flat_map(HostRule::targets).collect();
    let mut left = Vec::new();
    for mut entry in std::mem::take(entries) {
        let before = entry.rules.len();
        let dropped = |rule: &Rule| rule.verdict == Verdict::Allow && !kept.contains(&rule.target);
        if entry.whose == Whose::Request
            && let Some(rule) = entry.rules.iter().find(|rule| dropped(rule))
        {
            return Err(refused(
                format!("a rule that allows `{}` ({})", rule.target, rule.origin),
                file.rule("allow"),
                "leave it out, or add it there",
            ));
        }
        entry.rules.retain(|rule| !dropped(rule));
        if entry.rules.len() == before {
            left.push(entry);
            continue;
        }
        // Of a group that is not kept as a whole, the parts are told.
        left.extend(entry.rules.into_iter().map(|rule| Entry {
            whose: entry.whose,
            written: Written { text: rule.target.to_string(), ..entry.written.clone() },
            rules: vec![rule],
            list: entry.list.clone(),
        }));
    }
    *entries = left;
    Ok(())
}

fn check_size(context: &Context<'_, '_>, entries: &[Entry]) -> Result<(), PolicyError> {
    let rules = entries.iter().flat_map(|entry| entry.rules.iter().cloned()).collect();
    let bytes = Rules { mode: Mode::Allowlist, rules }.to_bytes().len();
    if bytes <= MAX_RULES_BYTES {
        return Ok(());
    }
    Err(refused(
        format!("network rules of {bytes} bytes; there can be {MAX_RULES_BYTES}"),
        context.choice.profile_rule("allow"),
        "use wildcards in place of many names",
    ))
}

/// What was asked for, and what only tightens, is refused where no gate keeps it. What configuration
/// allows is no promise, and is left out.
fn without_gate(context: &Context<'_, '_>, entries: &[Entry]) -> Result<(), PolicyError> {
    let network = context.held.network;
    let cannot = |what: &str, origin: &str| {
        let remedy = "leave it out, or use network `public` or `allowlist`";
        Err(refused(format!("network `{network}` cannot hold {what} ({origin})"), &*context.network, remedy))
    };
    for entry in entries {
        // Where nothing is reached, nothing is left to deny.
        let denies = entry.written.key == "deny" && network == Network::Host;
        let asked = entry.whose == Whose::Request && entry.written.key == "allow";
        if denies || asked {
            return cannot(&format!("{} `{}`", entry.written.key, entry.written.text), &entry.written.origin);
        }
    }
    if let Some(file) = context.sources.file.filter(|file| file.config.allow.is_some())
        && network == Network::Host
    {
        return cannot("a list of what is allowed", &file.rule("allow"));
    }
    match context.inputs.request.publish.first() {
        Some(publish) => cannot(&format!("publish `{publish}`"), COMMAND_LINE),
        None => Ok(()),
    }
}

/// Hosts of strangers. Where everything public is reached anyhow, one more is not worth a word.
fn foreign(
    entries: &[Entry],
    mode: Mode,
    warnings: &mut Vec<String>,
) -> Result<Vec<ForeignName>, PolicyError> {
    let known = groups::foreign()?;
    let mut names: Vec<ForeignName> = Vec::new();
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        let mut any = false;
        for rule in entry.rules.iter().filter(|rule| rule.verdict == Verdict::Allow) {
            if groups::is_foreign(known, &rule.target) {
                any = true;
                if !names.iter().any(|name| name.target == rule.target) {
                    names.push(ForeignName { target: rule.target.clone(), origin: rule.origin.clone() });
                }
            }
        }
        if let Some(list) = entry.list.as_deref().filter(|_| any) {
            told.entry(list).or_default().push(&entry.written.text);
        }
    }
    if mode == Mode::Allowlist {
        warnings.extend(told.into_iter().map(|(origin, texts)| {
            format!("strangers write what is read at {} ({origin})", texts.join(", "))
        }));
    }
    Ok(names)
}
