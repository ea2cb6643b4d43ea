//! What an address stands for, and where a name is.

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

    /// Waits until it is known what the network has behind addresses of IPv6, or why that cannot be known.
    fn translation(&self) -> impl Future<Output = Result<(), Reason>>;
}
