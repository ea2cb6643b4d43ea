//! A gate from its start to its end: it gives up its rights, then serves what it was given.

use crate::dns::{self, Server};
use crate::link::Link;
use crate::names::Names;
use crate::resolve::Resolver;
use crate::runtime::{block_on, spawn};
use agentbox_launch::gate::{Inherited, enter};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::rc::Rc;

/// Runs a gate to its end; the exit status of the process.
#[must_use]
pub fn run() -> u8 {
    // The supervisor was told why, when it fails.
    let Ok(inherited) = enter() else { return 2 };
    match block_on(serve(inherited)) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) | Err(_) => 1,
    }
}

async fn serve(inherited: Inherited) -> io::Result<()> {
    let Inherited { plan, supervisor, dns_udp, dns_tcp, relay, published, place_holders } = inherited;
    let names = Names::new(plan.limits.names);
    let link = Link::serve(supervisor, plan.rules)?;
    let resolver = Resolver::new(Rc::new(link.clone()));
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
    // Whatever the rest of it does, these keep their numbers.
    let _held = (relay, published, place_holders);
    std::future::pending().await
}
