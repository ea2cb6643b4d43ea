//! Which paths of the host a session sees: what profile and project grant, held against what nobody may
//! grant, the ceiling, and the project's file.

use super::choice::Choice;
use super::{Sources, refused};
use crate::config::HostPath;
use crate::paths::{expand, is_within};
use crate::places::{Base, credentials};
use crate::policy::Grant;
use crate::preset::Preset;
use crate::text::printable;
use crate::{Inputs, PolicyError, Workspace};
use std::collections::BTreeMap;

/// Each grant is an open descriptor of the supervisor.
const MOST: usize = 512;

pub(super) struct Context<'a, 'b> {
    pub(super) inputs: &'b Inputs<'b>,
    pub(super) sources: &'b Sources<'a>,
    pub(super) choice: &'b Choice<'a>,
    pub(super) preset: &'b Preset,
    pub(super) base: &'b Base,
}

/// A list as somebody wrote it.
struct List<'a> {
    paths: &'a [HostPath],
    write: bool,
    /// Of git directories: what is called `objects` is only read.
    git: bool,
    /// From the person's own file: the ceiling holds.
    own: bool,
    rule: String,
}

pub(super) fn collect(context: &Context<'_, '_>) -> Result<Vec<Grant>, PolicyError> {
    let home = &context.inputs.person.home;
    let mut grants: BTreeMap<String, Grant> = BTreeMap::new();
    for path in &context.preset.read {
        let origin = format!("preset {}", context.choice.agent.value);
        let path = expand(path, home);
        grants.insert(path.clone(), Grant { path, write: false, preset: true, git: false, origin });
    }
    for list in lists(context) {
        for path in list.paths {
            let path = expand(path, home);
            let grant = Grant {
                write: list.write && !(list.git && path.ends_with("/objects")),
                path,
                preset: false,
                git: list.git,
                origin: list.rule.clone(),
            };
            check(context, &grant)?;
            if list.own {
                check_ceiling(context, &grant)?;
            }
            // Who may write may read; and a person's word replaces a preset's.
            match grants.get(&grant.path) {
                Some(other) if other.write && !grant.write => {}
                // A git directory is held wherever it comes from.
                Some(other) if other.git => {}
                _ => drop(grants.insert(grant.path.clone(), grant)),
            }
        }
    }
    if let Some(file) = context.sources.file {
        let config = &file.config;
        // By the letter: a path below a granted one may be a link to somewhere else.
        let keeps = |list: &Option<Vec<HostPath>>, grant: &Grant| {
            list.as_ref().is_none_or(|list| list.iter().any(|path| expand(path, home) == grant.path))
        };
        grants.retain(|_, grant| keeps(if grant.write { &config.write } else { &config.read }, grant));
    }
    if grants.len() > MOST {
        let rule = context.choice.profile_rule("read");
        return Err(refused(
            format!("{} granted paths; there can be {MOST}", grants.len()),
            rule,
            "grant the directories that hold them",
        ));
    }
    Ok(grants.into_values().collect())
}

fn lists<'b>(context: &'b Context<'_, '_>) -> Vec<List<'b>> {
    let mut lists = Vec::new();
    let mut add = |paths: &'b Option<Vec<HostPath>>, write: bool, own: bool, rule: String| {
        if let Some(paths) = paths {
            lists.push(List { paths, write, git: false, own, rule });
        }
    };
    let choice = context.choice;
    if let Some((source, table)) = choice.table {
        let own = context.sources.is_person(source);
        add(&table.read, false, own, choice.profile_rule("read"));
        add(&table.write, true, own, choice.profile_rule("write"));
    }
    if let Some(entry) = choice.own() {
        let own = context.sources.is_person(entry.source);
        add(&entry.table.read, false, own, entry.rule("read"));
        add(&entry.table.write, true, own, entry.rule("write"));
    }
    let mut git = |paths: &'b [HostPath], own: bool, rule: String| {
        lists.push(List { paths, write: true, git: true, own, rule });
    };
    if let Some((source, table)) = choice.table {
        let paths = table.git_dirs.as_deref().unwrap_or_default();
        git(paths, context.sources.is_person(source), choice.profile_rule("git_dirs"));
    }
    if let Some(entry) = choice.own() {
        let paths = entry.table.git_dirs.as_deref().unwrap_or_default();
        git(paths, context.sources.is_person(entry.source), entry.rule("git_dirs"));
    }
    git(&context.inputs.request.git_dirs, true, super::COMMAND_LINE.to_owned());
    lists
}

