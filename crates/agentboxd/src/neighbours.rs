//! Sessions that share a project: what one of them read, it can leave there for the other.
//!
//! Of another person's session that is so only where both persons can go: in the inner one of the two directories.

use crate::session::Session;
use crate::supervisor::Supervisor;
use agentbox_kernel::{person, source};
use agentbox_plan::SessionId;
use agentbox_policy::{Cause, Leg, Legs, Neighbour, Trifecta};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long it is waited for whether a person can enter a directory. What does not answer by then is not entered.
const LIMIT: Duration = Duration::from_secs(1);

/// Other persons' sessions that are on a project by its path alone.
#[derive(Debug, Default)]
pub(crate) struct Apart(BTreeSet<SessionId>);

/// Looks which sessions of others are, at paths of persons, so by threads of theirs. One that begins meanwhile counts as
/// one that shares the project.
pub(crate) async fn apart(supervisor: &Supervisor, project: &str, owner_uid: u32) -> Apart {
    let mut looks = JoinSet::new();
    for other in supervisor.sessions() {
        let (theirs, their_uid) = (&other.record.project, other.record.owner_uid);
        if their_uid == owner_uid || !shares(theirs, project) {
            continue;
        }
        let (whose, who, path) = entrant((project, owner_uid), (theirs, their_uid));
        let (waits, path, id) = (Arc::clone(&supervisor.waits), path.to_owned(), other.id().clone());
        looks.spawn(async move {
            let enters = waits.at_paths_of(whose, move |at| {
                at.set(&path);
                person::by_uid(who).ok().flatten().is_some_and(|person| source::can_enter(&person, &path))
            });
            let enters = tokio::time::timeout(LIMIT, enters).await;
            (!matches!(enters, Ok(Ok(true)))).then_some(id)
        });
    }
    Apart(looks.join_all().await.into_iter().flatten().collect())
}

/// Whose the inner one of two directories is, who else has to be able to enter it, and which it is.
fn entrant<'a>(mine: (&'a str, u32), theirs: (&'a str, u32)) -> (u32, u32, &'a str) {
    let (inner, outer) =
        if Path::new(mine.0).starts_with(theirs.0) { (mine, theirs) } else { (theirs, mine) };
    (inner.1, outer.1, inner.0)
}

/// The other sessions on a project, as a session of this owner may know them. `but` is the one that asks.
pub(crate) fn of(
    supervisor: &Supervisor,
    project: &str,
    owner_uid: u32,
    but: Option<&Session>,
    apart: &Apart,
) -> Vec<(String, Neighbour)> {
    let sessions = supervisor.sessions();
    let others = sessions.iter().filter(|other| but.is_none_or(|but| but.id() != other.id()));
    others
        .filter(|other| shares(&other.record.project, project) && !apart.0.contains(other.id()))
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
pub(crate) async fn legs(supervisor: &Supervisor, session: &Session) -> Legs {
    let (project, owner_uid) = (&session.record.project, session.record.owner_uid);
    let apart = apart(supervisor, project, owner_uid).await;
    let others = of(supervisor, project, owner_uid, Some(session), &apart);
    let own = now(session).map(|neighbour| neighbour.legs).unwrap_or_default();
    others.iter().fold(own, |legs, (id, other)| legs.with(id, &other.legs))
}

fn shares(one: &str, other: &str) -> bool {
    let (one, other) = (Path::new(one), Path::new(other));
    one.starts_with(other) || other.starts_with(one)
}

/// Whose files another person's session sees is not this person's business; that it sees some is. And what is to happen
/// is no business of that person's: their word would be a way to keep others from starting anything.
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
    Neighbour { legs, rule: "another person's session".to_owned(), trifecta: Trifecta::Warn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Record;
    use std::os::unix::fs::{PermissionsExt, chown};

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
        assert_eq!(told.trifecta, Trifecta::Warn);
    }

    /// `daemon` and `nobody`, which every host has.
    const ADA: u32 = 1;
    const BOB: u32 = 65534;

    #[tokio::test]
    async fn a_stranger_who_cannot_enter_the_project_has_no_part_in_it() {
        let place = tempfile::TempDir::new().unwrap();
        let supervisor = Supervisor::in_directory(place.path());
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(place.path(), open.clone()).unwrap();
        let outer = place.path().join("outer");
        let inner = outer.join("inner");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::set_permissions(&outer, open).unwrap();
        chown(&inner, Some(ADA), None).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (outer, inner_path) = (text(&outer), text(&inner));
        let session = |id: &str, owner_uid, project: &str| {
            let legs = Legs {
                private: vec![Cause { what: "x".into(), rule: "/r".into(), remedy: "x".into() }],
                ..Legs::default()
            };
            let neighbour = Some(Neighbour { legs, trifecta: Trifecta::Refuse, rule: "/r".into() });
            let project = project.to_owned();
            let record = Record { owner_uid, project, neighbour, ..Record::unknown(id.parse().unwrap()) };
            supervisor.register(Arc::new(Session::without_driver(record)));
        };
        session("s0000001", ADA, &inner_path);
        session("s0000002", BOB, &outer);
        for (mode, expected) in [(0o700, 0), (0o711, 1), (0o755, 1)] {
            std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(mode)).unwrap();
            // The one must not be kept from starting, and the other must not learn of it.
            for (project, owner_uid) in [(&inner_path, ADA), (&outer, BOB)] {
                let apart = apart(&supervisor, project, owner_uid).await;
                let others = of(&supervisor, project, owner_uid, None, &apart);
                let strangers: Vec<_> = others.iter().filter(|(id, _)| id == "of somebody else").collect();
                assert_eq!(strangers.len(), expected, "{mode:o} {owner_uid}");
                assert!(strangers.iter().all(|(_, other)| other.trifecta == Trifecta::Warn));
                assert_eq!(others.len(), expected + 1, "one's own always counts");
            }
        }
    }
}
