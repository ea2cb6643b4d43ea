//! An object for each session, at `/org/agentbox1/session/ID`, and who hears of what becomes of it.
//!
//! The bus has them always. A peer has them once it has subscribed: most connections are one command, which asks the
//! manager, and would pay for the objects of all sessions.
//!
//! Objects are for the owner of a session and for root; to everybody else they are as unknown as any other path,
//! also when they are looked at with the standard interfaces. What polkit consents to goes through the manager.
//! Signals are sent to each subscriber by itself, never broadcast: who may not see a session hears nothing of it.
//!
//! | file | holds |
//! |---|---|
//! | `session` | the interface of a session |
//! | `standard` | introspection and properties that answer per caller |
//! | `subscribers` | who is told |

mod session;
mod standard;
mod subscribers;

pub(crate) use subscribers::{Subscriber, Subscribers, is_there};

use crate::manager::Manager;
use crate::session::{Session, State};
use crate::supervisor::Supervisor;
use agentbox_ipc::{INTERFACE, PATH, SESSION_INTERFACE, session_path};
use session::SessionObject;
use standard::{Introspectable, Properties, names};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subscribers::Signal;
use zbus::object_server::Interface;
use zbus::{Connection, ObjectPath, Variant};

/// Where sessions have their objects.
#[derive(Debug, Default)]
pub(crate) struct Buses(Mutex<Vec<(Connection, Manager)>>);

impl Buses {
    fn lock(&self) -> MutexGuard<'_, Vec<(Connection, Manager)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<(Connection, Manager)> {
        self.lock().clone()
    }
}

/// Serves the manager on the bus, and all sessions.
pub(crate) async fn serve(
    supervisor: &Supervisor,
    connection: &Connection,
    manager: Manager,
) -> zbus::Result<()> {
    // What zbus would tell everybody is told by whom it concerns: of each object, and of what is around them.
    let server = connection.object_server();
    server.at(PATH, manager.clone()).await?;
    for path in ["/", "/org", PATH] {
        server.remove_named(path, names::INTROSPECTABLE.try_into()?).await?;
        server.at(path, Introspectable::of_manager(path, &manager)).await?;
    }
    show(supervisor, connection, &manager).await
}

/// Shows all sessions there from now on.
pub(crate) async fn show(
    supervisor: &Supervisor,
    connection: &Connection,
    manager: &Manager,
) -> zbus::Result<()> {
    {
        let mut buses = supervisor.buses.lock();
        if buses.iter().any(|(_, other)| other.number() == manager.number()) {
            return Ok(());
        }
        buses.push((connection.clone(), manager.clone()));
    }
    for session in supervisor.sessions() {
        add(connection, manager, &session).await?;
    }
    Ok(())
}

/// The peer has gone.
pub(crate) fn leave(supervisor: &Supervisor, manager: &Manager) {
    supervisor.buses.lock().retain(|(_, other)| other.number() != manager.number());
    supervisor.subscribers.leave(manager.number());
}

/// Shows a session for as long as it lives, and tells what becomes of it.
pub(crate) async fn follow(supervisor: Arc<Supervisor>, session: Arc<Session>) {
    let path = session_path(session.id().as_str());
    for (connection, manager) in supervisor.buses.all() {
        if let Err(error) = add(&connection, &manager, &session).await {
            tracing::warn!("{path}: {error}");
        }
    }
    let (subscribers, owner) = (&supervisor.subscribers, session.record.owner_uid);
    let Ok(object) = ObjectPath::try_from(path.as_str()) else { return };
    let body = (session.id().as_str(), object);
    subscribers
        .tell(owner, Signal { path: PATH, interface: INTERFACE, member: "SessionNew", body: &body })
        .await;
    let mut live = session.watch();
    let mut told = changing(&session);
    while session.live().state != State::Gone && live.changed().await.is_ok() {
        let now = changing(&session);
        if now != told {
            let none: [&str; 0] = [];
            let body = (SESSION_INTERFACE, values(&now), &none[..]);
            let (interface, member) = (names::PROPERTIES, "PropertiesChanged");
            subscribers.tell(owner, Signal { path: path.as_str(), interface, member, body: &body }).await;
            told = now;
        }
    }
    for (connection, _) in supervisor.buses.all() {
        remove(&connection, &path).await;
    }
    subscribers
        .tell(owner, Signal { path: PATH, interface: INTERFACE, member: "SessionRemoved", body: &body })
        .await;
}

/// Properties that change while it lives: state, and why it stands still.
fn changing(session: &Session) -> [String; 2] {
    let state = session.summary((None, None)).state.as_str().to_owned();
    [state, session.live().frozen.unwrap_or_default()]
}

fn values([state, frozen]: &[String; 2]) -> HashMap<&'static str, Variant<'_>> {
    HashMap::from([("State", Variant::from(state.as_str())), ("Frozen", Variant::from(frozen.as_str()))])
}

/// Holds the place of an object until what is asked of it is answered to each caller by itself: an object comes with
/// zbus' own properties and introspection, which would answer everybody about what is there.
#[derive(Debug)]
struct Beginning;

#[zbus::interface(name = "org.agentbox1.Beginning")]
impl Beginning {}

async fn add(connection: &Connection, manager: &Manager, session: &Arc<Session>) -> zbus::Result<()> {
    if !manager.shows(session) {
        return Ok(());
    }
    let path = session_path(session.id().as_str());
    let server = connection.object_server();
    let object = SessionObject::new(manager.clone(), Arc::clone(session));
    if manager.is_shared() {
        // It may be there already, by who came in between.
        if server.at(path.as_str(), Beginning).await?.is_some() {
            return Ok(());
        }
        for name in [names::INTROSPECTABLE, names::PROPERTIES] {
            server.remove_named(path.as_str(), name.try_into()?).await?;
        }
        server.at(path.as_str(), Introspectable::of_session(object.clone())).await?;
        server.at(path.as_str(), Properties::new(object.clone())).await?;
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        if server.remove_named(parent, names::INTROSPECTABLE.try_into()?).await.is_ok() {
            server.at(parent, Introspectable::of_manager(parent, manager)).await?;
        }
        server.at(path.as_str(), object).await?;
        server.remove_named(path.as_str(), Beginning::name()).await?;
    } else {
        server.at(path.as_str(), object).await?;
    }
    if session.live().state == State::Gone {
        remove(connection, &path).await;
    }
    Ok(())
}

async fn remove(connection: &Connection, path: &str) {
    // Most connections never had it.
    let _ = connection.object_server().remove_named(path, SessionObject::name()).await;
}
