//! The first words of a TLS client: reads a ClientHello that comes in any pieces, keeps its bytes, says which
//! name it is for, and has the alerts that answer it.
//!
//! Written here and not taken from a TLS library because those judge a hello as a server would: rustls refuses
//! every hello without `signature_algorithms`, which TLS 1.2 makes optional (RFC 5246, section 7.4.1.4.1), and
//! reads every extension it knows. The gate needs framing and one extension, and must pass on whatever the other
//! side may understand. It is stricter only where two readers could find different names.
//!
//! What this does not see: a name inside Encrypted Client Hello (the outer one counts), and a second ClientHello
//! after a HelloRetryRequest. Both reach the server that was named first, which decides what it does with them.

mod extensions;
mod skim;

pub use skim::{Skim, Skimmed};

use agentbox_plan::net::HostName;

/// Most bytes of a ClientHello with its record headers.
pub const MAX_HELLO_BYTES: usize = 64 << 10;
/// `access_denied` (RFC 8446, section 6.2): what the gate says when a rule or the lack of one refuses.
pub const ACCESS_DENIED: u8 = 49;
/// `unrecognized_name` (RFC 6066, section 3): what the gate says when the name does not exist.
pub const UNRECOGNIZED_NAME: u8 = 112;

/// Content type of handshake records (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER_BYTES: usize = 5;
const MESSAGE_HEADER_BYTES: usize = 4;
/// Most bytes in a record that is not encrypted (RFC 8446, section 5.1).
const MAX_RECORD_BYTES: usize = 1 << 14;

/// What is known of a ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its end has not come.
    NeedMore,
    /// It is whole. The name is that of `server_name`; none without the extension, or when it holds an address,
    /// which no server takes for a name.
    Name(Option<HostName>),
    /// It is none, or one in which two readers could find different names.
    Malformed,
}

/// Reads a ClientHello. After [`Outcome::Name`] everything that was fed goes on unchanged: [`Hello::into_bytes`].
#[derive(Debug, Default)]
pub struct Hello {
    held: Vec<u8>,
    skim: Skim,
    outcome: Option<Outcome>,
}

impl Hello {
    /// A reader to which nothing was fed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the stream. However the stream is cut into pieces, the last outcome is the same.
    /// What comes after the outcome is known is only kept.
    pub fn feed(&mut self, piece: &[u8]) -> Outcome {
        self.held.extend_from_slice(piece);
        if let Some(outcome) = &self.outcome {
            return outcome.clone();
        }
        let outcome = match self.skim.feed(piece) {
            Skimmed::NeedMore => return Outcome::NeedMore,
            Skimmed::Hello => self.name().map_or(Outcome::Malformed, Outcome::Name),
            Skimmed::Malformed => Outcome::Malformed,
        };
        self.outcome = Some(outcome.clone());
        outcome
    }

    /// The name in a hello that is whole. Only now is it put together: one that never ends is held once.
    fn name(&self) -> Result<Option<HostName>, extensions::NotAHello> {
        let mut body = Vec::new();
        Skim::new().feed_to(&self.held, &mut |part| body.extend_from_slice(part));
        extensions::server_name(&body)
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.held.capacity()
    }

    /// All bytes that were fed, for the other side.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.held
    }
}

/// Whether the first bytes of a stream can be the beginning of a TLS handshake. A server that speaks TLS takes
/// nothing else, so what begins otherwise is no TLS for anybody.
#[must_use]
pub fn begins_like_record(bytes: &[u8]) -> bool {
    // Content type, then the version: 0x0300 to 0x0304; TLS 1.3 says that it is not to be looked at, but
    // nothing sends another major number.
    bytes.iter().zip([HANDSHAKE, 3]).all(|(byte, expected)| *byte == expected)
}

/// A fatal alert as a whole record. It is sent after the ClientHello was read to its end: closing a socket with
/// unread bytes sends RST, and the client would lose the alert.
#[must_use]
pub fn alert(description: u8) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, description]
}

#[cfg(test)]
mod tests;
