//! What is relayed of one connection: judged where it has to be, moved untouched otherwise.

use super::both::Stopped;
use super::claim::{Claim, Expected, Refusal};
use super::first::{self, Language, Patience, Words};
use super::flows::{Down, Flow, Up};
use super::heard::{Heard, Share};
use super::pipes::Pipes;
use super::pump::{Moved, pump};
use super::socket::{self, Socket, write_all};
use crate::http::{Answered, Requests, Upgrade, Want};
use crate::link::Link;
use crate::runtime::{Either, Event, race};
use crate::tls;
use agentbox_plan::net::{Destination, Reason};
use std::cell::Cell;

/// What is kept of a client that does not wait for the answer to a request for another protocol. More than that stays with
/// the kernel until then.
const EARLY_BYTES: usize = 64 << 10;

/// A connection and its two sides.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a Socket,
    pub(super) server: &'a Socket,
    pub(super) flow: &'a Flow,
    pub(super) pipes: &'a Pipes,
    pub(super) link: &'a Link,
    pub(super) destination: &'a Destination,
    pub(super) port: u16,
    pub(super) patience: Patience,
    pub(super) heard: &'a Heard,
    /// What the server answered to a request for another protocol.
    pub(super) answer: Cell<Answered>,
    pub(super) answered: Event,
}

