//! Where sockets to resolvers come from.

use crate::link::Link;
use agentbox_plan::gate::Transport;
use agentbox_plan::net::Reason;
use std::os::fd::OwnedFd;
use std::pin::Pin;

/// A socket that was asked for.
pub type Coming<'a> = Pin<Box<dyn Future<Output = Result<OwnedFd, Reason>> + 'a>>;

/// Gives sockets that are connected to resolvers.
pub trait Upstream {
    /// A fresh socket to the resolver of that number, for one question: each question has a source port of
    /// its own. [`Reason::Unresolved`] when there are fewer resolvers. A stream may still be connecting.
    fn socket(&self, which: u8, transport: Transport) -> Coming<'_>;
}

impl Upstream for Link {
    fn socket(&self, which: u8, transport: Transport) -> Coming<'_> {
        Box::pin(self.resolver(which, transport))
    }
}
