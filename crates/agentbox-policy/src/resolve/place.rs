//! Whether a session can be where it was asked for: its project, its home, the agent's own directories.

use super::choice::Choice;
use super::refused;
use crate::paths::{is_normal, is_within, overlap};
use crate::places::{Base, credentials};
use crate::policy::Grant;
use crate::text::printable;
use crate::{Inputs, Person, PolicyError};

pub(super) fn check_home(base: &Base, person: &Person) -> Result<(), PolicyError> {
    let home = &person.home;
    // It becomes a field of /etc/passwd, where `:` and a new line end it (passwd(5)).
    let writable = is_normal(home) && !home.contains(':') && !home.chars().any(char::is_control);
    let placed = home != "/" && base.system_place(home).is_none() && !base.private.contains(home);
    if writable && placed {
        return Ok(());
    }
    Err(refused(
        format!("a session of {}, whose home is `{}`", printable(&person.name), printable(home)),
        "built-in: a home is an absolute path outside the system's directories",
        "give the user a home of its own (usermod -d)",
    ))
}

pub(super) fn check_project(base: &Base, inputs: &Inputs<'_>) -> Result<(), PolicyError> {
    let (path, home) = (&inputs.project.path, &inputs.person.home);
    if !is_normal(path) {
        return Err(PolicyError::Invalid { what: format!("`{}` is not a real path", printable(path)) });
    }
    let refuse = |why: String, remedy: &str| {
        Err(refused(
            format!("`{}` as a project: {why}", printable(path)),
            "built-in: where a project may be",
            remedy,
        ))
    };
    let elsewhere = "start in a directory of the project's own";
    if path == "/" {
        return refuse("it is the whole file system".to_owned(), elsewhere);
    }
    if is_within(home, path) {
        return refuse(format!("it holds the home `{}`", printable(home)), elsewhere);
    }
    if let Some(place) = base.system_place(path) {
        let why = if is_within(path, place) { "it is in" } else { "it holds" };
        return refuse(
            format!("{why} `{place}`, which is the system's"),
            "put the project into a directory of its own",
        );
    }
    if base.private.contains(path) {
        return refuse("every session has its own".to_owned(), elsewhere);
    }
    if let Some(place) = credentials(home)?.iter().find(|place| is_within(path, place)) {
        return refuse(format!("`{}` is a place of credentials", printable(place)), elsewhere);
    }
    Ok(())
}

/// The agent's own directories are mounts of their own; one inside the other cannot be made.
pub(super) fn check_own_directories(
    inputs: &Inputs<'_>,
    choice: &Choice<'_>,
    directories: &[String],
    grants: &[Grant],
) -> Result<(), PolicyError> {
    for directory in directories {
        let path = format!("{}/{directory}", inputs.person.home);
        if overlap(&path, &inputs.project.path) {
            return Err(refused(
                format!(
                    "`{}` as a project: the agent `{}` keeps its own files in `{}`",
                    printable(&inputs.project.path),
                    choice.agent.value,
                    printable(&path)
                ),
                choice.agent.origin.clone(),
                "start in another directory, or use another agent",
            ));
        }
        // The directory itself may be granted, and then is the host's.
        if let Some(grant) = grants.iter().find(|grant| grant.path != path && overlap(&path, &grant.path)) {
            return Err(refused(
                format!(
                    "a grant of `{}`: the agent `{}` keeps its own files in `{}`",
                    printable(&grant.path),
                    choice.agent.value,
                    printable(&path)
                ),
                grant.origin.clone(),
                format!("grant what is needed beside it, or exactly `{}`", printable(&path)),
            ));
        }
    }
    Ok(())
}