impl Exchange<'_> {
    /// By the rules of now.
    fn expected(&self) -> Expected {
        Expected { destination: self.destination.clone(), port: self.port, rules: self.link.rules() }
    }

    /// What the client says, from its first words on.
    pub(super) async fn up(&self, words: Words) -> Result<(), Stopped> {
        self.send(words.bytes).await?;
        let mut share = words.share;
        share.holds(0);
        match (words.requests, words.language) {
            (Some(requests), _) => Box::pin(self.requests(requests, share)).await,
            (None, Language::Tls) => self.rest().await,
            _ if *self.destination == Destination::HostLoopback => self.rest().await,
            _ => Box::pin(self.unknown()).await,
        }
    }

    /// What the server says.
    pub(super) async fn down(&self, is_upgrade_asked: bool) -> Result<(), Stopped> {
        if is_upgrade_asked {
            let mut upgrade = Upgrade::new();
            while self.answer.get() == Answered::NeedMore {
                let read = socket::read_piece(self.server, |piece| (piece.to_vec(), upgrade.feed(piece)));
                let (piece, answer) = read.await.map_err(|_| Stopped::Source)?;
                if answer == Answered::Http2 {
                    return Err(Stopped::Refused(Refusal::because(Reason::Malformed), Language::Neither));
                }
                let is_end = piece.is_empty();
                self.flow.receive(piece.len());
                // The client is told before anything that it says next is let through.
                write_all(self.client, &piece).await.map_err(|_| Stopped::Sink)?;
                self.answer.set(if is_end { Answered::Stays } else { answer });
                self.answered.notify();
                if is_end {
                    return Ok(());
                }
            }
        }
        pump(self.server, self.client, self.pipes, u64::MAX, &Down(self.flow)).await?;
        Ok(())
    }

    /// Sends what was read here.
    async fn send(&self, bytes: Vec<u8>) -> Result<(), Stopped> {
        if let Err(reason) = self.flow.spend(bytes.len()) {
            return Err(Stopped::Refused(Refusal::because(reason), Language::Neither));
        }
        write_all(self.server, &bytes).await.map_err(|_| Stopped::Sink)
    }

    /// Nothing has to be judged any more.
    async fn rest(&self) -> Result<(), Stopped> {
        pump(self.client, self.server, self.pipes, u64::MAX, &Up(self.flow)).await?;
        Ok(())
    }

    /// A port on which everything may be spoken: only TLS says for whom it is.
    async fn unknown(&self) -> Result<(), Stopped> {
        match socket::first_byte(self.client).await {
            Err(_) => return Err(Stopped::Source),
            Ok(Some(first)) if tls::begins_like_record(&[first]) => {}
            Ok(_) => return self.rest().await,
        }
        let hello = Box::pin(first::hello(self.client, self.patience, self.heard.share()));
        let words = hello.await.ok_or(Stopped::Source)?;
        // Two bytes say whether it is TLS at all, and one of them may come later.
        if words.bytes.get(..2).is_some_and(|start| !tls::begins_like_record(start)) {
            self.send(words.bytes).await?;
            drop(words.share);
            return self.rest().await;
        }
        let claim = words.claim.map_err(|refusal| Stopped::Refused(refusal, Language::Neither))?;
        if let Err(refusal) = self.expected().judge(&claim) {
            // An alert behind other bytes of a server would be none.
            let language = if self.flow.received() == 0 { Language::Tls } else { Language::Neither };
            return Err(Stopped::Refused(refusal, language));
        }
        self.flow.claims(claim);
        self.send(words.bytes).await?;
        drop(words.share);
        self.rest().await
    }

    /// HTTP, request after request. Heads that come slowly are waited for as a silent connection is.
    async fn requests(&self, mut requests: Requests, mut share: Share) -> Result<(), Stopped> {
        let (mut forward, mut is_over) = (Vec::new(), false);
        let mut want = requests.feed(&self.expected(), &[], &mut forward);
        loop {
            if !share.holds(requests.memory() + forward.capacity()) {
                return Err(Stopped::Refused(Refusal::because(Reason::TooMany), Language::Http));
            }
            if !forward.is_empty() {
                self.send(std::mem::take(&mut forward)).await?;
                self.flow.claims(requests.claim().clone());
            }
            want = match want.map_err(|refusal| Stopped::Refused(refusal, Language::Http))? {
                // All that it said was judged.
                _ if is_over => return Ok(()),
                Want::More => {
                    let expected = self.expected();
                    let read = socket::read_piece(self.client, |piece| {
                        (!piece.is_empty()).then(|| requests.feed(&expected, piece, &mut forward))
                    });
                    match read.await.map_err(|_| Stopped::Source)? {
                        Some(want) => want,
                        None => return Ok(()),
                    }
                }
                Want::Body(left) => {
                    let moved = pump(self.client, self.server, self.pipes, left, &Up(self.flow)).await?;
                    if moved == Moved::ToTheEnd {
                        return Ok(());
                    }
                    requests.passed(left);
                    requests.feed(&self.expected(), &[], &mut forward)
                }
                Want::Answer => {
                    let is_upgraded;
                    (is_upgraded, is_over) = self.answer(&mut requests, &mut share).await?;
                    requests.answered(&self.expected(), is_upgraded, &mut forward)
                }
                Want::Nothing => return self.rest().await,
            };
        }
    }

    /// Whether the server speaks another protocol from now on, and whether the client has said all. What it says
    /// meanwhile is kept for then: without reading nobody would notice that it leaves.
    async fn answer(&self, requests: &mut Requests, share: &mut Share) -> Result<(bool, bool), Stopped> {
        let (expected, mut forward) = (self.expected(), Vec::new());
        while requests.early() < EARLY_BYTES {
            let read = socket::read_piece(self.client, |piece| {
                (!piece.is_empty()).then(|| requests.feed(&expected, piece, &mut forward))
            });
            match race(self.is_upgraded(), read).await {
                Either::First(is_upgraded) => return Ok((is_upgraded, false)),
                Either::Second(Err(_)) => return Err(Stopped::Source),
                // The server hears of the end at once, as behind any other request.
                Either::Second(Ok(None)) if requests.early() == 0 => return Ok((false, true)),
                Either::Second(Ok(None)) => {
                    return match race(self.is_upgraded(), socket::was_reset(self.client)).await {
                        Either::First(is_upgraded) => Ok((is_upgraded, true)),
                        Either::Second(()) => Err(Stopped::Source),
                    };
                }
                Either::Second(Ok(Some(fed))) => {
                    fed.map_err(|refusal| Stopped::Refused(refusal, Language::Http))?;
                }
            }
            if !share.holds(requests.memory()) {
                return Err(Stopped::Refused(Refusal::because(Reason::TooMany), Language::Http));
            }
        }
        Ok((self.is_upgraded().await, false))
    }

    /// What the server answered.
    async fn is_upgraded(&self) -> bool {
        loop {
            let answered = self.answered.wait();
            match self.answer.get() {
                Answered::NeedMore => answered.await,
                answer => return answer == Answered::Upgraded,
            }
        }
    }
}

/// What a connection names at first.
pub(super) fn claim_of(words: &Words) -> Claim {
    words.claim.clone().unwrap_or(Claim::Nothing)
}
