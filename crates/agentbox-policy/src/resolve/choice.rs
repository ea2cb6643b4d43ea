//! Which project, profile, posture and agent a session has.

use super::{COMMAND_LINE, Sources, refused, unknown};
use crate::config::ProfileTable;
use crate::paths::{expand, is_below, is_within};
use crate::policy::Sourced;
use crate::posture::{self, Chain};
use crate::system::{Source, System};
use crate::text::printable;
use crate::{Inputs, Name, PolicyError, ProjectFacts, preset};
use std::cmp::Reverse;

/// A configured project whose directory has to do with the session's.
pub(super) struct Entry<'a> {
    pub(super) source: &'a Source,
    pub(super) name: &'a Name,
    pub(super) table: &'a crate::config::ProjectTable,
    path: String,
}

impl Entry<'_> {
    pub(super) fn rule(&self, key: &str) -> String {
        self.source.rule(&format!("project.{}.{key}", self.name))
    }
}

/// What was chosen, and who chose it.
pub(super) struct Choice<'a> {
    pub(super) project: Option<Sourced<String>>,
    pub(super) profile: Option<Sourced<String>>,
    pub(super) posture: Sourced<String>,
    pub(super) agent: Sourced<String>,
    /// Whether nobody but the system chose the agent.
    pub(super) agent_by_system: bool,
    /// The entry that the session belongs to.
    pub(super) entry: Option<usize>,
    /// Every entry around, at or inside the session's directory: all of them bound it.
    pub(super) entries: Vec<Entry<'a>>,
    /// The profile's table and whose it is.
    pub(super) table: Option<(&'a Source, &'a ProfileTable)>,
}

impl<'a> Choice<'a> {
    pub(super) fn make(inputs: &Inputs<'_>, sources: &Sources<'a>) -> Result<Self, PolicyError> {
        let entries = entries(sources, inputs);
        let entry = governing(&entries, inputs.project, sources);
        named_is(entry.map(|at| &entries[at]), sources, inputs)?;
        let own = entry.map(|at| &entries[at]);

        let profile = profile(own, inputs)?;
        let table = match &profile {
            None => None,
            Some(profile) => Some(profile_table(sources, &profile.value)?),
        };
        let posture = choose_posture(own, sources, inputs)?;
        let agent = if let Some(agent) = &inputs.request.agent {
            Sourced::new(agent.clone(), COMMAND_LINE)
        } else if let Some((own, agent)) = own.and_then(|own| Some((own, own.table.agent.as_ref()?))) {
            Sourced::new(agent.to_string(), own.rule("agent"))
        } else if let Some(((source, table), name)) = table.zip(profile.as_ref())
            && let Some(agent) = &table.agent
        {
            Sourced::new(agent.to_string(), source.rule(&format!("profile.{}.agent", name.value)))
        } else {
            Sourced::new(preset::DEFAULT.to_owned(), crate::policy::BUILT_IN)
        };
        if !preset::NAMES.contains(&agent.value.as_str()) {
            return Err(unknown("agent", &agent.value, preset::NAMES.iter().copied()));
        }
        let whose = match (own.filter(|own| own.table.agent.is_some()), table) {
            (Some(own), _) => Some(own.source),
            (None, Some((source, table))) if table.agent.is_some() => Some(source),
            _ => None,
        };
        let agent_by_system =
            inputs.request.agent.is_none() && whose.is_none_or(|source| !sources.is_person(source));
        let project = own.map(|own| Sourced::new(own.name.to_string(), own.rule("path")));
        Ok(Self { project, profile, posture, agent, agent_by_system, entry, entries, table })
    }

    /// The entry that the session belongs to.
    pub(super) fn own(&self) -> Option<&Entry<'a>> {
        self.entry.and_then(|at| self.entries.get(at))
    }

    /// The rule that a key of the profile states.
    pub(super) fn profile_rule(&self, key: &str) -> String {
        match (&self.profile, self.table) {
            (Some(profile), Some((source, _))) => source.rule(&format!("profile.{}.{key}", profile.value)),
            _ => "built-in: no profile".to_owned(),
        }
    }

    pub(super) fn warnings(&self, inputs: &Inputs<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        let (person, project) = (inputs.person, inputs.project);
        if project.owner_uid != person.uid {
            warnings.push(format!(
                "{} belongs to uid {}, not to {}: where only its owner may, the agent may not",
                printable(&project.path),
                project.owner_uid,
                printable(&person.name)
            ));
        }
        for entry in self.entries.iter().filter(|entry| is_below(&entry.path, &project.path)) {
            warnings.push(format!(
                "the directory contains the project `{}` ({}), and the session sees it",
                entry.name,
                entry.rule("path")
            ));
        }
        warnings
    }
}

