//! The stream from a client, request after request.
//!
//! ```text
//!        ┌──────── next request ────────┐
//!        ▼                              │
//!      Head ──▶ Body ───────────────────┤
//!        │                              │
//!        ├────▶ Size ──▶ Chunk ──▶ End ─┤ (back to Size)
//!        │        └────▶ Trailer ───────┤
//!        │                              │
//!        └─ asks for another protocol ──┴──▶ Waiting ──▶ Opaque, or Head
//! ```

use super::MAX_HEAD_BYTES;
use super::head::{self, Body, Head, Malformed};
use super::lines::{Held, Unclear, Until};
use crate::relay::{Claim, Expected, Refusal};
use agentbox_plan::net::{Destination, Reason};

/// Most bytes of the line before a chunk.
const MAX_CHUNK_LINE_BYTES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body(u64),
    Size,
    Chunk(u64),
    End,
    Trailer,
    Waiting,
    Opaque,
    Refused,
}

/// What is wanted next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// More of the stream.
    More,
    /// The next so many bytes are a body: they may go on without being fed, then [`Requests::passed`] is told.
    /// They may be fed as well.
    Body(u64),
    /// Nothing more of the stream, but what the server answers: [`Requests::answered`].
    Answer,
    /// Nothing: the rest is another protocol's.
    Nothing,
}

/// Judges every request of a stream.
#[derive(Debug)]
pub struct Requests {
    state: State,
    held: Held,
    /// What came behind a request for another protocol.
    behind: Vec<u8>,
    /// Heads that were judged and passed.
    count: u64,
    /// The request whose body this is asks for another protocol.
    is_upgrade: bool,
    /// An empty line was passed where a head was expected.
    is_after_empty_line: bool,
    /// What the last head named.
    claim: Claim,
    refusal: Option<Refusal>,
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}

