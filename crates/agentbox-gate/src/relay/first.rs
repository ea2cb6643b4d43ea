//! The first words of a client, where these are judged before anything is connected.

use super::claim::{Claim, Expected, Refusal};
use super::socket::{self, Socket};
use crate::http::Requests;
use crate::runtime::{Elapsed, timeout};
use crate::tls::{self, Hello, Outcome};
use agentbox_plan::net::{Destination, Reason};
use std::time::Duration;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until it says anything.
    pub(super) silence: Duration,
    /// From its first byte until what has to be judged is whole.
    pub(super) words: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), words: Duration::from_secs(15) }
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
}

impl Words {
    /// Nothing was said so far.
    pub(super) fn none() -> Self {
        Self { language: Language::Neither, claim: Ok(Claim::Nothing), bytes: Vec::new(), requests: None }
    }

    fn malformed(language: Language) -> Self {
        Self { language, claim: Err(Refusal::because(Reason::Malformed)), bytes: Vec::new(), requests: None }
    }
}

/// Reads the first words. None when the client left, or never said a word.
pub(super) async fn words(
    client: &Socket,
    expected: &Expected,
    waits: Waits,
    patience: Patience,
) -> Option<Words> {
    if waits == Waits::Nothing {
        return Some(Words::none());
    }
    let first = match timeout(patience.silence, socket::first_byte(client)).await {
        Ok(Ok(Some(first))) => first,
        Ok(Ok(None) | Err(_)) | Err(Elapsed) => return None,
    };
    let is_tls = tls::begins_like_record(&[first]);
    if !is_tls && waits == Waits::Hello {
        return Some(Words::malformed(Language::Neither));
    }
    if is_tls { hello(client, patience).await } else { request(client, expected, patience).await }
}

/// Reads a ClientHello to its end.
pub(super) async fn hello(client: &Socket, patience: Patience) -> Option<Words> {
    let mut hello = Hello::new();
    let read = async {
        loop {
            let outcome = socket::read_piece(client, |piece| (!piece.is_empty()).then(|| hello.feed(piece)));
            match outcome.await.ok().flatten() {
                Some(Outcome::NeedMore) => {}
                outcome => return outcome,
            }
        }
    };
    match timeout(patience.words, read).await {
        Ok(Some(Outcome::Name(name))) => Some(Words {
            language: Language::Tls,
            claim: Ok(name.map_or(Claim::Nothing, Claim::Name)),
            bytes: hello.into_bytes(),
            requests: None,
        }),
        Ok(None) => None,
        _ => Some(Words { bytes: hello.into_bytes(), ..Words::malformed(Language::Neither) }),
    }
}

/// Reads a request up to the end of its head.
async fn request(client: &Socket, expected: &Expected, patience: Patience) -> Option<Words> {
    let (mut requests, mut bytes) = (Requests::new(), Vec::new());
    let read = async {
        loop {
            let fed = socket::read_piece(client, |piece| {
                (!piece.is_empty()).then(|| requests.feed(expected, piece, &mut bytes).map(drop))
            });
            match fed.await.ok().flatten() {
                Some(Ok(())) if requests.count() == 0 => {}
                // What is behind the first head is judged when that is with the server.
                ended => return ended.map(|fed| if requests.count() > 0 { Ok(()) } else { fed }),
            }
        }
    };
    match timeout(patience.words, read).await {
        Ok(Some(Ok(()))) => Some(Words {
            language: Language::Http,
            claim: Ok(requests.claim().clone()),
            bytes,
            requests: Some(requests),
        }),
        Ok(Some(Err(refusal))) => {
            Some(Words { language: Language::Http, claim: Err(refusal), bytes: Vec::new(), requests: None })
        }
        Ok(None) => None,
        Err(Elapsed) => Some(Words::malformed(Language::Http)),
    }
}
