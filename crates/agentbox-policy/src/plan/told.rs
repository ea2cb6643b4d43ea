//! What a session is told about itself, where it cannot change it.

use super::items::Role;
use super::names::made;
use super::tree::{Scene, Tree};
use super::{Opener, WantedKind};
use crate::legs::Leg;
use crate::{Policy, PolicyError};

/// What the session is, as it sees it itself.
const PATH: &str = "/run/agentbox/session.json";

/// What stands in front of every title of its terminal: posture, profile, and how many legs stand. Only
/// characters of names: a title in a terminal is one line.
pub(super) fn label(policy: &Policy) -> String {
    let profile = policy.profile_name().map(|name| format!(" {name}")).unwrap_or_default();
    let legs = policy.shared_legs().count();
    format!("{}{profile} {legs}/{}", policy.posture_name(), Leg::ALL.len())
}

/// What has to be made.
pub(super) fn items(add: &mut impl FnMut(&str, Opener, bool, WantedKind, &str, Role)) {
    let origin = "built-in: a session knows what it is";
    add("session.json", Opener::System, false, WantedKind::Told, origin, Role::Told);
}

/// The file, where the session has a /run of its own.
pub(super) fn file(scene: &Scene<'_>, tree: &mut Tree) -> Result<(), PolicyError> {
    for (item, found, source) in scene.found().filter(|(item, _, _)| item.role == Role::Told) {
        made(item, found)?;
        if tree.has("/run") {
            tree.file(source, PATH, &item.wanted.origin)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::fixture::{World, planned};

    #[test]
    fn a_title_says_posture_profile_and_legs() {
        let world = World::new().system("[profile.work]\nprivate = true");
        let label = |world: &World| planned(&world.resolve().unwrap()).unwrap().label;
        assert_eq!(label(&world), "L2 2/3");
        assert_eq!(label(&world.ask(|request| request.profile = Some("work".into()))), "L2 work 3/3");
    }
}
