//! From configuration and a request to a policy.
//!
//! 1. [`choice`]: which project, profile, posture and agent.
//! 2. [`bounds`]: the settings: what was chosen, joined with everything that bounds it.
//! 3. [`grants`]: which paths, held against the ceiling and the project's file.
//! 4. [`variables`]: which variables.
//! 5. [`hosts`]: what of the network, and which ports of the session are seen from the host.
//! 6. [`ssh_agent`]: which keys it may sign with, and for whom.
//! 7. [`legs`]: which legs of the trifecta stand.
//! 8. [`masks`]: what is hidden in the project.
//! 7. [`place`]: whether a session can be there at all.

mod bounds;
mod choice;
mod grants;
mod hosts;
mod legs;
mod masks;
mod persist;
mod pins;
mod place;
#[cfg(test)]
mod properties;
mod ssh_agent;
#[cfg(test)]
mod tests;
mod variables;

use crate::config::check;
use crate::paths::{expand, is_within};
use crate::places::Base;
use crate::policy::{Grant, Held, Sourced, Variable};
use crate::render::Rendered;
use crate::system::{Source, check_references};
use crate::text::{printable, suggestion};
use crate::{Filesystem, Guard, Inputs, Isolation, LayerKind, Name, Policy, PolicyError, preset};
use choice::Choice;
pub use choice::projects_elsewhere;
use std::collections::BTreeMap;

/// Origin of what was asked for.
pub(crate) const COMMAND_LINE: &str = "command line";

/// Resolves the policy of a session.
///
/// # Errors
/// [`PolicyError`]: refused by a rule, not in this version, or not valid.
pub fn resolve(inputs: &Inputs<'_>) -> Result<Policy, PolicyError> {
    let person = inputs.person_layer.map(|layer| checked(layer, LayerKind::Person)).transpose()?;
    let present = inputs.project_file.map(|layer| checked(layer, LayerKind::Project)).transpose()?;
    let joined = match inputs.accepted_file {
        None => None,
        Some(accepted) => {
            check::check(accepted, LayerKind::Project)?;
            Some(crate::config::join(inputs.project_file, accepted))
        }
    };
    let file = joined.as_ref().map(|joined| Source::of_layer(&joined.layer)).or(present);
    let system = &inputs.system.source;
    if let Some(person) = &person {
        check_references(person, Some(system))?;
    }
    let sources = Sources { system, person: person.as_ref(), file: file.as_ref() };
    check_request(inputs)?;
    let base = Base::load()?;
    place::check_home(base, inputs.person)?;
    place::check_project(base, inputs)?;

    let choice = Choice::make(inputs, &sources)?;
    let (settings, origins) = bounds::settle(inputs, &sources, &choice)?;
    let held = Held::of(&settings)?;
    inputs.inspection.map_or(Ok(()), crate::Inspection::check)?;
    legs::check_recommended(inputs, &choice.posture, &settings)?;
    let preset = preset::preset(&choice.agent.value)?.unwrap_or_default();
    let mut warnings = choice.warnings(inputs);
    if let Some(joined) = joined.as_ref().filter(|joined| !joined.kept.is_empty()) {
        warnings.push(format!(
            "{} says less than when it was last accepted, which holds ({}); after looking: agentboxctl trust",
            printable(&joined.layer.file),
            joined.kept.join(", ")
        ));
    }

    let own_directories: Vec<_> =
        if held.filesystem == Filesystem::Host { Vec::new() } else { preset.state.clone() };
    let context = grants::Context { inputs, sources: &sources, choice: &choice, preset: &preset, base };
    let grants = grants::collect(&context)?;
    let pins = pins::collect(&context, held)?;
    if held.isolation != Isolation::None {
        place::check_own_directories(inputs, &choice, &own_directories, &grants)?;
        grants::check_workspace(
            inputs,
            held.workspace,
            &grants,
            origins.get(&crate::lattice::Key::Workspace),
        )?;
        grants::warn(inputs, &grants, &mut warnings)?;
    }
    let kept = persist::collect(inputs, &sources, &choice, &preset, held, &mut warnings)?;
    let ssh_agent = ssh_agent::collect(inputs, &sources, &choice, held, &mut warnings)?;
    let secrets = match held.isolation {
        Isolation::None => Vec::new(),
        _ => variables::secrets(inputs, &sources, &choice)?,
    };
    let signs = ssh_agent.as_ref().is_some_and(|agent| agent.sign_git);
    let mut environment =
        variables::collect(inputs, &sources, &choice, &preset, (&secrets, signs), &mut warnings)?;
    if held.guard(&settings) != Guard::Off {
        // git copies samples of hooks into every new repository, and the guard refuses them. An empty name
        // means that none are copied (git-init(1), TEMPLATE DIRECTORY).
        let none = Variable {
            value: String::new(),
            passed: false,
            origin: "built-in: the guard refuses hooks".to_owned(),
        };
        environment.entry("GIT_TEMPLATE_DIR".to_owned()).or_insert(none);
    }
    let network = origins.get(&crate::lattice::Key::Network).cloned().unwrap_or_default();
    let reach = hosts::collect(
        &hosts::Context { inputs, sources: &sources, choice: &choice, preset: &preset, held, network },
        &mut warnings,
    )?;
    let legs = legs::collect(&legs::Context {
        inputs,
        sources: &sources,
        choice: &choice,
        preset: &preset,
        held,
        origins: &origins,
        grants: &grants,
        environment: &environment,
        reach: &reach,
        ssh_agent: ssh_agent.as_ref(),
        secrets: &secrets,
    })?;
    let (mask, unmask) = (masks::masked(&sources, &choice), masks::unmasked(&choice));
    let mut rendered = rendered(inputs, &preset, held, &grants, &environment)?;
    rendered.retain(|file| !pins.iter().any(|pin| pin.inside == file.path));
    let command = if inputs.request.login && inputs.request.command.is_empty() {
        Sourced::new(preset.login.clone(), format!("preset {}: login", choice.agent.value))
    } else if inputs.request.command.is_empty() {
        Sourced::new(preset.command.clone(), format!("preset {}", choice.agent.value))
    } else {
        Sourced::new(inputs.request.command.clone(), COMMAND_LINE)
    };
    Ok(Policy {
        posture: choice.posture,
        held,
        settings,
        origins,
        profile: choice.profile,
        project: choice.project,
        place: inputs.project.clone(),
        person: inputs.person.clone(),
        agent: choice.agent,
        command,
        session: inputs.request.name.clone(),
        own_directories,
        grants,
        environment,
        reach,
        shared_legs: legs.clone(),
        legs,
        kept,
        pins,
        secrets,
        rendered,
        project_file: joined.map(|joined| joined.layer).or_else(|| inputs.project_file.cloned()),
        ssh_agent,
        mask,
        unmask,
        caller_path: inputs.environment.get("PATH").cloned(),
        warnings,
    })
}

