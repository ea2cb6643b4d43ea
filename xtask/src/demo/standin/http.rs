//! HTTP/1.1 as far as agents speak it: requests with a length or in chunks, connections that stay open,
//! answers as a whole or as a stream of events.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read, Write};

/// Most bytes of a line and of a body: above what agents send, below what would fill the memory.
const MOST_LINE: u64 = 64 << 10;
const MOST_BODY: u64 = 64 << 20;

/// What was asked.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) host: String,
    pub(super) body: Vec<u8>,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    kind: &'static str,
    /// More than one: a stream, sent piece by piece.
    pieces: Vec<String>,
}

impl Reply {
    pub(super) fn status(status: u16, text: &str) -> Self {
        Self { status, kind: "text/plain", pieces: vec![text.to_owned()] }
    }

    pub(super) fn json(value: &Value) -> Self {
        Self { status: 200, kind: "application/json", pieces: vec![value.to_string()] }
    }

    /// Server-sent events; each has its name in `type`.
    pub(super) fn events(events: &[Value]) -> Self {
        let piece = |event: &Value| {
            let name = event.get("type").and_then(Value::as_str).unwrap_or("message");
            format!("event: {name}\ndata: {event}\n\n")
        };
        Self { status: 200, kind: "text/event-stream", pieces: events.iter().map(piece).collect() }
    }
}

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Connection<S: Read> {
    stream: BufReader<S>,
    is_head: bool,
}

impl<S: Read + Write> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream), is_head: false }
    }

    /// The next request; none when the client has ended.
    pub(super) fn request(&mut self) -> std::io::Result<Option<Request>> {
        let first = self.line()?;
        let mut words = first.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
        let (mut host, mut length, mut chunked, mut waits) = (String::new(), 0, false, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "host" => host = value.to_owned(),
                "content-length" => length = value.parse().map_err(|_| bad("no length"))?,
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "expect" => waits = true,
                _ => {}
            }
        }
        if waits {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Vec::new();
        if chunked {
            while self.chunk(&mut body)? {}
        } else {
            self.take(length, &mut body)?;
        }
        self.is_head = method == "HEAD";
        Ok(Some(Request { method: method.to_owned(), path: path.to_owned(), host, body }))
    }

    pub(super) fn reply(&mut self, reply: &Reply) -> std::io::Result<()> {
        let Reply { status, kind, pieces } = reply;
        let reason = match status {
            200 => "OK",
            426 => "Upgrade Required",
            _ => "Not Found",
        };
        let head = format!("HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\n");
        if let [only] = pieces.as_slice() {
            let body = if self.is_head { "" } else { only };
            return self.send(format!("{head}content-length: {}\r\n\r\n{body}", only.len()).as_bytes());
        }
        self.send(format!("{head}cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes())?;
        for piece in pieces {
            self.send(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes())?;
        }
        self.send(b"0\r\n\r\n")
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// A line without its end; empty at the end of the head, and at the end of the connection.
    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        (&mut self.stream).take(MOST_LINE).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn take(&mut self, length: u64, body: &mut Vec<u8>) -> std::io::Result<()> {
        if length + body.len() as u64 > MOST_BODY {
            return Err(bad("the body is too long"));
        }
        let read = (&mut self.stream).take(length).read_to_end(body)?;
        if (read as u64) < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Whether there are more.
    fn chunk(&mut self, body: &mut Vec<u8>) -> std::io::Result<bool> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or("");
        let length = u64::from_str_radix(size, 16).map_err(|_| bad("no size of a chunk"))?;
        self.take(length, body)?;
        self.line()?;
        Ok(length > 0)
    }
}

fn bad(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads from one side, writes to the other.
    struct Both<'a>(&'a [u8], Vec<u8>);

    impl Read for Both<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(into)
        }
    }

    impl Write for Both<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn said(connection: &Connection<Both<'_>>) -> String {
        String::from_utf8(connection.stream.get_ref().1.clone()).unwrap()
    }

    #[test]
    fn requests_follow_each_other_on_a_connection() {
        let bytes = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
            HEAD /b HTTP/1.1\r\n\r\n\
            POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x\r\nf\r\n0\r\n\r\n";
        let mut connection = Connection::new(Both(bytes, Vec::new()));
        let first = connection.request().unwrap().unwrap();
        assert_eq!(
            (first.path.as_str(), first.host.as_str(), first.body.as_slice()),
            ("/a", "h", &b"abc"[..])
        );
        assert_eq!(connection.request().unwrap().unwrap().method, "HEAD");
        connection.reply(&Reply::status(200, "word")).unwrap();
        assert!(said(&connection).ends_with("content-length: 4\r\n\r\n"));
        assert_eq!(connection.request().unwrap().unwrap().body, b"def");
        assert!(connection.request().unwrap().is_none());
    }

    #[test]
    fn a_body_that_ends_early_is_an_error() {
        for bytes in [
            "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc",
            "P / H\r\ncontent-length: 99999999999\r\n\r\n",
        ] {
            assert!(Connection::new(Both(bytes.as_bytes(), Vec::new())).request().is_err());
        }
    }

    #[test]
    fn events_are_sent_one_by_one() {
        let mut connection = Connection::new(Both(b"", Vec::new()));
        let events = [serde_json::json!({ "type": "a" }), serde_json::json!({ "type": "b" })];
        connection.reply(&Reply::events(&events)).unwrap();
        let piece = "event: a\ndata: {\"type\":\"a\"}\n\n";
        assert!(said(&connection).contains(&format!("\r\n\r\n{:x}\r\n{piece}\r\n", piece.len())));
        assert!(said(&connection).ends_with("\r\n0\r\n\r\n"));
    }
}
