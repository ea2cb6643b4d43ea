//! Questions as datagrams.

use super::reply::{answer, datagram_limit};
use super::server::{Reply, Server};
use crate::runtime::{Fd, give_way, sleep, spawn};
use std::io;
use std::net::UdpSocket;
use std::rc::Rc;
use std::time::Duration;

/// Most bytes of a question that is read. What is longer is cut, and malformed.
const QUESTION: usize = 4096;
/// Questions after which others have their turn.
const BATCH: usize = 32;
/// After an error of the socket, of which none is expected.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers the questions that come to a socket, for ever.
///
/// # Errors
/// When the socket cannot be watched.
pub async fn serve(server: Rc<Server>, socket: UdpSocket) -> io::Result<()> {
    let socket = Rc::new(Fd::new(socket)?);
    let (mut bytes, mut out) = (vec![0; QUESTION], Vec::new());
    loop {
        for _ in 0..BATCH {
            let Ok((count, from)) = socket.read_with(|socket| socket.recv_from(&mut bytes)).await else {
                sleep(PAUSE).await;
                continue;
            };
            match server.reply(&bytes[..count], &mut out, datagram_limit) {
                Reply::Silence => {}
                // Who has no room for the answer asks again.
                Reply::Written => drop(socket.get().send_to(&out, from)),
                Reply::Later(question, wait) => {
                    let socket = Rc::clone(&socket);
                    spawn(async move {
                        let outcome = wait.outcome().await;
                        let mut out = Vec::new();
                        answer(&mut out, &question, outcome, datagram_limit(&question));
                        let _ = socket.get().send_to(&out, from);
                    });
                }
            }
        }
        give_way().await;
    }
}