/// The files that say how the agent behaves, in the order of paths.
fn rendered(
    inputs: &Inputs<'_>,
    preset: &preset::Preset,
    held: Held,
    grants: &[Grant],
    environment: &BTreeMap<String, Variable>,
) -> Result<Vec<Rendered>, PolicyError> {
    let mut all = Vec::new();
    if held.isolation == Isolation::None {
        return Ok(all);
    }
    for (written, seed) in preset
        .settings
        .iter()
        .map(|written| (written, false))
        .chain(preset.seed.iter().map(|written| (written, true)))
    {
        let path = expand(&written.path, &inputs.person.home);
        // Where the host's files are shown, nothing can be added to its /etc; and whoever grants an agent's own
        // directory has it as it is.
        let shown = held.filesystem != Filesystem::Listed && !is_within(&path, &inputs.person.home);
        if shown || grants.iter().any(|grant| !grant.preset && is_within(&path, &grant.path)) {
            continue;
        }
        let content = written.render(&inputs.project.path, environment)?;
        all.push(Rendered { path, content, seed });
    }
    all.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(all)
}

/// Everything that configures, by owner.
pub(super) struct Sources<'a> {
    system: &'a Source,
    person: Option<&'a Source>,
    file: Option<&'a Source>,
}

impl<'a> Sources<'a> {
    /// The system's and the person's, in that order.
    fn trusted(&self) -> impl Iterator<Item = &'a Source> + Clone + use<'a> {
        [Some(self.system), self.person].into_iter().flatten()
    }

    fn is_person(&self, source: &Source) -> bool {
        self.person.is_some_and(|person| std::ptr::eq(person, source))
    }
}

/// What crossed the bus is checked again: it never was a file here.
fn checked(layer: &crate::Layer, kind: LayerKind) -> Result<Source, PolicyError> {
    check::check(layer, kind)?;
    Ok(Source::of_layer(layer))
}

fn check_request(inputs: &Inputs<'_>) -> Result<(), PolicyError> {
    let request = inputs.request;
    let names = [
        ("profile", &request.profile),
        ("posture", &request.posture),
        ("agent", &request.agent),
        ("project", &request.project),
        ("name", &request.name),
    ];
    for (key, name) in names {
        if let Some(Err(what)) = name.as_deref().map(Name::new) {
            return Err(refused(format!("the {key} that was asked for"), COMMAND_LINE, what));
        }
    }
    if request.command.first().is_some_and(String::is_empty) {
        return Err(refused("a command without a name", COMMAND_LINE, "name a program"));
    }
    check_command(&request.command)?;
    let (first, count) = inputs.system.uid_range();
    if inputs.person.uid.checked_sub(first).is_some_and(|offset| offset < count) {
        return Err(refused(
            format!("a session of uid {}, which is the id of a session", inputs.person.uid),
            "uid_range",
            "start it as a user of this machine",
        ));
    }
    if inputs.person.uid == 0 && !request.allow_root_project {
        return Err(refused(
            "a session that belongs to root",
            "built-in: root's projects need an explicit yes",
            "give the project to a user (chown), or say --allow-root-project",
        ));
    }
    Ok(())
}

/// Most words of a command.
const MAX_WORDS: usize = 4096;

fn check_command(command: &[String]) -> Result<(), PolicyError> {
    let most = crate::environment::MAX_VARIABLE_BYTES;
    let length: usize = command.iter().map(String::len).sum();
    let what = if command.iter().any(|word| word.contains('\0')) {
        "a command with a NUL byte".to_owned()
    } else if length > most {
        format!("a command of {length} bytes; there can be {most}")
    } else if command.len() > MAX_WORDS {
        format!("a command of {} words; there can be {MAX_WORDS}", command.len())
    } else {
        return Ok(());
    };
    Err(refused(what, COMMAND_LINE, "put it into a file in the project"))
}

fn refused(what: impl Into<String>, rule: impl Into<String>, remedy: impl Into<String>) -> PolicyError {
    PolicyError::Refused { what: what.into(), rule: rule.into(), remedy: remedy.into() }
}

fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> PolicyError {
    refused(format!("there is no {kind} `{name}`"), COMMAND_LINE, suggestion(name, known))
}
