//! T2: a connection to an allowed name that asks for another one in HTTP, or smuggles such a request.

use crate::attack::Attack;
use crate::trial::{Trial, Tried};
use crate::wire::exchange;
use crate::wire::http::{get, request};
use std::net::SocketAddr;

/// What a request can be made of.
struct Words<'a> {
    allowed: &'a str,
    refused: &'a str,
    /// A whole line with the mark.
    mark: &'a str,
}

impl Words<'_> {
    fn host(&self) -> String {
        format!("Host: {}", self.allowed)
    }
    fn other(&self) -> String {
        format!("Host: {}", self.refused)
    }
    /// The honest request, without a mark.
    fn honest(&self) -> Vec<u8> {
        get(self.allowed, None)
    }
    /// The one that must not arrive.
    fn foreign(&self) -> Vec<u8> {
        request(&["GET /foreign HTTP/1.1", &self.other(), self.mark])
    }
}

type Pieces = fn(&Words<'_>) -> Vec<Vec<u8>>;

/// Requests to the allowed site that are answered so many times if they all arrive.
macro_rules! http {
    ($id:literal, $title:literal, $times:literal, $pieces:expr) => {
        Attack::network($id, $title, &["network.allowed", "network.refused"], |t| at(t, $times, $pieces))
    };
}

pub(super) const TABLE: &[Attack] = &[
    http!("t2.http-other-host", "ask for another host", 1, |w| vec![w.foreign()]),
    http!("t2.http-no-host", "ask for no host", 1, |w| vec![request(&["GET / HTTP/1.0", w.mark])]),
    http!("t2.http-0-9", "ask in one line, as in the beginning", 1, |w| {
        vec![format!("GET /{}\r\n\r\n", &w.mark[8..]).into_bytes()]
    }),
    http!("t2.http-two-hosts", "name the allowed host, then another", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &w.host(), &w.other(), w.mark])]
    }),
    http!("t2.http-two-hosts-turned", "name another host, then the allowed one", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &w.other(), &w.host(), w.mark])]
    }),
    http!("t2.http-host-list", "name both in one line", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &format!("{}, {}", w.host(), w.refused), w.mark])]
    }),
    http!("t2.http-host-user", "name the allowed host as a user of another", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &format!("{}@{}", w.host(), w.refused), w.mark])]
    }),
    http!("t2.http-host-space", "name another host behind spaces, tabs and folded lines", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &format!("{}\r\n \t{}", w.host(), w.refused), w.mark])]
    }),
    http!("t2.http-host-odd-line", "name another host in a line that only some read", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &format!("Host : {}", w.refused), &w.host(), w.mark])]
    }),
    http!("t2.http-host-bare-line", "end lines in a way that only some read", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &format!("X: y\n{}", w.other()), &w.host(), w.mark])]
    }),
    http!("t2.http-host-return", "end lines with a lone carriage return", 1, |w| {
        vec![request(&["GET / HTTP/1.1", &format!("X: y\r{}", w.other()), &w.host(), w.mark])]
    }),
    http!("t2.http-connect", "ask for a tunnel (CONNECT)", 1, |w| {
        let line = format!("CONNECT {}:443 HTTP/1.1", w.refused);
        vec![request(&[&line, &w.host(), w.mark])]
    }),
    http!("t2.http-connect-allowed", "ask the allowed host for a tunnel to itself", 1, |w| {
        let line = format!("CONNECT {}:443 HTTP/1.1", w.allowed);
        vec![request(&[&line, &w.host(), w.mark])]
    }),
    http!("t2.http-absolute", "name another host in the first line", 1, |w| {
        let line = format!("GET http://{}/ HTTP/1.1", w.refused);
        vec![request(&[&line, &w.host(), w.mark])]
    }),
    http!("t2.http-absolute-user", "the same with the allowed one as a user", 1, |w| {
        let line = format!("GET http://{}@{}/ HTTP/1.1", w.allowed, w.refused);
        vec![request(&[&line, &w.host(), w.mark])]
    }),
    http!("t2.http-pipelined", "ask for another host behind an honest request, at once", 2, |w| {
        vec![[w.honest(), w.foreign()].concat()]
    }),
    http!("t2.http-kept-alive", "ask for another host behind an honest request, later", 2, |w| {
        vec![w.honest(), w.foreign()]
    }),
    http!("t2.http-byte-by-byte", "ask for another host a byte at a time", 1, |w| {
        w.foreign().chunks(1).map(<[u8]>::to_vec).collect()
    }),
    http!("t2.http-long-head", "ask for another host behind a very long head", 1, |w| {
        let long = format!("X: {}", "y".repeat(100_000));
        vec![request(&["GET / HTTP/1.1", &long, &w.other(), w.mark])]
    }),
    http!("t2.http-smuggled", "hide a request between two ways to say a length", 2, |w| {
        vec![smuggled(w, "Transfer-Encoding: chunked")]
    }),
    http!("t2.http-smuggled-odd", "the same with a spelling that only some read", 2, |w| {
        vec![smuggled(w, "Transfer-Encoding : chunked")]
    }),
    http!("t2.http-smuggled-list", "the same with an encoding that only some know", 2, |w| {
        vec![smuggled(w, "Transfer-Encoding: xchunked")]
    }),
    http!("t2.http-two-lengths", "hide a request between two lengths", 2, |w| {
        let length = format!("Content-Length: {}", w.foreign().len());
        let head = request(&["POST / HTTP/1.1", &w.host(), "Content-Length: 0", &length]);
        vec![[head, w.foreign()].concat()]
    }),
    http!("t2.http-odd-length", "hide a request behind a length that only some read", 2, |w| {
        let length = format!("Content-Length: +{}", w.foreign().len());
        let head = request(&["POST / HTTP/1.1", &w.host(), &length]);
        vec![[head, w.foreign()].concat()]
    }),
    http!("t2.http-odd-chunk", "hide a request behind a chunk whose length overflows", 2, |w| {
        let head = request(&["POST / HTTP/1.1", &w.host(), "Transfer-Encoding: chunked"]);
        vec![[head, b"10000000000000000\r\n\r\n0\r\n\r\n".to_vec(), w.foreign()].concat()]
    }),
    http!("t2.http-2-in-clear", "speak HTTP/2 without asking", 1, |w| {
        vec![b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), format!("{}\r\n\r\n", w.mark).into_bytes()]
    }),
    http!("t2.http-upgrade-2", "ask to go on in HTTP/2", 2, |w| {
        let lines =
            ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"];
        let head = request(&["GET / HTTP/1.1", &w.host(), lines[0], lines[1], lines[2]]);
        vec![head, w.foreign()]
    }),
    http!("t2.http-websocket", "open a web socket to another host", 1, |w| vec![web_socket(
        &w.other(),
        w.mark
    )]),
    http!("t2.http-upgrade-refused", "ask for another host behind an upgrade that nobody takes", 2, |w| {
        let head = request(&["GET / HTTP/1.1", &w.host(), "Connection: Upgrade", "Upgrade: nothing"]);
        vec![head, w.foreign()]
    }),
    http!("t2.http-upgrade-at-once", "ask for another host before an upgrade is taken", 2, |w| {
        let head = request(&["GET / HTTP/1.1", &w.host(), "Connection: Upgrade", "Upgrade: nothing"]);
        vec![[head, w.foreign()].concat()]
    }),
    http!("t2.http-not-at-all", "speak no HTTP at all on its port", 1, |w| {
        vec![format!("SSH-2.0-{}\r\n\r\n", w.mark).into_bytes()]
    }),
];

