//! What an address stands for, and where a name is.

use crate::names::{Hold, Names};
use crate::resolve::Resolver;
use agentbox_plan::net::{Destination, HostName, Reason};
use std::net::IpAddr;
use std::rc::Rc;

/// What names and addresses stand for in this session.
pub trait Directory: 'static {
    /// Keeps what an address stands for, for as long as this is held.
    type Hold;

    /// What an address inside stands for; none when it stands for itself.
    fn destination_of(&self, address: IpAddr) -> Option<Destination>;

    /// A connection to this address begins.
    fn hold(&self, address: IpAddr) -> Self::Hold;

    /// The addresses of a name.
    fn addresses(&self, name: &HostName) -> impl Future<Output = Result<Rc<[IpAddr]>, Reason>>;
}

/// The names of the session and the resolvers of the host.
#[derive(Debug, Clone)]
pub struct Known {
    /// Which address stands for which name.
    pub names: Names,
    /// Where names are.
    pub resolver: Resolver,
}

impl Directory for Known {
    type Hold = Hold;

    fn destination_of(&self, address: IpAddr) -> Option<Destination> {
        self.names.destination_of(address)
    }

    fn hold(&self, address: IpAddr) -> Hold {
        self.names.hold(address)
    }

    async fn addresses(&self, name: &HostName) -> Result<Rc<[IpAddr]>, Reason> {
        self.resolver.addresses(name).await
    }
}
