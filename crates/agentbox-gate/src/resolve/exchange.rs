//! One question to one resolver.

use super::answer::{AnswerError, Reply, read_answer};
use super::question::Asked;
use crate::dns::frame::{read_frame, write_frame};
use crate::runtime::{Fd, give_way};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io;
use std::os::fd::OwnedFd;

/// Most bytes of a datagram that is read. We ask for less.
const DATAGRAM: usize = 4096;
/// Most messages that belong to no question of ours before this try is given up: somebody is guessing, and
/// the next one has another id and another port to be guessed.
const STRAYS: usize = 64;
/// Most messages on a stream that belong to no question of ours.
const STRAYS_ON_STREAM: usize = 4;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// Of the socket.
    #[error("no conversation with the resolver: {0}")]
    Socket(#[from] io::Error),
    /// Of the answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

/// Asks by datagrams. What belongs to another question is passed over.
pub(super) async fn by_datagrams(socket: OwnedFd, asked: &Asked, edns: bool) -> Result<Reply, ExchangeError> {
    let socket = Fd::new(socket)?;
    let question = asked.to_bytes(edns);
    socket.write_with(|fd| Ok(send(fd, &question, SendFlags::NOSIGNAL)?)).await?;
    let mut bytes = vec![0; DATAGRAM];
    for _ in 0..STRAYS {
        let received = socket.read_with(|fd| Ok(recv(fd, &mut bytes[..], RecvFlags::TRUNC)?)).await;
        let (count, whole) = received?;
        match read_answer(&bytes[..count.min(DATAGRAM)], asked) {
            Err(AnswerError::Stray) => give_way().await,
            // Cut by us.
            Err(AnswerError::Malformed) if whole > DATAGRAM => return Ok(Reply::Truncated),
            result => return Ok(result?),
        }
    }
    Err(AnswerError::Stray.into())
}

/// Asks by a stream, which may still be connecting.
pub(super) async fn by_stream(socket: OwnedFd, asked: &Asked, edns: bool) -> Result<Reply, ExchangeError> {
    let stream = Fd::new(socket)?;
    write_frame(&stream, &asked.to_bytes(edns)).await?;
    for _ in 0..STRAYS_ON_STREAM {
        let message = read_frame(&stream, usize::from(u16::MAX)).await?;
        match read_answer(&message.ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?, asked) {
            Err(AnswerError::Stray) => {}
            // There is nothing larger to ask by.
            Ok(Reply::Truncated) => return Err(AnswerError::Malformed.into()),
            result => return Ok(result?),
        }
    }
    Err(AnswerError::Stray.into())
}