/// A request that ends at once for who believes in chunks, and after another one for who believes in the
/// length.
fn smuggled(w: &Words<'_>, encoding: &str) -> Vec<u8> {
    let length = format!("Content-Length: {}", 5 + w.foreign().len());
    let head = request(&["POST / HTTP/1.1", &w.host(), &length, encoding]);
    [head, b"0\r\n\r\n".to_vec(), w.foreign()].concat()
}

fn web_socket(host: &str, mark: &str) -> Vec<u8> {
    request(&[
        "GET / HTTP/1.1",
        host,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        mark,
    ])
}

fn at(t: &Trial<'_>, times: usize, pieces: Pieces) -> Tried {
    let (allowed, refused) = (t.allowed()?, t.refused()?);
    let mark = format!("X-Mark: {}", t.mark);
    let pieces = pieces(&Words { allowed: &allowed.site.name, refused: &refused.name, mark: &mark });
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    Ok(exchange::all_at_once(&allowed.at(80), SocketAddr::to_string, |to| match exchange::connect(*to) {
        Ok(mut stream) => exchange::talk(&mut stream, &pieces, &allowed.site.token, times),
        Err(answer) => answer,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_not_arrive_has_the_mark() {
        let words = Words { allowed: "a.example", refused: "b.example", mark: "X-Mark: m" };
        let holds = |bytes: &[u8], text: &str| String::from_utf8_lossy(bytes).contains(text);
        assert!(!holds(&words.honest(), "X-Mark") && !holds(&words.honest(), "b.example"));
        let bytes = smuggled(&words, "Transfer-Encoding: chunked");
        assert_eq!(String::from_utf8_lossy(&bytes).matches("X-Mark: m").count(), 1);
        let body = bytes.len() - bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() - 4;
        assert!(holds(&bytes, &format!("Content-Length: {body}\r\n")));
    }
}
