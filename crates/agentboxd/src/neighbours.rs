//! Sessions that share a project: what one of them read, it can leave there for the other.

use crate::session::Session;
use crate::supervisor::Supervisor;
use agentbox_policy::{Cause, Leg, Legs, Neighbour};
use std::path::Path;

/// The other sessions on a project, as a session of this owner may know them. `but` is the one that asks.
pub(crate) fn of(
    supervisor: &Supervisor,
    project: &str,
    owner_uid: u32,
    but: Option<&Session>,
) -> Vec<(String, Neighbour)> {
    let sessions = supervisor.sessions();
    let others = sessions.iter().filter(|other| but.is_none_or(|but| but.id() != other.id()));
    others
        .filter(|other| shares(&other.record.project, project))
        .filter_map(|other| {
            let neighbour = now(other)?;
            Some(match other.record.owner_uid == owner_uid {
                true => (other.id().to_string(), neighbour),
                false => ("of somebody else".to_owned(), without_details(neighbour)),
            })
        })
        .collect()
}

/// What a session is to others now: with what was allowed to it while it ran.
pub(crate) fn now(session: &Session) -> Option<Neighbour> {
    let neighbour = session.record.neighbour.clone()?;
    Some(match session.network() {
        Some(network) => neighbour.with_live(&network.rules()),
        None => neighbour,
    })
}

/// The legs of a session, with those of others on its project.
pub(crate) fn legs(supervisor: &Supervisor, session: &Session) -> Legs {
    let others = of(supervisor, &session.record.project, session.record.owner_uid, Some(session));
    let own = now(session).map(|neighbour| neighbour.legs).unwrap_or_default();
    others.iter().fold(own, |legs, (id, other)| legs.with(id, &other.legs))
}

fn shares(one: &str, other: &str) -> bool {
    let (one, other) = (Path::new(one), Path::new(other));
    one.starts_with(other) || other.starts_with(one)
}

/// Whose files another person's session sees is not this person's business; that it sees some is.
fn without_details(neighbour: Neighbour) -> Neighbour {
    let mut legs = Legs::default();
    for leg in neighbour.legs.standing() {
        let cause = Cause {
            what: leg.as_str().to_owned(),
            rule: "another person's session".to_owned(),
            remedy: "start when that session has ended".to_owned(),
        };
        match leg {
            Leg::Private => legs.private.push(cause),
            Leg::Untrusted => legs.untrusted.push(cause),
            Leg::External => legs.external.push(cause),
        }
    }
    Neighbour { legs, rule: "another person's session".to_owned(), ..neighbour }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentbox_policy::Trifecta;

    #[test]
    fn a_directory_is_shared_with_what_is_around_and_inside_it() {
        for (one, other) in [("/a/b", "/a/b"), ("/a", "/a/b"), ("/a/b", "/a")] {
            assert!(shares(one, other), "{one} {other}");
        }
        for (one, other) in [("/a/b", "/a/bc"), ("/a/b", "/a/c"), ("unknown", "/a")] {
            assert!(!shares(one, other), "{one} {other}");
        }
    }

    #[test]
    fn of_another_persons_session_only_the_legs_are_told() {
        let cause = |what: &str| Cause { what: what.into(), rule: "/r".into(), remedy: "x".into() };
        let legs = Legs { private: vec![cause("/home/b/.aws"), cause("2")], ..Legs::default() };
        let told = without_details(Neighbour { legs, trifecta: Trifecta::Refuse, rule: "/etc".into() });
        assert_eq!(told.legs.standing().collect::<Vec<_>>(), [Leg::Private]);
        assert!(!format!("{told:?}").contains(".aws") && !format!("{told:?}").contains("/etc"));
        assert_eq!(told.trifecta, Trifecta::Refuse);
    }
}
