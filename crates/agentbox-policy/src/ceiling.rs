//! What the system lets a person's own file and command line reach and publish.

use crate::PolicyError;
use crate::config::{HostRule, Publish};
use crate::cover::allowed_by;
use crate::system::Source;
use agentbox_plan::net::{Pattern, Rule, Target};

/// Bits of a range from which on a rule that names it means these addresses and not "the internet", as
/// [`agentbox_plan::net::Rules::grants_internal`] has it.
const NARROW: u8 = 8;

/// Whether a rule can open what is not public: addresses of a network of this machine can look public.
fn opens_internal(rule: &Rule) -> bool {
    match &rule.target.pattern {
        Pattern::Network { range } => range.prefix() >= NARROW,
        Pattern::HostLoopback => true,
        _ => rule.internal,
    }
}

fn targets(list: &[HostRule]) -> Vec<Target> {
    list.iter().flat_map(HostRule::targets).collect()
}

/// The key of the ceiling that a rule of a person is above; none when it is within.
pub(crate) fn above(system: &Source, rule: &Rule) -> Option<&'static str> {
    let ceiling = system.config.ceiling.as_ref()?;
    let internal = ceiling.internal.as_deref().map(targets);
    if opens_internal(rule)
        && let Some(internal) = &internal
    {
        // What may be internal may be reached.
        return (!allowed_by(internal, &rule.target)).then_some("ceiling.internal");
    }
    let allow = targets(ceiling.allow.as_deref()?);
    (!allowed_by(&allow, &rule.target)).then_some("ceiling.allow")
}

/// Refuses a rule of a person that is above the ceiling.
pub(crate) fn check_rule(system: &Source, rule: &Rule) -> Result<(), PolicyError> {
    let Some(key) = above(system, rule) else { return Ok(()) };
    Err(PolicyError::Refused {
        what: format!("a rule that allows `{}` ({})", rule.target, rule.origin),
        rule: system.rule(key),
        remedy: "remove it, or ask the administrator to add it there".to_owned(),
    })
}

/// Refuses a port of a person that is above the ceiling.
pub(crate) fn check_publish(system: &Source, publish: Publish, origin: &str) -> Result<(), PolicyError> {
    let list = system.config.ceiling.as_ref().and_then(|ceiling| ceiling.publish.as_ref());
    if list.is_none_or(|list| list.iter().any(|range| range.contains(publish.host_port))) {
        return Ok(());
    }
    Err(PolicyError::Refused {
        what: format!("port {} of the host, published ({origin})", publish.host_port),
        rule: system.rule("ceiling.publish"),
        remedy: "publish another port of the host: PORT:PORT-INSIDE, or ask the administrator".to_owned(),
    })
}