/// Directories that the system's configuration names as projects, elsewhere than around this one: each with its rule.
/// One that is this one behind a symbolic link would not be found.
#[must_use]
pub fn projects_elsewhere(system: &System, home: &str, project: &str) -> Vec<(String, String)> {
    let source = &system.source;
    let all = source.config.project.iter().filter_map(|(name, table)| {
        Some((expand(table.path.as_ref()?, home), source.rule(&format!("project.{name}.path"))))
    });
    all.filter(|(path, _)| !crate::paths::overlap(project, path)).collect()
}

fn entries<'a>(sources: &Sources<'a>, inputs: &Inputs<'_>) -> Vec<Entry<'a>> {
    let place = &inputs.project.path;
    let all = sources.trusted().flat_map(|source| {
        source.config.project.iter().filter_map(move |(name, table)| {
            let path = expand(table.path.as_ref()?, &inputs.person.home);
            Some(Entry { source, name, table, path })
        })
    });
    all.filter(|entry| crate::paths::overlap(place, &entry.path)).collect()
}

/// The entry that a directory belongs to: the system's before the person's, then the innermost.
fn governing(entries: &[Entry<'_>], place: &ProjectFacts, sources: &Sources<'_>) -> Option<usize> {
    let around = (0..entries.len()).filter(|at| is_within(&place.path, &entries[*at].path));
    around.min_by_key(|at| {
        let entry = &entries[*at];
        (sources.is_person(entry.source), Reverse(entry.path.len()))
    })
}

/// A project that is named must be the one that the directory belongs to.
fn named_is(own: Option<&Entry<'_>>, sources: &Sources<'_>, inputs: &Inputs<'_>) -> Result<(), PolicyError> {
    let Some(name) = &inputs.request.project else { return Ok(()) };
    if own.is_some_and(|own| own.name.as_str() == name) {
        return Ok(());
    }
    let all =
        sources.trusted().flat_map(|source| source.config.project.iter().map(move |entry| (source, entry)));
    let named = all.clone().find(|(_, (other, _))| other.as_str() == name);
    let Some((source, _)) = named else {
        let known: Vec<_> = all.map(|(_, (name, _))| name.as_str()).collect();
        return Err(unknown("project", name, known));
    };
    let place = printable(&inputs.project.path);
    Err(match own {
        Some(own) => refused(
            format!("`{place}` as the project `{name}`: it belongs to the project `{}`", own.name),
            own.rule("path"),
            format!("start `{}`", own.name),
        ),
        None => refused(
            format!("`{place}` as the project `{name}`: it is not in that project's directory"),
            source.rule(&format!("project.{name}.path")),
            "write the directory's real path there, without symbolic links",
        ),
    })
}

fn profile(own: Option<&Entry<'_>>, inputs: &Inputs<'_>) -> Result<Option<Sourced<String>>, PolicyError> {
    let bound = own.and_then(|own| Some((own, own.table.profile.as_ref()?)));
    let Some((own, bound)) = bound else {
        return Ok(inputs.request.profile.clone().map(|name| Sourced::new(name, COMMAND_LINE)));
    };
    match &inputs.request.profile {
        Some(asked) if asked != bound.as_str() => Err(refused(
            format!("profile `{asked}` for the project `{}`, which is bound to `{bound}`", own.name),
            own.rule("profile"),
            format!("leave --profile out, or bind the project to `{asked}`"),
        )),
        _ => Ok(Some(Sourced::new(bound.to_string(), own.rule("profile")))),
    }
}

fn profile_table<'a>(
    sources: &Sources<'a>,
    name: &str,
) -> Result<(&'a Source, &'a ProfileTable), PolicyError> {
    for source in sources.trusted() {
        if let Some(table) = source.config.profile.get(name) {
            return Ok((source, table));
        }
    }
    let known = sources.trusted().flat_map(|source| source.config.profile.keys()).map(Name::as_str);
    Err(unknown("profile", name, known))
}

fn choose_posture(
    own: Option<&Entry<'_>>,
    sources: &Sources<'_>,
    inputs: &Inputs<'_>,
) -> Result<Sourced<String>, PolicyError> {
    if let Some(name) = &inputs.request.posture {
        let chain = chain(sources);
        if !chain.knows(name) {
            return Err(unknown("posture", name, chain.names()));
        }
        return Ok(Sourced::new(name.clone(), COMMAND_LINE));
    }
    if let Some((own, posture)) = own.and_then(|own| Some((own, own.table.posture.as_ref()?))) {
        return Ok(Sourced::new(posture.to_string(), own.rule("posture")));
    }
    // The person's default before the system's: a default is no bound.
    for source in [sources.person, Some(sources.system)].into_iter().flatten() {
        if let Some(posture) = &source.config.default_posture {
            return Ok(Sourced::new(posture.to_string(), source.rule("default_posture")));
        }
    }
    Ok(Sourced::new(posture::DEFAULT.to_owned(), crate::policy::BUILT_IN))
}

/// Where the postures of a session are looked up.
pub(super) fn chain<'a>(sources: &Sources<'a>) -> Chain<'a> {
    match sources.person {
        Some(person) => Chain { own: person, below: Some(sources.system) },
        None => Chain { own: sources.system, below: None },
    }
}
