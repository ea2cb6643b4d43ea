//! A gate from its start to its end: it gives up its rights, then serves what it was given.

use crate::budget::Budget;
use crate::dns::{self, Server};
use crate::link::Link;
use crate::names::{Hold, Names};
use crate::publish;
use crate::relay::{Directory, Pipes, Places, Relay};
use crate::resolve::{Counted, Resolver, Translation};
use crate::runtime::{block_on, spawn};
use agentbox_launch::gate::{Inherited, enter};
use agentbox_plan::net::{Destination, HostName, Reason};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::rc::Rc;

/// Runs a gate to its end; the exit status of the process.
#[must_use]
pub fn run() -> u8 {
    // Confined it may not ask.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    // The supervisor was told why, when it fails.
    let Ok(inherited) = enter() else { return 2 };
    match block_on(serve(inherited, files)) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) | Err(_) => 1,
    }
}

async fn serve(inherited: Inherited, files: u64) -> io::Result<()> {
    let Inherited { plan, supervisor, dns_udp, dns_tcp, relay, published, place_holders } = inherited;
    let names = Names::new(plan.limits.names)?;
    let link = Link::serve(supervisor, plan.rules)?;
    let budget = Rc::new(RefCell::new(Budget::new(&plan.limits, &plan.sent, plan.sent_in_all)));
    let reporting = link.clone();
    let counted = Counted::new(Rc::new(link.clone()), Rc::clone(&budget), move |sent| reporting.used(sent));
    let resolver = Resolver::new(Rc::new(counted));
    let translation = Translation::new(Rc::new(link.clone()), link.clone());
    let server = Server::new(Rc::new(link.clone()), names.clone(), resolver.clone(), plan.ipv6);
    for socket in [Some(dns_udp.0), dns_udp.1].into_iter().flatten() {
        let server = Rc::clone(&server);
        spawn(async move {
            let _ = dns::udp::serve(server, UdpSocket::from(socket)).await;
        });
    }
    for listener in [Some(dns_tcp.0), dns_tcp.1].into_iter().flatten() {
        let server = Rc::clone(&server);
        spawn(async move {
            let _ = dns::tcp::serve(server, TcpListener::from(listener)).await;
        });
    }
    let (places, pipes) = (Places::new(&plan.limits, files), Rc::new(Pipes::new()));
    let directory = Known { names, resolver, translation };
    let relayed =
        Relay::new(plan.session, link.clone(), directory, budget, places.clone(), Rc::clone(&pipes));
    for listener in [Some(relay.0), relay.1].into_iter().flatten() {
        relayed.serve(listener)?;
    }
    for (listener, port) in published {
        publish::serve(listener, port, link.clone(), places.clone(), Rc::clone(&pipes))?;
    }
    // Whatever the rest of it does, these keep their numbers.
    let _held = place_holders;
    std::future::pending().await
}

/// What the relay asks about names and addresses.
struct Known {
    names: Names,
    resolver: Resolver,
    translation: Translation,
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
        // Beside it: most names have an address of IPv6.
        self.translation.begin();
        self.resolver.addresses(name).await
    }

    async fn translation(&self) -> Result<(), Reason> {
        self.translation.settled().await
    }
}
