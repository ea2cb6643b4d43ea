//! Under which ids a session runs, and how owners on disk appear in it.

use super::Facts;
use crate::{Identity, Policy, PolicyError};
use agentbox_plan::{IdMap, Ids};

/// Position of the person's map in the plan, and of those that may follow.
pub(super) const PERSON: u8 = 0;
const READING: u8 = 1;
const PROJECT: u8 = 2;
/// Ids of a lease behind the agent's own.
const CONSOLE: u32 = 1;
/// The console half has no use for a group of its own id, but nobody else may have it either.
const PROJECT_GROUP: u32 = 2;
/// Groups below it are the system's (login.defs(5)): docker, wheel, sudo.
const FIRST_GROUP_OF_PEOPLE: u32 = 1000;
/// `nobody`'s and `nogroup`'s, by convention and as the kernel's overflow id.
const OVERFLOW: u32 = 65534;

/// The ids of both halves.
pub(super) fn identity(policy: &Policy, facts: &Facts) -> Result<agentbox_plan::Identity, PolicyError> {
    let first = facts.lease_first;
    if first.checked_add(3).is_none_or(|last| last > u32::MAX - 2) || first < FIRST_GROUP_OF_PEOPLE {
        return Err(PolicyError::Invalid { what: format!("{first} is not the first id of a lease") });
    }
    let person = &policy.person;
    let agent = match policy.identity() {
        Identity::Caller => Ids { uid: person.uid, gid: person.gid, groups: person.groups.clone() },
        Identity::Leased => {
            let groups = project_group(policy).map(|_| first + PROJECT_GROUP);
            Ids { uid: first, gid: first, groups: groups.into_iter().collect() }
        }
    };
    let console = Ids { uid: first + CONSOLE, gid: first + CONSOLE, groups: Vec::new() };
    Ok(agentbox_plan::Identity { agent, console })
}

/// The project's group, when it is one more that the person shares with others. Never one that the
/// person is not in: the agent would have more rights than the person.
pub(super) fn project_group(policy: &Policy) -> Option<u32> {
    let (person, group) = (&policy.person, policy.place.owner_gid);
    let of_people = group >= FIRST_GROUP_OF_PEOPLE && group != OVERFLOW;
    (of_people && group != person.gid && person.groups.contains(&group)).then_some(group)
}

/// The maps: the person's, one for what is only read, and the project's when that has one more group.
///
/// A mount that is read-only refuses writing to files and directories, and neither writing to a pipe nor connecting to a
/// socket. What has an owner or a group that the map does not know is written by nobody, whatever it is
/// (`inode_permission` of linux/fs/namei.c, since Linux 5.12), and read as before by its owner. So the map for reading
/// knows no group that there is on a disk; a map has to know one.
pub(super) fn idmaps(policy: &Policy, facts: &Facts) -> Vec<IdMap> {
    if policy.identity() == Identity::Caller {
        return Vec::new();
    }
    let (person, first) = (&policy.person, facts.lease_first);
    let own = IdMap { users: vec![(person.uid, first)], groups: vec![(person.gid, first)] };
    let reading = IdMap { groups: vec![(first, first)], ..own.clone() };
    let Some(group) = project_group(policy) else { return vec![own, reading] };
    // Both columns of a map must be unique (user_namespaces(7)).
    let mut project = own.clone();
    project.groups.push((group, first + PROJECT_GROUP));
    vec![own, reading, project]
}

/// Position of the person's map, where there are maps.
pub(super) fn person_map(policy: &Policy) -> Option<u8> {
    (policy.identity() == Identity::Leased).then_some(PERSON)
}

/// Position of the map for what is only read, where there are maps.
pub(super) fn reading_map(policy: &Policy) -> Option<u8> {
    person_map(policy).map(|_| READING)
}

/// Position of the project's map where that is changed, where there are maps.
pub(super) fn project_map(policy: &Policy) -> Option<u8> {
    person_map(policy).map(|map| if project_group(policy).is_some() { PROJECT } else { map })
}

/// Groups by the id that they have inside, each with the id it has on the host.
pub(super) fn groups_inside(policy: &Policy, facts: &Facts) -> Vec<(u32, u32)> {
    let person = &policy.person;
    match policy.identity() {
        Identity::Caller => {
            let mut groups = vec![(person.gid, person.gid)];
            groups.extend(person.groups.iter().filter(|gid| **gid != person.gid).map(|gid| (*gid, *gid)));
            groups
        }
        Identity::Leased => {
            let mut groups = vec![(facts.lease_first, person.gid)];
            groups.extend(project_group(policy).map(|group| (facts.lease_first + PROJECT_GROUP, group)));
            groups
        }
    }
}
