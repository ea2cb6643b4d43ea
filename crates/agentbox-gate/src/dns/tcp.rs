//! Questions on streams, several on each.

use super::frame::{read_frame, write_frame};
use super::reply::{STREAM, answer};
use super::server::{Reply, Server};
use crate::runtime::{Fd, sleep, spawn, timeout};
use std::cell::Cell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

/// Most connections at once. Who comes on top of them is let go at once.
const CONNECTIONS: usize = 64;
/// Longest time for the next question to come, whole, and for its answer to be taken.
const IDLE: Duration = Duration::from_secs(10);
/// Most bytes of a question.
const QUESTION: usize = 4096;
/// After an error of accept(2): there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts a connection as long as it lives.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Answers the questions on the connections that come to a listener, for ever.
///
/// # Errors
/// When the listener cannot be watched.
pub async fn serve(server: Rc<Server>, listener: TcpListener) -> io::Result<()> {
    let listener = Fd::new(listener)?;
    let count = Rc::new(Cell::new(0));
    loop {
        let Ok((stream, _)) = listener.read_with(TcpListener::accept).await else {
            sleep(PAUSE).await;
            continue;
        };
        if count.get() >= CONNECTIONS {
            continue;
        }
        count.set(count.get() + 1);
        let (server, counted) = (Rc::clone(&server), Counted(Rc::clone(&count)));
        spawn(async move {
            let _counted = counted;
            // However it ends, it ends.
            let _ = converse(&server, stream).await;
        });
    }
}

async fn converse(server: &Rc<Server>, stream: TcpStream) -> io::Result<()> {
    let stream = Fd::new(stream)?;
    let mut out = Vec::new();
    loop {
        let read = timeout(IDLE, read_frame(&stream, QUESTION)).await;
        let Some(message) = read.map_err(|_| io::ErrorKind::TimedOut)?? else { return Ok(()) };
        match server.reply(&message, &mut out, |_| STREAM) {
            Reply::Silence => return Ok(()),
            Reply::Written => {}
            Reply::Later(question, wait) => {
                let outcome = wait.outcome().await;
                answer(&mut out, &question, outcome, STREAM);
            }
        }
        timeout(IDLE, write_frame(&stream, &out)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}
