//! A session's requests on port 80: whatever goes on is for the host that the connection goes to.
#![no_main]

use agentbox_gate::http::{Answered, Requests, Upgrade, Want};
use agentbox_gate::relay::{Expected, Refusal};
use agentbox_plan::net::{Destination, Mode, Rules};
use libfuzzer_sys::fuzz_target;
use std::rc::Rc;

const NAME: &str = "example.org";

/// What went on, and how it ended. Each request for another protocol is answered with a no.
fn through(expected: &Expected, stream: &[u8], length: usize) -> (Vec<u8>, Result<Want, Refusal>) {
    let mut requests = Requests::new();
    let mut forward = Vec::new();
    let mut last = Ok(Want::More);
    for piece in stream.chunks(length.max(1)) {
        last = requests.feed(expected, piece, &mut forward);
        while last == Ok(Want::Answer) {
            last = requests.answered(expected, false, &mut forward);
        }
        if last.is_err() {
            break;
        }
    }
    (forward, last)
}

// First byte: how long the pieces are in which the rest comes.
fuzz_target!(|bytes: &[u8]| {
    let Some((length, stream)) = bytes.split_first() else { return };
    let Ok(name) = NAME.parse() else { return };
    let expected = Expected {
        destination: Destination::Name { name },
        port: 80,
        rules: Rc::new(Rules { mode: Mode::Public, rules: Vec::new() }),
    };
    let (forward, last) = through(&expected, stream, usize::from(*length));
    let at_once = through(&expected, stream, stream.len());
    assert_eq!((&forward, &last), (&at_once.0, &at_once.1));
    // Nothing is made up: what goes on is how the stream begins.
    assert!(stream.starts_with(&forward));
    first_is_for(&forward);

    // The same bytes as a server's answer.
    let (mut whole, mut pieces) = (Upgrade::new(), Upgrade::new());
    let at_once = whole.feed(stream);
    let parts = stream.chunks(usize::from(*length).max(1)).map(|piece| pieces.feed(piece));
    let last = parts.into_iter().find(|answered| *answered != Answered::NeedMore);
    assert_eq!(last.unwrap_or(Answered::NeedMore), at_once);
});

/// Another reader finds the same host in the first request.
fn first_is_for(forward: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(_)) = request.parse(forward) else { return };
    let is_host = |host: &str| {
        let host = host.trim().to_ascii_lowercase();
        let host = host.strip_suffix(":80").unwrap_or(&host);
        host.strip_suffix('.').unwrap_or(host) == NAME
    };
    for header in request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host")) {
        assert!(is_host(&String::from_utf8_lossy(header.value)));
    }
    let path = request.path.unwrap_or("");
    if let Some((_, rest)) = path.split_once("://").filter(|_| !path.starts_with('/')) {
        assert!(is_host(rest.split(['/', '?', '#']).next().unwrap_or("")));
    }
}