impl Requests {
    /// One to which nothing was fed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Head,
            held: Held::default(),
            behind: Vec::new(),
            count: 0,
            is_upgrade: false,
            is_after_empty_line: false,
            claim: Claim::Nothing,
            refusal: None,
        }
    }

    /// How many requests have passed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes are held back.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.held.memory() + self.behind.capacity()
    }

    /// How many bytes came behind a request for another protocol that was not answered so far.
    #[must_use]
    pub fn early(&self) -> usize {
        self.behind.len()
    }

    /// What the last request named as its host.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether the first request asks for another protocol: then the server's first words decide how this goes
    /// on ([`super::Upgrade`]).
    #[must_use]
    pub fn asks_for_upgrade(&self) -> bool {
        self.is_upgrade
    }

    /// Takes the next piece of the stream and appends to `forward` what may go on. However the stream is cut
    /// into pieces, the same goes on and the same is refused.
    ///
    /// # Errors
    /// The [`Refusal`] of the first request that may not go on. What is in `forward` was before it.
    pub fn feed(
        &mut self,
        expected: &Expected,
        mut piece: &[u8],
        forward: &mut Vec<u8>,
    ) -> Result<Want, Refusal> {
        while !piece.is_empty() {
            match self.step(expected, &mut piece, forward) {
                Ok(()) => {}
                Err(refusal) => {
                    self.state = State::Refused;
                    self.refusal = Some(refusal.clone());
                    return Err(refusal);
                }
            }
        }
        match self.state {
            State::Body(left) | State::Chunk(left) => Ok(Want::Body(left)),
            State::Waiting => Ok(Want::Answer),
            State::Opaque => Ok(Want::Nothing),
            State::Refused => Err(self.refused()),
            _ => Ok(Want::More),
        }
    }

    /// So many bytes of a body went on without being fed.
    pub fn passed(&mut self, bytes: u64) {
        match self.state {
            State::Body(left) => self.state = self.behind_body(left.saturating_sub(bytes)),
            State::Chunk(left) => self.state = behind_chunk(left.saturating_sub(bytes)),
            _ => {}
        }
    }

    /// The server has answered a request for another protocol: whether it speaks that from now on.
    ///
    /// # Errors
    /// As [`Self::feed`], about what came behind that request.
    pub fn answered(
        &mut self,
        expected: &Expected,
        is_upgraded: bool,
        forward: &mut Vec<u8>,
    ) -> Result<Want, Refusal> {
        if self.state == State::Waiting {
            self.state = if is_upgraded { State::Opaque } else { State::Head };
        }
        let behind = std::mem::take(&mut self.behind);
        self.feed(expected, &behind, forward)
    }

    /// Takes something from the front of `piece`, which is not empty.
    fn step(&mut self, expected: &Expected, piece: &mut &[u8], forward: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.state {
            State::Head => {
                let Some(lines) = self.held.take(piece, Until::EmptyLine, MAX_HEAD_BYTES)? else {
                    return Ok(());
                };
                // Old clients send an empty line behind a body (RFC 9112, section 2.2).
                if lines == b"\r\n" && self.count > 0 && !self.is_after_empty_line {
                    self.is_after_empty_line = true;
                } else {
                    let head = head::read(&lines)?;
                    judge(expected, &head)?;
                    self.begin(head);
                }
                forward.extend(lines);
            }
            State::Body(left) => {
                let rest = left - pass(piece, left, forward);
                self.state = self.behind_body(rest);
            }
            State::Chunk(left) => self.state = behind_chunk(left - pass(piece, left, forward)),
            State::Size => {
                if let Some(line) = self.held.take(piece, Until::Line, MAX_CHUNK_LINE_BYTES)? {
                    self.state = match head::chunk_size(line.strip_suffix(b"\r\n").unwrap_or(&line))? {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                    forward.extend(line);
                }
            }
            State::End => {
                // Nothing but CR LF is behind a chunk.
                if let Some(line) = self.held.take(piece, Until::Line, 2)? {
                    self.state = State::Size;
                    forward.extend(line);
                }
            }
            State::Trailer => {
                if let Some(lines) = self.held.take(piece, Until::EmptyLine, MAX_HEAD_BYTES)? {
                    head::check_trailer(&lines)?;
                    self.state = self.behind_body(0);
                    forward.extend(lines);
                }
            }
            State::Waiting => self.behind.extend_from_slice(std::mem::take(piece)),
            State::Opaque => forward.extend_from_slice(std::mem::take(piece)),
            State::Refused => return Err(self.refused()),
        }
        Ok(())
    }

    fn refused(&self) -> Refusal {
        self.refusal.clone().unwrap_or(Refusal::because(Reason::Malformed))
    }

    fn begin(&mut self, head: Head) {
        // The first thing that a server says answers the first request. Behind others it could be about an
        // earlier one, and a body could look like an answer; so a later request for another protocol goes on,
        // but what is behind it still has to be HTTP.
        self.is_upgrade = head.is_upgrade && self.count == 0;
        self.count += 1;
        self.claim = head.host.claim;
        self.is_after_empty_line = false;
        self.state = match head.body {
            Body::Length(length) => self.behind_body(length),
            Body::Chunked => State::Size,
        };
    }

    fn behind_body(&self, left: u64) -> State {
        match left {
            0 if self.is_upgrade => State::Waiting,
            0 => State::Head,
            _ => State::Body(left),
        }
    }
}

fn behind_chunk(left: u64) -> State {
    if left == 0 { State::End } else { State::Chunk(left) }
}

fn pass(piece: &mut &[u8], most: u64, forward: &mut Vec<u8>) -> u64 {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(piece.len());
    let (taken, rest) = piece.split_at(count);
    forward.extend_from_slice(taken);
    *piece = rest;
    count as u64
}

fn judge(expected: &Expected, head: &Head) -> Result<(), Refusal> {
    for named in [Some(&head.host), head.target.as_ref()].into_iter().flatten() {
        expected.judge(&named.claim)?;
        let is_other_port = named.port.is_some_and(|port| port != expected.port);
        if is_other_port && expected.destination != Destination::HostLoopback {
            let other = if let Claim::Name(name) = &named.claim { Some(name.clone()) } else { None };
            return Err(Refusal { reason: Reason::NameMismatch, rule: None, other });
        }
    }
    // Servers differ in which of the two they believe.
    if head.target.as_ref().is_some_and(|target| target.claim != head.host.claim) {
        return Err(Refusal::because(Reason::Malformed));
    }
    Ok(())
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::because(Reason::Malformed)
    }
}

impl From<Unclear> for Refusal {
    fn from(_: Unclear) -> Self {
        Self::because(Reason::Malformed)
    }
}
