//! Connections of the session: judged by name, made by the supervisor, relayed.
//!
//! | file | responsible for |
//! |---|---|
//! | `connection` | [one connection](Relay::serve), from its first byte to its end |
//! | `first` | its first words, where they are judged before anything is connected |
//! | `heard` | the memory of all first words together |
//! | `claim` | [`Expected`]: whether what a client names is where its connection goes |
//! | `directory` | what an address stands for, and where a name is |
//! | `dial` | a connection to one of several addresses |
//! | `exchange` | what goes through it: judged where it has to be, moved untouched otherwise |
//! | `both` | both ways, and how they end together |
//! | `pump`, `pipes` | moving bytes one way without copying them |
//! | `flows` | all connections: counted, reported, cut when they are no longer allowed |
//! | `socket` | what is done with sockets beside that |

pub(crate) mod both;
mod claim;
mod connection;
mod dial;
mod directory;
mod exchange;
mod first;
mod flows;
mod heard;
mod pipes;
pub(crate) mod pump;
pub(crate) mod socket;

pub use claim::{Claim, Expected, Refusal};
pub use directory::Directory;
pub use pipes::Pipes;

use crate::budget::Budget;
use crate::link::Link;
use crate::runtime::{Fd, give_way, spawn};
use agentbox_plan::SessionId;
use agentbox_plan::gate::GateLimits;
use agentbox_plan::net::Reason;
use first::Patience;
use flows::Flows;
use heard::Heard;
use rustix::net::sockopt;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

#[derive(Debug)]
struct Shared<D> {
    session: SessionId,
    link: Link,
    directory: D,
    flows: Flows,
    pipes: Rc<Pipes>,
    places: Places,
    patience: Patience,
    heard: Heard,
}

/// Relays the connections of a session.
#[derive(Debug)]
pub struct Relay<D>(Rc<Shared<D>>);

/// Open files that are no connection's: listeners, questions, pipes that bytes move through.
const OTHER_FILES: u64 = 512;

/// How many connections there may be at once.
#[derive(Debug, Clone)]
pub struct Places {
    most: u32,
    taken: Rc<Cell<u32>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Place(Rc<Cell<u32>>);

impl Places {
    /// None is taken. There are no more than so many open files allow: each connection has two.
    #[must_use]
    pub fn new(limits: &GateLimits, files: u64) -> Self {
        let of_files = u32::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(u32::MAX);
        Self { most: limits.connections.min(of_files), taken: Rc::default() }
    }

    pub(crate) fn take(&self) -> Option<Place> {
        let taken = self.taken.get();
        (taken < self.most).then(|| {
            self.taken.set(taken + 1);
            Place(Rc::clone(&self.taken))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<D: Directory> Relay<D> {
    /// A relay for a session. `places` and `pipes` are shared with what else has connections.
    pub fn new(
        session: SessionId,
        link: Link,
        directory: D,
        budget: Rc<RefCell<Budget>>,
        places: Places,
        pipes: Rc<Pipes>,
    ) -> Self {
        let (flows, patience) = (Flows::new(link.clone(), budget), Patience::default());
        let heard = Heard::default();
        Self(Rc::new(Shared { session, link, directory, flows, pipes, places, patience, heard }))
    }

    /// Serves the connections that are redirected to a listener.
    ///
    /// # Errors
    /// When the listener cannot be watched.
    pub fn serve(&self, listener: OwnedFd) -> io::Result<()> {
        self.serve_as(listener, original_destination)
    }

    /// As [`Self::serve`]; `original` says where a connection was made to.
    fn serve_as(
        &self,
        listener: OwnedFd,
        original: impl Fn(&OwnedFd) -> io::Result<SocketAddr> + 'static,
    ) -> io::Result<()> {
        let (listener, shared) = (Fd::new(listener)?, Rc::clone(&self.0));
        spawn(async move {
            loop {
                let client = socket::accept(&listener).await;
                match original(&client) {
                    Ok(original) => take_in(&shared, client, original),
                    // Without that there is nothing to judge.
                    Err(_) => socket::drop_with_reset(client),
                }
                give_way().await;
            }
        });
        Ok(())
    }
}

fn take_in<D: Directory>(shared: &Rc<Shared<D>>, client: OwnedFd, original: SocketAddr) {
    let Some(place) = shared.places.take() else {
        let (destination, _) = connection::destination(shared, agentbox_plan::net::canonical(original.ip()));
        shared.link.decided(destination, original.port(), Some(Reason::TooMany), None, None);
        return socket::drop_with_reset(client);
    };
    let Ok(client) = Fd::new(client) else { return };
    let shared = Rc::clone(shared);
    spawn(async move {
        connection::serve(&shared, client, original).await;
        drop(place);
    });
}

/// Where a connection was made to before it was redirected to us.
fn original_destination(client: &OwnedFd) -> io::Result<SocketAddr> {
    let own = SocketAddr::try_from(rustix::net::getsockname(client)?)?;
    Ok(match own {
        SocketAddr::V4(_) => sockopt::ip_original_dst(client)?.into(),
        SocketAddr::V6(_) => sockopt::ipv6_original_dst(client)?.into(),
    })
}

#[cfg(test)]
mod tests;