fn check(context: &Context<'_, '_>, grant: &Grant) -> Result<(), PolicyError> {
    let (path, home, base) = (&grant.path, &context.inputs.person.home, context.base);
    let refuse = |why: String, remedy: &str| {
        let how = if grant.write { "writing" } else { "reading" };
        let what = format!("a grant of `{}` for {how}: {why}", printable(path));
        Err(refused(what, grant.origin.clone(), remedy))
    };
    let narrower = "grant what is needed below it";
    if is_within(home, path) {
        return refuse(
            format!("it holds the home `{}`, which a session has for itself", printable(home)),
            narrower,
        );
    }
    if let Some(place) = base.closed_place(path) {
        let why = if is_within(path, place) { "it is in" } else { "it holds" };
        return refuse(format!("{why} `{place}`, which no session sees"), "remove it");
    }
    if base.private.contains(path) {
        return refuse("every session has its own".to_owned(), narrower);
    }
    if grant.write
        && let Some(place) = base.system_place(path)
    {
        return refuse(format!("`{place}` is the system's"), "grant it for reading");
    }
    if base.made.iter().any(|made| is_within(made, path)) {
        return refuse("agentbox makes what is there".to_owned(), "remove it");
    }
    // Shown as a whole, or as single entries: a directory around them would hide them.
    if !base.shows(path) && base.shown.iter().any(|shown| is_within(shown, path)) {
        return refuse("parts of it are shown to every session".to_owned(), narrower);
    }
    Ok(())
}

/// Whether what a profile puts into a session may be read for it at all. A place of credentials is none,
/// whoever names it.
pub(super) fn check_pin(context: &Context<'_, '_>, grant: &Grant, own: bool) -> Result<(), PolicyError> {
    check(context, grant)?;
    if own {
        check_ceiling(context, grant)?;
    }
    let home = &context.inputs.person.home;
    if credentials(home)?.iter().any(|place| crate::paths::overlap(&grant.path, place)) {
        return Err(refused(
            format!("`{}` in a session: it is a place of credentials", printable(&grant.path)),
            grant.origin.clone(),
            "keep what the agent is to have in a directory of its own",
        ));
    }
    Ok(())
}

fn check_ceiling(context: &Context<'_, '_>, grant: &Grant) -> Result<(), PolicyError> {
    let system = context.sources.system;
    let Some(ceiling) = &system.config.ceiling else { return Ok(()) };
    let (list, key) =
        if grant.write { (&ceiling.write, "ceiling.write") } else { (&ceiling.read, "ceiling.read") };
    let Some(list) = list else { return Ok(()) };
    let home = &context.inputs.person.home;
    if list.iter().any(|top| is_within(&grant.path, &expand(top, home))) {
        return Ok(());
    }
    Err(refused(
        format!("a grant of `{}` ({})", printable(&grant.path), grant.origin),
        system.rule(key),
        "remove it, or ask the administrator to add it there",
    ))
}

/// A project that cannot be changed cannot be changed through a grant around it either.
pub(super) fn check_workspace(
    inputs: &Inputs<'_>,
    workspace: Workspace,
    grants: &[Grant],
    rule: Option<&String>,
) -> Result<(), PolicyError> {
    if workspace == Workspace::Direct {
        return Ok(());
    }
    let Some(grant) = grants.iter().find(|grant| grant.write && is_within(&inputs.project.path, &grant.path))
    else {
        return Ok(());
    };
    Err(refused(
        format!(
            "a grant of `{}` for writing ({}): it holds the project, whose workspace is `{workspace}`",
            printable(&grant.path),
            grant.origin
        ),
        rule.cloned().unwrap_or_default(),
        "grant it for reading, or use workspace `direct`",
    ))
}

pub(super) fn warn(
    inputs: &Inputs<'_>,
    grants: &[Grant],
    warnings: &mut Vec<String>,
) -> Result<(), PolicyError> {
    let secret = credentials(&inputs.person.home)?;
    for grant in grants.iter().filter(|grant| !grant.preset) {
        if secret.iter().any(|place| is_within(&grant.path, place)) {
            warnings.push(format!(
                "`{}` is a place of credentials, and the session sees it ({})",
                printable(&grant.path),
                grant.origin
            ));
        }
    }
    Ok(())
}
