//! Which variables a session has. `HOME` and the others that agentbox sets itself come with the plan.

use super::choice::Choice;
use super::{Sources, refused};
use crate::config::{Line, VariableName};
use crate::environment::{self, Grant, MAX_VARIABLE_BYTES, OURS, Rules};
use crate::paths::expand_text;
use crate::policy::Variable;
use crate::preset::Preset;
use crate::{Inputs, PassName, PolicyError};
use std::collections::BTreeMap;

pub(super) fn collect(
    inputs: &Inputs<'_>,
    sources: &Sources<'_>,
    choice: &Choice<'_>,
    preset: &Preset,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Variable>, PolicyError> {
    let rules = Rules::load()?;
    check_ceiling(sources, choice, rules)?;
    let profile = choice.table.and_then(|(_, table)| table.env.as_ref());
    let file = sources.file.and_then(|file| file.config.env.as_ref()?.pass.as_ref());
    // By the letter: a name that a wildcard covers may be one that the wildcard does not pass.
    let kept = |name: &&PassName| file.is_none_or(|file| file.contains(name));
    let granted: Vec<_> =
        profile.and_then(|env| env.pass.as_ref()).into_iter().flatten().filter(kept).collect();
    let needed: Vec<_> = preset.env.pass.iter().flatten().filter(kept).collect();
    let preset_rule = format!("preset {}", choice.agent.value);

    let mut variables = BTreeMap::new();
    for (name, value) in inputs.environment {
        if VariableName::new(name.as_str()).is_err() || OURS.contains(&name.as_str()) {
            continue;
        }
        let denied = rules.is_denied(name);
        let by_profile = environment::grant(granted.iter().map(|name| name.as_str()), name);
        let by_preset = environment::grant(needed.iter().map(|name| name.as_str()), name);
        let origin = if by_profile == Grant::Exact || (by_profile == Grant::Wildcard && !denied) {
            choice.profile_rule("env.pass")
        } else if by_preset != Grant::Absent && !denied {
            preset_rule.clone()
        } else if rules.passes(name) {
            "built-in: environment.toml".to_owned()
        } else {
            continue;
        };
        if value.contains('\0') || name.len() + value.len() + 2 > MAX_VARIABLE_BYTES {
            warnings.push(format!("the variable {name} is too long to pass"));
            continue;
        }
        variables.insert(name.clone(), Variable { value: value.clone(), passed: true, origin });
    }

    let home = &inputs.person.home;
    let mut set = |name: &str, value: &str, origin: String| {
        variables
            .insert(name.to_owned(), Variable { value: expand_text(value, home), passed: false, origin });
    };
    for (name, value) in &preset.env.set {
        set(name.as_str(), value, preset_rule.clone());
    }
    for (name, value) in profile.iter().flat_map(|env| &env.set) {
        set(name.as_str(), value, choice.profile_rule(&format!("env.set.{name}")));
    }
    for (name, value, origin) in git(inputs, choice) {
        variables.insert(name.to_owned(), Variable { value, passed: false, origin });
    }
    Ok(variables)
}

/// The author of commits: the profile's, else the person's.
fn git(inputs: &Inputs<'_>, choice: &Choice<'_>) -> Vec<(&'static str, String, String)> {
    let profile = choice.table.and_then(|(_, table)| table.git.as_ref());
    let line = |text: &String| Line::new(text.as_str()).ok();
    let person = inputs.git_identity.as_ref();
    let name = match profile.and_then(|git| git.name.clone()) {
        Some(name) => Some((name, choice.profile_rule("git.name"))),
        None => person.and_then(|(name, _)| Some((line(name)?, "git config user.name".to_owned()))),
    };
    let email = match profile.and_then(|git| git.email.clone()) {
        Some(email) => Some((email, choice.profile_rule("git.email"))),
        None => person.and_then(|(_, email)| Some((line(email)?, "git config user.email".to_owned()))),
    };
    let mut variables = Vec::new();
    if let Some((name, origin)) = name {
        variables.push(("GIT_AUTHOR_NAME", name.to_string(), origin.clone()));
        variables.push(("GIT_COMMITTER_NAME", name.to_string(), origin));
    }
    if let Some((email, origin)) = email {
        variables.push(("GIT_AUTHOR_EMAIL", email.to_string(), origin.clone()));
        variables.push(("GIT_COMMITTER_EMAIL", email.to_string(), origin));
    }
    variables
}

/// What the profile of a person's own file passes and sets must be within `ceiling.env`.
fn check_ceiling(sources: &Sources<'_>, choice: &Choice<'_>, rules: &Rules) -> Result<(), PolicyError> {
    let ceiling = sources.system.config.ceiling.as_ref().and_then(|ceiling| ceiling.env.as_ref());
    let (Some(ceiling), Some((source, table))) = (ceiling, choice.table) else { return Ok(()) };
    if !sources.is_person(source) {
        return Ok(());
    }
    let env = table.env.as_ref();
    let pass = env.and_then(|env| env.pass.as_ref()).into_iter().flatten().map(PassName::as_str);
    let set = env.into_iter().flat_map(|env| env.set.keys()).map(VariableName::as_str);
    for (key, name) in pass.map(|name| ("env.pass", name)).chain(set.map(|name| ("env.set", name))) {
        let covered = match environment::grant(ceiling.iter().map(PassName::as_str), name) {
            Grant::Exact => true,
            Grant::Wildcard => !rules.is_denied(name),
            Grant::Absent => false,
        };
        if !covered {
            return Err(refused(
                format!("the variable `{name}` ({})", choice.profile_rule(key)),
                sources.system.rule("ceiling.env"),
                "remove it, or ask the administrator to add exactly that name there",
            ));
        }
    }
    Ok(())
}
