//! The first words of a client, where these are judged before anything is connected.

use super::claim::{Claim, Expected, Refusal};
use super::heard::Share;
use super::socket::{self, Socket};
use crate::http::{EndOfHead, Requests};
use crate::runtime::{Elapsed, timeout};
use crate::tls::{self, Hello, Outcome, Skim, Skimmed};
use agentbox_plan::net::{Destination, Reason};
use std::time::Duration;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until it says anything. A person who types needs that long, and browsers close a connection that they opened in
    /// advance and do not use after ten seconds: who is silent for longer may wait for the server, in vain.
    pub(super) silence: Duration,
    /// The same of one that is refused already. It is waited for only so that it can be told in its language.
    pub(super) refused: Duration,
    /// From its first byte until what has to be judged is whole.
    pub(super) words: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [silence, refused, words] = [30, 3, 15].map(Duration::from_secs);
        Self { silence, refused, words }
    }
}

const TLS_PORT: u16 = 443;
const HTTP_PORT: u16 = 80;

/// What is judged before a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// A ClientHello.
    Hello,
    /// A ClientHello or a request.
    HelloOrRequest,
    /// Nothing: the server may be the one that speaks first.
    Nothing,
}

impl Waits {
    pub(super) fn on(expected: &Expected) -> Self {
        match (&expected.destination, expected.port) {
            // Its port was granted, whatever is spoken there.
            (Destination::HostLoopback, _) => Self::Nothing,
            (_, TLS_PORT) => Self::Hello,
            (_, HTTP_PORT) => Self::HelloOrRequest,
            _ => Self::Nothing,
        }
    }
}

/// How a client that was refused is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// An alert: the ClientHello has been read.
    Tls,
    /// A response: a head has been read, or what is none.
    Http,
    /// Only RST is understood.
    Neither,
}

/// What a client said.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) language: Language,
    /// What it names, or why it is refused.
    pub(super) claim: Result<Claim, Refusal>,
    /// For the server; what was read when it is refused.
    pub(super) bytes: Vec<u8>,
    /// Judges what comes behind.
    pub(super) requests: Option<Requests>,
    /// The memory that all of it takes.
    pub(super) share: Share,
}

impl Words {
    /// Nothing was said so far.
    fn none(share: Share) -> Self {
        let (language, claim) = (Language::Neither, Ok(Claim::Nothing));
        Self { language, claim, bytes: Vec::new(), requests: None, share }
    }

    fn refused(language: Language, reason: Reason, share: Share) -> Self {
        Self { language, claim: Err(Refusal::because(reason)), ..Self::none(share) }
    }
}

/// What a client begins with.
enum Begin {
    /// What could be TLS.
    Tls,
    /// Anything else.
    Other,
    /// Nothing so far.
    Silence,
    /// It left.
    Left,
}

/// Reads the first words. None when the client left.
pub(super) async fn words(
    client: &Socket,
    expected: &Expected,
    waits: Waits,
    patience: Patience,
    share: Share,
) -> Option<Words> {
    if waits == Waits::Nothing {
        return Some(Words::none(share));
    }
    match begin(client, patience.silence).await {
        Begin::Tls => hello(client, patience, share).await,
        Begin::Other if waits == Waits::Hello => {
            Some(Words::refused(Language::Neither, Reason::Malformed, share))
        }
        Begin::Other => request(client, expected, patience, share).await,
        Begin::Silence => Some(Words::refused(Language::Neither, Reason::Silent, share)),
        Begin::Left => None,
    }
}

