//! A gate of keys from its start to its end: it gives up its rights, then serves what it was given.

use super::client::Client;
use super::link::Link;
use crate::relay::socket::accept;
use crate::runtime::{Fd, block_on, spawn};
use agentbox_launch::keys::{Inherited, enter};
use agentbox_plan::keys::{KeyReason, KeysPlan, MAX_CLIENTS};
use rustix::net::sockopt;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Runs a gate of keys to its end; the exit status of the process.
#[must_use]
pub fn run() -> u8 {
    // The supervisor was told why, when it fails.
    let Ok(Inherited { plan, supervisor, agent }) = enter() else { return 2 };
    match block_on(async { serve(Rc::new(plan), Link::serve(supervisor)?, agent).await }) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) | Err(_) => 1,
    }
}

/// Serves clients. Returns only when it cannot.
pub(super) async fn serve(plan: Rc<KeysPlan>, link: Link, listener: OwnedFd) -> io::Result<()> {
    let listener = Fd::new(listener)?;
    let clients = Rc::new(Cell::new(0));
    loop {
        let stream = accept(&listener).await;
        // The socket is where nobody else reaches it; this is for the day on which it is not.
        let is_ours =
            sockopt::socket_peercred(&stream).is_ok_and(|peer| peer.uid.as_raw() == plan.client_uid);
        if !is_ours {
            continue;
        }
        if clients.get() >= MAX_CLIENTS {
            link.refused(None, None, KeyReason::TooMany);
            continue;
        }
        clients.set(clients.get() + 1);
        let client = Client::new(Rc::clone(&plan), link.clone(), Fd::new(stream)?);
        let clients = Rc::clone(&clients);
        spawn(async move {
            // A client that breaks off has its answer.
            let _ = client.serve().await;
            clients.set(clients.get() - 1);
        });
    }
}
