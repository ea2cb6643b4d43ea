//! The outer half's life once confinement is in force: it keeps the session's streams and serves the
//! clients that come and go.
//!
//! One thread, one poll(2) loop, nothing blocks, every buffer has a bound. It has no privilege left;
//! what the agent and PID 1 write is hostile, what clients write is the supervisor's or a person's.
//!
//! | file | holds |
//! |---|---|
//! | `server` | the loop; with `server/requests` (what clients ask) and `server/events` (what PID 1 says and processes write) |
//! | `client` | one connection |
//! | `inner` | the socket to PID 1 |
//! | `process`, `source`, `input` | one process, a stream it writes, the one it reads |
//! | `filter`, `sequence`, `command` | what a terminal may see |
//! | `modes`, `drawing`, `sgr` | what a terminal was told to be |
//! | `ring` | what it was shown last |

mod client;
mod command;
mod drawing;
mod filter;
mod inner;
mod input;
mod modes;
mod process;
mod ring;
mod sequence;
mod server;
mod sgr;
mod source;
#[cfg(test)]
mod tests;

/// What a person's terminal is shown of these pieces, and what it might make of it.
#[cfg(fuzzing)]
#[must_use]
pub fn shown(pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let (mut filter, mut out) = (filter::Filter::new(filter::reading::PREFIX), Vec::new());
    pieces.iter().for_each(|piece| filter.push(piece, &mut out));
    let danger = match std::str::from_utf8(&out) {
        Ok(text) => filter::reading::first_danger(text),
        Err(error) => Some(error.to_string()),
    };
    (out, danger)
}

use agentbox_plan::{Exit, SessionId, Streams, TerminalSize};
use rustix::fd::OwnedFd;

/// What the outer half holds when confinement is in force.
#[derive(Debug)]
pub(crate) struct Wiring {
    /// Listening unix stream socket on which the supervisor connects.
    pub(crate) listener: OwnedFd,
    /// `SOCK_SEQPACKET` socket to PID 1 of the session.
    pub(crate) inner: OwnedFd,
    /// `SOCK_SEQPACKET` socket to the supervisor.
    pub(crate) report: OwnedFd,
    /// Pidfd of PID 1.
    pub(crate) init: OwnedFd,
    /// Its process id on the host.
    pub(crate) init_pid: u32,
    /// The session.
    pub(crate) session: SessionId,
    /// Name of the posture, shown in titles.
    pub(crate) label: String,
    /// Streams of the agent.
    pub(crate) streams: Streams,
    /// Size of its terminal at the start.
    pub(crate) size: TerminalSize,
}

/// Only root may connect.
const PEER: u32 = 0;

/// Serves the session until its agent has ended, its output was delivered and the report was sent.
pub(crate) fn serve(wiring: Wiring) -> Exit {
    server::Server::new(wiring, PEER).run()
}
