//! Who asked to be told. Each is told by a message of their own about sessions that they may see.

use agentbox_ipc::Error;
use agentbox_kernel::failpoint::in_force;
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, DynamicType};

/// Most subscriptions of one user.
const MAX_OF_ONE: usize = 64;
/// A peer that reads nothing for so long is told nothing any more.
const LIMIT: Duration = Duration::from_secs(5);

/// Somebody who wants to be told.
#[derive(Debug, Clone)]
pub(crate) struct Subscriber {
    /// The number of the connection's manager.
    pub(crate) bus: u64,
    /// The connection.
    pub(crate) connection: Connection,
    /// On a bus, who there. The bus gives the name to nobody else.
    pub(crate) name: Option<OwnedUniqueName>,
    /// Who they are.
    pub(crate) uid: u32,
}

impl Subscriber {
    fn is(&self, other: &Self) -> bool {
        self.bus == other.bus && self.name == other.name
    }
}

/// A signal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signal<'a, B> {
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) body: &'a B,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Mutex<Vec<Subscriber>>);

impl Subscribers {
    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells somebody from now on.
    pub(crate) async fn add(&self, subscriber: Subscriber) -> Result<(), Error> {
        let is_full =
            |all: &[Subscriber]| all.iter().filter(|other| other.uid == subscriber.uid).count() >= MAX_OF_ONE;
        if is_full(&self.lock()) {
            // Who has left the bus did not say so.
            let all = self.lock().clone();
            for gone in all {
                if let Some(name) = &gone.name
                    && !is_there(&gone.connection, name).await
                {
                    self.remove(&gone);
                }
            }
        }
        let mut all = self.lock();
        if all.iter().any(|other| other.is(&subscriber)) {
            return Ok(());
        }
        if is_full(&all) {
            return Err(Error::Refused(format!(
                "refused: {MAX_OF_ONE} programs of this user are told about sessions already\nrule: built-in\nend some of them"
            )));
        }
        all.push(subscriber);
        Ok(())
    }

    /// Tells them no longer.
    pub(crate) fn remove(&self, subscriber: &Subscriber) {
        self.lock().retain(|other| !other.is(subscriber));
    }

    /// The peer has gone.
    pub(super) fn leave(&self, bus: u64) {
        self.lock().retain(|other| other.bus != bus || other.name.is_some());
    }

    /// Tells the owner of a session and root.
    pub(super) async fn tell<B: Serialize + DynamicType>(&self, owner_uid: u32, signal: Signal<'_, B>) {
        let all = self.lock().clone();
        let is_told = |uid: u32| [0, owner_uid].contains(&uid) || !in_force("told");
        for subscriber in all.iter().filter(|subscriber| is_told(subscriber.uid)) {
            let Signal { path, interface, member, body } = signal;
            let sent =
                subscriber.connection.emit_signal(subscriber.name.as_ref(), path, interface, member, body);
            if !matches!(tokio::time::timeout(LIMIT, sent).await, Ok(Ok(()))) {
                self.remove(subscriber);
            }
        }
    }
}

/// Whether somebody is still on the bus.
pub(crate) async fn is_there(connection: &Connection, name: &OwnedUniqueName) -> bool {
    let Ok(bus) = zbus::fdo::DBusProxy::new(connection).await else { return true };
    bus.name_has_owner(name.clone().into()).await.unwrap_or(true)
}
