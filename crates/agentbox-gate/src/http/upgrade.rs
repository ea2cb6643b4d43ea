//! What a server answers to a request for another protocol, when that was the first on its connection.

use super::MAX_HEAD_BYTES;
use super::lines::{Held, Until};

/// What is known of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Nothing so far.
    NeedMore,
    /// It speaks the other protocol from now on.
    Upgraded,
    /// It goes on with HTTP/1, or says something that nobody understands.
    Stays,
    /// It would speak HTTP/2, where every request names a host of its own.
    Http2,
}

/// Reads a server's answer. What was fed goes on to the client unchanged, whatever comes out.
#[derive(Debug, Default)]
pub struct Upgrade {
    held: Held,
}

impl Upgrade {
    /// One to which nothing was fed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of what the server says.
    pub fn feed(&mut self, mut piece: &[u8]) -> Answered {
        while !piece.is_empty() {
            match self.held.take(&mut piece, Until::EmptyLine, MAX_HEAD_BYTES) {
                Ok(None) => {}
                Ok(Some(lines)) => match judge(&lines) {
                    Answered::NeedMore => {}
                    answered => return answered,
                },
                Err(_) => return Answered::Stays,
            }
        }
        Answered::NeedMore
    }
}

fn judge(lines: &[u8]) -> Answered {
    let count = lines.iter().filter(|byte| **byte == b'\n').count();
    let mut headers = vec![httparse::EMPTY_HEADER; count];
    let mut response = httparse::Response::new(&mut headers);
    if !matches!(response.parse(lines), Ok(httparse::Status::Complete(length)) if length == lines.len()) {
        return Answered::Stays;
    }
    match response.code {
        Some(101) => {}
        // `100 Continue` and `103 Early Hints` come before the answer.
        Some(100..200) => return Answered::NeedMore,
        _ => return Answered::Stays,
    }
    let upgrades = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("upgrade"));
    let mut protocols = upgrades.flat_map(|header| header.value.split(|byte| *byte == b','));
    let is_http2 = protocols
        .any(|name| name.trim_ascii().get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2")));
    if is_http2 { Answered::Http2 } else { Answered::Upgraded }
}
