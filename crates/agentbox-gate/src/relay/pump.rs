//! Moves bytes one way, from socket to socket, through a pipe (splice(2)).

use super::pipes::Pipes;
use super::socket::{self, Socket};
use crate::runtime::give_way;
use agentbox_plan::net::Reason;
use rustix::pipe::{SpliceFlags, splice};
use std::io;

/// Most bytes that are moved before others have their turn.
const TURN_BYTES: usize = 1 << 20;

/// Counts what is moved, and bounds it.
pub(crate) trait Meter {
    /// How many bytes may be moved now; at least one.
    fn left(&self) -> Result<u64, Reason>;
    /// So many are moved.
    fn count(&self, bytes: u64);
}

/// Why moving ended before the end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Where bytes come from is gone.
    Source,
    /// Where they go to is gone.
    Sink,
    /// The meter lets no more through.
    Spent(Reason),
}

/// How moving ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many were moved as should be.
    All,
    /// The source said that nothing more comes.
    ToTheEnd,
}

enum Taken {
    Bytes(usize),
    Spent(Reason),
}

/// Moves up to `most` bytes. What the sink does not take is not taken from the source either.
pub(crate) async fn pump(
    from: &Socket,
    to: &Socket,
    pipes: &Pipes,
    mut most: u64,
    meter: &impl Meter,
) -> Result<Moved, Broken> {
    const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
    while most > 0 {
        let mut place = None;
        let taken = from.read_with(|fd| {
            let left = match meter.left() {
                Ok(left) => left,
                // A source that ends with its last byte has not sent too much.
                Err(reason) => {
                    return Ok(socket::peek(fd)?.map_or(Taken::Bytes(0), |_| Taken::Spent(reason)));
                }
            };
            let pipe = match place.take() {
                Some(pipe) => pipe,
                None => pipes.take()?,
            };
            let length = usize::try_from(left.min(most)).unwrap_or(TURN_BYTES).min(TURN_BYTES);
            // The pipe is empty: if this would block, then for the socket.
            match splice(fd, None, &pipe.writing, None, length, FLAGS) {
                Ok(count) => {
                    place = Some(pipe);
                    Ok(Taken::Bytes(count))
                }
                Err(error) => {
                    pipes.give_back(pipe);
                    Err(io::Error::from(error))
                }
            }
        });
        let count = match taken.await {
            Ok(Taken::Bytes(count)) => count,
            Ok(Taken::Spent(reason)) => return Err(Broken::Spent(reason)),
            Err(_) => return Err(Broken::Source),
        };
        let Some(pipe) = place.take().filter(|_| count > 0) else { return Ok(Moved::ToTheEnd) };
        meter.count(count as u64);
        let mut left = count;
        while left > 0 {
            // The pipe is not empty: if this would block, then for the socket.
            let written = to.write_with(|fd| Ok(splice(&pipe.reading, None, fd, None, left, FLAGS)?));
            match written.await {
                Ok(written) if written > 0 => left = left.saturating_sub(written),
                // The pipe still has bytes, and is closed with them.
                _ => return Err(Broken::Sink),
            }
        }
        pipes.give_back(pipe);
        most = most.saturating_sub(count as u64);
        give_way().await;
    }
    Ok(Moved::All)
}
