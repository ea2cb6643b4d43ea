//! Ports of the session that are published to the person: connections from the host's loopback to the loopback
//! inside. Nothing is judged: the person asked for the port, and reaches what the session shows there.

use crate::link::Link;
use crate::relay::both::{both, close};
use crate::relay::pump::{Meter, pump};
use crate::relay::socket::{self, Socket, connected, drop_with_reset, prepare, reset};
use crate::relay::{Pipes, Places};
use crate::runtime::{Fd, give_way, spawn, timeout};
use agentbox_plan::net::Reason;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

/// Time for a connection to a port inside: nothing but the loopback is between.
const DIAL_LIMIT: Duration = Duration::from_secs(5);

/// Has no limit: bytes of published ports stay on this machine and are no upload.
#[derive(Default)]
struct Counted(Cell<u64>);

impl Meter for Counted {
    fn left(&self) -> Result<u64, Reason> {
        Ok(u64::MAX)
    }
    fn count(&self, bytes: u64) {
        self.0.set(self.0.get() + bytes);
    }
}

/// Serves a listener on the host: its connections go to this port inside.
///
/// # Errors
/// When the listener cannot be watched.
pub fn serve(listener: OwnedFd, port: u16, link: Link, places: Places, pipes: Rc<Pipes>) -> io::Result<()> {
    let listener = Fd::new(listener)?;
    spawn(async move {
        loop {
            let client = socket::accept(&listener).await;
            match places.take() {
                None => drop_with_reset(client),
                Some(place) => {
                    let (link, pipes) = (link.clone(), Rc::clone(&pipes));
                    spawn(async move {
                        if let Ok(client) = Fd::new(client) {
                            connection(client, port, &link, &pipes).await;
                        }
                        drop(place);
                    });
                }
            }
            give_way().await;
        }
    });
    Ok(())
}

async fn server(port: u16, link: &Link) -> Option<Socket> {
    let server = Fd::new(link.dial_inside(port).await.ok()?).ok()?;
    connected(&server).await.ok()?;
    Some(server)
}

async fn connection(client: Socket, port: u16, link: &Link, pipes: &Pipes) {
    let dial = async {
        // A busy kernel may refuse late. Nobody listens on IPv4 then, which the supervisor sees at its next try.
        match server(port, link).await {
            Some(server) => Some(server),
            None => server(port, link).await,
        }
    };
    let Ok(Some(server)) = timeout(DIAL_LIMIT, dial).await else { return reset(client) };
    prepare(&client);
    prepare(&server);
    let (sent, received) = (Counted::default(), Counted::default());
    let up = async {
        pump(&client, &server, pipes, u64::MAX, &sent).await?;
        Ok(())
    };
    let down = async {
        pump(&server, &client, pipes, u64::MAX, &received).await?;
        Ok(())
    };
    let ended = both(&client, &server, up, down, || received.0.get()).await;
    close(client, server, &ended).await;
}