/// In which language a client is told that it was refused already. Its words are read, so that they do not stand
/// before ours, and nothing of them is kept.
pub(super) async fn language(client: &Socket, waits: Waits, patience: Patience) -> Option<Language> {
    if waits == Waits::Nothing {
        return Some(Language::Neither);
    }
    let is_tls = match begin(client, patience.refused).await {
        Begin::Tls => true,
        Begin::Other if waits != Waits::Hello => false,
        Begin::Other | Begin::Silence => return Some(Language::Neither),
        Begin::Left => return None,
    };
    let (mut skim, mut end) = (Skim::new(), EndOfHead::new());
    let read = async {
        loop {
            let piece = socket::read_piece(client, |piece| match piece {
                [] => None,
                piece if is_tls => match skim.feed(piece) {
                    Skimmed::NeedMore => Some(None),
                    Skimmed::Hello => Some(Some(Language::Tls)),
                    Skimmed::Malformed => Some(Some(Language::Neither)),
                },
                piece => Some(end.is_behind(piece).then_some(Language::Http)),
            });
            match piece.await.ok().flatten() {
                Some(None) => {}
                ended => return ended.flatten(),
            }
        }
    };
    match timeout(patience.words, read).await {
        Ok(language) => language,
        Err(Elapsed) => Some(if is_tls { Language::Neither } else { Language::Http }),
    }
}

async fn begin(client: &Socket, silence: Duration) -> Begin {
    match timeout(silence, socket::first_byte(client)).await {
        Ok(Ok(Some(first))) if tls::begins_like_record(&[first]) => Begin::Tls,
        Ok(Ok(Some(_))) => Begin::Other,
        Ok(Ok(None) | Err(_)) => Begin::Left,
        Err(Elapsed) => Begin::Silence,
    }
}

/// Reads a ClientHello to its end.
pub(super) async fn hello(client: &Socket, patience: Patience, mut share: Share) -> Option<Words> {
    let mut hello = Hello::new();
    let read = async {
        loop {
            let outcome = socket::read_piece(client, |piece| {
                (!piece.is_empty()).then(|| {
                    let outcome = hello.feed(piece);
                    share.holds(hello.memory()).then_some(outcome)
                })
            });
            match outcome.await.ok().flatten() {
                Some(Some(Outcome::NeedMore)) => {}
                outcome => return outcome,
            }
        }
    };
    match timeout(patience.words, read).await {
        Ok(Some(Some(Outcome::Name(name)))) => Some(Words {
            language: Language::Tls,
            claim: Ok(name.map_or(Claim::Nothing, Claim::Name)),
            bytes: hello.into_bytes(),
            ..Words::none(share)
        }),
        Ok(Some(None)) => Some(Words::refused(Language::Neither, Reason::TooMany, share)),
        Ok(None) => None,
        _ => Some(Words {
            bytes: hello.into_bytes(),
            ..Words::refused(Language::Neither, Reason::Malformed, share)
        }),
    }
}

/// Reads a request up to the end of its head.
async fn request(
    client: &Socket,
    expected: &Expected,
    patience: Patience,
    mut share: Share,
) -> Option<Words> {
    let (mut requests, mut bytes) = (Requests::new(), Vec::new());
    let read = async {
        loop {
            let fed = socket::read_piece(client, |piece| {
                (!piece.is_empty()).then(|| {
                    let fed = requests.feed(expected, piece, &mut bytes).map(drop);
                    let fits = share.holds(requests.memory() + bytes.capacity());
                    if fits { fed } else { Err(Refusal::because(Reason::TooMany)) }
                })
            });
            match fed.await.ok().flatten() {
                Some(Ok(())) if requests.count() == 0 => {}
                // What is behind the first head is judged when that is with the server.
                Some(Err(refusal)) if requests.count() > 0 && refusal.reason != Reason::TooMany => {
                    return Some(Ok(()));
                }
                ended => return ended,
            }
        }
    };
    match timeout(patience.words, read).await {
        Ok(Some(Ok(()))) => Some(Words {
            language: Language::Http,
            claim: Ok(requests.claim().clone()),
            bytes,
            requests: Some(requests),
            share,
        }),
        Ok(Some(Err(refusal))) => {
            Some(Words { language: Language::Http, claim: Err(refusal), ..Words::none(share) })
        }
        Ok(None) => None,
        Err(Elapsed) => Some(Words::refused(Language::Http, Reason::Malformed, share)),
    }
}
